//! Cancelling, in whatever state a run is.

use super::{Cancelled, Effect, Outcome, Run, RunState, Transition};

/// The caller has made sure that the run has not finished.
pub(super) fn cancel(run: &Run, cancelled: Cancelled) -> Transition {
    let mut effects = Vec::new();
    if let Some(claim) = run.state.claim() {
        effects.push(Effect::Record {
            attempt: claim.attempt,
            outcome: Outcome::Cancelled,
            failure: None,
        });
        effects.push(Effect::Stop { claim });
        effects.push(Effect::CancelChildren);
    }
    effects.push(Effect::Announce);
    Transition {
        run: run.to(RunState::Cancelled(cancelled)),
        effects,
    }
}
