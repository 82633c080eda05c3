//! What the engine keeps in memory of a run: while it waits in the queue, is executed, or is changed. All others are in the
//! store alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ziet_core::call::CallCounter;
use ziet_core::run::Claim;
use ziet_core::{ActionId, DeploymentId, Json, MemoryId, Run, RunId, Time};
use ziet_store::{LoadedRun, NewRun};
use ziet_worker::ExecutorId;

use crate::logs::Unsaved;

pub(crate) struct Live {
    pub(crate) run: Run,
    pub(crate) action: ActionId,
    pub(crate) input: Json,
    pub(crate) memory: MemoryId,
    pub(crate) root: RunId,
    /// The version of the code that executes it: the one that has accepted it, where that is known.
    pub(crate) deployment: DeploymentId,
    pub(crate) created_at: Time,
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
    /// How many runs are above the child.
    pub(crate) depth: u32,
    /// Those of the child's input.
    pub(crate) bytes: u64,
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
    /// What of it is not written yet.
    pub(crate) unsaved: Unsaved,
}

/// What an executor is doing, from the engine's side.
pub(crate) struct Slot {
    pub(crate) run: RunId,
    pub(crate) claim: Claim,
    /// Bytes of memory that the attempt may use.
    pub(crate) memory: u64,
    /// Whether the attempt waits for its calls: then it does not count as executing.
    pub(crate) waiting: bool,
    /// Bytes of the attempt's requests that the store has not answered.
    pub(crate) asked: Arc<AtomicUsize>,
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

impl Live {
    /// Those of its input.
    pub(crate) fn bytes(&self) -> u64 {
        self.input.as_bytes().len() as u64
    }

    /// Nothing is shown to be earlier that happens to it now, although the clock may have been set back.
    pub(crate) fn earliest(&self) -> Time {
        self.started_at.unwrap_or(self.created_at)
    }

    /// When the attempt began; None when there is none.
    pub(crate) fn began(&self) -> Option<Time> {
        let known = self.attempt.as_ref().map(|attempt| attempt.started_at);
        // One of the last engine may also have waited: then only the run's own start is known.
        let before = || {
            self.run
                .state
                .claim()
                .and(self.run.running_since().or(self.started_at))
        };
        known.or_else(before)
    }
}

impl From<&NewRun> for Live {
    fn from(new: &NewRun) -> Self {
        Self {
            run: new.run.clone(),
            action: new.action_id.clone(),
            input: new.input.clone(),
            memory: new.memory_id,
            root: new.root_id,
            deployment: new.deployment_id.unwrap_or(DeploymentId::NONE),
            created_at: new.created_at,
            started_at: None,
            children: HashSet::new(),
            attempt: None,
        }
    }
}

impl From<LoadedRun> for Live {
    fn from(loaded: LoadedRun) -> Self {
        Self {
            run: loaded.run,
            action: loaded.action_id,
            input: loaded.input,
            memory: loaded.memory_id,
            root: loaded.root_id,
            deployment: loaded.deployment_id.unwrap_or(DeploymentId::NONE),
            created_at: loaded.created_at,
            started_at: loaded.started_at,
            children: HashSet::new(),
            attempt: None,
        }
    }
}
