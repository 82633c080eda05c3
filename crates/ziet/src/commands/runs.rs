//! `ziet runs`: the newest runs of a server, as they are or live.

mod show;
mod steer;
mod table;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use serde_json::value::RawValue;
use ziet_core::Json;

use self::show::Show;
use self::steer::{Cancel, Retry};
use crate::complete;
use crate::error::CliError;
use crate::output::Printer;
use crate::remote::Server;
use crate::remote::documents::{Run, json};
use crate::settings::{Environment, Flags, OfClient, read_age};

const STATUSES: &[&str] = &[
    "created",
    "scheduled",
    "queued",
    "running",
    "retrying",
    "waiting",
    "completed",
    "failed",
    "cancelled",
];

/// List the runs of a server, and steer them
///
/// The newest first. Where an id of a run is asked for, its beginning will do as long as only one run has it.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ziet runs --status failed --since 1d
  ziet runs --action charge --watch
  ziet runs show 01a208d6-b6e2
  ziet runs --status queued --json | jq -r '.[].id' | xargs ziet runs cancel"
)]
pub(crate) struct Runs {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(Show),
    Cancel(Cancel),
    Retry(Retry),
}

#[derive(Debug, Args)]
struct List {
    /// Only those that stand so; may be given several times, or with commas
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(STATUSES))]
    status: Vec<String>,

    /// Only those of the action with this id
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(complete::actions))]
    action: Option<String>,

    /// Only those that were accepted within this time, such as 15m, 2h or 7d, or since 2026-01-15T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only those with this text in their id, metadata or error
    #[arg(long)]
    text: Option<String>,

    /// Only those that this run called
    #[arg(long, value_name = "RUN")]
    parent: Option<String>,

    /// Only those below this root, at any depth
    #[arg(long, value_name = "RUN")]
    root: Option<String>,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    /// Show what changes as it changes, until Ctrl-C
    ///
    /// In a terminal the table is drawn anew. Elsewhere each run that is new or has changed is a line, with --json a
    /// document.
    #[arg(long)]
    watch: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

pub(crate) fn runs(
    args: &Runs,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    match &args.command {
        None => list(&args.list, environment, printer),
        Some(Command::Show(args)) => show::show(args, environment, printer),
        Some(Command::Cancel(args)) => steer::cancel(args, environment, printer),
        Some(Command::Retry(args)) => steer::retry(args, environment, printer),
    }
}

fn list(
    args: &List,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.server, environment)?;
    let query = args.query(&server, printer)?;
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    if args.watch {
        return watch::watch(&server, &query, args, printer);
    }
    let most = args.limit as usize;
    let listed = server.list::<Box<RawValue>>("/v1/runs", &query, most)?;
    if args.json {
        let documents: Vec<Json> = listed.items.iter().map(|run| json(run)).collect();
        printer.document(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runs = listed.items.iter().map(|run| read(run.get()));
    let runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
    if runs.is_empty() {
        printer.aside("No run fits");
        return Ok(ExitCode::SUCCESS);
    }
    printer.table(table::table(runs.iter(), printer));
    if listed.more {
        printer.aside(format_args!(
            "There are more than {most}: --limit shows more of them, filters fewer"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

impl List {
    /// As the server takes it.
    fn query(
        &self,
        server: &Server,
        printer: &Printer,
    ) -> Result<Vec<(&'static str, String)>, CliError> {
        let mut query = Vec::new();
        if !self.status.is_empty() {
            query.push(("status", self.status.join(",")));
        }
        if let Some(since) = &self.since {
            query.push(("created_after", from(since, printer)?));
        }
        query.extend(self.action.clone().map(|action| ("action", action)));
        query.extend(self.text.clone().map(|text| ("text", text)));
        for (name, typed) in [("parent", &self.parent), ("root", &self.root)] {
            if let Some(typed) = typed {
                query.push((name, super::run_id::find(server, typed)?));
            }
        }
        Ok(query)
    }
}

fn from(since: &str, printer: &Printer) -> Result<String, CliError> {
    let ago = read_age(since).map(|age: Duration| printer.now().minus(age));
    let time = ago.or_else(|| since.parse().ok());
    let time = time.ok_or_else(|| {
        CliError::usage(format!("--since {since}: expected a duration or a time"))
            .hint("such as 15m, 2h, 7d or 2026-01-15T09:30:00Z")
    })?;
    Ok(time.to_string())
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, CliError> {
    serde_json::from_str(text).map_err(|error| CliError::failed("a run of the server", error))
}
