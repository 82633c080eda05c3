//! What attempts print and log, on its way into the store: with the commit of the attempt's end, or after a moment.

use std::time::Duration;

use ziet_core::RunId;
use ziet_core::limits;
use ziet_core::wire::Level;
use ziet_store::Change;
use ziet_store::logs::NewLine;
use ziet_worker::ExecutorId;

use crate::notice::Happening;
use crate::turn::Scheduler;

/// How long a line waits for others.
pub(crate) const SAVE_WITHIN: Duration = Duration::from_millis(200);

/// Bytes of lines that are written at once.
const SAVE_BYTES: usize = 64 * 1024;

/// Lines that are not written yet.
#[derive(Default)]
pub(crate) struct Unsaved {
    lines: Vec<NewLine>,
    bytes: usize,
}

impl Unsaved {
    /// Takes all lines as a change; None when there are none.
    pub(crate) fn take(&mut self, run: RunId, attempt: u32) -> Option<Change> {
        let Self { lines, .. } = std::mem::take(self);
        (!lines.is_empty()).then_some(Change::Logs {
            run,
            attempt,
            lines,
        })
    }
}

impl Scheduler {
    pub(crate) fn on_output(&mut self, executor: ExecutorId, level: Level, text: String) {
        let Some((run, _)) = self.claimed(executor) else {
            return;
        };
        let live = self.runs.get_mut(&run);
        let Some(attempt) = live.and_then(|live| live.attempt.as_mut()) else {
            return;
        };
        let before = attempt.printed;
        // An empty line is not nothing.
        attempt.printed = before.saturating_add(text.len() + 1);
        if attempt.printed <= limits::OUTPUT_BYTES {
            self.tell_line(run, level, text);
        } else if before <= limits::OUTPUT_BYTES {
            let text = format!(
                "output over {} MB is dropped",
                limits::OUTPUT_BYTES / (1024 * 1024)
            );
            self.tell_line(run, Level::Warn, text);
        }
    }

    /// Tells and keeps a line of the run's attempt as it is now; 0 before the first one.
    pub(crate) fn tell_line(&mut self, run: RunId, level: Level, text: String) {
        let at = self.clock.now();
        let Some(live) = self.runs.get(&run) else {
            return;
        };
        let number = live.run.attempts;
        if self.settings.tells_lines {
            let happening = Happening::Output {
                at,
                attempt: number,
                level,
                text: text.clone(),
            };
            self.tell_of(run, happening);
        }
        let Some(live) = self.runs.get_mut(&run) else {
            return;
        };
        let printed = NewLine { at, level, text };
        if let Some(attempt) = &mut live.attempt {
            attempt.unsaved.bytes += printed.text.len();
            attempt.unsaved.lines.push(printed);
            if attempt.unsaved.bytes >= SAVE_BYTES {
                self.save_lines(run);
            } else {
                self.printing.insert(run);
                self.save_by.get_or_insert(at.plus(SAVE_WITHIN));
            }
        } else {
            let lines = vec![printed];
            let change = Change::Logs {
                run,
                attempt: number,
                lines,
            };
            self.commit(vec![change], |_| {});
        }
    }

    /// Writes the lines that have waited.
    pub(crate) fn save_all_lines(&mut self) {
        let now = self.clock.now();
        if self
            .save_by
            .take_if(|by| *by <= now || self.stopping)
            .is_some()
        {
            for run in std::mem::take(&mut self.printing) {
                self.save_lines(run);
            }
        }
    }

    fn save_lines(&mut self, run: RunId) {
        let attempt = self
            .runs
            .get_mut(&run)
            .and_then(|live| live.attempt.as_mut());
        let lines = attempt.and_then(|attempt| attempt.unsaved.take(run, attempt.claim.attempt));
        if let Some(lines) = lines {
            self.write_claim(run);
            self.commit(vec![lines], |_| {});
        }
    }
}
