//! What the program takes from its surroundings: read here, once, and handed on.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use ziet_worker::{Project, Python, WorkerSettings, python};

use crate::error::CliError;

pub(crate) struct Environment {
    virtual_env: Option<OsString>,
    path: Option<OsString>,
    /// Standard output is a terminal that can show nothing but plain characters.
    pub(crate) dumb_terminal: bool,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "this is the settings module")]
    pub(crate) fn read() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            virtual_env: std::env::var_os("VIRTUAL_ENV").filter(|folder| !folder.is_empty()),
            path: std::env::var_os("PATH"),
            dumb_terminal: dumb && std::io::stdout().is_terminal(),
        }
    }

    /// The project of the current folder and the Python that executes it.
    pub(crate) fn worker(&self) -> Result<WorkerSettings, CliError> {
        let folder = std::env::current_dir()
            .map_err(|error| CliError::failed("there is no current folder", error))?;
        let project = Project::find(&folder).map_err(|error| CliError::usage(error.to_string()))?;
        Ok(WorkerSettings {
            python: self.python()?,
            sdk: sdk_of_this_checkout(),
            project,
            describe: false,
        })
    }

    fn python(&self) -> Result<Python, CliError> {
        let program = std::env::current_exe().unwrap_or_default();
        python::find(&program, self.virtual_env.as_deref(), self.path.as_deref()).ok_or_else(|| {
            CliError::usage(
                "no Python: none beside this program, in VIRTUAL_ENV, or named python3 on the path",
            )
            .hint(
                "install Python 3.10 or later, and the package with `python3 -m pip install ziet`",
            )
        })
    }
}

/// A debug build that stands in cargo's folder takes the SDK from the sources beside it.
fn sdk_of_this_checkout() -> Option<PathBuf> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let in_target = program.ancestors().any(|folder| folder.ends_with("target"));
    let sdk = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python"));
    in_target.then(|| fs_err::canonicalize(sdk).ok()).flatten()
}
