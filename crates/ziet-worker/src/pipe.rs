//! The pipes of an executor: what it prints outside Python's own streams, and its stack.

use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use ziet_core::limits::LINE_BYTES;

use crate::channel::Readiness;

/// Bytes for one readiness event before others get their turn.
const TURN: usize = 1024 * 1024;

pub(crate) struct Pipe {
    end: OwnedFd,
    bytes: Vec<u8>,
    /// Bytes that were taken out of the end of the line that `bytes` begins with, since it is too long.
    cut: usize,
}

impl Pipe {
    pub(crate) fn new(end: OwnedFd, registry: &Registry, token: Token) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&end, true)?;
        registry.register(&mut SourceFd(&end.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self {
            end,
            bytes: Vec::new(),
            cut: 0,
        })
    }

    pub(crate) fn close(self, registry: &Registry) {
        // Closing the only descriptor would do, but a process that inherited it may live on.
        let _ = registry.deregister(&mut SourceFd(&self.end.as_raw_fd()));
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Readiness {
        let mut taken = 0;
        while taken < TURN {
            match rustix::io::read(&self.end, &mut *buffer) {
                Ok(0) => return Readiness::Closed,
                Ok(length) => {
                    self.bytes.extend_from_slice(&buffer[..length]);
                    taken += length;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Readiness::Drained,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Readiness::Closed,
            }
        }
        Readiness::More
    }

    /// Forgets what has come so far.
    pub(crate) fn clear(&mut self, buffer: &mut [u8]) -> Readiness {
        let readiness = self.fill(buffer);
        self.bytes.clear();
        self.cut = 0;
        readiness
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines that have ended, as one text without the last line end; None when there is none. Called after each
    /// turn, so that no more is kept of a line than is shown of it, however long it is.
    pub(crate) fn take_lines(&mut self) -> Option<String> {
        let end = self.bytes.iter().rposition(|byte| *byte == b'\n');
        let text = end.map(|end| {
            let lines: Vec<u8> = self.bytes.drain(..=end).collect();
            let cut = std::mem::take(&mut self.cut);
            shown(&lines[..end], cut)
        });
        // What is left begins with a line of its own, but where no line has ended.
        if self.bytes.len() > LINE_BYTES {
            self.cut += self.bytes.len() - LINE_BYTES;
            self.bytes.truncate(LINE_BYTES);
        }
        text
    }

    /// Everything that is left, also a line that has not ended.
    pub(crate) fn take_rest(&mut self) -> Option<String> {
        if !self.bytes.is_empty() && self.bytes.last() != Some(&b'\n') {
            self.bytes.push(b'\n');
        }
        self.take_lines()
    }
}

/// Lines as text, none of them too long. `cut` bytes of the first one are missing.
fn shown(lines: &[u8], mut cut: usize) -> String {
    let mut text = String::with_capacity(lines.len());
    for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let size = line.len() + std::mem::take(&mut cut);
        if size <= LINE_BYTES {
            push_escaped(&mut text, line);
        } else {
            let told = format!(" ... [line of {} bytes cut]", grouped(size));
            push_escaped(&mut text, begin(line, LINE_BYTES - told.len()));
            text.push_str(&told);
        }
    }
    text
}

/// What is no UTF-8 as `\xff`, byte by byte.
fn push_escaped(text: &mut String, line: &[u8]) {
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

/// At most so many bytes, without the beginning of a character that would go on.
fn begin(line: &[u8], bytes: usize) -> &[u8] {
    let goes_on = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    // Where there are more such bytes in a row than a character has, they are none.
    let end = (bytes.saturating_sub(3)..=bytes).rfind(|at| !goes_on(at));
    &line[..end.unwrap_or(bytes).min(line.len())]
}

/// `40,000`
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use mio::Poll;

    use super::*;

    /// What is shown of bytes that come in such pieces.
    fn said(pieces: &[&[u8]]) -> Vec<String> {
        let poll = Poll::new().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut pipe = Pipe::new(OwnedFd::from(reader), poll.registry(), Token(0)).unwrap();
        let mut texts = Vec::new();
        for piece in pieces {
            // No more than fits into a pipe at a time.
            for part in piece.chunks(4096) {
                std::io::Write::write_all(&mut writer, part).unwrap();
                pipe.fill(&mut [0; 1024]);
                texts.extend(pipe.take_lines());
                assert!(pipe.bytes().len() <= LINE_BYTES);
            }
        }
        texts.extend(pipe.take_rest());
        texts
            .iter()
            .flat_map(|text| text.split('\n'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn lines_come_as_they_end() {
        assert_eq!(
            said(&[b"one\ntw", b"o\n\nthr", "\u{e9}".as_bytes()]),
            ["one", "two", "", "thr\u{e9}"]
        );
        assert_eq!(said(&[b""]), Vec::<String>::new());
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_says_so() {
        let whole = vec![b'x'; LINE_BYTES];
        assert_eq!(said(&[&whole, b"\nnext\n"])[0].len(), LINE_BYTES);
        for (size, told) in [
            (LINE_BYTES + 1, "16,385"),
            (40_000, "40,000"),
            (1_234_567, "1,234,567"),
        ] {
            let long = vec![b'x'; size];
            for end in ["\n", ""] {
                let lines = said(&[b"before\n", &long, end.as_bytes()]);
                assert_eq!(lines.len(), 2);
                assert_eq!(lines[1].len(), LINE_BYTES);
                let told = format!(" ... [line of {told} bytes cut]");
                assert_eq!(lines[1].trim_start_matches('x'), told);
            }
            assert_eq!(said(&[&long, b"\nafter"])[1], "after");
        }
    }

    #[test]
    fn no_character_is_cut_in_two() {
        for before in 0..4 {
            let line = "x".repeat(before) + &"\u{1f9ea}".repeat(5000);
            let shown = said(&[line.as_bytes()]).concat();
            let head = shown.split_once(" ... [").unwrap().0;
            assert_eq!(
                head.trim_start_matches('x').trim_end_matches('\u{1f9ea}'),
                ""
            );
            assert!(shown.len() <= LINE_BYTES && shown.len() > LINE_BYTES - 4);
        }
    }

    #[test]
    fn what_is_no_text_is_escaped() {
        assert_eq!(
            said(&[b"caf\xff \xc3", b"\xa9 \xe2\x98\n\x80"]),
            ["caf\\xff \u{e9} \\xe2\\x98", "\\x80"]
        );
        // Escaped it may take four times as much as it had.
        let lines = said(&[&[0x80].repeat(20_000)]);
        assert!(lines[0].ends_with("\\x80 ... [line of 20,000 bytes cut]"));
    }
}
