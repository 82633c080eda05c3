//! How many runs have not finished, in memory and in the store together.

use ziet_core::RunState;

use crate::live::Live;
use crate::queue::LUMP;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) runs: u64,
    /// Of their inputs.
    pub(crate) bytes: u64,
    /// Runs that wait for an executor.
    pub(crate) queued: u64,
}

/// Bytes of inputs that are read at once, as far as their average tells.
const LUMP_BYTES: u64 = 32 * 1024 * 1024;

impl Backlog {
    /// How many runs are read back at once.
    pub(crate) fn lump(&self) -> usize {
        let average = self.bytes.checked_div(self.runs).unwrap_or(0).max(1);
        usize::try_from(LUMP_BYTES / average).map_or(LUMP, |fitting| fitting.clamp(1, LUMP))
    }

    pub(crate) fn add(&mut self, live: &Live) {
        self.runs += 1;
        self.bytes += live.input.as_bytes().len() as u64;
        self.queued += u64::from(live.run.state == RunState::Queued);
    }

    pub(crate) fn remove(&mut self, live: &Live) {
        self.runs = self.runs.saturating_sub(1);
        self.bytes = self
            .bytes
            .saturating_sub(live.input.as_bytes().len() as u64);
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
