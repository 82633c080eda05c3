//! The server's log, on standard error: text for people, or one JSON object in each line.
//!
//! A thread of its own writes it, so that nobody is held up by a terminal that stands still or a pipe that nobody reads.

use std::io::{self, IsTerminal, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::error::CliError;
use crate::settings::{LogFormat, Serving};

/// Bytes of lines that may wait to be written. What comes then is lost, and counted.
const WAITING: usize = 1024 * 1024;

/// How long the program waits at its end for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// From now on this process logs; when the result is dropped, the last lines are written.
pub(in crate::commands) fn start(serving: &Serving) -> Result<Lines, CliError> {
    let log = Arc::new(Log::default());
    let written = Arc::clone(&log);
    thread::Builder::new()
        .name("ziet-log".to_owned())
        .spawn(move || written.write_to(&mut io::stderr()))
        .map_err(|error| CliError::failed("the log", error))?;
    // What libraries say matters only when something is wrong.
    let level = serving.log_level.parse().unwrap_or(LevelFilter::INFO);
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("ziet", level);
    let lines = fmt::layer()
        .with_writer(Arc::clone(&log))
        .with_target(false)
        .log_internal_errors(false);
    let lines = match serving.log_format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails only where this process logs already.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(Lines(log))
}

/// The log, for as long as it is needed.
pub(in crate::commands) struct Lines(Arc<Log>);

impl Drop for Lines {
    fn drop(&mut self) {
        let log = &self.0;
        let is_left = |waiting: &mut Waiting| waiting.writing || !waiting.text.is_empty();
        drop(
            log.changed
                .wait_timeout_while(log.waiting(), LAST_LINES, is_left),
        );
    }
}

#[derive(Default)]
struct Log {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Lines for which there was no room.
    lost: u64,
    /// Whether what was taken last is still being written.
    writing: bool,
}

impl Log {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all that comes, for ever.
    fn write_to(&self, output: &mut impl Write) {
        let mut text = Vec::new();
        loop {
            let waiting = self
                .changed
                .wait_while(self.waiting(), |waiting| waiting.text.is_empty());
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            mem::swap(&mut text, &mut waiting.text);
            let lost = mem::take(&mut waiting.lost);
            waiting.writing = true;
            drop(waiting);
            // A terminal that was closed, or a full disk, must not end the server: there is nobody to tell.
            let _ = output.write_all(&text);
            text.clear();
            if lost > 0 {
                tracing::warn!(
                    lost,
                    "{lost} lines of the log are missing here: it was read too slowly"
                );
            }
            self.waiting().writing = false;
            self.changed.notify_all();
        }
    }
}

/// What is written at once is one line.
impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting();
        if waiting.text.len() + line.len() > WAITING {
            waiting.lost += 1;
        } else {
            waiting.text.extend_from_slice(line);
            self.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_lost_and_holds_up_nobody() {
        let log = Log::default();
        let line = vec![b'x'; WAITING / 2];
        for _ in 0..5 {
            (&log).write_all(&line).unwrap();
        }
        let waiting = log.waiting();
        assert_eq!((waiting.text.len(), waiting.lost), (WAITING, 3));
    }
}
