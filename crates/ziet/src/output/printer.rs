//! The one place that writes to the terminal, and decides on colour and emoji.

use std::fmt::Display;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use textwrap::core::display_width;
use ziet_core::Time;
use ziet_core::error::Failure;
use ziet_core::wire::Level;
use ziet_engine::Clock;

use super::Table;
use super::ago::ago;
use super::wording::marks;
use super::{failure, lines, spelled};
use crate::error::CliError;

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();

/// `EIO`, which a terminal gives that was closed.
const HUNG_UP: i32 = 5;

/// Standard output holds what was asked for, standard error everything else. Both lose their colours where nobody
/// sees them: in pipes, on dumb terminals, with `NO_COLOR`.
pub(crate) struct Printer {
    out: AutoStream<Stdout>,
    err: AutoStream<Stderr>,
    /// Standard output is to hold a document.
    lines_to_stderr: bool,
    /// What each line of what was asked for begins with.
    before: String,
    /// Nothing but ASCII in what the program itself writes: no emoji either.
    pub(crate) ascii: bool,
    /// Why lines are missing, if some are.
    unwritten: Option<io::Error>,
    /// Columns of the terminal that standard output is; None where it is none.
    pub(crate) width: Option<u16>,
    clock: Clock,
    /// Lines of the terminal that the last [`Printer::redraw`] took.
    drawn: usize,
}

impl Printer {
    pub(crate) fn new(ascii: bool) -> Self {
        Self {
            out: anstream::stdout(),
            err: anstream::stderr(),
            lines_to_stderr: false,
            before: String::new(),
            ascii,
            unwritten: None,
            width: terminal_size::terminal_size_of(io::stdout())
                .map(|(width, _)| width.0)
                .filter(|columns| *columns > 0),
            clock: Clock::default(),
            drawn: 0,
        }
    }

    /// Makes room on standard output for a document.
    pub(crate) fn lines_to_stderr(&mut self) {
        self.lines_to_stderr = true;
    }

    /// What the lines of what was asked for begin with from now on, so that it can be seen what they are about.
    pub(crate) fn before_each_line(&mut self, word: &str) {
        self.before = if word.is_empty() {
            String::new()
        } else {
            format!("{DIM}{word}{DIM:#} ")
        };
    }

    /// One or more lines of what was asked for.
    pub(crate) fn line(&mut self, text: impl Display) {
        // In one piece: it may be many lines.
        let mut text = format!("{text}\n");
        if !self.before.is_empty() {
            let lines = text.lines().filter(|line| !line.is_empty());
            text = lines.fold(String::new(), |text, line| {
                text + &self.before + line + "\n"
            });
        }
        let written = if self.lines_to_stderr {
            self.err.write_all(text.as_bytes())
        } else {
            self.out.write_all(text.as_bytes())
        };
        // Neither a reader that went away nor a full disk ends a run; the latter is told when it has ended.
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
            && error.raw_os_error() != Some(HUNG_UP)
        {
            self.unwritten.get_or_insert(error);
        }
    }

    /// As wide as the terminal; in a pipe, each row is one line.
    pub(crate) fn table(&mut self, table: Table) {
        self.line(table.render(self.width, self.ascii));
    }

    /// How long ago that was on a terminal, and exactly when elsewhere.
    pub(crate) fn time(&self, time: Time) -> String {
        if self.width.is_some() {
            ago(time, self.now())
        } else {
            time.to_string()
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// What code printed, each line with what comes before it.
    pub(crate) fn output(&mut self, before: &str, level: Level, text: &str) {
        self.line(lines::output(before, level, text));
    }

    /// An error with the user's frames; `whose` comes before it.
    pub(crate) fn failure(&mut self, whose: &str, failure: &Failure) {
        let headline = failure::headline(&failure.headline(), 2, self.ascii);
        let details = failure::details(failure, self.ascii);
        self.line(format!("{whose}{RED}{headline}{RED:#}\n{details}").trim_end());
    }

    /// Puts a table into the place of the one before, in a terminal that may have changed its size: `table` is told for
    /// how many lines there is room.
    pub(crate) fn redraw(&mut self, table: impl FnOnce(&Self, usize) -> Table) {
        let size = terminal_size::terminal_size_of(io::stdout());
        let (width, height) = size.map_or((80, 24), |(width, height)| (width.0.max(1), height.0));
        self.width = Some(width);
        let table = table(self, usize::from(height).saturating_sub(2));
        let text = table.render(self.width, self.ascii);
        let up = std::mem::take(&mut self.drawn);
        let back = if up > 0 {
            format!("\x1b[{up}A")
        } else {
            String::new()
        };
        // Its own lines may be longer than those of a terminal that was made narrower.
        self.drawn = text
            .lines()
            .map(|line| display_width(line).div_ceil(usize::from(width)).max(1))
            .sum();
        self.line(format!("{back}\r\x1b[J{text}"));
    }

    /// A line that stays, after which a table is drawn beneath it.
    pub(crate) fn note_between(&mut self, text: impl Display) {
        self.drawn = 0;
        self.note(text);
    }

    /// # Errors
    /// When lines could not be written.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        self.unwritten.take().map_or(Ok(()), |error| {
            Err(CliError::failed(
                "lines are missing: standard output",
                error,
            ))
        })
    }

    /// The one JSON document of `--json`.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(document)
            .map_err(|error| CliError::failed("the document", error))?;
        match writeln!(io::stdout(), "{text}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::failed("standard output", error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn note(&self, text: impl Display) {
        self.say(CYAN, "note", text);
    }

    /// Tells somebody who waits what for; nobody does where standard error is no terminal.
    pub(crate) fn progress(&self, text: impl Display) {
        if io::stderr().is_terminal() {
            self.note(text);
        }
    }

    /// How far something is, in bytes. It is shown where standard error is a terminal that can show it.
    pub(crate) fn bar(&self, what: &'static str, bytes: u64) -> ProgressBar {
        if self.ascii {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}",
        );
        let bar = ProgressBar::new(bytes).with_message(what);
        style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
    }

    /// A line beside what was asked for.
    pub(crate) fn aside(&self, text: impl Display) {
        let text = spelled::lines(&text.to_string());
        let _ = writeln!(anstream::stderr(), "{DIM}{text}{DIM:#}");
    }

    /// What is answered on the same line.
    pub(crate) fn question(&self, text: &str) {
        let _ = write!(
            anstream::stderr(),
            "{BOLD}{}{BOLD:#}",
            spelled::one_line(text)
        );
    }

    pub(crate) fn warning(&self, text: impl Display) {
        self.say(YELLOW, "warning", text);
    }

    pub(crate) fn error(&self, error: &CliError) {
        self.say(RED, "error", &error.message);
        if let Some(hint) = &error.hint {
            self.say(CYAN, "hint", hint);
        }
    }

    /// It may quote what somebody else wrote, in which nothing may steer the terminal.
    fn say(&self, style: Style, word: &str, text: impl Display) {
        let text = marks(&spelled::lines(&text.to_string()), self.ascii);
        let _ = writeln!(anstream::stderr(), "{style}{word}{style:#}: {text}");
    }
}
