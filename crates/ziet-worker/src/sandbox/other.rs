//! Where there is no sandbox: being asked for one is an error that says so.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::Layers;
use crate::confined::Confined;
use crate::worker::WorkerSettings;
use crate::zygote::Place;

const MISSING: &str = "a sandbox needs Linux; `--sandbox off` does without";

/// There is no launcher.
pub fn launch_if_asked(_: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    None
}

/// Says that there is none.
///
/// # Errors
/// Always.
pub(crate) fn probe(_: &WorkerSettings) -> Result<Layers, String> {
    Err(MISSING.to_owned())
}

pub(crate) fn command<'a>(
    _: &WorkerSettings,
    _: &Place<'_>,
    _: impl Iterator<Item = &'a OsStr>,
) -> io::Result<Command> {
    Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
}

pub(crate) fn command_of(_: &Confined, _: &Path) -> io::Result<Command> {
    Err(io::Error::new(io::ErrorKind::Unsupported, MISSING))
}

pub(crate) fn report(_: &Path) -> Option<Result<Layers, String>> {
    None
}

pub(crate) fn scratch(folder: &Path) -> PathBuf {
    folder.to_owned()
}
