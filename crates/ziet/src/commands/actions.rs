//! `ziet actions`: what the project in this folder defines, or a server executes, or one of these actions in full.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use serde_json::value::RawValue;
use ziet_core::Json;
use ziet_core::action::ActionSpec;

use super::run_on_server;
use super::{Inbox, Local, resolve};
use crate::complete;
use crate::error::CliError;
use crate::output::{Place, Printer};
use crate::remote::documents::{action, json};
use crate::remote::{Server, Target};
use crate::settings::{Environment, Flags, OfClient, Settings};

/// List the actions of the project or of a server, or show one in full
///
/// The project is the nearest folder, from here upwards, with a `ziet.toml` or a `[tool.ziet]` table in its
/// `pyproject.toml`, else this folder. Actions are looked for in the modules that it names
/// (`modules = ["actions"]`), else in those that import ziet. Where there is no project, or with --server, they are those
/// that the server executes.
#[derive(Debug, Args)]
pub(crate) struct Actions {
    /// Show this one in full: its id, else its function's name or `module.function`
    #[arg(add = ArgValueCompleter::new(complete::actions))]
    name: Option<String>,

    /// Print one JSON document, with the JSON Schemas of inputs and outputs
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

pub(crate) fn actions(
    args: &Actions,
    settings: Result<Settings, CliError>,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    if args.server.is_given("server") {
        return of_server(args, Target::find(&args.server, environment)?, printer);
    }
    let settings = settings?;
    if is_nothing(&settings)?
        && let Some(target) = Target::known(&args.server, environment)?
    {
        printer.note(format_args!(
            "there is no project here: these are of {}",
            target.address.url
        ));
        return of_server(args, target, printer);
    }
    of_project(args, &settings, printer)
}

/// Whether there is no project in this folder, not even an empty one.
fn is_nothing(settings: &Settings) -> Result<bool, CliError> {
    Ok(settings.file().is_none() && settings.project()?.modules.is_empty())
}

fn of_project(
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
            printer.action_in_full(action, root, Place::Local);
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

fn of_server(args: &Actions, target: Target, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let server = Server::new(target)?;
    let get = |spec: &ActionSpec| -> Result<Box<RawValue>, CliError> {
        server.get(&format!("/v1/actions/{}", spec.id), &[])
    };
    let actions = run_on_server::actions(&server)?;
    // The files are the server's, so there is no folder from which their names could begin.
    let root = Path::new("");
    if let Some(name) = &args.name {
        let document = get(run_on_server::resolve(&actions, name)?)?;
        if args.json {
            printer.document(&json(&document))?;
        } else {
            let document: Value = serde_json::from_str(document.get())
                .map_err(|error| CliError::failed("an action of the server", error))?;
            printer.action_in_full(&action(document)?, root, Place::Server);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        // Lists are without schemas.
        let documents = actions.actions().map(|spec| Ok(json(&get(spec)?)));
        let documents: Vec<Json> = documents.collect::<Result<_, CliError>>()?;
        printer.document(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    if actions.actions().len() == 0 {
        printer.aside("The server has no actions");
    }
    for spec in actions.actions() {
        printer.action(spec, root);
    }
    Ok(ExitCode::SUCCESS)
}
