//! `ziet keys`: who may ask a server for what.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json as object;
use serde_json::value::RawValue;
use ziet_core::{Json, KeyId};

use crate::error::CliError;
use crate::output::{CYAN, DIM, Printer, Table};
use crate::remote::Server;
use crate::remote::documents::{json, maybe_time, time};
use crate::settings::{Environment, Flags, OfClient};

const SCOPES: &[&str] = &["admin", "deploy", "run", "read"];

/// Columns below which only what a key is and may do is shown.
const NARROW: u16 = 60;

/// List, make and revoke the keys of a server
///
/// It takes a key with the scope `admin`.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Common {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

/// Make a key, which is shown this once
#[derive(Debug, Args)]
struct Create {
    /// What to call it, such as who or what has it
    name: String,

    /// What it may do; may be given several times, or with commas. `admin` includes the others, which include none
    #[arg(long, required = true, value_delimiter = ',', value_parser = PossibleValuesParser::new(SCOPES))]
    scope: Vec<String>,

    /// For all projects of the server, instead of one; only with the scope admin
    #[arg(long)]
    all_projects: bool,

    #[command(flatten)]
    common: Common,
}

/// List the keys, the oldest first, revoked ones included
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Revoke keys: from then on they are good for nothing
#[derive(Debug, Args)]
struct Revoke {
    /// Their ids, or how they begin (`sk_1a2b3c`), as `ziet keys list` shows them
    #[arg(required = true)]
    keys: Vec<String>,

    #[command(flatten)]
    common: Common,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    name: String,
    project_id: Option<String>,
    scopes: Vec<String>,
    prefix: String,
    #[serde(deserialize_with = "time")]
    created_at: ziet_core::Time,
    #[serde(deserialize_with = "maybe_time")]
    last_used_at: Option<ziet_core::Time>,
    #[serde(deserialize_with = "maybe_time")]
    revoked_at: Option<ziet_core::Time>,
    /// Only of one that was just made.
    #[serde(rename = "key")]
    secret: Option<String>,
}

pub(crate) fn keys(
    args: &Keys,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    match &args.command {
        Command::Create(args) => create(args, environment, printer),
        Command::List(args) => list(args, environment, printer),
        Command::Revoke(args) => revoke(args, environment, printer),
    }
}

fn create(
    args: &Create,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.common.server, environment)?;
    let body = object!({
        "name": args.name,
        "scopes": args.scope,
        "all_projects": args.all_projects,
    });
    let made: Box<RawValue> = server.post("/v1/keys", &body)?;
    if args.common.json {
        printer.document(&json(&made))?;
        return Ok(ExitCode::SUCCESS);
    }
    let key = read(&made)?;
    printer.line(key.secret.unwrap_or_default());
    let whose = key.project_id.as_deref().unwrap_or("all projects");
    printer.aside(format_args!(
        "The key {} for {whose}: {}. It is not kept, so it cannot be shown again",
        key.name,
        key.scopes.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}

fn list(
    args: &List,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.common.server, environment)?;
    let keys = server
        .list::<Box<RawValue>>("/v1/keys", &[], usize::MAX)?
        .items;
    if args.common.json {
        let documents: Vec<Json> = keys.iter().map(|key| json(key)).collect();
        printer.document(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_narrow = printer.width.is_some_and(|width| width < NARROW);
    let mut table = if is_narrow {
        Table::new(&["begins", "name", "scopes"])
    } else {
        Table::new(&["begins", "name", "project", "scopes", "made", "used"])
    };
    for key in &keys {
        let key = read(key)?;
        let (style, used) = match (key.revoked_at, key.last_used_at) {
            (Some(revoked), _) => (DIM, format!("revoked {}", printer.time(revoked))),
            (None, Some(used)) => (CYAN, printer.time(used)),
            (None, None) => (CYAN, "never".to_owned()),
        };
        let scopes = key.scopes.join(", ");
        if is_narrow {
            table.styled(style, [key.prefix, key.name, scopes]);
            continue;
        }
        let project = key.project_id.unwrap_or_else(|| "(all)".to_owned());
        let made = printer.time(key.created_at);
        table.styled(style, [key.prefix, key.name, project, scopes, made, used]);
    }
    printer.table(table);
    Ok(ExitCode::SUCCESS)
}

fn revoke(
    args: &Revoke,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.common.server, environment)?;
    let mut revoked = Vec::new();
    for typed in &args.keys {
        let id = find(&server, typed)?;
        server.delete::<()>(&format!("/v1/keys/{id}"), &[])?;
        if !args.common.json {
            printer.line(format_args!("Revoked {typed}"));
        }
        revoked.push(id);
    }
    if args.common.json {
        printer.document(&object!({ "revoked": revoked }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The id of the key with this id, or the valid one that begins so.
fn find(server: &Server, typed: &str) -> Result<String, CliError> {
    if typed.parse::<KeyId>().is_ok() {
        return Ok(typed.to_owned());
    }
    let keys = server.list::<Key>("/v1/keys", &[], usize::MAX)?.items;
    // Somebody may type the whole key.
    let begins = |key: &&Key| {
        typed.len() > 3 && (key.prefix.starts_with(typed) || typed.starts_with(&key.prefix))
    };
    let mut fitting = keys
        .iter()
        .filter(begins)
        .filter(|key| key.revoked_at.is_none());
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key.id.clone()),
        (Some(_), Some(_)) => Err(CliError::usage(format!("several keys begin with {typed}"))
            .hint("give the id of one: `ziet keys list --json` has it")),
        (None, _) => Err(CliError::usage(format!(
            "no valid key has this id, or begins with {}",
            shown(typed)
        ))
        .hint("`ziet keys list` lists those there are")),
    }
}

/// Not the whole of a key, which others could use.
fn shown(typed: &str) -> String {
    typed.chars().take(9).collect()
}

fn read(key: &RawValue) -> Result<Key, CliError> {
    serde_json::from_str(key.get()).map_err(|error| CliError::failed("a key of the server", error))
}
