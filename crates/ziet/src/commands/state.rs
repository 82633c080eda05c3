//! The folder in which a server keeps everything, for the commands that work on it.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;
use ziet_store::{StateLock, StoreError};

use crate::error::CliError;

/// The file with all runs, memories and keys.
const DATABASE: &str = "ziet.db";

/// The file with the key that a new server makes.
const KEY: &str = "admin.key";

/// The folder, held by this process alone.
pub(super) struct State {
    pub(super) folder: PathBuf,
    _lock: StateLock,
}

impl State {
    /// Makes the folder if it is missing, for its owner alone.
    ///
    /// # Errors
    /// When another process holds it.
    pub(super) fn hold(folder: &Path) -> Result<Self, CliError> {
        let made = fs_err::create_dir_all(folder.parent().unwrap_or(folder));
        let made = made.and_then(|()| {
            let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
            made.or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })
        });
        made.map_err(|error| {
            CliError::failed(&format!("the state folder {}", folder.display()), error)
        })?;
        let lock = ziet_store::lock(folder).map_err(|error| {
            let held = matches!(error, StoreError::Locked { .. });
            let error = CliError::failed("the state cannot be used", error);
            if held {
                error.hint("end that server first, or name another folder with --state")
            } else {
                error
            }
        })?;
        Ok(Self {
            folder: real(folder),
            _lock: lock,
        })
    }

    /// The same in the folder of a project, where nothing of it is to get into a repository.
    ///
    /// # Errors
    /// When another `ziet dev` holds it.
    pub(super) fn hold_in_project(folder: &Path) -> Result<Self, CliError> {
        let state = Self::hold(folder)?;
        let ignored = state.folder.join(".gitignore");
        if !ignored.exists() {
            fs_err::write(&ignored, "*\n")
                .map_err(|error| CliError::failed("the state folder", error))?;
        }
        Ok(state)
    }

    /// Of a server that was there before: nothing is made.
    pub(super) fn hold_existing(folder: &Path) -> Result<Self, CliError> {
        existing(folder)?;
        Self::hold(folder)
    }

    /// Warns where others could put files of theirs in the place of the state's.
    pub(super) fn warn_of_others(&self) {
        let seen = fs_err::metadata(&self.folder);
        let mode = seen.map_or(0, |seen| seen.permissions().mode());
        if mode & 0o022 != 0 {
            let folder = self.folder.display();
            warn!(%folder, "others may write to the state folder {folder}: chmod 700 {folder}");
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.join(KEY)
    }
}

/// Its real name, by which it can be compared with other folders; it need not be there.
pub(super) fn real(folder: &Path) -> PathBuf {
    let named = || Some(real(folder.parent()?).join(folder.file_name()?));
    fs_err::canonicalize(folder).unwrap_or_else(|_| named().unwrap_or_else(|| folder.to_owned()))
}

/// The database of a server that is, or was, there.
pub(super) fn existing(folder: &Path) -> Result<PathBuf, CliError> {
    let database = folder.join(DATABASE);
    if database.is_file() {
        return Ok(database);
    }
    let message = format!("there is no state of a server in {}", folder.display());
    Err(CliError::usage(message).hint("name its folder with --state, as `ziet serve` prints it"))
}
