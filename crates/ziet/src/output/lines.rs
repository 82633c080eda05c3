//! The lines of a local run, as the specification of the product shows them.

use std::time::Duration;

use ziet_core::error::{ErrorCode, Failure, StackFrame};
use ziet_core::memory::Newest;
use ziet_core::run::Outcome;
use ziet_core::wire::Level;
use ziet_core::{ActionId, Json};
use ziet_engine::{Happening, MemoryUse};

use super::json::{as_python, as_python_cut};
use super::printer::{DIM, GREEN, Printer, RED, YELLOW};
use super::text::one_line;

/// Characters of a value in a line; the whole of it is in the last line and in `--json`.
const LONGEST_VALUE: usize = 200;

/// Characters of an error's message in a line.
const LONGEST_MESSAGE: usize = 2000;

/// The outermost and the innermost calls of a long stack that are shown.
const FRAMES_AT_END: usize = 10;

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
        let tag = tag(level);
        let lines = text
            .split('\n')
            .map(|line| format!("{tag} {}", line.trim_end_matches('\r')));
        self.printer.line(lines.collect::<Vec<_>>().join("\n"));
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
        let headline = failure.headline();
        let shown = headline
            .char_indices()
            .nth(LONGEST_MESSAGE)
            .map_or(&*headline, |(end, _)| &headline[..end]);
        let cut = if shown.len() < headline.len() {
            "…"
        } else {
            ""
        };
        self.level(Level::Error, &format!("Action {name} {what}: {shown}{cut}"));
        // A stack of nothing but the user's own frames is the one that helps; the whole one is in memory.
        let frames: Vec<&StackFrame> = failure.frames.iter().filter(|frame| frame.user).collect();
        let left_out = frames.len().saturating_sub(2 * FRAMES_AT_END);
        for (index, frame) in frames.iter().enumerate() {
            if left_out == 0 || index < FRAMES_AT_END || index >= FRAMES_AT_END + left_out {
                self.frame(frame);
            } else if index == FRAMES_AT_END {
                self.printer
                    .line(format_args!("  {DIM}… {left_out} more calls{DIM:#}"));
            }
        }
    }

    fn frame(&mut self, frame: &StackFrame) {
        let StackFrame {
            file,
            line,
            function,
            source,
            ..
        } = frame;
        self.printer.line(format_args!(
            "  {DIM}File \"{file}\", line {line}, in {function}{DIM:#}"
        ));
        if let Some(source) = source {
            self.printer.line(format_args!("    {source}"));
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
        self.printer.line(format_args!("{} {text}", tag(level)));
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalEnding {
    Completed,
    Failed,
    Interrupted,
}

fn memory_text(memory: &MemoryUse) -> String {
    match memory {
        MemoryUse::Added { key, value } => format!(
            "Memory added: key={}, value={}",
            one_line(key),
            shown(value)
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

fn shown(value: &Json) -> String {
    as_python_cut(value.as_str().unwrap_or_default(), LONGEST_VALUE)
}
