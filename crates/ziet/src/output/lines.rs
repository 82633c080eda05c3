//! The lines of a local run, as the specification of the product shows them.

use std::time::Duration;

use ziet_core::error::{ErrorCode, Failure, StackFrame};
use ziet_core::memory::Newest;
use ziet_core::run::Outcome;
use ziet_core::wire::Level;
use ziet_core::{ActionId, Json};
use ziet_engine::{Happening, MemoryUse};

use super::json::as_python;
use super::printer::{DIM, GREEN, Printer, RED, YELLOW};

/// Characters of a value in a line; the whole of it is in the last line and in `--json`.
const LONGEST_VALUE: usize = 200;

/// Prints what happens to a run and those below it.
pub(crate) struct LocalRun<'a> {
    printer: &'a mut Printer,
    /// The root action, which is called what was typed.
    root: ActionId,
    typed: String,
}

impl<'a> LocalRun<'a> {
    pub(crate) fn begin(printer: &'a mut Printer, root: ActionId, typed: &str) -> Self {
        let emoji = if printer.emoji { "🧪 " } else { "" };
        printer.line(format_args!("{emoji}Running action locally: {typed}\n"));
        let mut run = Self {
            printer,
            root,
            typed: typed.to_owned(),
        };
        run.info("Starting local run...");
        run
    }

    pub(crate) fn output(&mut self, level: Level, text: &str) {
        for line in text.split('\n') {
            self.level(level, line.trim_end_matches('\r'));
        }
    }

    pub(crate) fn happened(&mut self, action: &ActionId, happening: &Happening) {
        let name = if *action == self.root {
            self.typed.clone()
        } else {
            action.to_string()
        };
        match happening {
            Happening::Initialized => self.info(format!("Action {name} initialized")),
            Happening::Executing => self.info("Action executing..."),
            Happening::Output { level, text } => self.output(*level, text),
            Happening::Memory(memory) => self.info(memory_text(memory)),
            Happening::IntegrationCalled { call, mocked } => {
                self.info(format!(
                    "Integration called{}: {call}",
                    if *mocked { " (mocked)" } else { "" }
                ));
            }
            Happening::AttemptFailed { outcome, failure } => {
                self.attempt_failed(&name, *outcome, failure);
            }
            Happening::Retrying {
                wait,
                attempt,
                max_attempts,
            } => {
                self.level(
                    Level::Warn,
                    &format!(
                        "Retrying in {}s (attempt {attempt} of {max_attempts})",
                        wait.as_secs()
                    ),
                );
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

    fn completed(&mut self, name: &str, output: &Json, took: Duration) {
        if output.as_bytes() != b"null" {
            self.info(format!("Action {name} returned {}", shown(output)));
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
        self.level(
            Level::Error,
            &format!("Action {name} {what}: {}", failure.headline()),
        );
        // A stack of nothing but the user's own frames is the one that helps; the whole one is in memory.
        for StackFrame {
            file,
            line,
            function,
            source,
            ..
        } in failure.frames.iter().filter(|frame| frame.user)
        {
            self.printer.line(format_args!(
                "  {DIM}File \"{file}\", line {line}, in {function}{DIM:#}"
            ));
            if let Some(source) = source {
                self.printer.line(format_args!("    {source}"));
            }
        }
    }

    pub(crate) fn interrupted(&mut self) {
        self.level(Level::Warn, "Interrupted: ending the run");
    }

    /// The last lines of every run.
    pub(crate) fn end(self, ending: LocalEnding, memory: &Newest) -> &'a mut Printer {
        let (style, mark, word, text) = match ending {
            LocalEnding::Completed => (GREEN, "✅", "[OK]", "Local run completed"),
            LocalEnding::Failed => (RED, "❌", "[FAILED]", "Local run failed"),
            LocalEnding::Interrupted => (RED, "❌", "[INTERRUPTED]", "Local run interrupted"),
        };
        let mark = if self.printer.emoji { mark } else { word };
        self.printer
            .line(format_args!("{mark} {style}{text}{style:#}\n"));
        let memory = serde_json::to_string(memory).unwrap_or_else(|_| "{}".to_owned());
        self.printer.line(format_args!(
            "Result stored in memory: {}",
            as_python(&memory)
        ));
        self.printer
    }

    fn info(&mut self, text: impl AsRef<str>) {
        self.level(Level::Info, text.as_ref());
    }

    fn level(&mut self, level: Level, text: &str) {
        let (style, word) = match level {
            Level::Info => (DIM, "INFO"),
            Level::Warn => (YELLOW, "WARN"),
            Level::Error => (RED, "ERROR"),
        };
        self.printer
            .line(format_args!("{style}[{word}]{style:#} {text}"));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalEnding {
    Completed,
    Failed,
    Interrupted,
}

fn memory_text(memory: &MemoryUse) -> String {
    match memory {
        MemoryUse::Added { key, value } => {
            format!("Memory added: key={key}, value={}", shown(value))
        }
        MemoryUse::Read { key, found } => {
            format!(
                "Memory read: key={key}, {}",
                if *found { "found" } else { "missing" }
            )
        }
        MemoryUse::Searched {
            query: Some(query),
            found,
        } => {
            format!("Memory searched: query={query}, {found} found")
        }
        MemoryUse::Searched { query: None, found } => format!("Memory searched: {found} found"),
        MemoryUse::Removed { what, count } => {
            format!(
                "Memory removed: {what}, {count} {}",
                if *count == 1 { "entry" } else { "entries" }
            )
        }
    }
}

fn shown(value: &Json) -> String {
    let text = as_python(value.as_str().unwrap_or_default());
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
