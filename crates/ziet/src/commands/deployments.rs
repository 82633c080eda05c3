//! `ziet deployments` and `ziet rollback`: the versions of a project's code on a server.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use serde_json::json as object;
use serde_json::value::RawValue;
use ziet_core::{Json, Time};

use super::waiting::{Told, Waiting};
use crate::error::CliError;
use crate::output::{CYAN, DIM, GREEN, Printer, RED, Table, YELLOW, counted, quoted};
use crate::remote::documents::{json, maybe_time, time};
use crate::remote::{Heard, Server};
use crate::settings::{Environment, Flags, OfClient};

/// List the deployed versions of a project, or show one
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Deployments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(One),
    Logs(One),
}

#[derive(Debug, Args)]
struct List {
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    #[command(flatten)]
    common: Common,
}

/// Show one: its actions, and why it failed if it did; with `logs` what building and importing it said
#[derive(Debug, Args)]
struct One {
    /// The version, or the beginning of it
    version: String,

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

/// Make an earlier version the active one again
///
/// New runs are executed by it; runs that were accepted before stay on their versions.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The version, or the beginning of it; the one that was active before if it is left out
    version: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// A version of a project's code.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployment {
    pub(super) version: String,
    pub(super) project_id: String,
    pub(super) status: String,
    active: bool,
    error: Option<Fault>,
    pub(super) actions: Vec<String>,
    #[serde(deserialize_with = "time")]
    created_at: Time,
    #[serde(deserialize_with = "maybe_time")]
    active_since: Option<Time>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    message: String,
    log_tail: String,
}

#[derive(Deserialize)]
struct Line {
    text: String,
}

impl Deployment {
    pub(super) fn read(document: &Value) -> Result<Self, CliError> {
        Self::deserialize(document)
            .map_err(|error| CliError::failed("a deployment of the server", error))
    }
}

pub(crate) fn deployments(
    args: &Deployments,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = |common: &Common| Server::find(&common.server, environment);
    match &args.command {
        None => list(&server(&args.list.common)?, &args.list, printer),
        Some(Command::Show(one)) => show(&server(&one.common)?, one, printer),
        Some(Command::Logs(one)) => logs(&server(&one.common)?, one, printer),
    }
}

