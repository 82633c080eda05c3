//! How many runs have not finished, in memory and in the store together, and how many more may be accepted.

use std::time::Duration;

use ziet_core::{ErrorCode, RunState, limits};

use crate::answer::Refusal;
use crate::live::Live;
use crate::turn::Scheduler;

/// How long to wait when there are too many runs.
const BACKLOG_RETRY: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) runs: u64,
    /// Of their inputs.
    pub(crate) bytes: u64,
    /// Runs that wait for an executor.
    pub(crate) queued: u64,
}

/// How much there is of something, and how much there may be.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// The runs that are counted.
    what: &'static str,
    runs: u64,
    bytes: u64,
    max_runs: u64,
    max_bytes: u64,
    draining: bool,
}

impl Room {
    /// Refuses so many new runs, with so many bytes of inputs, if they are too many.
    pub(crate) fn admit(&self, runs: u64, bytes: u64) -> Result<(), Refusal> {
        let what = self.what;
        let message = if runs == 0 {
            return Ok(());
        } else if self.draining {
            return Err(Refusal::draining());
        } else if self.runs + runs > self.max_runs {
            format!(
                "{} {what} have not finished, limit {}",
                self.runs, self.max_runs
            )
        } else if self.bytes + bytes > self.max_bytes {
            let limit = limits::memory_text(self.max_bytes);
            format!(
                "the inputs of {what} that have not finished take {}, limit {limit}",
                limits::memory_text(self.bytes)
            )
        } else {
            return Ok(());
        };
        let refusal = Refusal::new(ErrorCode::TooManyRuns, message);
        if runs > self.max_runs || bytes > self.max_bytes {
            let message = format!("{}; so much is never accepted at once", refusal.message);
            return Err(Refusal { message, ..refusal });
        }
        Err(Refusal {
            retry_after: Some(BACKLOG_RETRY),
            ..refusal
        })
    }
}

impl Scheduler {
    /// For runs that are submitted.
    pub(crate) fn room(&self) -> Room {
        Room {
            what: "runs",
            runs: self.backlog.runs,
            bytes: self.backlog.bytes,
            max_runs: self.settings.max_queued,
            max_bytes: self.settings.max_queued_bytes,
            draining: self.drain.is_some(),
        }
    }

    /// For runs that attempts call. What others submit does not keep them from it: what was accepted must come to its end.
    pub(crate) fn room_for_calls(&self) -> Room {
        Room {
            what: "called runs",
            runs: self.callers.len() as u64,
            bytes: self.callers.bytes(),
            max_bytes: self.settings.max_queued_bytes.min(limits::CALLED_BYTES),
            draining: false,
            ..self.room()
        }
    }
}

impl Backlog {
    pub(crate) fn add(&mut self, live: &Live) {
        self.runs += 1;
        self.bytes += live.bytes();
        self.queued += u64::from(live.run.state == RunState::Queued);
    }

    pub(crate) fn remove(&mut self, live: &Live) {
        self.runs = self.runs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(live.bytes());
        let queued = u64::from(live.run.state == RunState::Queued);
        self.queued = self.queued.saturating_sub(queued);
    }

    pub(crate) fn moved(&mut self, before: &RunState, after: &RunState) {
        self.queued += u64::from(*after == RunState::Queued);
        self.queued = self
            .queued
            .saturating_sub(u64::from(*before == RunState::Queued));
    }
}
