//! `ziet backup FILE`: a consistent copy of a server's state, also while it runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::state::{existing, real};
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::{Environment, Flags, OfState, state_folder};

/// Copy the state into a file, also while a server is running
///
/// The copy is what was committed at one moment, with all runs, results, logs, memories and the hashes of the keys. It is
/// written beside the file and takes its name when it is whole; a file that is there already is replaced. It is for its
/// owner alone, since it holds what runs were given.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    #[command(flatten)]
    settings: Flags<OfState>,
}

pub(crate) fn backup(
    args: &Backup,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let folder = state_folder(&args.settings, environment)?;
    let database = existing(&folder)?;
    check_target(&args.file, &folder)?;
    ziet_store::backup(&database, &args.file)
        .map_err(|error| CliError::failed("there is no backup", error))?;
    printer.line(format_args!(
        "the state is copied to {}",
        args.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A server would lose its state if the copy took the name of one of its files.
fn check_target(file: &Path, state: &Path) -> Result<(), CliError> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let message = format!("{}: there is no such folder", folder.display());
        return Err(CliError::usage(message).hint("make it first, or name a file elsewhere"));
    }
    if real(folder) != real(state) {
        return Ok(());
    }
    let message = format!("{} lies in the folder of the state itself", file.display());
    Err(CliError::usage(message).hint("name a file elsewhere, on another disk at best"))
}