fn list(server: &Server, args: &List, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let listed = server.list::<Box<RawValue>>("/v1/deployments", &[], args.limit)?;
    if args.common.json {
        let documents: Vec<Json> = listed.items.iter().map(|item| json(item)).collect();
        printer.document(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    if listed.items.is_empty() {
        printer.note("nothing is deployed: `ziet deploy` does that");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["version", "status", "actions", "made", "active since"]);
    for item in &listed.items {
        let one: Deployment = serde_json::from_str(item.get())
            .map_err(|error| CliError::failed("a deployment of the server", error))?;
        let (style, status) = match (&*one.status, one.active) {
            (_, true) => (GREEN, "active"),
            ("ready", _) => (CYAN, "ready"),
            ("failed", _) => (RED, "failed"),
            ("building", _) => (YELLOW, "building"),
            (other, _) => (DIM, other),
        };
        let since = one.active_since.map(|since| printer.time(since));
        let made = printer.time(one.created_at);
        let (status, actions) = (status.to_owned(), one.actions.len().to_string());
        table.styled(
            style,
            [
                one.version,
                status,
                actions,
                made,
                since.unwrap_or_default(),
            ],
        );
    }
    printer.table(table);
    if listed.more {
        printer.aside("There are more: --limit says how many are shown");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(server: &Server, args: &One, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let document: Value = server.get(&path(&args.version), &[])?;
    if args.common.json {
        printer.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let one = Deployment::read(&document)?;
    let status = if one.active { "active" } else { &*one.status };
    printer.line(format_args!(
        "Version {} of {}: {status}, made {}",
        one.version,
        quoted(&one.project_id),
        printer.time(one.created_at)
    ));
    for action in &one.actions {
        printer.line(format_args!("  {action}"));
    }
    if let Some(fault) = &one.error {
        printer.line(format_args!("{}\n\n{}", fault.message, fault.log_tail));
    }
    Ok(ExitCode::SUCCESS)
}

fn logs(server: &Server, args: &One, printer: &mut Printer) -> Result<ExitCode, CliError> {
    let mut lines = Vec::new();
    for heard in server.stream(&format!("{}/log", path(&args.version)), &[]) {
        if let Heard::Event(event) = heard?
            && event.name == "line"
        {
            let text = line(&event.data)?;
            if args.common.json {
                lines.push(text);
            } else {
                printer.line(text);
            }
        }
    }
    if args.common.json {
        printer.document(&object!({ "lines": lines }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(data: &str) -> Result<String, CliError> {
    let line: Line =
        serde_json::from_str(data).map_err(|error| CliError::failed("a line of the log", error))?;
    Ok(line.text)
}

fn path(version: &str) -> String {
    // What no version has cannot lead to another path.
    let kept = version
        .chars()
        .filter(|char| char.is_ascii_alphanumeric() || *char == '-');
    format!("/v1/deployments/{}", kept.collect::<String>())
}

/// Shows what the server says while it builds and imports a deployment, and gives the document once that is active.
///
/// # Errors
/// When it fails, or somebody stops waiting for it.
pub(super) fn follow(server: &Server, sent: Value, printer: &Printer) -> Result<Value, CliError> {
    let deployment = Deployment::read(&sent)?;
    if deployment.status != "building" {
        return finished(sent, false);
    }
    let version = deployment.version;
    let waiting = Waiting::begin()?;
    let id = sent["id"].as_str().unwrap_or(&version);
    waiting.hear(server.stream(&format!("{}/log", path(id)), &[]));
    loop {
        let heard = match waiting.next() {
            Told::Item(heard) => heard?,
            Told::Interrupt => {
                printer.note(format_args!(
                    "the server goes on with it: `ziet deployments logs {version}` shows how"
                ));
                return Err(CliError::interrupted());
            }
        };
        match heard {
            Heard::Event(event) if event.name == "line" => printer.aside(line(&event.data)?),
            Heard::Event(event) if event.name == "end" => {
                let ended = serde_json::from_str(&event.data)
                    .map_err(|error| CliError::failed("the deployment", error))?;
                return finished(ended, true);
            }
            Heard::Event(_) => {}
            Heard::Lost(error) => {
                printer.note(format_args!("{}; this waits for the server", error.message));
            }
            Heard::Back => printer.note("the server is there again"),
        }
    }
}

/// Whether it came to be the active one. Its log is told, unless it was `shown`.
fn finished(document: Value, shown: bool) -> Result<Value, CliError> {
    let deployment = Deployment::read(&document)?;
    let Some(fault) = deployment.error else {
        return Ok(document);
    };
    let version = &deployment.version;
    let log = if shown {
        String::new()
    } else {
        format!("\n\n{}", fault.log_tail)
    };
    let message = format!("version {version} is not active: {}{log}", fault.message);
    Err(CliError::broken(message).hint(format!(
        "the version before goes on; `ziet deployments logs {version}` shows the whole log"
    )))
}

pub(crate) fn rollback(
    args: &Rollback,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.common.server, environment)?;
    let version = match &args.version {
        Some(version) => version.clone(),
        None => before(&server)?,
    };
    let document: Value = server.post(&format!("{}/activate", path(&version)), &object!({}))?;
    if args.common.json {
        printer.document(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let one = Deployment::read(&document)?;
    printer.line(format_args!(
        "Version {} of {} is active: {}",
        one.version,
        quoted(&one.project_id),
        counted(one.actions.len(), "action")
    ));
    Ok(ExitCode::SUCCESS)
}

/// The version that was active before the one that is.
fn before(server: &Server) -> Result<String, CliError> {
    let all = server.list::<Deployment>("/v1/deployments", &[], usize::MAX)?;
    let earlier = all
        .items
        .into_iter()
        .filter(|one| !one.active && one.status == "ready");
    let last = earlier.max_by_key(|one| one.active_since);
    let last = last.filter(|one| one.active_since.is_some());
    last.map(|one| one.version).ok_or_else(|| {
        CliError::usage("no other version was active before")
            .hint("`ziet deployments` lists those there are: name one")
    })
}
