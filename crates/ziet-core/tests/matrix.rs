//! The whole matrix of states and events, as a snapshot: what the documentation shows is what the code does.

use std::fmt::Write as _;
use std::time::Duration;

use ziet_core::error::{ErrorCode, Failure};
use ziet_core::retry::{Backoff, RetryPolicy};
use ziet_core::run::{Cancelled, Claim, Clock, Effect, Ending, OnLost, Policy, WaitingOn};
use ziet_core::{Event, Json, Run, RunState, Time, WorkerId, transition};

const NOW: Time = Time::from_millis(100_000);

fn run(state: RunState, worker: WorkerId) -> (&'static str, Run) {
    let policy = Policy {
        timeout: Duration::from_secs(60),
        retry: RetryPolicy {
            retries: 1,
            backoff: Backoff::Exponential,
        },
        on_lost: OnLost::Rerun,
    };
    let name = match &state {
        RunState::Created => "created",
        RunState::Scheduled { at } if *at <= NOW => "scheduled, due",
        RunState::Scheduled { .. } => "scheduled, later",
        RunState::Queued => "queued",
        RunState::Running { claim, .. } if claim.worker == worker => "running",
        RunState::Running { .. } => "running elsewhere",
        RunState::Waiting { .. } => "waiting",
        RunState::Retrying { .. } => "retrying, due",
        RunState::Completed { .. } => "completed",
        RunState::Failed { .. } => "failed",
        RunState::Cancelled(_) => "cancelled",
    };
    let attempts = u32::from(state.claim().is_some());
    (
        name,
        Run {
            policy,
            state,
            attempts,
            counted: 0,
            lost_in_a_row: 0,
        },
    )
}

fn states(worker: WorkerId) -> Vec<(&'static str, Run)> {
    let claim = Claim { worker, attempt: 1 };
    let other = Claim {
        worker: WorkerId::new(NOW),
        attempt: 1,
    };
    let clock = Clock {
        used: Duration::from_secs(5),
        since: Time::from_millis(90_000),
    };
    [
        RunState::Created,
        RunState::Scheduled {
            at: Time::from_millis(99_000),
        },
        RunState::Scheduled {
            at: Time::from_millis(200_000),
        },
        RunState::Queued,
        RunState::Running { claim, clock },
        RunState::Running {
            claim: other,
            clock,
        },
        RunState::Waiting {
            claim,
            used: Duration::from_secs(5),
            on: WaitingOn::Children,
        },
        RunState::Retrying {
            at: Time::from_millis(99_000),
        },
        RunState::Completed {
            output: Json::trusted(*b"1"),
        },
        RunState::Failed {
            failure: failure(ErrorCode::Exception, true),
        },
        RunState::Cancelled(cancelled()),
    ]
    .into_iter()
    .map(|state| run(state, worker))
    .collect()
}

fn failure(code: ErrorCode, retryable: bool) -> Failure {
    Failure {
        retryable,
        ..Failure::new(code, "ValueError", "no")
    }
}

fn cancelled() -> Cancelled {
    Cancelled {
        by: "somebody".to_owned(),
        reason: None,
    }
}

fn events(worker: WorkerId) -> Vec<(&'static str, Event)> {
    let claim = Claim { worker, attempt: 1 };
    let ended = |ending| Event::Ended { claim, ending };
    vec![
        ("start", Event::Start),
        ("due", Event::Due),
        ("claim", Event::Claim { worker }),
        (
            "wait",
            Event::Wait {
                claim,
                on: WaitingOn::Children,
            },
        ),
        ("resume", Event::Resume { claim }),
        (
            "completed",
            ended(Ending::Completed {
                output: Json::trusted(*b"1"),
            }),
        ),
        (
            "failed",
            ended(Ending::Failed(failure(ErrorCode::Exception, true))),
        ),
        (
            "failed for good",
            ended(Ending::Failed(failure(ErrorCode::InvalidOutput, false))),
        ),
        (
            "invalid input",
            ended(Ending::Failed(failure(ErrorCode::InvalidInput, false))),
        ),
        (
            "timed out",
            ended(Ending::TimedOut(failure(ErrorCode::TimedOut, true))),
        ),
        (
            "out of memory",
            ended(Ending::OutOfMemory(failure(ErrorCode::OutOfMemory, true))),
        ),
        (
            "crashed",
            ended(Ending::Crashed(failure(ErrorCode::Crashed, true))),
        ),
        ("lost", ended(Ending::Lost)),
        ("handed back", ended(Ending::HandedBack)),
        ("cancel", Event::Cancel(cancelled())),
    ]
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Enqueue => "enqueue".to_owned(),
        Effect::Wake { at } => format!("wake in {} s", at.since(NOW).as_secs()),
        Effect::Stop { claim } => format!("stop attempt {}", claim.attempt),
        Effect::Record {
            attempt, outcome, ..
        } => format!("record attempt {attempt} {outcome:?}"),
        Effect::NoteError(note) => {
            let then = if note.will_retry { "retried" } else { "final" };
            format!(
                "note error {} of {}, {then}",
                note.attempt, note.max_attempts
            )
        }
        Effect::CancelChildren => "cancel children".to_owned(),
        Effect::Announce => "announce".to_owned(),
    }
}

#[test]
fn every_state_meets_every_event() {
    let worker = WorkerId::new(NOW);
    let mut matrix = String::new();
    for (state, run) in states(worker) {
        writeln!(matrix, "{state}").unwrap();
        for (event, what) in events(worker) {
            let line = match transition(&run, what, NOW) {
                Ok(next) => {
                    let effects: Vec<String> = next.effects.iter().map(effect).collect();
                    format!("{:?}: {}", next.run.state.status(), effects.join("; "))
                }
                Err(rejected) => format!("- {rejected}"),
            };
            writeln!(
                matrix,
                "  {event:<16} {}",
                line.trim_end_matches([' ', ':'])
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(matrix);
}
