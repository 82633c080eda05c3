//! A run's state as columns, and back. The narrow row holds what a live run has; how it finished stands apart.
//!
//! Nothing is lost on the way: what core decided on before a restart is what it decides on after it. Durations are
//! kept to the millisecond, as all times are.

use std::time::Duration;

use serde_json::{from_slice, to_vec};
use ziet_core::run::{Cancelled, Claim, Clock, Status, WaitingOn};
use ziet_core::{Failure, Json, RunState, Time, WorkerId};

use crate::value::Columns;
use crate::{Result, StoreError};

/// The columns of the narrow row that a transition changes, but for the counters.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) waiting_on: Option<WaitingOn>,
    pub(crate) run_at: Option<Time>,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) used_ms: Option<u64>,
    pub(crate) since: Option<Time>,
}

/// How a run finished: exactly one of them.
#[derive(Default)]
pub(crate) struct Ended {
    pub(crate) output: Option<Json>,
    pub(crate) failure: Option<Vec<u8>>,
    pub(crate) cancelled: Option<Vec<u8>>,
}

impl Live {
    pub(crate) fn of(state: &RunState) -> Self {
        match state {
            RunState::Scheduled { at } | RunState::Retrying { at } => Self {
                run_at: Some(*at),
                ..Self::default()
            },
            RunState::Running { claim, clock } => Self {
                worker: Some(claim.worker),
                used_ms: Some(millis(clock.used)),
                since: Some(clock.since),
                ..Self::default()
            },
            RunState::Waiting { claim, used, on } => Self {
                waiting_on: Some(*on),
                worker: Some(claim.worker),
                used_ms: Some(millis(*used)),
                ..Self::default()
            },
            RunState::Created
            | RunState::Queued
            | RunState::Completed { .. }
            | RunState::Failed { .. }
            | RunState::Cancelled(_) => Self::default(),
        }
    }

    pub(crate) fn read(columns: &mut Columns<'_>) -> Result<Self> {
        Ok(Self {
            waiting_on: columns.next()?,
            run_at: columns.next()?,
            worker: columns.next()?,
            used_ms: columns.next()?,
            since: columns.next()?,
        })
    }
}

impl Ended {
    /// None while the run is alive.
    pub(crate) fn of(state: &RunState) -> Result<Option<Self>> {
        Ok(Some(match state {
            RunState::Completed { output } => Self {
                output: Some(output.clone()),
                ..Self::default()
            },
            RunState::Failed { failure } => Self {
                failure: Some(failure_bytes(failure)?),
                ..Self::default()
            },
            RunState::Cancelled(cancelled) => {
                let cancelled = to_vec(cancelled).map_err(unwritable)?;
                Self {
                    cancelled: Some(cancelled),
                    ..Self::default()
                }
            }
            RunState::Created
            | RunState::Scheduled { .. }
            | RunState::Queued
            | RunState::Running { .. }
            | RunState::Waiting { .. }
            | RunState::Retrying { .. } => return Ok(None),
        }))
    }

    pub(crate) fn read(columns: &mut Columns<'_>) -> Result<Self> {
        Ok(Self {
            output: columns.next()?,
            failure: columns.next()?,
            cancelled: columns.next()?,
        })
    }
}

/// The state that was taken apart; `attempts` is the run's count, and so the number of a live claim.
pub(crate) fn rebuild(
    status: Status,
    attempts: u32,
    live: &Live,
    ended: Ended,
) -> Result<RunState> {
    let claim = || {
        needed(live.worker, "worker").map(|worker| Claim {
            worker,
            attempt: attempts,
        })
    };
    let used = || needed(live.used_ms, "used_ms").map(Duration::from_millis);
    Ok(match status {
        Status::Created => RunState::Created,
        Status::Scheduled => RunState::Scheduled {
            at: needed(live.run_at, "run_at")?,
        },
        Status::Queued => RunState::Queued,
        Status::Running => {
            let clock = Clock {
                used: used()?,
                since: needed(live.since, "since")?,
            };
            RunState::Running {
                claim: claim()?,
                clock,
            }
        }
        Status::Waiting => {
            let on = needed(live.waiting_on, "waiting_on")?;
            RunState::Waiting {
                claim: claim()?,
                used: used()?,
                on,
            }
        }
        Status::Retrying => RunState::Retrying {
            at: needed(live.run_at, "run_at")?,
        },
        Status::Completed => RunState::Completed {
            output: needed(ended.output, "output")?,
        },
        Status::Failed => RunState::Failed {
            failure: failure(&needed(ended.failure, "failure")?)?,
        },
        Status::Cancelled => {
            RunState::Cancelled(cancelled(&needed(ended.cancelled, "cancelled")?)?)
        }
    })
}

/// A failure as it is stored.
pub(crate) fn failure_bytes(failure: &Failure) -> Result<Vec<u8>> {
    to_vec(failure).map_err(unwritable)
}

/// A failure that was stored.
pub(crate) fn failure(bytes: &[u8]) -> Result<Failure> {
    from_slice(bytes).map_err(|error| StoreError::Unreadable(format!("a failure: {error}")))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn cancelled(bytes: &[u8]) -> Result<Cancelled> {
    from_slice(bytes).map_err(|error| StoreError::Unreadable(format!("a cancellation: {error}")))
}

fn needed<T>(column: Option<T>, name: &str) -> Result<T> {
    column.ok_or_else(|| StoreError::Unreadable(format!("a run in such a state has no {name}")))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::Invalid(format!("it cannot be written as JSON: {error}"))
}
