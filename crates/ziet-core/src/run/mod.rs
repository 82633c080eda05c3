//! The life of a run: its states, what happens to it, and the one function that decides.
//!
//! `transition` is pure. Whoever holds a run applies the event, writes the new state, and carries out the effects after
//! that write is committed; an event that does not fit is a [`Rejected`] value, never a change.

mod cancel;
mod claim;
mod end;
mod start;
mod wait;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::id::WorkerId;
use crate::json::Json;
use crate::retry::RetryPolicy;
use crate::time::Time;

/// A run, as far as decisions about it need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub policy: Policy,
    pub state: RunState,
    /// Attempts begun so far, whatever became of them.
    pub attempts: u32,
    /// Ended attempts that use up retries: all but the lost ones.
    pub counted: u32,
    pub lost_in_a_row: u32,
}

/// What the action's options say about its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An attempt's own time; waiting does not count.
    pub timeout: Duration,
    pub retry: RetryPolicy,
    pub on_lost: OnLost,
}

/// What becomes of a run whose worker vanished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLost {
    /// It is executed again.
    #[default]
    Rerun,
    /// It fails: its effects must never happen twice.
    Fail,
}

/// Each state carries only what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Accepted, and not to be executed before somebody starts it.
    Created,
    Scheduled {
        at: Time,
    },
    Queued,
    Running {
        claim: Claim,
        clock: Clock,
    },
    /// An attempt stands still until something else happens; its clock stands still too.
    Waiting {
        claim: Claim,
        used: Duration,
        on: WaitingOn,
    },
    Retrying {
        at: Time,
    },
    Completed {
        output: Json,
    },
    Failed {
        failure: Failure,
    },
    Cancelled(Cancelled),
}

/// The right to execute one attempt. Its number is the fencing token: whoever holds an older claim changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub worker: WorkerId,
    pub attempt: u32,
}

/// An attempt's own time: what it used before it last waited, and since when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub used: Duration,
    pub since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingOn {
    Children,
    Approval,
    Memory,
    Time,
}

/// Who cancelled a run, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    pub by: String,
    pub reason: Option<String>,
}

/// The words for states that people and programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Scheduled,
    Queued,
    Running,
    Retrying,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Completed,
    Failed,
    TimedOut,
    OutOfMemory,
    Crashed,
    Lost,
    Cancelled,
}

/// How the execution of an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Completed {
        output: Json,
    },
    /// An exception.
    Failed(Failure),
    TimedOut(Failure),
    OutOfMemory(Failure),
    /// The process died.
    Crashed(Failure),
    /// The worker vanished, so nobody knows.
    Lost,
    /// The worker is being stopped, and has ended it before its time.
    HandedBack,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A created run is to be executed.
    Start,
    /// The time of a scheduled or retrying run has come.
    Due,
    /// A worker takes a queued run.
    Claim {
        worker: WorkerId,
    },
    /// The attempt waits for something that is not its own work.
    Wait {
        claim: Claim,
        on: WaitingOn,
    },
    Resume {
        claim: Claim,
    },
    Ended {
        claim: Claim,
        ending: Ending,
    },
    Cancel(Cancelled),
}

/// What is to be done once the new state is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Give it to the next free executor.
    Enqueue,
    /// Send `Due` at this time.
    Wake { at: Time },
    /// End the process of this attempt: nobody waits for it any more.
    Stop { claim: Claim },
    /// Write down the attempt. Goes into the same commit as the state.
    Record {
        attempt: u32,
        outcome: Outcome,
        failure: Option<Failure>,
    },
    /// Add an entry under the action's error key. Goes into the same commit as the state.
    NoteError(ErrorNote),
    /// Cancel the child runs that have not finished.
    CancelChildren,
    /// The run has finished: tell who waits for it.
    Announce,
}

