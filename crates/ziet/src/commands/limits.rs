//! `ziet limits`: what an action may use.

use std::process::ExitCode;

use clap::Args;
use ziet_core::limits::LIMITS;

use crate::error::CliError;
use crate::output::{Printer, Table};

/// Show what an action may use, and what happens beyond it
#[derive(Debug, Args)]
pub(crate) struct LimitsArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn limits(args: &LimitsArgs, printer: &mut Printer) -> Result<ExitCode, CliError> {
    if args.json {
        printer.document(&LIMITS)?;
    } else {
        let mut table = Table::new(&["limit", "value", "beyond it"]);
        for limit in LIMITS {
            table.row([limit.name.to_owned(), limit.text(), limit.beyond.to_owned()]);
        }
        printer.table(table);
    }
    Ok(ExitCode::SUCCESS)
}
