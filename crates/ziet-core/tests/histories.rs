//! Random histories of a run: whatever happens in whatever order, these things hold.

use std::time::Duration;

use proptest::prelude::*;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::limits::LOST_IN_A_ROW;
use ziet_core::retry::{Backoff, RetryPolicy};
use ziet_core::run::{
    Cancelled, Claim, Effect, Ending, OnLost, Outcome, Policy, Rejected, WaitingOn,
};
use ziet_core::{Event, Json, Run, RunState, Time, WorkerId, transition};

/// What happens next; `stale` things come from an attempt that is not the current one.
#[derive(Clone, Debug)]
enum Step {
    Start,
    Due,
    Claim,
    Wait { stale: bool },
    Resume { stale: bool },
    End { stale: bool, how: How },
    Cancel,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Completed,
    Failed { retryable: bool },
    TimedOut,
    OutOfMemory,
    Crashed,
    Lost,
    HandedBack,
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        1 => Just(How::Completed),
        6 => Just(How::Failed { retryable: true }),
        1 => Just(How::Failed { retryable: false }),
        2 => Just(How::TimedOut),
        1 => Just(How::OutOfMemory),
        2 => Just(How::Crashed),
        8 => Just(How::Lost),
        2 => Just(How::HandedBack),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let stale = prop::bool::weighted(0.2);
    prop_oneof![
        1 => Just(Step::Start),
        6 => Just(Step::Due),
        8 => Just(Step::Claim),
        2 => stale.prop_map(|stale| Step::Wait { stale }),
        2 => stale.prop_map(|stale| Step::Resume { stale }),
        8 => (stale, how()).prop_map(|(stale, how)| Step::End { stale, how }),
        1 => prop::bool::weighted(0.1).prop_map(|really| if really { Step::Cancel } else { Step::Due }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    (0_u32..8, any::<bool>(), 1_u64..900).prop_map(|(retries, fail, timeout)| Policy {
        timeout: Duration::from_secs(timeout),
        retry: RetryPolicy {
            retries,
            backoff: Backoff::Exponential,
        },
        on_lost: if fail { OnLost::Fail } else { OnLost::Rerun },
    })
}

fn ending(how: How) -> Ending {
    let failure = |retryable| Failure {
        retryable,
        ..Failure::new(ErrorCode::Exception, "E", "")
    };
    match how {
        How::Completed => Ending::Completed {
            output: Json::trusted(*b"null"),
        },
        How::Failed { retryable } => Ending::Failed(failure(retryable)),
        How::TimedOut => Ending::TimedOut(failure(true)),
        How::OutOfMemory => Ending::OutOfMemory(failure(true)),
        How::Crashed => Ending::Crashed(failure(true)),
        How::Lost => Ending::Lost,
        How::HandedBack => Ending::HandedBack,
    }
}

fn event(step: &Step, run: &Run, worker: WorkerId) -> (Event, bool) {
    let current = run.state.claim().unwrap_or(Claim {
        worker,
        attempt: run.attempts,
    });
    let claim = |stale: bool| {
        if stale {
            Claim {
                attempt: current.attempt.wrapping_sub(1),
                ..current
            }
        } else {
            current
        }
    };
    match step {
        Step::Start => (Event::Start, false),
        Step::Due => (Event::Due, false),
        Step::Claim => (Event::Claim { worker }, false),
        Step::Wait { stale } => (
            Event::Wait {
                claim: claim(*stale),
                on: WaitingOn::Children,
            },
            *stale,
        ),
        Step::Resume { stale } => (
            Event::Resume {
                claim: claim(*stale),
            },
            *stale,
        ),
        Step::End { stale, how } => (
            Event::Ended {
                claim: claim(*stale),
                ending: ending(*how),
            },
            *stale,
        ),
        Step::Cancel => (
            Event::Cancel(Cancelled {
                by: "test".to_owned(),
                reason: None,
            }),
            false,
        ),
    }
}

/// What an observer who only sees effects counts.
#[derive(Default)]
struct Seen {
    counted: u32,
    lost_in_a_row: u32,
    recorded: Vec<u32>,
    announced: u32,
}

fn check(
    before: &Run,
    after: &Run,
    effects: &[Effect],
    now: Time,
    seen: &mut Seen,
) -> Result<(), TestCaseError> {
    for effect in effects {
        match effect {
            Effect::Record {
                attempt, outcome, ..
            } => {
                seen.recorded.push(*attempt);
                if *outcome == Outcome::Lost {
                    // One that was handed back says nothing against the run.
                    seen.lost_in_a_row += after.lost_in_a_row - before.lost_in_a_row;
                } else {
                    seen.counted += u32::from(*outcome != Outcome::Cancelled);
                    seen.lost_in_a_row = 0;
                }
            }
            Effect::Wake { at } => {
                prop_assert_eq!(RunState::Retrying { at: *at }, after.state.clone());
                let schedule = [2, 4, 8, 16, 30]
                    .get(seen.counted as usize - 1)
                    .copied()
                    .unwrap_or(30);
                prop_assert_eq!(at.since(now), Duration::from_secs(schedule));
            }
            Effect::NoteError(note) => {
                prop_assert_eq!(note.attempt, seen.counted);
                prop_assert_eq!(note.will_retry, !after.state.is_finished());
            }
            Effect::Announce => seen.announced += 1,
            Effect::Stop { claim } => prop_assert_eq!(Some(*claim), before.state.claim()),
            Effect::Enqueue => prop_assert_eq!(&after.state, &RunState::Queued),
            Effect::CancelChildren => {}
        }
    }
    prop_assert!(seen.counted <= before.policy.retry.retries + 1);
    prop_assert!(seen.lost_in_a_row <= LOST_IN_A_ROW);
    prop_assert!(
        seen.recorded.is_sorted_by(|a, b| a < b),
        "an attempt is recorded once, in order"
    );
    prop_assert_eq!(seen.announced, u32::from(after.state.is_finished()));
    prop_assert!(after.attempts >= before.attempts && after.attempts <= before.attempts + 1);
    if let Some(claim) = after.state.claim() {
        prop_assert_eq!(claim.attempt, after.attempts);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_rules(
        policy in policy(),
        created in any::<bool>(),
        steps in prop::collection::vec((step(), 0_u64..40_000), 1..120),
    ) {
        let mut now = Time::from_millis(1_000_000);
        let worker = WorkerId::new(now);
        let mut run = if created { Run::created(policy) } else { Run::accepted(policy, None, now).run };
        let mut seen = Seen::default();
        for (step, later) in steps {
            now = now.plus(Duration::from_millis(later));
            let (event, stale) = event(&step, &run, worker);
            match transition(&run, event, now) {
                Ok(next) => {
                    prop_assert!(!run.state.is_finished(), "a finished run never changes");
                    prop_assert!(!stale, "a fenced writer never wins");
                    check(&run, &next.run, &next.effects, now, &mut seen)?;
                    run = next.run;
                }
                Err(rejected) => {
                    prop_assert_eq!(rejected == Rejected::Finished, run.state.is_finished());
                }
            }
        }
    }

    #[test]
    fn waiting_costs_none_of_an_attempts_time(
        timeout in 10_u64..900,
        parts in prop::collection::vec((0_u64..1000, 0_u64..1_000_000), 0..6),
    ) {
        let mut now = Time::from_millis(0);
        let worker = WorkerId::new(now);
        let policy = Policy {
            timeout: Duration::from_secs(timeout),
            retry: RetryPolicy { retries: 0, backoff: Backoff::None },
            on_lost: OnLost::Rerun,
        };
        let queued = Run::accepted(policy, None, now).run;
        let mut run = transition(&queued, Event::Claim { worker }, now).unwrap().run;
        let claim = run.state.claim().unwrap();
        let mut worked = Duration::ZERO;
        for (work, waited) in parts {
            now = now.plus(Duration::from_millis(work));
            worked += Duration::from_millis(work);
            run = transition(&run, Event::Wait { claim, on: WaitingOn::Children }, now).unwrap().run;
            prop_assert_eq!(run.deadline(), None);
            now = now.plus(Duration::from_millis(waited));
            run = transition(&run, Event::Resume { claim }, now).unwrap().run;
            prop_assert_eq!(run.deadline(), Some(now.plus(policy.timeout.saturating_sub(worked))));
        }
    }
}
