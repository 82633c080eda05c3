//! `ziet runs cancel` and `ziet runs retry`: one after the other, each told as it is done.

use std::process::ExitCode;

use clap::Args;
use serde_json::json as object;
use serde_json::value::RawValue;
use ziet_core::Json;

use super::super::run_id;
use super::read;
use crate::error::CliError;
use crate::output::Printer;
use crate::remote::Server;
use crate::remote::documents::{Run, json};
use crate::settings::{Environment, Flags, OfClient};

/// Cancel runs, and all that they have called
///
/// What is executed is ended. A run that has been cancelled before stays as it is; one that has finished otherwise is told.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// Why; it stands in the runs
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    each: Each,
}

/// Run finished runs again
///
/// Each time a new run, of the same action with the same input, memory and metadata, on the code that the server has now.
#[derive(Debug, Args)]
pub(super) struct Retry {
    #[command(flatten)]
    each: Each,
}

#[derive(Debug, Args)]
struct Each {
    /// Their ids, or the beginnings of them
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,

    /// Print one JSON document: the list of the runs
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

pub(super) fn cancel(
    args: &Cancel,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let body = object!({"reason": args.reason});
    let told = |_: &str, run: &Run| format!("Cancelled {}", run.id);
    args.each.ask("cancel", &body, told, environment, printer)
}

pub(super) fn retry(
    args: &Retry,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let told = |old: &str, run: &Run| format!("Run {} repeats {old}", run.id);
    args.each
        .ask("retry", &object!({}), told, environment, printer)
}

impl Each {
    /// Asks for it of every run; one that refuses holds up none of the others.
    fn ask(
        &self,
        what: &str,
        body: &impl serde::Serialize,
        told: impl Fn(&str, &Run) -> String,
        environment: &Environment,
        printer: &mut Printer,
    ) -> Result<ExitCode, CliError> {
        let server = Server::find(&self.server, environment)?;
        let mut documents: Vec<Json> = Vec::new();
        let mut failed = None;
        for typed in &self.runs {
            let answered = run_id::find(&server, typed).and_then(|id| {
                let document: Box<RawValue> =
                    server.post(&format!("/v1/runs/{id}/{what}"), body)?;
                let run: Run = read(document.get())?;
                Ok((document, told(&id, &run)))
            });
            match answered {
                Ok((document, _)) if self.json => documents.push(json(&document)),
                Ok((_, line)) => printer.line(line),
                Err(error) => {
                    failed = failed.or(Some(error.status()));
                    printer.error(&error);
                }
            }
        }
        if self.json {
            printer.document(&documents)?;
        }
        Ok(failed.unwrap_or(ExitCode::SUCCESS))
    }
}
