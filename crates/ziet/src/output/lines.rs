//! The lines of a run, as the specification of the product shows them for local ones; those on a server look alike.

use std::time::Duration;

use ziet_core::error::{ErrorCode, Failure};
use ziet_core::memory::Newest;
use ziet_core::run::Outcome;
use ziet_core::wire::Level;
use ziet_core::{ActionId, Json, RunId};
use ziet_engine::{Happening, MemoryUse};

use super::failure;
use super::json::{as_python, as_python_cut};
use super::printer::{DIM, GREEN, Printer, RED, YELLOW};
use super::spelled::{one_line, printed};
use super::wording::marks;

/// Characters of a value in a line; the whole of it is in the last line and in `--json`.
const LONGEST_VALUE: usize = 200;

/// Prints what happens to a run and those below it.
pub(crate) struct RunLines<'a> {
    pub(crate) printer: &'a mut Printer,
    run: PutAside,
}

/// What is known of a run while lines of others are printed.
pub(crate) struct PutAside {
    place: Place,
    /// The root action, which is called what was typed.
    root: ActionId,
    typed: String,
    /// The run that the last line was about.
    last: Option<RunId>,
}

impl<'a> RunLines<'a> {
    pub(crate) fn begin(
        printer: &'a mut Printer,
        place: Place,
        root: ActionId,
        typed: &str,
    ) -> Self {
        let (emoji, text) = match place {
            Place::Local => ("🧪 ", "Running action locally"),
            Place::Server => ("🚀 ", "Running action"),
        };
        let emoji = if printer.ascii { "" } else { emoji };
        printer.line(format_args!("{emoji}{text}: {typed}\n"));
        let run = PutAside {
            place,
            root,
            typed: typed.to_owned(),
            last: None,
        };
        Self { printer, run }
    }

    pub(crate) fn go_on(printer: &'a mut Printer, run: PutAside) -> Self {
        Self { printer, run }
    }

    pub(crate) fn put_aside(self) -> PutAside {
        self.run
    }

    pub(crate) fn output(&mut self, level: Level, text: &str) {
        self.printer.line(output("", level, text));
    }

    /// `is_root` tells the run that was asked for from those that it called, directly or not.
    pub(crate) fn happened(
        &mut self,
        run: RunId,
        is_root: bool,
        action: &ActionId,
        happening: &Happening,
    ) {
        let name = if *action == self.run.root {
            self.run.typed.clone()
        } else {
            action.to_string()
        };
        let whose = self.whose(run, is_root, &name);
        match happening {
            Happening::Initialized => self.info(format!("Action {name} initialized")),
            Happening::Executing => self.info(format!("Action executing...{whose}")),
            Happening::Output { level, text, .. } => self.output(*level, text),
            Happening::Memory(memory) => self.info(memory_text(memory, self.printer.ascii)),
            Happening::IntegrationCalled { call, mocked } => {
                let mocked = if *mocked { " (mocked)" } else { "" };
                let call = one_line(call);
                self.info(format!("Integration called{mocked}: {call}{whose}"));
            }
            Happening::AttemptFailed { outcome, failure } => {
                self.attempt_failed(&name, *outcome, failure);
            }
            Happening::Retrying {
                wait,
                attempt,
                max_attempts,
            } => {
                let wait = wait.as_secs();
                let text =
                    format!("Retrying in {wait}s (attempt {attempt} of {max_attempts}){whose}");
                self.level(Level::Warn, &text);
            }
            Happening::Lost => self.level(
                Level::Warn,
                &format!("Action {name} lost its process; it is executed again"),
            ),
            Happening::Completed { output, took } => self.completed(&name, output, *took),
            Happening::Failed { failure } if failure.code == ErrorCode::Lost => {
                self.level(
                    Level::Error,
                    &format!("Action {name} failed: {}", failure.headline()),
                );
            }
            // Its last attempt has said so.
            Happening::Failed { .. } => {}
            Happening::Cancelled(cancelled) => {
                self.level(
                    Level::Warn,
                    &format!("Action {name} cancelled by {}", cancelled.by),
                );
            }
        }
    }

    /// For lines that do not name their action, where the line before was about another run.
    fn whose(&mut self, run: RunId, is_root: bool, name: &str) -> String {
        let goes_on = self.run.last.replace(run) == Some(run);
        if is_root || goes_on {
            String::new()
        } else {
            format!(" {DIM}[{name}]{DIM:#}")
        }
    }

