//! Takes in what nobody else may see: typed without being shown, or from standard input.

use std::io::{self, BufRead, IsTerminal};
use std::iter;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::waiting::{Told, Waiting};
use crate::error::CliError;
use crate::output::Printer;

/// The first line, without what is around it.
pub(super) fn read(question: &str, printer: &Printer) -> Result<String, CliError> {
    let failed = |error| CliError::failed("standard input", error);
    let line = if io::stdin().is_terminal() {
        let waiting = Waiting::begin()?;
        let _hidden = Hidden::begin().map_err(failed)?;
        printer.question(question);
        waiting.hear(iter::once_with(line));
        let told = waiting.next();
        // The one that was typed is not shown either.
        printer.aside("");
        match told {
            Told::Item(line) => line,
            Told::Interrupt => return Err(CliError::interrupted()),
        }
    } else {
        line()
    };
    Ok(line.map_err(failed)?.trim().to_owned())
}

/// As [`read`]; standard input is read to its end, which may be many lines, without the end of the last.
pub(super) fn read_all(question: &str, printer: &Printer) -> Result<String, CliError> {
    if io::stdin().is_terminal() {
        return read(question, printer);
    }
    let mut text = io::read_to_string(io::stdin())
        .map_err(|error| CliError::failed("standard input", error))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// As long as it lives, the terminal does not show what is typed.
pub(super) struct Hidden {
    before: Termios,
}

impl Hidden {
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
