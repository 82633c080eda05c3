//! The end of an attempt: the run has its result, is tried again, or has failed.

use super::{
    Claim, Effect, Ending, ErrorNote, OnLost, Outcome, Rejected, Run, RunState, Transition,
};
use crate::error::{ErrorCode, Failure};
use crate::json::Json;
use crate::limits::LOST_IN_A_ROW;
use crate::time::Time;

pub(super) fn end(
    run: &Run,
    claim: Claim,
    ending: Ending,
    now: Time,
) -> Result<Transition, Rejected> {
    run.check(claim)?;
    Ok(match ending {
        Ending::Completed { output } => completed(run, claim, output),
        Ending::Failed(failure) => failed(run, claim, Outcome::Failed, failure, now),
        Ending::TimedOut(failure) => failed(run, claim, Outcome::TimedOut, failure, now),
        Ending::OutOfMemory(failure) => failed(run, claim, Outcome::OutOfMemory, failure, now),
        Ending::Crashed(failure) => failed(run, claim, Outcome::Crashed, failure, now),
        Ending::Lost => lost(run, claim),
        Ending::HandedBack => handed_back(run, claim),
    })
}

fn completed(run: &Run, claim: Claim, output: Json) -> Transition {
    let run = counted(run, RunState::Completed { output });
    let record = Effect::Record {
        attempt: claim.attempt,
        outcome: Outcome::Completed,
        failure: None,
    };
    Transition {
        run,
        effects: vec![record, Effect::CancelChildren, Effect::Announce],
    }
}

fn failed(run: &Run, claim: Claim, outcome: Outcome, failure: Failure, now: Time) -> Transition {
    let attempt = run.counted_attempt();
    let wait = run
        .policy
        .retry
        .wait_after(attempt)
        .filter(|_| failure.retryable);
    let mut effects = vec![Effect::Record {
        attempt: claim.attempt,
        outcome,
        failure: Some(failure.clone()),
    }];
    // An input that does not fit is the caller's error, told to the caller; the action never ran.
    if failure.code != ErrorCode::InvalidInput {
        effects.push(Effect::NoteError(ErrorNote {
            attempt,
            max_attempts: run.policy.retry.attempts(),
            will_retry: wait.is_some(),
            failure: failure.clone(),
        }));
    }
    effects.push(Effect::CancelChildren);
    let state = if let Some(wait) = wait {
        let at = now.plus(wait);
        effects.push(Effect::Wake { at });
        RunState::Retrying { at }
    } else {
        effects.push(Effect::Announce);
        RunState::Failed { failure }
    };
    Transition {
        run: counted(run, state),
        effects,
    }
}

/// A lost attempt is the platform's fault: it uses up no retry, but a run that takes its worker down each time must end.
fn lost(run: &Run, claim: Claim) -> Transition {
    let lost_in_a_row = run.lost_in_a_row.saturating_add(1);
    let mut effects = vec![
        Effect::Record {
            attempt: claim.attempt,
            outcome: Outcome::Lost,
            failure: None,
        },
        Effect::CancelChildren,
    ];
    let state = match run.policy.on_lost {
        OnLost::Rerun if lost_in_a_row < LOST_IN_A_ROW => {
            effects.push(Effect::Enqueue);
            RunState::Queued
        }
        OnLost::Rerun | OnLost::Fail => {
            effects.push(Effect::Announce);
            let message = match lost_in_a_row {
                1 => "the worker vanished".to_owned(),
                times => format!("the worker vanished, {times} times in a row"),
            };
            RunState::Failed {
                failure: Failure::new(ErrorCode::Lost, "WorkerLost", message),
            }
        }
    };
    Transition {
        run: Run {
            lost_in_a_row,
            ..run.to(state)
        },
        effects,
    }
}

/// As when it is lost, but it says nothing against the run: that goes on with the next worker, however often this happens.
fn handed_back(run: &Run, claim: Claim) -> Transition {
    let record = Effect::Record {
        attempt: claim.attempt,
        outcome: Outcome::Lost,
        failure: None,
    };
    let (state, next) = match run.policy.on_lost {
        OnLost::Rerun => (RunState::Queued, Effect::Enqueue),
        OnLost::Fail => {
            let message = "the worker was stopped before it had ended";
            let failure = Failure::new(ErrorCode::Lost, "WorkerLost", message);
            (RunState::Failed { failure }, Effect::Announce)
        }
    };
    Transition {
        run: run.to(state),
        effects: vec![record, Effect::CancelChildren, next],
    }
}

fn counted(run: &Run, state: RunState) -> Run {
    Run {
        counted: run.counted.saturating_add(1),
        lost_in_a_row: 0,
        ..run.to(state)
    }
}
