//! `ziet env`: what a project's actions find in their environment, kept by the server.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use serde_json::json as object;
use ziet_core::Time;

use super::secret;
use crate::error::CliError;
use crate::output::{Printer, Table};
use crate::remote::Server;
use crate::remote::documents::time;
use crate::settings::{Environment, Flags, OfClient};

/// Set the variables that a project's actions have on a server
///
/// The server keeps them, and shows none of their values again. They go before those of the table `[env]` in the project's `ziet.toml`. Attempts that begin
/// after a change have it.
#[derive(Debug, Args)]
pub(crate) struct Env {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Set(Set),
    List(List),
    Rm(Remove),
}

/// Set a variable, to what is asked for without showing it, or comes on standard input
#[derive(Debug, Args)]
struct Set {
    /// Letters, digits and `_`, such as `DATABASE_URL`
    name: String,

    #[command(flatten)]
    common: Common,
}

/// List the variables, without their values
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Remove a variable
#[derive(Debug, Args)]
struct Remove {
    /// The variable
    name: String,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

#[derive(Deserialize)]
struct Variables {
    data: Vec<Value>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(deserialize_with = "time")]
    updated_at: Time,
}

/// What has become of a change.
#[derive(Deserialize)]
struct Applied {
    error: Option<String>,
}

pub(crate) fn env(
    args: &Env,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    match &args.command {
        Command::Set(args) => {
            let path = path(&args.name)?;
            let server = Server::find(&args.common.server, environment)?;
            let value = secret::read_all(&format!("The value of {}: ", args.name), printer)?;
            let done = server.put(&path, &object!({ "value": value }))?;
            told(
                &done,
                &format!("Set {}", args.name),
                args.common.json,
                printer,
            )
        }
        Command::Rm(args) => {
            let path = path(&args.name)?;
            let server = Server::find(&args.common.server, environment)?;
            let done = server.delete(&path, &[])?;
            told(
                &done,
                &format!("Removed {}", args.name),
                args.common.json,
                printer,
            )
        }
        Command::List(args) => list(
            &Server::find(&args.common.server, environment)?,
            args,
            printer,
        ),
    }
}

fn list(server: &Server, args: &List, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let Variables { data } = server.get("/v1/environment", &[])?;
    if args.common.json {
        printer.document(&data)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["variable", "set"]);
    for variable in data {
        let variable = Variable::deserialize(variable)
            .map_err(|error| CliError::failed("a variable of the server", error))?;
        let set = printer.time(variable.updated_at);
        table.row([variable.name, set]);
    }
    printer.table(table);
    Ok(ExitCode::SUCCESS)
}

fn told(
    done: &Value,
    what: &str,
    as_json: bool,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let Applied { error } = Applied::deserialize(done)
        .map_err(|error| CliError::failed("the answer of the server", error))?;
    if as_json {
        printer.document(done)?;
    } else {
        printer.line(what);
    }
    match error {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => Err(CliError::broken(format!(
            "the project cannot be imported with it, and goes on with what it had: {why}"
        ))),
    }
}

/// A name that is none would lead elsewhere.
fn path(name: &str) -> Result<String, CliError> {
    let is_name = |name: &str| {
        let letters = |char: char| char.is_ascii_alphanumeric() || char == '_';
        name.chars().all(letters) && !name.is_empty()
    };
    if !is_name(name) {
        let message = format!("{name:?} is no name of a variable");
        let hint =
            "names are letters, digits and `_`; the value is asked for, or comes on standard input";
        return Err(CliError::usage(message).hint(hint));
    }
    Ok(format!("/v1/environment/{name}"))
}
