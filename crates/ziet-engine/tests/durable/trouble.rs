//! Too much to do, a store that cannot write, and the end.

use std::time::Duration;

use ziet_core::ErrorCode;
use ziet_core::run::{Outcome, Status};
use ziet_engine::{Due, Happening, MemoryUse, Notice, Submission};
use ziet_store::events;

use crate::stage::{Running, Stage, submission};

#[test]
fn more_than_may_wait_is_refused_as_a_whole() {
    let stage = Stage::new();
    let running = stage.start_with(|settings| {
        settings.deployed[0].concurrency = 1;
        settings.max_queued = 10;
        settings.max_queued_bytes = 2000;
    });
    let held = running.submit("hold", &stage.held());
    let waits = stage.reached();
    let refusal = running
        .accept_all(vec![submission("echo", "{}"); 10])
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TooManyRuns);
    assert!(refusal.retry_after.is_some());
    let refusal = running
        .accept_all(vec![submission("echo", "{}"); 11])
        .unwrap_err();
    assert_eq!(refusal.retry_after, None, "waiting does not help");
    assert!(refusal.message.contains("never"), "{refusal}");
    let queued = running
        .accept_all(vec![submission("echo", "{}"); 9])
        .unwrap();
    assert_eq!(
        running.accept(submission("echo", "{}")).unwrap_err().code,
        ErrorCode::TooManyRuns
    );
    drop(waits);
    running.completed(held);
    for one in queued {
        running.completed(one.run);
    }
    let large = format!(r#"{{"value": {}}}"#, "1".repeat(2000));
    assert_eq!(
        running.accept(submission("echo", &large)).unwrap_err().code,
        ErrorCode::TooManyRuns
    );
    running.completed(running.submit("echo", "{}"));
}

/// Nothing new would be stored for it, so neither is there too much, nor is it too late.
#[test]
fn a_repeated_request_finds_its_run_also_where_a_new_one_is_refused() {
    let stage = Stage::new();
    let running = stage.start_with(|settings| settings.max_queued = 3);
    let keyed = |key: &str| Submission {
        idempotency_key: Some(key.to_owned()),
        ..submission("hold", &stage.held())
    };
    let first = running.accept(keyed("a")).unwrap();
    let waits = stage.reached();
    let both = running.accept_all(vec![keyed("a"), keyed("b")]).unwrap();
    assert_eq!((both[0].run, both[0].existing), (first.run, true));
    let other = stage.reached();
    running.accept(keyed("c")).unwrap();
    let third = stage.reached();
    let again = |code: ErrorCode| {
        let again = running.accept(keyed("a")).unwrap();
        assert_eq!((again.run, again.existing), (first.run, true));
        let mixed = vec![keyed("a"), keyed("d")];
        assert_eq!(running.accept_all(mixed).unwrap_err().code, code);
    };
    again(ErrorCode::TooManyRuns);
    assert_eq!(running.figures().live, 3);
    running.engine.drain(Duration::from_secs(60), || {});
    again(ErrorCode::Draining);
    drop((waits, other, third));
    running.completed(first.run);
}

#[test]
fn an_attempt_has_a_bounded_number_of_open_calls_and_can_tell() {
    let stage = Stage::new();
    let running = stage.start_with(|settings| settings.deployed[0].concurrency = 1);
    let run = running.submit("fan", &fan(&stage, 1001));
    assert_eq!(
        refused(&running),
        r#""too_many_runs: 1000 calls of this attempt have not been answered, limit 1000""#
    );
    assert_eq!(running.figures().live, 1001);
    running.cancel(run).unwrap();
}