    fn completed(&mut self, name: &str, output: &Json, took: Duration) {
        if output.as_bytes() != b"null" {
            self.info(format!(
                "Action {name} returned {}",
                shown(output, self.printer.ascii)
            ));
        }
        self.info(format!(
            "Action {name} completed in {:.2}s",
            took.as_secs_f64()
        ));
    }

    fn attempt_failed(&mut self, name: &str, outcome: Outcome, failure: &Failure) {
        let what = match outcome {
            Outcome::TimedOut => "timed out",
            Outcome::OutOfMemory => "ran out of memory",
            Outcome::Crashed => "crashed",
            Outcome::Lost => "was lost",
            Outcome::Cancelled => "was cancelled",
            Outcome::Completed | Outcome::Failed => "failed",
        };
        let ascii = self.printer.ascii;
        let headline = failure::headline(&failure.headline(), 2, ascii);
        // A stack of nothing but the user's own frames is the one that helps; the whole one is in memory.
        let details = failure::details(failure, ascii);
        let text = format!("Action {name} {what}: {headline}\n{details}");
        self.level(Level::Error, text.trim_end_matches('\n'));
    }

    pub(crate) fn interrupted(&mut self) {
        self.level(Level::Warn, "Interrupted: ending the run");
    }

    /// The last lines of every run.
    pub(crate) fn end(self, ending: Ending, memory: &Newest) -> &'a mut Printer {
        let printer = self.end_line(ending);
        let memory = serde_json::to_string(memory).unwrap_or_else(|_| "{}".to_owned());
        printer.line(format_args!(
            "Result stored in memory: {}",
            as_python(&memory)
        ));
        printer
    }

    /// How it ended.
    pub(crate) fn end_line(self, ending: Ending) -> &'a mut Printer {
        let (style, mark, word, what) = match ending {
            Ending::Completed => (GREEN, "✅", "[OK]", "completed"),
            Ending::Failed => (RED, "❌", "[FAILED]", "failed"),
            Ending::Cancelled => (RED, "❌", "[CANCELLED]", "cancelled"),
            Ending::Interrupted => (RED, "❌", "[INTERRUPTED]", "interrupted"),
        };
        let mark = if self.printer.ascii { word } else { mark };
        let run = match self.run.place {
            Place::Local => "Local run",
            Place::Server => "Run",
        };
        self.printer
            .line(format_args!("{mark} {style}{run} {what}{style:#}\n"));
        self.printer
    }

    pub(crate) fn info(&mut self, text: impl AsRef<str>) {
        self.level(Level::Info, text.as_ref());
    }

    fn level(&mut self, level: Level, text: &str) {
        self.printer.line(format_args!("{} {text}", tag(level)));
    }
}

/// What code printed, each line with what comes before it.
pub(crate) fn output(before: &str, level: Level, text: &str) -> String {
    let tag = tag(level);
    let lines = text
        .split('\n')
        .map(|line| format!("{before}{tag} {}", printed(line.trim_end_matches('\r'))));
    lines.collect::<Vec<_>>().join("\n")
}

/// `[INFO]`
fn tag(level: Level) -> String {
    let (style, word) = match level {
        Level::Info => (DIM, "INFO"),
        Level::Warn => (YELLOW, "WARN"),
        Level::Error => (RED, "ERROR"),
    };
    format!("{style}[{word}]{style:#}")
}

/// Where a run is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Local,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

fn memory_text(memory: &MemoryUse, ascii: bool) -> String {
    match memory {
        MemoryUse::Added { key, value } => format!(
            "Memory added: key={}, value={}",
            one_line(key),
            shown(value, ascii)
        ),
        MemoryUse::Read { key, found } => {
            format!(
                "Memory read: key={}, {}",
                one_line(key),
                if *found { "found" } else { "missing" }
            )
        }
        MemoryUse::Searched {
            query: Some(query),
            found,
        } => {
            format!("Memory searched: query={}, {found} found", one_line(query))
        }
        MemoryUse::Searched { query: None, found } => format!("Memory searched: {found} found"),
        MemoryUse::Removed { what, count } => {
            let entries = if *count == 1 { "entry" } else { "entries" };
            format!("Memory removed: {}, {count} {entries}", one_line(what))
        }
    }
}

fn shown(value: &Json, ascii: bool) -> String {
    let ellipsis = marks("…", ascii);
    as_python_cut(value.as_str().unwrap_or_default(), LONGEST_VALUE, &ellipsis)
}
