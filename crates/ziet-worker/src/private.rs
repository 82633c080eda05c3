//! The folder that a worker has to itself, for its socket and the files of what is shut in: made, held, and removed, also
//! when it is that of a program that was killed.
//!
//! Whose program lives is told by a lock on the folder itself, which the kernel takes away with the process.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::os;

/// The socket in it, by which it is known for what it is.
pub(crate) const SOCKET: &str = "executors";

const PREFIX: &str = "ziet-";

/// Where folders are made whose path would else be too long.
const SHORT: &str = "/tmp";

/// Bytes of a folder's path, so that a socket in it has a path of no more than the 103 that every system takes.
const LONGEST_FOLDER: usize = 90;

/// A folder that only this user can enter; removed when this is dropped.
pub(crate) struct PrivateFolder {
    folder: TempDir,
    /// Held before the socket is there. None where the file system has no locks: then nobody sweeps there either.
    _lock: Option<OwnedFd>,
}

impl PrivateFolder {
    pub(crate) fn make() -> std::io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700));
        let mut folder = builder.tempdir()?;
        if folder.path().as_os_str().len() > LONGEST_FOLDER {
            folder = builder.tempdir_in(SHORT)?;
        }
        let lock = lock(folder.path());
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        remove(self.path());
    }
}

/// Takes the lock of a folder, if nobody has it.
fn lock(folder: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = open(folder, flags, Mode::empty()).ok()?;
    flock(&opened, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(opened)
}

/// Removes what programs of this user have left that were killed together with all that would have cleared up.
pub(crate) fn sweep() {
    let mut places = vec![std::env::temp_dir(), PathBuf::from(SHORT)];
    places.dedup();
    let entries = places
        .iter()
        .filter_map(|place| fs_err::read_dir(place).ok());
    for entry in entries.flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let folder = entry.path();
        if ours
            && is_private(&folder)
            && let Some(_lock) = lock(&folder)
            // Only now is it sure that nobody is about to use it.
            && is_private(&folder)
        {
            remove(&folder);
        }
    }
}

/// Whether a folder is one of this user's workers.
fn is_private(folder: &Path) -> bool {
    let own = geteuid().as_raw();
    let about = |path: &Path| {
        let about = fs_err::symlink_metadata(path).ok();
        about.filter(|about| about.uid() == own)
    };
    about(folder).is_some_and(|about| about.is_dir() && about.mode() & 0o067 == 0)
        && fs_err::symlink_metadata(folder.join(SOCKET))
            .is_ok_and(|about| about.file_type().is_socket())
}

/// Removes a file, or a folder with all that is in it, also where somebody has taken the permission for that.
pub(crate) fn remove(path: &Path) {
    let removed = || fs_err::remove_dir_all(path).or_else(|_| fs_err::remove_file(path));
    if removed().is_err() && path.symlink_metadata().is_ok() {
        os::open_up(path);
        let _ = removed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_closed_is_removed_and_nothing_that_a_link_leads_to() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = root.path().join("a");
        fs_err::create_dir_all(folder.join("b/c")).unwrap();
        fs_err::write(folder.join("b/c/file"), "x").unwrap();
        fs_err::write(other.path().join("file"), "x").unwrap();
        fs_err::os::unix::fs::symlink(other.path(), folder.join("b/link")).unwrap();
        let mode = |path: &Path, mode| {
            fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        mode(other.path(), 0o500);
        for closed in ["b/c", "b", ""] {
            mode(&folder.join(closed), 0);
        }

        remove(&folder);

        assert!(folder.symlink_metadata().is_err());
        assert!(other.path().join("file").exists());
        let left = fs_err::symlink_metadata(other.path()).unwrap();
        assert_eq!(left.mode() & 0o777, 0o500);
    }
}