/// Calls an action so many times at once.
fn fan(stage: &Stage, calls: usize) -> String {
    stage
        .held()
        .replace('}', &format!(r#", "calls": {calls}}}"#))
}

/// What an attempt has noted of a call that was refused.
fn refused(running: &Running) -> String {
    running.until(|notice| match notice {
        Notice::Run {
            happening: Happening::Memory(MemoryUse::Added { value, .. }),
            ..
        } => value.as_str().map(str::to_owned),
        _ => None,
    })
}

#[test]
fn calls_have_room_of_their_own() {
    let stage = Stage::new();
    let running = stage.start_with(|settings| {
        settings.deployed[0].concurrency = 1;
        settings.max_queued = 2;
    });
    let parent = running.submit("parent", &stage.held());
    let waits = stage.reached();
    // The project is full, and the parent has called all the same.
    assert_eq!(
        running.accept(submission("echo", "{}")).unwrap_err().code,
        ErrorCode::TooManyRuns
    );
    drop(waits);
    running.completed(parent);
    let run = running.submit("fan", &fan(&stage, 3));
    assert_eq!(
        refused(&running),
        r#""too_many_runs: 2 called runs have not finished, limit 2""#
    );
    for _ in 0..2 {
        drop(stage.reached());
    }
    running.completed(run);
}

#[test]
fn what_memory_has_no_room_for_is_executed_in_its_order_and_can_be_cancelled() {
    const RUNS: usize = 25_000;
    let stage = Stage::new();
    let running = stage.start_with(|settings| settings.deployed[0].concurrency = 1);
    let held = running.submit("hold", &stage.held());
    let waits = stage.reached();
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS / 1000 {
        let batch = vec![submission("nothing", "{}"); 1000];
        assert!(running.accept_all(batch).is_err());
        runs.extend(
            running
                .accept_all(vec![submission("echo", "{}"); 1000])
                .unwrap(),
        );
    }
    assert_eq!(running.figures().queued, RUNS as u64);
    let far = runs[RUNS - 100].run;
    running.cancel(far).unwrap();
    assert_eq!(running.document(far).status, Status::Cancelled);
    // All but the last few, which are in the store alone: to execute them all would take long here.
    for one in &runs[200..RUNS - 50] {
        running.engine.cancel(one.run, cancelled(), drop);
    }
    drop(waits);
    running.completed(held);
    for one in runs[..200].iter().chain(&runs[RUNS - 50..]) {
        running.completed(one.run);
    }
    running.finished(runs[RUNS - 51].run);
    assert_eq!(running.figures().live, 0);
}

fn cancelled() -> ziet_core::run::Cancelled {
    ziet_core::run::Cancelled {
        by: "a test".to_owned(),
        reason: None,
    }
}

#[test]
fn a_drained_engine_lets_attempts_end_and_leaves_the_rest() {
    let stage = Stage::new();
    let first = stage.start_with(|settings| settings.deployed[0].concurrency = 1);
    let held = first.submit("parent", &stage.held());
    let waits = stage.reached();
    let queued = first.submit("echo", "{}");
    let (tell, told) = std::sync::mpsc::channel();
    first
        .engine
        .drain(Duration::from_secs(60), move || tell.send(()).unwrap());
    assert_eq!(
        first.accept(submission("echo", "{}")).unwrap_err().code,
        ErrorCode::Draining
    );
    assert!(told.try_recv().is_err());
    drop(waits);
    told.recv().unwrap();
    assert_eq!(first.status(held), Status::Completed);
    assert_eq!(first.status(queued), Status::Queued);
    drop(first);
    let second = stage.start();
    assert_eq!(second.completed(queued).attempts.len(), 1);
}

#[test]
fn what_does_not_end_in_time_is_handed_back_at_no_cost() {
    let stage = Stage::new();
    let first = stage.start();
    let run = first.submit("hold", &stage.held());
    let never = first.submit("pay", &stage.held());
    let _waits = (stage.reached(), stage.reached());
    first.drain(Duration::from_millis(50));
    assert_eq!(first.status(run), Status::Queued);
    assert_eq!(first.status(never), Status::Failed);
    let project = ziet_core::ProjectId::new("shop");
    let events = first
        .store
        .read_now(async move |tx| events::page(tx, &project, run, 0, 10).await)
        .unwrap();
    assert_eq!(events.rows[0].1.kind, "handed_back");
    drop(first);
    let second = stage.start();
    drop(stage.reached());
    let document = second.completed(run);
    let outcomes: Vec<Outcome> = document
        .attempts
        .iter()
        .map(|attempt| attempt.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Lost, Outcome::Completed]);
}

/// Somebody else writes for longer than the store waits, as little as it could if the disk were full.
#[test]
fn while_the_store_cannot_write_nothing_is_accepted_and_nothing_is_lost() {
    let stage = Stage::new();
    let running = stage.start();
    let held = running.submit("hold", &stage.held());
    let waits = stage.reached();
    running.completed(running.submit("echo", "{}"));
    let later = Submission {
        due: Some(Due::In(Duration::from_secs(3600))),
        ..submission("echo", "{}")
    };
    let later = running.accept(later).unwrap().run;
    let (tell, ends) = std::sync::mpsc::channel();
    let other = rusqlite::Connection::open(stage.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refusal = running.accept(submission("echo", "{}")).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::StoreUnavailable);
    drop(waits); // The end of this attempt cannot be written.
    running.until(|notice| matches!(notice, Notice::Printed { .. }).then_some(()));
    let refusal = running.accept(Submission {
        start: false,
        ..submission("echo", "{}")
    });
    assert!(refusal.unwrap_err().retry_after.is_some());
    assert!(running.engine.figures().store_down);
    // Also of what is in memory nothing is changed that could not be written.
    let refusal = running.cancel(held).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::StoreUnavailable);
    // It cannot be found out whether this one has finished: that is no end.
    running
        .engine
        .when_finished(later, move |_| tell.send(()).unwrap());
    let another = running.accept(submission("echo", "{}"));
    assert_eq!(another.unwrap_err().code, ErrorCode::StoreUnavailable);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(running.completed(held).attempts.len(), 1);
    assert!(ends.try_recv().is_err());
    running.cancel(later).unwrap();
    ends.recv_timeout(Duration::from_secs(60)).unwrap();
    running.completed(running.submit("echo", "{}"));
    assert!(!running.figures().store_down);
}
