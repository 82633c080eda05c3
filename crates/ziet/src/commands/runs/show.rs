//! `ziet runs show RUN`: everything that is known of a run.

use std::process::ExitCode;

use clap::Args;
use serde_json::value::RawValue;

use ziet_core::limits;

use super::super::run_id;
use super::read;
use super::table::{duration, status, style};
use crate::error::CliError;
use crate::output::{Printer, Table, as_python};
use crate::remote::Server;
use crate::remote::documents::{Run, failure, json};
use crate::settings::{Environment, Flags, OfClient};

/// Show one run in full: its input, output, attempts and errors
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its id, or the beginning of it
    run: String,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

pub(super) fn show(
    args: &Show,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.server, environment)?;
    let id = run_id::find(&server, &args.run)?;
    let document: Box<RawValue> = server.get(&format!("/v1/runs/{id}"), &[])?;
    if args.json {
        printer.document(&json(&document))?;
        return Ok(ExitCode::SUCCESS);
    }
    let run: Run = read(document.get())?;
    printer.table(facts(&run, printer));
    if !run.attempts.is_empty() {
        printer.line("");
        printer.table(attempts(&run, printer));
    }
    // That of the run is that of its last attempt, where one has failed.
    let of_attempts = run.attempts.iter().filter_map(|attempt| {
        let error = attempt.error.as_ref()?;
        Some((format!("Attempt {}: ", attempt.number), error))
    });
    let mut errors: Vec<_> = of_attempts.collect();
    if errors.is_empty() {
        errors.extend(run.error.iter().map(|error| (String::new(), error)));
    }
    for (whose, error) in errors {
        printer.line("");
        printer.failure(&whose, &failure(error)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(run: &Run, printer: &Printer) -> Table {
    let mut table = Table::new(&["run", &run.id]);
    let time = |at| printer.time(at);
    let value = |value: &Option<Box<RawValue>>| value.as_ref().map(|json| as_python(json.get()));
    let cancelled = run
        .cancelled
        .as_ref()
        .map(|cancelled| match &cancelled.reason {
            Some(reason) => format!("by {}: {reason}", cancelled.by),
            None => format!("by {}", cancelled.by),
        });
    table.styled(
        style(&run.status),
        ["status".to_owned(), status(run, printer)],
    );
    let rows = [
        ("action", Some(run.action_id.clone())),
        ("created", Some(time(run.created_at))),
        ("started", run.started_at.map(time)),
        ("finished", run.finished_at.map(time)),
        (
            "took",
            Some(duration(run.started_at, run.finished_at, printer)),
        ),
        ("cancelled", cancelled),
        ("input", value(&run.input)),
        (
            "output",
            value(&run.output).filter(|_| run.status == "completed"),
        ),
        ("metadata", value(&run.metadata)),
        ("memory", Some(run.memory_id.clone())),
        ("called by", run.parent_id.clone()),
        ("repeats", run.retry_of.clone()),
        ("deployment", run.deployment_id.clone()),
    ];
    for (name, text) in rows {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            table.row([name.to_owned(), text]);
        }
    }
    table
}

fn attempts(run: &Run, printer: &Printer) -> Table {
    let mut table = Table::new(&["attempt", "outcome", "took", "processor", "memory"]);
    for attempt in &run.attempts {
        let style = style(match &*attempt.outcome {
            "completed" => "completed",
            "cancelled" => "cancelled",
            _ => "failed",
        });
        table.styled(
            style,
            [
                attempt.number.to_string(),
                attempt.outcome.replace('_', " "),
                duration(Some(attempt.started_at), Some(attempt.finished_at), printer),
                attempt
                    .cpu_ms
                    .map_or_else(String::new, |ms| format!("{ms} ms")),
                attempt
                    .peak_memory_bytes
                    .map_or_else(String::new, limits::memory_text),
            ],
        );
    }
    table
}
