//! Which interpreter of this machine an environment is made for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ziet_worker::python::{Found, Python};
use ziet_worker::{Confined, Ending, Outcome};

use super::making::confined;
use super::wanted::Wanted;
use super::{BuildError, Builder};

/// How long an interpreter may take to say what it is, and uv to find one.
const TIME: Duration = Duration::from_secs(60);

/// What uv needs to find interpreters. No build sees it.
const VARIABLES: &[&str] = &["PATH", "HOME", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"];

const READS_ITSELF: &str = "\
import sys
print('.'.join(map(str, sys.version_info[:3])))
print(getattr(sys, '_base_executable', None) or sys.executable)
";

/// An interpreter without an environment of its own.
pub(super) struct Base {
    pub(super) path: PathBuf,
    /// `3.12.7`
    pub(super) version: String,
}

impl Base {
    /// The one beneath an interpreter.
    pub(super) fn describe(path: &Path) -> Result<Self, BuildError> {
        let python = Python {
            path: path.to_owned(),
            found: Found::Setting,
        };
        let wrong = |why: &str| BuildError::Python(format!("{}: {why}", path.display()));
        let said = python.answer(READS_ITSELF, Path::new(""), TIME);
        match said.map_err(|why| wrong(&why))?.lines().collect::<Vec<_>>()[..] {
            [version, base] => Ok(Self {
                path: base.into(),
                version: version.to_owned(),
            }),
            _ => Err(wrong("it is no Python")),
        }
    }

    /// One of this machine that the project can be executed by. None is downloaded.
    pub(super) fn find(builder: &Builder, uv: &Path, wanted: &Wanted) -> Result<Self, BuildError> {
        // It gets no text of the project but versions, and reads none of its files.
        let options =
            "python find --no-project --no-config --no-cache --no-python-downloads --system";
        let request = wanted.request();
        let mut said = Vec::new();
        let outcome = Confined {
            arguments: options
                .split(' ')
                .chain([&*request])
                .map(OsString::from)
                .collect(),
            environment: builder.passed_on(VARIABLES),
            sandbox: false,
            time: TIME,
            ..confined(builder, uv, &builder.python, Path::new("/"))
        }
        .run(&mut |bytes| said.extend_from_slice(bytes))?;
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().map(Path::new);
        match (
            outcome,
            lines.rfind(|line| line.is_absolute() && line.is_file()),
        ) {
            (Outcome::Ended(Ending::Exit(0)), Some(path)) => Self::describe(path),
            _ => Err(BuildError::NoPython {
                wanted: wanted.place(),
                said: said.trim().to_owned(),
            }),
        }
    }
}
