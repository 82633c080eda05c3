//! `ziet logs RUN`: what the code of a run printed and logged, to its end or as it comes.

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::value::RawValue;
use ziet_core::{Json, Time};

use super::run_id;
use super::waiting::{Told, Waiting};
use crate::error::CliError;
use crate::output::{DIM, Printer};
use crate::remote::documents::{LogLine, Run, json};
use crate::remote::{Heard, Query, Server};
use crate::settings::{Environment, Flags, OfClient};

/// Show what the code of a run printed and logged
///
/// Each line with the time since the run was accepted; where the output is no terminal, with the time of day.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run's id, or the beginning of it
    run: String,

    /// Wait for what comes, until the run has finished or Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Only lines of at least this level
    #[arg(long, value_parser = PossibleValuesParser::new(["info", "warn", "error"]))]
    level: Option<String>,

    /// Only lines with this text
    #[arg(long)]
    search: Option<String>,

    /// Print one JSON document; with --follow one for each line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

pub(crate) fn logs(
    args: &Logs,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.server, environment)?;
    let id = run_id::find(&server, &args.run)?;
    let run: Run = server.get(&format!("/v1/runs/{id}"), &[])?;
    let path = format!("/v1/runs/{id}/logs");
    let query = [("level", &args.level), ("search", &args.search)];
    let query = query
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let query: Vec<_> = query.collect();
    if args.follow {
        return follow(&server, (&path, &query), &run, args.json, printer);
    }
    let lines = server
        .list_after::<Box<RawValue>>(&path, &query, "after", usize::MAX)?
        .items;
    if args.json {
        let documents: Vec<Json> = lines.iter().map(|line| json(line)).collect();
        printer.document(&documents)?;
    } else {
        lines
            .iter()
            .try_for_each(|line| show(line.get(), &run, printer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn follow(
    server: &Server,
    (path, query): (&str, Query<'_>),
    run: &Run,
    as_json: bool,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let waiting = Waiting::begin()?;
    waiting.hear(server.stream(path, query));
    loop {
        let heard = match waiting.next() {
            Told::Interrupt => return Ok(ExitCode::SUCCESS),
            Told::Item(heard) => heard?,
        };
        match heard {
            Heard::Lost(error) => {
                printer.note(format_args!("{}; this waits for the server", error.message));
            }
            Heard::Back => printer.note("the server is there again"),
            Heard::Event(event) if event.name == "end" => return Ok(ExitCode::SUCCESS),
            Heard::Event(event) if event.name != "log" => {}
            Heard::Event(event) if as_json => {
                printer.document(&Json::trusted(event.data.replace('\n', " ").into_bytes()))?;
            }
            Heard::Event(event) => show(&event.data, run, printer)?,
        }
    }
}

fn show(line: &str, run: &Run, printer: &mut Printer) -> Result<(), CliError> {
    let line: LogLine =
        serde_json::from_str(line).map_err(|error| CliError::failed("a line of the log", error))?;
    let time = time(line.at, run, printer);
    printer.output(&format!("{DIM}{time}{DIM:#} "), line.level(), &line.text);
    Ok(())
}

fn time(at: Time, run: &Run, printer: &Printer) -> String {
    if printer.width.is_none() {
        return at.to_string();
    }
    let since = at.since(run.created_at).as_secs_f64();
    format!("{since:7.2}s")
}
