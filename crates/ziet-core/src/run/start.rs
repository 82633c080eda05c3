//! Becoming ready to be executed.

use super::{Effect, Rejected, Run, RunState, Transition};
use crate::retry::LONGEST_WAIT;
use crate::time::Time;

pub(super) fn start(run: &Run) -> Result<Transition, Rejected> {
    match run.state {
        RunState::Created => Ok(queue(run)),
        RunState::Scheduled { .. }
        | RunState::Queued
        | RunState::Running { .. }
        | RunState::Waiting { .. }
        | RunState::Retrying { .. }
        | RunState::Completed { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled(_) => Err(Rejected::Misplaced),
    }
}

pub(super) fn due(run: &Run, now: Time) -> Result<Transition, Rejected> {
    match run.state {
        RunState::Scheduled { at } | RunState::Retrying { at } if now >= at => Ok(queue(run)),
        // No wait is as long: the clock was set back since.
        RunState::Retrying { at } if at.since(now) > LONGEST_WAIT => Ok(queue(run)),
        RunState::Scheduled { .. } | RunState::Retrying { .. } => Err(Rejected::NotDue),
        RunState::Created
        | RunState::Queued
        | RunState::Running { .. }
        | RunState::Waiting { .. }
        | RunState::Completed { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled(_) => Err(Rejected::Misplaced),
    }
}

fn queue(run: &Run) -> Transition {
    Transition {
        run: run.to(RunState::Queued),
        effects: vec![Effect::Enqueue],
    }
}
