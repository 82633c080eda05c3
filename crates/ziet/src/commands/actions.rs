//! `ziet actions`: what the project defines.

use std::process::ExitCode;

use ziet_core::action::ActionSpec;

use super::{Local, tell_problems};
use crate::cli::Actions;
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::Settings;

pub(crate) fn actions(
    args: &Actions,
    settings: &Settings,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let local = Local::start(settings)?;
    tell_problems(&local.catalogue, printer);
    settings.check_inputs(&local.catalogue)?;
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
        printer.action(action, &local.project.root);
    }
    Ok(status)
}
