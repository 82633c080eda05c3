//! A run comes back from the store exactly as core left it, whatever happened to it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::retry::{Backoff, RetryPolicy};
use ziet_core::run::{Cancelled, Ending, OnLost, Policy, WaitingOn};
use ziet_core::{Event, Run, Time, WorkerId, transition};
use ziet_store::{Change, Durability, Location, NewRun, StateChange, Store};

use crate::stage::{commit, json, load, new_run, now, submit};

#[derive(Clone, Copy, Debug)]
enum Step {
    Go,
    Claim,
    Wait(WaitingOn),
    Resume,
    Complete,
    Fail { retryable: bool },
    TimeOut,
    Lose,
    Cancel { why: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let on = prop::sample::select(vec![
        WaitingOn::Children,
        WaitingOn::Approval,
        WaitingOn::Memory,
        WaitingOn::Time,
    ]);
    prop_oneof![
        8 => Just(Step::Go),
        8 => Just(Step::Claim),
        6 => on.prop_map(Step::Wait),
        4 => Just(Step::Resume),
        1 => Just(Step::Complete),
        3 => prop::bool::weighted(0.8).prop_map(|retryable| Step::Fail { retryable }),
        2 => Just(Step::TimeOut),
        4 => Just(Step::Lose),
        1 => any::<bool>().prop_map(|why| Step::Cancel { why }),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    (0_u32..=100, 1_u64..=900_000, any::<bool>(), any::<bool>()).prop_map(
        |(retries, timeout, backoff, fail)| Policy {
            timeout: Duration::from_millis(timeout),
            retry: RetryPolicy {
                retries,
                backoff: if backoff {
                    Backoff::Exponential
                } else {
                    Backoff::None
                },
            },
            on_lost: if fail { OnLost::Fail } else { OnLost::Rerun },
        },
    )
}

fn event(step: Step, run: &Run) -> Option<Event> {
    let claim = run.state.claim();
    let failure = |retryable| Failure {
        retryable,
        ..Failure::new(ErrorCode::Exception, "E", "\0é")
    };
    let ended = |ending| claim.map(|claim| Event::Ended { claim, ending });
    match step {
        Step::Go if run.attempts == 0 => Some(Event::Start),
        Step::Go => Some(Event::Due),
        Step::Claim => Some(Event::Claim {
            worker: WorkerId::new(now()),
        }),
        Step::Wait(on) => claim.map(|claim| Event::Wait { claim, on }),
        Step::Resume => claim.map(|claim| Event::Resume { claim }),
        Step::Complete => ended(Ending::Completed {
            output: json("{\"a\": 1.0}"),
        }),
        Step::Fail { retryable } => ended(Ending::Failed(failure(retryable))),
        Step::TimeOut => ended(Ending::TimedOut(failure(true))),
        Step::Lose => ended(Ending::Lost),
        Step::Cancel { why } => {
            let reason = why.then(|| "too late".to_owned());
            Some(Event::Cancel(Cancelled {
                by: "ada".to_owned(),
                reason,
            }))
        }
    }
}

/// Takes a run through `steps`; whatever core accepts is written, and read back each time.
fn live(store: &Store, first: &NewRun, steps: &[(Step, u32)], seen: &Mutex<BTreeSet<String>>) {
    let mut run = first.run.clone();
    let id = first.id;
    let mut clock = first.created_at;
    commit(store, vec![submit(first)]).unwrap();
    for (step, wait) in std::iter::once(&(Step::Go, 0)).chain(steps) {
        assert_eq!(load(store, id).unwrap().run, run);
        let name = format!("{:?}", run.state.status());
        seen.lock().unwrap().insert(name);
        clock = clock.plus(Duration::from_millis(u64::from(*wait)));
        let Some(Ok(next)) = event(*step, &run).map(|event| transition(&run, event, clock)) else {
            continue;
        };
        let change = StateChange {
            id,
            fence: run.attempts,
            run: next.run.clone(),
            since: clock,
            now: clock,
        };
        commit(store, vec![Change::State(Box::new(change))]).unwrap();
        run = next.run;
    }
    assert_eq!(load(store, id).unwrap().run, run);
}

#[test]
fn every_state_of_every_history_is_read_as_it_was_written() {
    let store = Store::open(&Location::Memory, Durability::Full).unwrap();
    let seen = Mutex::new(BTreeSet::new());
    let steps = prop::collection::vec((step(), 0_u32..60_000), 0..24);
    let at = prop::option::of(0_i64..1_000);
    proptest!(ProptestConfig::with_cases(200), |(policy in policy(), at in at, start in any::<bool>(), steps in steps)| {
        let created_at = now();
        let at = at.map(|after| Time::from_millis(created_at.as_millis() + after));
        let run = if start { Run::created(policy) } else { Run::accepted(policy, at, created_at).run };
        live(&store, &NewRun { run, created_at, ..new_run() }, &steps, &seen);
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 9, "only {seen:?}");
}
