//! What building a deployment has said, line by line: in a file beside its code, that is followed while it grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::Deploys;

/// Bytes of the log's end that the document of a failed deployment has.
const TAIL: u64 = 4 * 1024;

/// Bytes that are read at once.
const PAGE: u64 = 64 * 1024;

/// A log that is written.
pub(crate) struct Log {
    file: File,
    news: watch::Sender<u64>,
}

impl Log {
    /// Begins it anew.
    pub(super) fn begin(deploys: &Deploys, folder: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Self {
            file: options.open(file_in(folder))?,
            news: deploys.news.clone(),
        })
    }

    /// Another handle, for another thread.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            news: self.news.clone(),
        })
    }

    /// A full disk loses the line, and no deployment.
    pub(super) fn line(&mut self, text: &str) {
        let _ = self.file.write_all(format!("{text}\n").as_bytes());
        self.news.send_modify(|number| *number += 1);
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("build.log")
}

/// How far a log has been read.
#[derive(Clone, Debug)]
pub(crate) struct LogTail {
    file: PathBuf,
    pub(crate) read: u64,
}

impl LogTail {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            file: file_in(folder),
            read: 0,
        }
    }

    /// Whole lines that were not read before, with where each ends. Of a log that is gone there are none.
    pub(crate) fn lines(&mut self) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        let bytes = read_from(&self.file, self.read, PAGE).unwrap_or_default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = line.ends_with(b"\n") || bytes.len() as u64 == PAGE;
            if !is_whole {
                break;
            }
            self.read += line.len() as u64;
            let text = String::from_utf8_lossy(line);
            lines.push((self.read, text.trim_end_matches('\n').to_owned()));
        }
        lines
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        let bytes = fs_err::read(&self.file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn read_from(file: &Path, place: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last whole lines of a log.
pub(super) fn tail(folder: &Path) -> String {
    let file = file_in(folder);
    let length = fs_err::metadata(&file).map_or(0, |about| about.len());
    let start = length.saturating_sub(TAIL);
    let bytes = read_from(&file, start, TAIL).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let cut = if start == 0 { None } else { text.find('\n') };
    text[cut.map_or(0, |cut| cut + 1)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_read_once_and_a_tail_begins_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let mut file = File::options();
            let mut file = file
                .append(true)
                .create(true)
                .open(file_in(folder.path()))
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let mut read = LogTail::of(folder.path());
        assert_eq!(read.lines(), []);
        write("one\n\ntw");
        assert_eq!(read.lines(), [(4, "one".to_owned()), (5, String::new())]);
        assert_eq!(read.lines(), []);
        write("o\n");
        assert_eq!(read.lines(), [(9, "two".to_owned())]);
        assert_eq!(tail(folder.path()), "one\n\ntwo\n");
        write(&format!("{}\nlast\n", "x".repeat(5000)));
        assert_eq!(tail(folder.path()), "last\n");
    }
}
