//! The variables and the terminal that the program was started with: read once, here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use ziet_core::nearest::is_typo;

use super::table::{self, Setting};
use super::{Given, Origin};
use crate::error::CliError;

const PREFIX: &str = "ZIET_";

#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) folder: Result<PathBuf, CliError>,
    pub(crate) virtual_env: Option<OsString>,
    pub(crate) path: Option<OsString>,
    /// Where a server's state is kept unless it is said otherwise; None where the user has no home.
    pub(crate) state: Option<PathBuf>,
    /// Where what a user has set up is kept; None where the user has no home.
    pub(crate) config: Option<PathBuf>,
    /// Standard output is a terminal that can show nothing but plain characters.
    pub(crate) dumb_terminal: bool,
    /// Seconds that a server is ahead of the clock: only tests set this, so it is no setting.
    pub(crate) clock_offset: i64,
    /// The names of all variables.
    names: BTreeSet<String>,
    /// The variables that begin with `ZIET_`, and hold something.
    own: BTreeMap<String, String>,
}

impl Environment {
    /// All variables, as they are.
    pub(crate) fn variables() -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the settings module")]
    pub(crate) fn read() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let own = std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
        Self {
            folder: std::env::current_dir()
                .map_err(|error| CliError::failed("there is no current folder", error)),
            virtual_env: std::env::var_os("VIRTUAL_ENV").filter(|folder| !folder.is_empty()),
            path: std::env::var_os("PATH"),
            state: folder_of("XDG_STATE_HOME")
                .or_else(|| Some(folder_of("HOME")?.join(".local/state")))
                .map(|folder| folder.join("ziet")),
            config: folder_of("XDG_CONFIG_HOME")
                .or_else(|| Some(folder_of("HOME")?.join(".config")))
                .map(|folder| folder.join("ziet")),
            dumb_terminal: dumb && std::io::stdout().is_terminal(),
            clock_offset: std::env::var_os("ZIET_CLOCK_OFFSET")
                .and_then(|offset| offset.to_str()?.parse().ok())
                .unwrap_or_default(),
            names: std::env::vars_os().map(|(name, _)| text(name)).collect(),
            own: own.collect(),
        }
    }

    /// The text of the variable for the setting of this name: for what is not shown.
    pub(super) fn own(&self, name: &str) -> Option<String> {
        let variable = format!("{PREFIX}{}", name.to_uppercase());
        self.own.get(&variable).cloned()
    }

    /// Whether the program has a variable of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn given(&self, setting: &Setting) -> Result<Option<Given>, CliError> {
        let Some(variable) = setting.variable() else {
            return Ok(None);
        };
        let Some(value) = self.own.get(&variable) else {
            return Ok(None);
        };
        let stands = format!("{variable}={value}");
        Given::read(setting, value, Origin::Variable(variable), stands).map(Some)
    }

    /// Warns of variables that look like a setting's with a typing mistake. Others may be anybody's.
    pub(crate) fn mistaken(&self) -> Vec<String> {
        let variables: Vec<String> = table::all().filter_map(Setting::variable).collect();
        let strangers = self.own.keys().filter(|name| !variables.contains(name));
        strangers
            .filter_map(|name| {
                let meant = name.replacen("ZIET_NO_", PREFIX, 1);
                let near = variables
                    .iter()
                    .find(|known| is_typo(&meant[PREFIX.len()..], &known[PREFIX.len()..]))?;
                Some(format!(
                    "the variable {name} means nothing to ziet; did you mean {near}?"
                ))
            })
            .collect()
    }
}

/// Only whole paths count, as the specification of XDG has it.
#[expect(clippy::disallowed_methods, reason = "this is the settings module")]
fn folder_of(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    folder.filter(|folder| folder.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_setting_is_mistaken() {
        let mistaken = |name: &str| {
            let mut environment = Environment::read();
            environment.own = [(name.to_owned(), "1".to_owned())].into();
            environment.mistaken()
        };
        assert_eq!(
            mistaken("ZIET_CONCURENCY"),
            ["the variable ZIET_CONCURENCY means nothing to ziet; did you mean ZIET_CONCURRENCY?"]
        );
        assert_eq!(mistaken("ZIET_NO_BACKOFF").len(), 1);
        for other in [
            "ZIET_RUN_ID",
            "ZIET_PROGRAM",
            "ZIET_HOME",
            "ZIET_MODE",
            "ZIET_",
            "ZIET_COLOR",
        ] {
            assert_eq!(mistaken(other), [""; 0], "{other}");
        }
    }
}
