//! Runs as rows: what fits is shown of each.

use anstyle::Style;
use ziet_core::Time;

use super::super::run_id;
use crate::output::{CYAN, DIM, GREEN, Printer, RED, Table, YELLOW, took};
use crate::remote::documents::Run;

/// Columns below which only what a run is and how it stands is shown.
const NARROW: u16 = 60;

pub(super) fn table<'a>(runs: impl Iterator<Item = &'a Run> + Clone, printer: &Printer) -> Table {
    let length = run_id::length(runs.clone().map(|run| &*run.id), printer.width);
    let is_narrow = printer.width.is_some_and(|width| width < NARROW);
    let mut table = if is_narrow {
        Table::new(&["run", "action", "status"])
    } else {
        Table::new(&["run", "action", "status", "created", "took"])
    };
    for run in runs {
        let id = run.id.get(..length).unwrap_or(&run.id).to_owned();
        let (action, status) = (run.action_id.clone(), status(run, printer));
        let style = style(&run.status);
        if is_narrow {
            table.styled(style, [id, action, status]);
        } else {
            let created = printer.time(run.created_at);
            let took = duration(run.started_at, run.finished_at, printer);
            table.styled(style, [id, action, status, created, took]);
        }
    }
    table
}

/// With what it waits for.
pub(super) fn status(run: &Run, printer: &Printer) -> String {
    let status = &run.status;
    match (&run.waiting_on, run.due) {
        (Some(what), _) => format!("{status} for {what}"),
        (None, Some(due)) if !run.is_finished() => format!("{status}, {}", printer.time(due)),
        (None, _) => status.clone(),
    }
}

pub(super) fn style(status: &str) -> Style {
    match status {
        "completed" => GREEN,
        "failed" => RED,
        "retrying" => YELLOW,
        "cancelled" => DIM,
        _ => CYAN,
    }
}

/// So far, on a terminal, of what has not finished.
pub(super) fn duration(started: Option<Time>, finished: Option<Time>, printer: &Printer) -> String {
    match (started, finished) {
        (Some(started), Some(finished)) if printer.width.is_none() => {
            format!("{:.3}s", finished.since(started).as_secs_f64())
        }
        (Some(started), Some(finished)) => took(finished.since(started)),
        (Some(started), None) if printer.width.is_some() => took(printer.now().since(started)),
        _ => String::new(),
    }
}
