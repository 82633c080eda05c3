//! `--watch`: a run, and another one whenever a file of the project is saved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::inbox::Sent;
use super::run_action::{given, run_once};
use super::{Inbox, RunAction};
use crate::error::CliError;
use crate::output::{Printer, one_line};
use crate::saves;
use crate::settings::Settings;

/// Saves within this time of each other are one: an editor may take several steps, and a checkout changes many files.
const ONE_SAVE: Duration = Duration::from_millis(50);

/// The names of changed files that are shown.
const SHOWN: usize = 3;

/// Reads the settings as they are now.
pub(crate) type Resolve<'a> = dyn Fn() -> Result<Settings, CliError> + 'a;

/// Ends with Ctrl-C: with 0 between runs, which is how a watch is meant to end, and with 130 in one.
pub(super) fn watch(
    args: &RunAction,
    settings: &Settings,
    resolve_again: &Resolve<'_>,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let root = settings.root().to_owned();
    let inbox = Inbox::open()?;
    let send = inbox.sender();
    let _watching = saves::watch(&root, move |saved| {
        drop(send.send(Sent::Saved(saved)));
    })?;
    // Standard input can be read only once; a file may have been saved.
    let typed = if args.reads_file() {
        None
    } else {
        Some(given(args, printer)?)
    };
    loop {
        let ran = resolve_again().and_then(|settings| {
            let input = typed.clone().map_or_else(|| given(args, printer), Ok)?;
            run_once(args, input, &settings, &inbox, printer)
        });
        let ended = saves::end_of_run();
        match ran {
            ran if inbox.is_interrupted() => return ran,
            // A save has ended it, and the next run follows.
            Err(error) if error.is_interrupt() => {}
            Err(error) => printer.error(&error),
            Ok(_) => {}
        }
        printer.aside(format_args!("Watching {} (Ctrl-C ends)", root.display()));
        let Some(changed) = next_change(&inbox, ended)? else {
            return Ok(ExitCode::SUCCESS);
        };
        for file in &changed {
            saves::forget_compiled(file);
        }
        printer.aside(format_args!("Changed: {}\n", names(&changed, &root)));
    }
}

/// The files whose saves are worth a new run; None when a person wants to end.
fn next_change(
    inbox: &Inbox,
    run_ended: std::time::SystemTime,
) -> Result<Option<BTreeSet<PathBuf>>, CliError> {
    while inbox.wait_for_saves(ONE_SAVE)? {
        let mut saved = inbox.take_saved();
        saved.retain(|file| saves::counts(file, run_ended));
        if !saved.is_empty() {
            return Ok(Some(saved));
        }
    }
    Ok(None)
}

pub(super) fn names(files: &BTreeSet<PathBuf>, root: &Path) -> String {
    let mut names: Vec<String> = files
        .iter()
        .take(SHOWN)
        .map(|file| one_line(&file.strip_prefix(root).unwrap_or(file).to_string_lossy()))
        .collect();
    if files.len() > SHOWN {
        names.push(format!("{} more", files.len() - SHOWN));
    }
    names.join(", ")
}
