//! The state's files: who may use them, copies of them while they are used, and a copy in their place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use crate::{Result, StoreError, sqlite};

/// The right to serve what is in a folder, for as long as it is kept.
#[derive(Debug)]
pub struct StateLock {
    /// The system lets go of the lock with the file, also when the process is killed.
    _file: File,
}

/// Takes the lock on a folder of state.
///
/// # Errors
/// [`StoreError::Locked`] when another process holds it, [`StoreError::Unavailable`] when the folder is missing or not
/// writable.
pub fn lock(folder: &Path) -> Result<StateLock> {
    let path = folder.join("lock");
    let failed = |error| unavailable(&path, error);
    let mut file = private()
        .truncate(false)
        .read(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            let holder = holder.trim().parse().ok();
            let folder = folder.to_owned();
            return Err(StoreError::Locked { folder, holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Who holds it is told to the next one in words; the lock itself is what counts.
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", process::id()).map_err(failed)?;
    Ok(StateLock { _file: file })
}

/// Writes a consistent copy of the database at `from`, as it is at one moment, to `to`; others go on writing meanwhile.
/// What was at `to` is replaced, but only by a whole copy that [`restore`] takes.
///
/// # Errors
/// When `from` is damaged, not a database of Ziet, or of a newer version; `to` is then as it was. What is wrong with the
/// disk.
pub fn backup(from: &Path, to: &Path) -> Result<()> {
    let part = beside(to, ".part");
    finish(copy_checked(from, &part), &part, to)
}

/// Puts a copy that [`backup`] made in the place of the database at `to`. Nobody may use that meanwhile: the caller
/// holds the [`lock`].
///
/// # Errors
/// When `from` is damaged, not a database of Ziet, or of a newer version, or when a file beside `to` cannot be removed;
/// `to` is then as it was.
pub fn restore(from: &Path, to: &Path) -> Result<()> {
    let part = beside(to, ".part");
    let cleared = copy_checked(from, &part).and_then(|()| {
        // The log belongs to the file that goes: with the new one it would destroy it. What can be is folded into the
        // old one first, so that this is whole until it is replaced.
        let _ = sqlite::fold(to);
        remove(&beside(to, "-shm"))?;
        remove(&beside(to, "-wal"))
    });
    finish(cleared, &part, to)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unavailable(path, error)),
        _ => Ok(()),
    }
}

/// A new, empty file that only its owner can read.
pub(crate) fn make(path: &Path) -> Result<()> {
    let made = private().truncate(true).open(path);
    made.map(drop).map_err(|error| unavailable(path, error))
}

/// Says of which file it is that it could not be opened, and why not: the database does not.
pub(crate) fn explain(path: &Path, error: StoreError) -> StoreError {
    let named = |text| format!("{}: {text}", path.display());
    match error {
        StoreError::Corrupt(text) => StoreError::Corrupt(named(text)),
        StoreError::Foreign(text) => StoreError::Foreign(named(text)),
        StoreError::Unavailable(text) => {
            let reason = OpenOptions::new().read(true).write(true).open(path).err();
            let text = reason.map_or(text, |reason| reason.to_string());
            StoreError::Unavailable(named(text))
        }
        StoreError::ReadOnly => {
            StoreError::Unavailable(named("it or a file beside it is read-only".to_owned()))
        }
        other => other,
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Looks at the copy, not at the source: a server that goes on with that is not kept from writing meanwhile.
fn copy_checked(from: &Path, part: &Path) -> Result<()> {
    let source = sqlite::open_for_reading(from)?;
    make(part)?;
    sqlite::copy(&source, part)
        .and_then(|()| sqlite::check(&mut sqlite::open_for_reading(part)?))
        .map_err(|error| explain(from, error))
}

/// Makes the copy durable, and then the file.
fn finish(copied: Result<()>, part: &Path, to: &Path) -> Result<()> {
    let finished = copied.and_then(|()| {
        let folder = to.parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new("."));
        File::open(part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(part, to))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|error| unavailable(to, error))
    });
    if finished.is_err() {
        let _ = fs::remove_file(part);
    }
    finished
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn unavailable(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}
