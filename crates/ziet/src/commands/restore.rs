//! `ziet restore FILE`: makes a copy of `ziet backup` the state of a server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use ziet_engine::Clock;
use ziet_store::StoreError;

use super::state::State;
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::{Environment, Flags, OfState, state_folder};

/// Make a copy from `ziet backup` the state of the next server
///
/// Runs that had ended after the copy was made are executed again if they were queued or running in it. No server may be
/// running on the state. A state that is there already is kept beside the new one, and needs --force.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The copy
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Put the copy in the place of the state that is there; the old file stays beside it
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    settings: Flags<OfState>,
}

pub(crate) fn restore(
    args: &Restore,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let state = State::hold(&state_folder(&args.settings, environment)?)?;
    let database = state.database();
    if database.is_file() {
        if !args.force {
            let message = format!("{} holds a state already", state.folder.display());
            return Err(CliError::usage(message)
                .hint("--force puts the copy in its place, and keeps the old file beside it"));
        }
        let old = keep(&database)
            .map_err(|error| CliError::failed("the old state is not kept, so it stays", error))?;
        printer.line(format_args!("the old state is in {}", old.display()));
    }
    ziet_store::restore(&args.file, &database).map_err(|error| {
        let is_foreign = matches!(error, StoreError::Foreign(_));
        let error = CliError::failed(&format!("{} is not restored", args.file.display()), error);
        if is_foreign {
            error.hint("name a file that `ziet backup` has written")
        } else {
            error
        }
    })?;
    printer.line(format_args!(
        "the state in {} is that of {}",
        state.folder.display(),
        args.file.display()
    ));
    if !state.key_file().is_file() {
        printer.line(format_args!(
            "it knows its keys by their hashes alone, so no admin key is in that folder: use one from before, or start the server with --new-admin-key"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Gives the database, whole or not, a second name, and the log that belongs to it, so that there is a state under its
/// own name at every moment.
fn keep(database: &Path) -> io::Result<PathBuf> {
    let named = |file: &Path, ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let old = named(
        database,
        &format!(".old-{}", Clock::default().now().as_millis()),
    );
    fs_err::hard_link(database, &old)?;
    let log = named(database, "-wal");
    if log.is_file() {
        fs_err::hard_link(log, named(&old, "-wal"))?;
    }
    Ok(old)
}
