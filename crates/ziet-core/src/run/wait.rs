//! Standing still within an attempt. Its clock stands still too, and it does not count against concurrency.

use super::{Claim, Clock, Rejected, Run, RunState, Transition, WaitingOn};
use crate::time::Time;

pub(super) fn wait(run: &Run, claim: Claim, on: WaitingOn, now: Time) -> Result<Transition, Rejected> {
    run.check(claim)?;
    match run.state {
        RunState::Running { clock, .. } => {
            let used = clock.used.saturating_add(now.since(clock.since));
            let run = run.to(RunState::Waiting { claim, used, on });
            Ok(Transition { run, effects: Vec::new() })
        }
        _ => Err(Rejected::Misplaced),
    }
}

pub(super) fn resume(run: &Run, claim: Claim, now: Time) -> Result<Transition, Rejected> {
    run.check(claim)?;
    match run.state {
        RunState::Waiting { used, .. } => {
            let clock = Clock { used, since: now };
            Ok(Transition { run: run.to(RunState::Running { claim, clock }), effects: Vec::new() })
        }
        _ => Err(Rejected::Misplaced),
    }
}
