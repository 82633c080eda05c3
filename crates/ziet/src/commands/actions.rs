//! `ziet actions`: what the project defines, or one of its actions in full.

use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use ziet_core::action::ActionSpec;

use super::{Inbox, Local, resolve};
use crate::complete;
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::Settings;

/// List the actions of the project, or show one in full
///
/// The project is the nearest folder, from here upwards, with a `ziet.toml` or a `[tool.ziet]` table in its
/// `pyproject.toml`, else this folder. Actions are looked for in the modules that it names
/// (`modules = ["actions"]`), else in those that import ziet.
#[derive(Debug, Args)]
pub(crate) struct Actions {
    /// Show this one in full: its id, else its function's name or `module.function`
    #[arg(add = ArgValueCompleter::new(complete::actions))]
    name: Option<String>,

    /// Print one JSON document, with the JSON Schemas of inputs and outputs
    #[arg(long)]
    json: bool,
}

pub(crate) fn actions(
    args: &Actions,
    settings: &Settings,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let inbox = Inbox::open()?;
    let describe = args.json || args.name.is_some();
    let local = Local::start(settings, describe, &inbox, printer)?;
    local.tell_problems(printer);
    settings.check_inputs(&local.catalogue)?;
    let root = &local.project.root;
    if let Some(name) = &args.name {
        let action = resolve(&local, name)?;
        if args.json {
            printer.document(action)?;
        } else {
            printer.action_in_full(action, root);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let actions: Vec<&ActionSpec> = local.catalogue.actions().collect();
    // Nothing to list because nothing imports is a failure; a module that is missing is told.
    let status = ExitCode::from(u8::from(
        actions.is_empty() && !local.catalogue.problems.is_empty(),
    ));
    if args.json {
        printer.document(&actions)?;
        return Ok(status);
    }
    local.require_actions()?;
    for action in actions {
        printer.action(action, root);
    }
    Ok(status)
}
