//! `ziet backup FILE`: a consistent copy of a server's state, also while it runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::state::existing;
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
    let database = existing(&state_folder(&args.settings, environment)?)?;
    ziet_store::backup(&database, &args.file)
        .map_err(|error| CliError::failed("there is no backup", error))?;
    printer.line(format_args!(
        "the state is copied to {}",
        args.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}
