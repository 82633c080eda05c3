//! `ziet runs --watch`: the list as it changes, drawn anew in a terminal and line by line elsewhere.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::secret::Hidden;
use super::super::waiting::{Told, Waiting};
use super::table::table;
use super::{List, read};
use crate::error::CliError;
use crate::output::Printer;
use crate::remote::documents::{Run, json};
use crate::remote::{Event, Heard, Query, Server};

/// How often times that go on are drawn.
const TICK: Duration = Duration::from_secs(1);

/// The most that a live list has.
const MOST: usize = 100;

#[derive(Deserialize)]
struct Snapshot {
    data: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Gone {
    id: String,
}

pub(super) fn watch(
    server: &Server,
    query: Query<'_>,
    args: &List,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let most = (args.limit as usize).min(MOST);
    let limit = most.to_string();
    let mut query = query.to_vec();
    query.push(("limit", &limit));
    let waiting = Waiting::begin()?;
    waiting.hear(server.stream("/v1/runs", &query));
    let is_drawn = !args.json && printer.width.is_some();
    // What is typed would come between the lines. Where standard input is no terminal, nothing is.
    let _hidden = is_drawn.then(Hidden::begin);
    // By their ids, the newest last.
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let mut is_first = true;
    loop {
        let news = match waiting.next_within(TICK) {
            None => None,
            Some(Told::Interrupt) => return Ok(ExitCode::SUCCESS),
            Some(Told::Item(heard)) => Some(heard?),
        };
        let changed = match news {
            None => Vec::new(),
            Some(Heard::Lost(error)) => {
                printer.note_between(format_args!("{}; this waits for the server", error.message));
                continue;
            }
            Some(Heard::Back) => {
                printer.note_between("the server is there again");
                continue;
            }
            Some(Heard::Event(event)) => take(&event, &mut runs, most)?,
        };
        if is_drawn {
            printer
                .redraw(|printer, room| table(runs.values().rev().take(room.min(most)), printer));
        } else {
            tell(&changed, args.json, &mut is_first, printer)?;
        }
    }
}

/// Takes in what an event says, and gives the documents that are new in it, the oldest first.
fn take(
    event: &Event,
    runs: &mut BTreeMap<String, Run>,
    most: usize,
) -> Result<Vec<Box<RawValue>>, CliError> {
    let documents = match &*event.name {
        "snapshot" => {
            let snapshot: Snapshot = read(&event.data)?;
            runs.clear();
            snapshot.data.into_iter().rev().collect()
        }
        "run" => vec![read(&event.data)?],
        "gone" => {
            let gone: Gone = read(&event.data)?;
            runs.remove(&gone.id);
            Vec::new()
        }
        _ => Vec::new(),
    };
    for document in &documents {
        let run: Run = read(document.get())?;
        runs.insert(run.id.clone(), run);
    }
    while runs.len() > most {
        runs.pop_first();
    }
    Ok(documents)
}

/// A line or a document for each, with a header before the first.
fn tell(
    changed: &[Box<RawValue>],
    as_json: bool,
    is_first: &mut bool,
    printer: &mut Printer,
) -> Result<(), CliError> {
    if as_json {
        return changed
            .iter()
            .try_for_each(|run| printer.document(&json(run)));
    }
    for document in changed {
        let run: Run = read(document.get())?;
        let rows = table([&run].into_iter(), printer);
        if std::mem::take(is_first) {
            printer.table(rows);
        } else {
            printer.table(rows.without_header());
        }
    }
    Ok(())
}
