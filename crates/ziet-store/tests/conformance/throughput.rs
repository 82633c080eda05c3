//! Figures to look at, not to pass: `cargo test --release -p ziet-store -- --ignored --nocapture figures`.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ziet_core::run::{Ending, Outcome};
use ziet_core::{Event, WorkerId};
use ziet_store::retention::{Old, prune};
use ziet_store::{Change, NewRun, Store, Tx, changes};

use crate::stage::{attempt, change, json, new_run, now, on_each, project, submit};

const RUNS: usize = 20_000;

/// Submit, claim, attempt and result of one run.
fn life() -> Vec<Change> {
    let run = NewRun {
        input: json(&format!("\"{}\"", "x".repeat(1022))),
        ..new_run()
    };
    let (claim, running) = change(
        run.id,
        &run.run,
        Event::Claim {
            worker: WorkerId::new(now()),
        },
    );
    let ending = Ending::Completed {
        output: json("[1, 2, 3]"),
    };
    let ended = Event::Ended {
        claim: running.state.claim().unwrap(),
        ending,
    };
    let (finish, _) = change(run.id, &running, ended);
    let record = Change::Attempt(Box::new(attempt(run.id, 1, Outcome::Completed)));
    vec![submit(&run), claim, record, finish]
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn lives_per_second(store: &Store, per_verb: usize) -> usize {
    let batches: Vec<Vec<Change>> = (0..RUNS / per_verb)
        .map(|_| (0..per_verb).flat_map(|_| life()).collect())
        .collect();
    let (answers, answered) = channel();
    let start = Instant::now();
    for batch in batches {
        let answers = answers.clone();
        let verb = async move |tx: &mut Tx<'_>| changes::commit(tx, &project(), &batch).await;
        store.write(verb, move |done| answers.send(done).unwrap());
    }
    drop(answers);
    assert!(answered.iter().all(|done| done.is_ok()));
    let micros = usize::try_from(start.elapsed().as_micros()).unwrap();
    RUNS * 1_000_000 / micros.max(1)
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn pruned_per_second(store: &Store) -> usize {
    let old = Old::at(now().plus(Duration::from_secs(48 * 3600)), Duration::ZERO);
    let start = Instant::now();
    let mut after = None;
    loop {
        let verb = async move |tx: &mut Tx<'_>| prune(tx, &project(), &old, after, 500).await;
        after = store.write_now(verb).unwrap().next;
        if after.is_none() {
            break;
        }
    }
    let micros = usize::try_from(start.elapsed().as_micros()).unwrap();
    2 * RUNS * 1_000_000 / micros.max(1)
}

#[test]
#[ignore = "it measures"]
fn figures() {
    on_each(|store| {
        for per_verb in [1, 20] {
            println!(
                "{per_verb} runs per verb: {} whole lives/s",
                lives_per_second(store, per_verb)
            );
        }
        println!("{} runs/s removed", pruned_per_second(store));
    });
}
