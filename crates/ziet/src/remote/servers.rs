//! The servers that `ziet login` keeps: a file of their names, URLs and keys that only its owner can read.
//!
//! Other programs read it too, so its form stays: a table for each name below `servers`, and the name that is `default`.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::CliError;

const FILE: &str = "servers.toml";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Servers {
    /// The name of the one to ask where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    /// By their names.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Kept>,
}

/// A server, and the key to show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) url: String,
    pub(crate) key: String,
    /// The project to name, for a key that may act for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
}

impl Servers {
    /// None of them where there is no file yet.
    pub(crate) fn read(folder: &Path) -> Result<Self, CliError> {
        let file = folder.join(FILE);
        let text = match fs_err::read_to_string(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.map_err(|error| CliError::failed("the servers of `ziet login`", error))?,
        };
        toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            let message = error.message();
            CliError::broken(format!("{}, line {line}: {message}", file.display()))
                .hint("put that right, or remove the file and use `ziet login` again")
        })
    }

    /// In one step: whoever reads meanwhile finds what was there before.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, CliError> {
        let failed = |error| CliError::failed("the key cannot be kept", error);
        let text = toml::to_string(self).map_err(|error| CliError::failed("the servers", error))?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| {
                CliError::failed(&format!("the folder {}", folder.display()), error)
            })?;
        let file = folder.join(FILE);
        let new = folder.join(format!(".{FILE}.{}", std::process::id()));
        // A file that was left by a process of the same id may be anybody's to read.
        let _ = fs_err::remove_file(&new);
        let mut options = fs_err::OpenOptions::new();
        options.options_mut().mode(0o600);
        let mut written = options
            .write(true)
            .create_new(true)
            .open(&new)
            .map_err(failed)?;
        written
            .write_all(text.as_bytes())
            .and_then(|()| written.sync_all())
            .and_then(|()| fs_err::rename(&new, &file))
            .map_err(failed)?;
        Ok(file)
    }

    /// The key that is kept for this URL.
    pub(crate) fn of_url(&self, url: &str) -> Option<&Kept> {
        self.servers.values().find(|kept| kept.url == url)
    }

    /// The names, as a sentence has them.
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self
            .servers
            .keys()
            .map(|name| format!("`{name}`"))
            .collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_file_stays() {
        let kept = |project: Option<&str>| Kept {
            url: "https://shop.example.com".to_owned(),
            key: "sk_1".to_owned(),
            project: project.map(str::to_owned),
        };
        let servers = Servers {
            default: Some("shop.example.com".to_owned()),
            servers: [
                ("shop.example.com".to_owned(), kept(None)),
                ("test".to_owned(), kept(Some("billing"))),
            ]
            .into(),
        };
        let text = toml::to_string(&servers).unwrap();
        insta::assert_snapshot!(text, @r#"
        default = "shop.example.com"

        [servers."shop.example.com"]
        url = "https://shop.example.com"
        key = "sk_1"

        [servers.test]
        url = "https://shop.example.com"
        key = "sk_1"
        project = "billing"
        "#);
        let read: Servers = toml::from_str(&text).unwrap();
        assert_eq!(read.servers, servers.servers);
    }
}
