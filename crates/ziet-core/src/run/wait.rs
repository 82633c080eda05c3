//! Standing still within an attempt. Its clock stands still too, and it does not count against concurrency.

use super::{Claim, Clock, Rejected, Run, RunState, Transition, WaitingOn};
use crate::time::Time;

pub(super) fn wait(
    run: &Run,
    claim: Claim,
    on: WaitingOn,
    now: Time,
) -> Result<Transition, Rejected> {
    run.check(claim)?;
    let RunState::Running { clock, .. } = run.state else {
        return Err(Rejected::Misplaced);
    };
    let used = clock.used.saturating_add(now.since(clock.since));
    let run = run.to(RunState::Waiting { claim, used, on });
    Ok(Transition {
        run,
        effects: Vec::new(),
    })
}

pub(super) fn resume(run: &Run, claim: Claim, now: Time) -> Result<Transition, Rejected> {
    run.check(claim)?;
    let RunState::Waiting { used, .. } = run.state else {
        return Err(Rejected::Misplaced);
    };
    let clock = Clock { used, since: now };
    let run = run.to(RunState::Running { claim, clock });
    Ok(Transition {
        run,
        effects: Vec::new(),
    })
}