/// What memory keeps of a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorNote {
    /// Which attempt it was and how many there are at most; lost ones are not counted.
    pub attempt: u32,
    pub max_attempts: u32,
    pub will_retry: bool,
    pub failure: Failure,
}

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the run has finished")]
    Finished,
    #[error("the attempt is not the run's current one")]
    Fenced,
    #[error("it is not due yet")]
    NotDue,
    #[error("it does not fit the run's state")]
    Misplaced,
}

/// A new state and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub run: Run,
    pub effects: Vec<Effect>,
}

/// Decides what `event` at `now` makes of `run`.
///
/// # Errors
/// [`Rejected`] when the event does not fit; the run is as it was.
pub fn transition(run: &Run, event: Event, now: Time) -> Result<Transition, Rejected> {
    if run.state.is_finished() {
        return Err(Rejected::Finished);
    }
    match event {
        Event::Start => start::start(run),
        Event::Due => start::due(run, now),
        Event::Claim { worker } => claim::claim(run, worker, now),
        Event::Wait { claim, on } => wait::wait(run, claim, on, now),
        Event::Resume { claim } => wait::resume(run, claim, now),
        Event::Ended { claim, ending } => end::end(run, claim, ending, now),
        Event::Cancel(cancelled) => Ok(cancel::cancel(run, cancelled)),
    }
}

impl Run {
    /// A run that has just been accepted: to be executed at once, or not before `at`.
    pub fn accepted(policy: Policy, at: Option<Time>, now: Time) -> Transition {
        let (state, effect) = match at.filter(|at| *at > now) {
            Some(at) => (RunState::Scheduled { at }, Effect::Wake { at }),
            None => (RunState::Queued, Effect::Enqueue),
        };
        Transition {
            run: Self::new(policy, state),
            effects: vec![effect],
        }
    }

    /// A run that waits for somebody to start it.
    pub fn created(policy: Policy) -> Self {
        Self::new(policy, RunState::Created)
    }

    fn new(policy: Policy, state: RunState) -> Self {
        Self {
            policy,
            state,
            attempts: 0,
            counted: 0,
            lost_in_a_row: 0,
        }
    }

    /// Since when the running attempt uses its time; None while none runs or it waits.
    pub fn running_since(&self) -> Option<Time> {
        let RunState::Running { clock, .. } = &self.state else {
            return None;
        };
        Some(clock.since)
    }

    /// When the running attempt has used up its time; None while none runs or it waits.
    pub fn deadline(&self) -> Option<Time> {
        let RunState::Running { clock, .. } = &self.state else {
            return None;
        };
        Some(
            clock
                .since
                .plus(self.policy.timeout.saturating_sub(clock.used)),
        )
    }

    /// The current attempt's place among those that count, as people number them: "attempt 2 of 4".
    pub fn counted_attempt(&self) -> u32 {
        self.counted.saturating_add(1)
    }

    /// The same run in another state.
    fn to(&self, state: RunState) -> Self {
        Self { state, ..*self }
    }

    /// # Errors
    /// `Fenced` when `claim` is not the one that the run is executed under.
    fn check(&self, claim: Claim) -> Result<(), Rejected> {
        if self.state.claim() == Some(claim) {
            Ok(())
        } else {
            Err(Rejected::Fenced)
        }
    }
}

impl RunState {
    pub fn is_finished(&self) -> bool {
        self.status().is_finished()
    }

    pub fn claim(&self) -> Option<Claim> {
        match self {
            Self::Running { claim, .. } | Self::Waiting { claim, .. } => Some(*claim),
            Self::Created
            | Self::Scheduled { .. }
            | Self::Queued
            | Self::Retrying { .. }
            | Self::Completed { .. }
            | Self::Failed { .. }
            | Self::Cancelled(_) => None,
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Self::Created => Status::Created,
            Self::Scheduled { .. } => Status::Scheduled,
            Self::Queued => Status::Queued,
            Self::Running { .. } => Status::Running,
            Self::Waiting { .. } => Status::Waiting,
            Self::Retrying { .. } => Status::Retrying,
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Cancelled(_) => Status::Cancelled,
        }
    }
}

impl Status {
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}
