//! The server of `ziet dev` in a project's folder, and the file by which other commands there find it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The folder in that of a project in which Ziet keeps things, and which the project's code does not see in a sandbox.
pub(crate) const HIDDEN: &str = ".ziet";

/// The file in it.
const FILE: &str = "dev.toml";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevServer {
    pub(crate) url: String,
    /// A key for everything there.
    pub(crate) key: String,
}

/// Others find the server as long as this is kept.
pub(crate) struct Announced {
    file: PathBuf,
    /// Locked, so that a file which a killed server has left is told from that of one which is there.
    _held: File,
}

impl DevServer {
    /// That of the nearest folder, from `folder` upwards, that has one now.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        folder.ancestors().find_map(|folder| {
            let mut file = File::open(folder.join(HIDDEN).join(FILE)).ok()?;
            if file.try_lock_shared().is_ok() {
                return None;
            }
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            toml::from_str(&text).ok()
        })
    }

    /// Lets others find it who may read what its owner may: `state` is the project's folder with its state.
    pub(crate) fn announce(&self, state: &Path) -> io::Result<Announced> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let (file, part) = (state.join(FILE), state.join(format!("{FILE}.part")));
        let mut held = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        held.write_all(text.as_bytes())?;
        held.try_lock()?;
        // Whoever finds it finds it whole and held.
        std::fs::rename(part, &file)?;
        Ok(Announced { file, _held: held })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // What stays is held by nobody, so nobody takes it for a server.
        let _ = std::fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn is_found_from_below_while_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let (state, below) = (root.path().join(HIDDEN), root.path().join("shop/pay"));
        std::fs::create_dir(&state).unwrap();
        std::fs::create_dir_all(&below).unwrap();
        let server = DevServer {
            url: "http://127.0.0.1:7878".to_owned(),
            key: "sk_1".to_owned(),
        };
        assert_eq!(DevServer::of(&below), None);
        let announced = server.announce(&state).unwrap();
        assert_eq!(DevServer::of(&below), Some(server.clone()));
        let mode = announced.file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // As a server that is killed leaves it.
        let left = std::fs::read(&announced.file).unwrap();
        drop(announced);
        assert_eq!(DevServer::of(&below), None);
        std::fs::write(state.join(FILE), left).unwrap();
        assert_eq!(DevServer::of(&below), None);
        let _again = server.announce(&state).unwrap();
        assert_eq!(DevServer::of(&below), Some(server));
    }
}
