//! `ziet prune`: removes old runs while no server does.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use ziet_engine::Clock;
use ziet_store::retention::Old;
use ziet_store::{Durability, Location, Store};

use super::retention::sweep;
use super::state::State;
use crate::error::CliError;
use crate::output::{Printer, counted};
use crate::settings::{Environment, Flags, OfState, read_age, state_folder};

/// Remove finished runs that are older than they need to be kept
///
/// With their logs, events and results, and with each memory of which no run is left; the file gets smaller by what that
/// frees. A run with an idempotency key stays for at least a day, as its key does. No server may be running on the state:
/// a server does this by itself, as its --retention says.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// How long ago a run must have ended, such as `30d`, `12h` or `15m`
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = age, allow_hyphen_values = true)]
    older_than: Duration,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    settings: Flags<OfState>,
}

#[derive(Serialize)]
struct Removed {
    runs: usize,
}

fn age(text: &str) -> Result<Duration, String> {
    read_age(text).ok_or_else(|| {
        "expected a duration of at most 36500d, such as `30d`, `12h` or `15m`".to_owned()
    })
}

pub(crate) fn prune(
    args: &Prune,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let state = State::hold_existing(&state_folder(&args.settings, environment)?)?;
    let store = Store::open(&Location::File(state.database()), Durability::Full);
    let old = Old::at(Clock::default().now(), args.older_than);
    let runs = store
        .and_then(|store| sweep(&store, old, |_| true))
        .map_err(|error| CliError::failed("old runs are not removed", error))?;
    if args.json {
        printer.document(&Removed { runs })?;
    } else {
        printer.line(format_args!("removed {}", counted(runs, "run")));
    }
    Ok(ExitCode::SUCCESS)
}
