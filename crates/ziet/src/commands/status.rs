//! `ziet status`: how a server is, and what there is to do in its projects.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use ziet_core::limits::memory_text;

use crate::error::CliError;
use crate::output::{CYAN, Printer, RED, Table, took};
use crate::remote::Server;
use crate::remote::documents::json;
use crate::settings::{Environment, Flags, OfClient};

/// Columns below which only how much there is to do is shown of a project.
const NARROW: u16 = 60;

/// Show how a server is: its queues, executors and disk
///
/// A key of one project sees that one.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

#[derive(Deserialize)]
struct Status {
    version: String,
    uptime_seconds: u64,
    draining: bool,
    store_down: bool,
    projects: Vec<Project>,
    disk: Option<Disk>,
}

#[derive(Deserialize)]
struct Project {
    #[serde(rename = "project_id")]
    id: String,
    deployment: Option<Deployment>,
    queued: u64,
    executing: u64,
    waiting: u64,
    live: u64,
    executors: u64,
    import_failing: bool,
}

#[derive(Deserialize)]
struct Deployment {
    version: String,
}

#[derive(Deserialize)]
struct Disk {
    state_bytes: u64,
    free_bytes: u64,
}

pub(crate) fn status(
    args: &StatusArgs,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let server = Server::find(&args.server, environment)?;
    let document: Box<RawValue> = server.get("/v1/status", &[])?;
    if args.json {
        printer.document(&json(&document))?;
        return Ok(ExitCode::SUCCESS);
    }
    let status: Status = serde_json::from_str(document.get())
        .map_err(|error| CliError::failed("the server's status", error))?;
    let mut facts = Table::new(&["server", &server.address.url]);
    let up = took(Duration::from_secs(status.uptime_seconds));
    facts.row([
        "version".to_owned(),
        format!("{}, for {up}", status.version),
    ]);
    if let Some(Disk {
        state_bytes,
        free_bytes,
    }) = status.disk
    {
        let (state, free) = (memory_text(state_bytes), memory_text(free_bytes));
        facts.row(["disk".to_owned(), format!("{state} of state, {free} free")]);
    }
    for (is_so, what) in [
        (status.draining, "it is stopping: no runs are accepted"),
        (status.store_down, "its state cannot be written now"),
    ] {
        if is_so {
            facts.styled(RED, ["trouble".to_owned(), what.to_owned()]);
        }
    }
    printer.table(facts);
    if !status.projects.is_empty() {
        printer.line("");
        printer.table(projects(&status.projects, printer));
    }
    Ok(ExitCode::SUCCESS)
}

fn projects(projects: &[Project], printer: &Printer) -> Table {
    let is_narrow = printer.width.is_some_and(|width| width < NARROW);
    let mut table = if is_narrow {
        Table::new(&["project", "queued", "executing"])
    } else {
        Table::new(&[
            "project",
            "version",
            "queued",
            "executing",
            "waiting",
            "unfinished",
            "executors",
        ])
    };
    for project in projects {
        let (style, version) = match &project.deployment {
            _ if project.import_failing => (RED, "does not import".to_owned()),
            Some(deployment) => (CYAN, deployment.version.clone()),
            None => (CYAN, "none".to_owned()),
        };
        let (id, queued) = (project.id.clone(), project.queued.to_string());
        let executing = project.executing.to_string();
        if is_narrow {
            table.styled(style, [id, queued, executing]);
            continue;
        }
        let counts = [project.waiting, project.live, project.executors];
        let [waiting, live, executors] = counts.map(|count| count.to_string());
        table.styled(
            style,
            [id, version, queued, executing, waiting, live, executors],
        );
    }
    table
}
