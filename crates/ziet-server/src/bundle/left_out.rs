//! What does not belong to a deployment although it lies in the project's folder, and why.

use std::fmt::{self, Display};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ignore::gitignore::Gitignore;
use serde::{Serialize, Serializer};

use super::BundleError;

/// Files of patterns, the ones that win first: what one names with `!` is packed although the other leaves it out.
const PATTERNS: [&str; 2] = [OWN_PATTERNS, ".gitignore"];
const OWN_PATTERNS: &str = ".zietignore";

/// Bytes in which the first line of a private key ends.
const FIRST_LINE: u64 = 128;

/// Something that was left out: a file, or a folder with all that is in it, whose name then ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub name: String,
    pub reason: Reason,
}

/// Why something is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It may hold secrets: `ziet env set` keeps those.
    Variables,
    PrivateKey,
    VersionControl,
    VirtualEnvironment,
    Cache,
    /// The platform's own.
    State,
    /// Neither a file nor a folder.
    Special,
    Pattern {
        pattern: String,
        file: String,
    },
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variables => f.write_str("environment variables (`ziet env set` keeps them)"),
            Self::PrivateKey => f.write_str("private key"),
            Self::VersionControl => f.write_str("version control"),
            Self::VirtualEnvironment => f.write_str("virtual environment"),
            Self::Cache => f.write_str("cache"),
            Self::State => f.write_str("state of ziet"),
            Self::Special => f.write_str("neither a file nor a folder"),
            Self::Pattern { pattern, file } => write!(f, "`{pattern}` in {file}"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why something of this name never is part of a bundle, whatever the project's patterns say.
pub(super) fn by_name(name: &str, is_folder: bool) -> Option<Reason> {
    let name = name.to_ascii_lowercase();
    if name.starts_with(".env") {
        return Some(Reason::Variables);
    }
    if matches!(&*name, ".git" | ".hg" | ".svn" | ".jj") {
        return Some(Reason::VersionControl);
    }
    if is_folder {
        return match &*name {
            ".ziet" => Some(Reason::State),
            "__pycache__" | "__pypackages__" | "node_modules" | ".cache" | ".eggs"
            | ".hypothesis" | ".ipynb_checkpoints" | ".mypy_cache" | ".nox" | ".pytest_cache"
            | ".pytype" | ".ruff_cache" | ".tox" => Some(Reason::Cache),
            _ => None,
        };
    }
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let is_key = matches!(extension, Some("pem" | "key" | "p12" | "pfx"))
        || ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"]
            .iter()
            .any(|start| name.starts_with(start));
    if is_key {
        return Some(Reason::PrivateKey);
    }
    let is_cache =
        matches!(extension, Some("pyc" | "pyo")) || matches!(&*name, ".ds_store" | "thumbs.db");
    is_cache.then_some(Reason::Cache)
}

/// Why a folder is left out for what is in it.
pub(super) fn by_what_is_in(folder: &Path) -> Option<Reason> {
    let is_environment = folder.join("pyvenv.cfg").exists() || folder.join("conda-meta").is_dir();
    is_environment.then_some(Reason::VirtualEnvironment)
}

/// Why a file is left out for how it begins.
pub(super) fn by_first_line(file: &Path) -> std::io::Result<Option<Reason>> {
    let mut start = Vec::new();
    fs_err::File::open(file)?
        .take(FIRST_LINE)
        .read_to_end(&mut start)?;
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&start)
        .trim_ascii_start();
    let line = start
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .next()
        .unwrap_or_default();
    let line = line.trim_ascii_end();
    let is_key = line.starts_with(b"-----BEGIN ")
        && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"))
        || line.starts_with(b"PuTTY-User-Key-File-");
    Ok(is_key.then_some(Reason::PrivateKey))
}

/// The patterns that hold in a folder, those of the folders above included.
#[derive(Default)]
pub(super) struct Patterns {
    /// For each kind of file of patterns, from the outermost folder on.
    of: [Vec<Gitignore>; PATTERNS.len()],
}

