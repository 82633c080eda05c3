//! What the engine keeps in memory of a run that has not finished.

use std::collections::{HashMap, HashSet};

use ziet_core::call::CallCounter;
use ziet_core::run::Claim;
use ziet_core::{ActionId, Json, MemoryId, Run, RunId, Time};
use ziet_worker::ExecutorId;

pub(crate) struct Live {
    pub(crate) run: Run,
    pub(crate) action: ActionId,
    pub(crate) input: Json,
    pub(crate) memory: MemoryId,
    pub(crate) root: RunId,
    /// How many runs are above it.
    pub(crate) depth: u32,
    /// The call that it answers, if it is a child.
    pub(crate) caller: Option<Caller>,
    pub(crate) started_at: Option<Time>,
    /// Child runs that have not finished.
    pub(crate) children: HashSet<RunId>,
    /// What exists only while an attempt does.
    pub(crate) attempt: Option<Attempt>,
}

/// Who waits for a child run, and under which request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) run: RunId,
    pub(crate) claim: Claim,
    pub(crate) request: u64,
}

/// A run's current attempt.
pub(crate) struct Attempt {
    pub(crate) claim: Claim,
    pub(crate) executor: ExecutorId,
    pub(crate) started_at: Time,
    pub(crate) calls: CallCounter,
    /// Calls that have not been answered, by their requests: it waits while there is one.
    pub(crate) open_calls: HashMap<u64, RunId>,
    /// Bytes printed and logged so far.
    pub(crate) printed: usize,
}

/// What an executor is doing, from the engine's side.
pub(crate) struct Slot {
    pub(crate) run: RunId,
    pub(crate) claim: Claim,
    /// Bytes of memory that the attempt may use.
    pub(crate) memory: u64,
    /// Whether the attempt waits for its calls: then it does not count as executing.
    pub(crate) waiting: bool,
    /// It was stopped because the attempt's time was up; its stack comes with the end.
    pub(crate) time_up: Option<TimeUp>,
}

/// The end of an attempt's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeUp {
    pub(crate) deadline: Time,
    /// When the attempt was settled: nothing that came later counts.
    pub(crate) settled: Time,
}
