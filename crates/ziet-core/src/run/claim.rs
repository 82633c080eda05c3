//! Taking a queued run for an attempt.

use std::time::Duration;

use super::{Claim, Clock, Rejected, Run, RunState, Transition};
use crate::id::WorkerId;
use crate::time::Time;

pub(super) fn claim(run: &Run, worker: WorkerId, now: Time) -> Result<Transition, Rejected> {
    match run.state {
        RunState::Queued => {
            let attempts = run.attempts.saturating_add(1);
            let claim = Claim {
                worker,
                attempt: attempts,
            };
            let clock = Clock {
                used: Duration::ZERO,
                since: now,
            };
            let run = Run {
                attempts,
                ..run.to(RunState::Running { claim, clock })
            };
            Ok(Transition {
                run,
                effects: Vec::new(),
            })
        }
        // Two workers saw it in the queue: the second one comes too late.
        RunState::Running { .. } | RunState::Waiting { .. } => Err(Rejected::Fenced),
        RunState::Created
        | RunState::Scheduled { .. }
        | RunState::Retrying { .. }
        | RunState::Completed { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled(_) => Err(Rejected::Misplaced),
    }
}