impl Patterns {
    /// Those that hold for a project: patterns of git also from folders above it, up to that of the repository.
    ///
    /// # Errors
    /// When `.zietignore` is not understood.
    pub(super) fn above(root: &Path) -> Result<Self, BundleError> {
        let mut found = Self::default();
        let mut above: Vec<&Path> = root.ancestors().collect();
        let repository = above.iter().position(|folder| folder.join(".git").exists());
        above.truncate(repository.map_or(0, |index| index + 1));
        for folder in above.into_iter().skip(1).rev() {
            found.enter(folder, root)?;
        }
        Ok(found)
    }

    /// Adds those of a folder; [`Patterns::leave`] takes them back. Files of patterns are named from `root` on.
    ///
    /// # Errors
    /// When `.zietignore` is not understood.
    pub(super) fn enter(&mut self, folder: &Path, root: &Path) -> Result<(), BundleError> {
        for (name, of) in PATTERNS.into_iter().zip(&mut self.of) {
            let file = folder.join(name);
            let (patterns, error) = if file.is_file() {
                Gitignore::new(&file)
            } else {
                (Gitignore::empty(), None)
            };
            // Git passes over what it does not understand, and so may others' files.
            if let Some(error) = error.filter(|_| name == OWN_PATTERNS) {
                return Err(BundleError::Pattern(told(&error, &file, root)));
            }
            of.push(patterns);
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.of.iter_mut().for_each(|of| drop(of.pop()));
    }

    /// Why something in the folder that was entered last is left out.
    pub(super) fn reason(&self, path: &Path, is_folder: bool, root: &Path) -> Option<Reason> {
        let mut innermost_first = self.of.iter().flat_map(|of| of.iter().rev());
        let decided = innermost_first.find_map(|patterns| {
            if patterns.is_empty() {
                return None;
            }
            let found = patterns.matched(path, is_folder);
            (!found.is_none()).then_some(found)
        })?;
        let ignore::Match::Ignore(glob) = decided else {
            return None;
        };
        Some(Reason::Pattern {
            pattern: glob.original().to_owned(),
            file: glob
                .from()
                .map_or_else(String::new, |file| from_root(file, root)),
        })
    }
}

fn told(error: &ignore::Error, file: &Path, root: &Path) -> String {
    // Its own text begins with the whole path.
    let text = error.to_string();
    let place = file.display().to_string();
    let rest = text.strip_prefix(&place).unwrap_or(&text);
    format!("{}{rest}", from_root(file, root))
}

/// A file's path as seen from the project's folder.
fn from_root(file: &Path, root: &Path) -> String {
    let inside = file.strip_prefix(root).map(PathBuf::from);
    inside
        .unwrap_or_else(|_| file.to_owned())
        .display()
        .to_string()
}

/// Whether a path is gone, as temporary files are while a project is looked through.
pub(super) fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [".env", ".env.local", ".ENV", ".envrc"] {
            assert_eq!(by_name(name, false), Some(Reason::Variables), "{name}");
        }
        for name in [
            "server.pem",
            "a.KEY",
            "id_rsa",
            "id_rsa.pub",
            "id_ed25519_work",
            "x.p12",
        ] {
            assert_eq!(by_name(name, false), Some(Reason::PrivateKey), "{name}");
        }
        for name in [
            "env.py",
            "keys.py",
            "key",
            "pem.txt",
            "monkey.py",
            "environment.toml",
            ".github",
        ] {
            assert_eq!(by_name(name, false), None, "{name}");
            assert_eq!(by_name(name, true), None, "{name}");
        }
    }

    #[test]
    fn private_keys_are_known_by_their_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        let reason = |text: &str| {
            fs_err::write(&file, text).unwrap();
            by_first_line(&file).unwrap()
        };
        for key in [
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "\n  -----BEGIN RSA PRIVATE KEY-----\r\nMIIE",
            "\u{feff}-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
        ] {
            assert_eq!(reason(key), Some(Reason::PrivateKey), "{key}");
        }
        for other in [
            "",
            "-----BEGIN CERTIFICATE-----\n",
            "x = '''\n-----BEGIN PRIVATE KEY-----'''",
            "-----BEGIN PUBLIC KEY-----",
        ] {
            assert_eq!(reason(other), None, "{other}");
        }
    }
}
