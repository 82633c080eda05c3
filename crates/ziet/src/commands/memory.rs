//! `ziet memory`: what runs keep, read and changed from outside any run.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::value::RawValue;
use ziet_core::{Json, RunId};

use super::run_id;
use crate::error::CliError;
use crate::input;
use crate::output::{Printer, Table, as_python};
use crate::remote::documents::{MemoryEntry, json};
use crate::remote::{Query, Server};
use crate::settings::{Environment, Flags, OfClient};

/// Look at the memory of runs, and change it
///
/// Each subcommand takes the id of a run, or the beginning of it, or the id of a memory.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Get(Get),
    Search(Search),
    Add(Add),
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Of {
    /// The run's id, or the beginning of it, or the id of a memory
    #[arg(value_name = "RUN|MEMORY")]
    id: String,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

/// List the entries, the newest first
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    of: Of,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Print the newest value under a key, as JSON; the exit status is 1 if there is none
#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    of: Of,

    key: String,
}

/// Search the entries, the newest first
#[derive(Debug, Args)]
struct Search {
    #[command(flatten)]
    of: Of,

    /// Words that must all occur in the key or the value, whatever their case
    query: Option<String>,

    /// What must stand in the metadata: a JSON object
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    filter: Option<Json>,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

/// Add an entry, which becomes the value of its key
#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    of: Of,

    key: String,

    /// JSON; what is none is taken as text
    value: String,

    /// What searches can ask for: a JSON object
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    metadata: Option<Json>,
}

/// Remove all entries under a key, or one entry
#[derive(Debug, Args)]
struct Remove {
    #[command(flatten)]
    of: Of,

    #[arg(required_unless_present = "entry", conflicts_with = "entry")]
    key: Option<String>,

    /// Only the entry with this id
    #[arg(long, value_name = "ID")]
    entry: Option<String>,
}

/// The body of a request that adds.
#[derive(Serialize)]
struct NewEntry<'a> {
    key: &'a str,
    value: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Json>,
}

/// A memory, as it is found by the path of requests.
struct Place {
    server: Server,
    path: String,
}

pub(crate) fn memory(
    args: &Memory,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    match &args.command {
        Command::List(List { of, limit }) => {
            of.find(environment)?.list(&[], *limit, of.json, printer)
        }
        Command::Get(get) => get.run(environment, printer),
        Command::Search(Search {
            of,
            query,
            filter,
            limit,
        }) => {
            let mut asked = Vec::new();
            asked.extend(query.as_deref().map(|query| ("query", query)));
            asked.extend(
                filter
                    .as_ref()
                    .and_then(Json::as_str)
                    .map(|filter| ("filter", filter)),
            );
            of.find(environment)?.list(&asked, *limit, of.json, printer)
        }
        Command::Add(add) => add.run(environment, printer),
        Command::Remove(remove) => remove.run(environment, printer),
    }
}

impl Of {
    /// That of a run with this id, else the memory with this id.
    fn find(&self, environment: &Environment) -> Result<Place, CliError> {
        let server = Server::find(&self.server, environment)?;
        let Ok(id) = self.id.parse::<RunId>() else {
            let run = run_id::find(&server, &self.id)?;
            let path = format!("/v1/runs/{run}/memory");
            return Ok(Place { server, path });
        };
        let of_run = server.get::<serde::de::IgnoredAny>(&format!("/v1/runs/{id}"), &[]);
        let path = match of_run {
            Ok(_) => format!("/v1/runs/{id}/memory"),
            Err(error) if error.has_code("run_not_found") => format!("/v1/memories/{id}"),
            Err(error) => return Err(error),
        };
        Ok(Place { server, path })
    }
}

impl Place {
    fn list(
        &self,
        query: Query<'_>,
        most: usize,
        as_json: bool,
        printer: &mut Printer,
    ) -> Result<ExitCode, CliError> {
        let listed = self.server.list::<Box<RawValue>>(&self.path, query, most)?;
        if as_json {
            let documents: Vec<Json> = listed.items.iter().map(|entry| json(entry)).collect();
            printer.document(&documents)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&["key", "value", "added", "metadata", "entry"]);
        for entry in &listed.items {
            let entry: MemoryEntry = read(entry)?;
            let metadata = entry.metadata.map(|metadata| as_python(metadata.get()));
            table.row([
                entry.key,
                as_python(entry.value.get()),
                printer.time(entry.created_at),
                metadata.unwrap_or_default(),
                entry.entry_id,
            ]);
        }
        if listed.items.is_empty() {
            printer.aside("There is nothing");
            return Ok(ExitCode::SUCCESS);
        }
        printer.table(table);
        if listed.more {
            printer.aside(format_args!(
                "There are more than {most}: --limit shows more of them"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Get {
    fn run(&self, environment: &Environment, printer: &mut Printer) -> Result<ExitCode, CliError> {
        let Place { server, path } = self.of.find(environment)?;
        let found = server.list::<Box<RawValue>>(&path, &[("key", &self.key)], 1)?;
        let Some(entry) = found.items.first() else {
            return Err(CliError::broken(format!(
                "there is nothing under the key {:?}",
                self.key
            )));
        };
        if self.of.json {
            printer.document(&json(entry))?;
        } else {
            let entry: MemoryEntry = read(entry)?;
            printer.line(as_python(entry.value.get()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    fn run(&self, environment: &Environment, printer: &mut Printer) -> Result<ExitCode, CliError> {
        let value = Json::parse(&self.value).unwrap_or_else(|_| {
            let text = serde_json::Value::from(&*self.value);
            Json::trusted(text.to_string().into_bytes())
        });
        let Place { server, path } = self.of.find(environment)?;
        let body = NewEntry {
            key: &self.key,
            value: &value,
            metadata: self.metadata.as_ref(),
        };
        let added: Box<RawValue> = server.post(&path, &body)?;
        if self.of.json {
            printer.document(&json(&added))?;
        } else {
            let added: MemoryEntry = read(&added)?;
            printer.line(format_args!(
                "Added {} as the entry {}",
                self.key, added.entry_id
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    fn run(&self, environment: &Environment, printer: &mut Printer) -> Result<ExitCode, CliError> {
        let Place { server, path } = self.of.find(environment)?;
        let key = self.key.as_deref().map(|key| ("key", key));
        let entry = self.entry.as_deref().map(|entry| ("entry_id", entry));
        let query: Vec<_> = key.into_iter().chain(entry).collect();
        let removed: serde_json::Value = server.delete(&path, &query)?;
        if self.of.json {
            printer.document(&removed)?;
        } else {
            let count = removed["removed"].as_u64().unwrap_or_default();
            printer.line(format_args!("Removed {}", entries(count)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// `1 entry`, `2 entries`
fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

fn read(entry: &RawValue) -> Result<MemoryEntry, CliError> {
    serde_json::from_str(entry.get())
        .map_err(|error| CliError::failed("an entry of the server", error))
}
