//! What the last engine has left: nothing accepted is forgotten, and nothing is executed that must not be.

use std::time::Duration;

use ziet_core::run::{Outcome, Status};
use ziet_core::{ErrorCode, RunId, Time};
use ziet_engine::{Clock, Due, Submission};

use crate::stage::{Stage, submission};

fn outcomes(document: &ziet_core::document::RunDocument) -> Vec<Outcome> {
    document
        .attempts
        .iter()
        .map(|attempt| attempt.outcome)
        .collect()
}

#[test]
fn a_run_whose_engine_ended_is_executed_again() {
    let stage = Stage::new();
    let first = stage.start();
    let run = first.submit("hold", &stage.held());
    let waits = stage.reached();
    drop(first);
    drop(waits);
    let second = stage.start();
    drop(stage.reached());
    let document = second.completed(run);
    assert_eq!(outcomes(&document), [Outcome::Lost, Outcome::Completed]);
    assert!(document.attempts[0].started_at <= document.attempts[0].finished_at);
    assert_eq!(stage.executions(), 2);
}

#[test]
fn one_that_must_never_be_executed_twice_fails() {
    let stage = Stage::new();
    let first = stage.start();
    let run = first.submit("pay", &stage.held());
    let _waits = stage.reached();
    // Its start is in the store before its code runs.
    assert_eq!(first.status(run), Status::Running);
    drop(first);
    let document = stage.start().finished(run);
    assert_eq!(document.status, Status::Failed);
    assert_eq!(document.error.unwrap().code, ErrorCode::Lost);
    assert_eq!(stage.executions(), 1);
}

#[test]
fn a_run_that_takes_its_engine_down_each_time_fails_after_five() {
    let stage = Stage::new();
    let mut run: Option<RunId> = None;
    for _ in 0..5 {
        let engine = stage.start();
        run.get_or_insert_with(|| engine.submit("hold", &stage.held()));
        let _waits = stage.reached();
        drop(engine);
    }
    let document = stage.start().finished(run.unwrap());
    assert_eq!(document.status, Status::Failed);
    assert_eq!(outcomes(&document), [Outcome::Lost; 5]);
}

#[test]
fn what_a_lost_attempt_has_called_is_cancelled_and_called_again() {
    let stage = Stage::new();
    let first = stage.start();
    let run = first.submit("parent", &stage.held());
    let _waits = stage.reached();
    assert_eq!(first.status(run), Status::Waiting);
    drop(first);
    let second = stage.start();
    drop(stage.reached());
    let document = second.completed(run);
    assert_eq!(outcomes(&document), [Outcome::Lost, Outcome::Completed]);
    let children = second.children(run);
    let statuses: Vec<Status> = children.iter().map(|child| child.status).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Completed]);
    assert_eq!(children[0].cancelled.as_ref().unwrap().by, "parent");
    assert_eq!(second.figures().live, 0);
}

#[test]
fn queued_created_and_scheduled_runs_go_on() {
    let stage = Stage::new();
    let first = stage.start_with(|settings| settings.deployed[0].concurrency = 1);
    let held = first.submit("hold", &stage.held());
    let waits = stage.reached();
    let queued: Vec<RunId> = (0..50)
        .map(|value| first.submit("echo", &format!(r#"{{"value": {value}}}"#)))
        .collect();
    let created = first
        .accept(Submission {
            start: false,
            ..submission("echo", "{}")
        })
        .unwrap()
        .run;
    let soon = first.document(held).created_at.plus(Duration::from_secs(3));
    let scheduled = first
        .accept(Submission {
            due: Some(Due::At(soon)),
            ..submission("echo", "{}")
        })
        .unwrap()
        .run;
    drop(first);
    drop(waits);
    let second = stage.start_with(|settings| settings.deployed[0].concurrency = 1);
    assert_eq!(second.status(created), Status::Created);
    drop(stage.reached());
    for (value, run) in queued.into_iter().enumerate() {
        let document = second.completed(run);
        assert_eq!(
            document.output.unwrap().as_bytes(),
            value.to_string().as_bytes()
        );
    }
    assert!(second.completed(scheduled).started_at.unwrap() >= soon);
    second.invoke(created).unwrap();
    second.completed(created);
    assert_eq!(second.figures().live, 0);
}

/// Of a run that waits for its next attempt, the wait is known; of one that was scheduled, only the time.
#[test]
fn a_retry_comes_although_the_clock_was_set_back() {
    let stage = Stage::new();
    let first = stage.start_with(|settings| {
        settings.deployed[0].backoff = ziet_core::retry::Backoff::Exponential;
        settings.clock = Clock::ahead_by(3600);
    });
    let input = format!(
        r#"{{"file": "{}", "failures": 1}}"#,
        stage.notes().display()
    );
    let run = first.submit("flaky", &input);
    first.until(|notice| match notice {
        ziet_engine::Notice::Run {
            happening: ziet_engine::Happening::Retrying { .. },
            ..
        } => Some(()),
        _ => None,
    });
    drop(first);
    let second = stage.start();
    let document = second.completed(run);
    assert_eq!(document.attempts.len(), 2);
    assert!(document.finished_at >= document.started_at);
    let earlier = second.submit("echo", "{}");
    second.completed(earlier);
}

#[test]
fn a_retry_comes_at_once_when_the_clock_was_set_forward() {
    let stage = Stage::new();
    let first = stage.start();
    let at = first.document(first.submit("echo", "{}")).created_at;
    let later = Time::from_millis(at.as_millis() + 3_600_000);
    let run = first
        .accept(Submission {
            due: Some(Due::At(later)),
            ..submission("echo", "{}")
        })
        .unwrap()
        .run;
    drop(first);
    stage
        .start_with(|settings| settings.clock = Clock::ahead_by(3700))
        .completed(run);
}
