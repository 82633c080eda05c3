//! A computer's clock that is set while the engine runs.

use std::time::Duration;

use ziet_core::RunId;
use ziet_core::document::RunDocument;
use ziet_core::retry::Backoff;
use ziet_core::run::{Outcome, Status};
use ziet_engine::{Clock, Due, Happening, Notice, Submission};

use crate::stage::{Running, Stage, submission};

const HOUR: Duration = Duration::from_secs(3600);

fn start(stage: &Stage, clock: &Clock) -> Running {
    stage.start_with(|settings| {
        settings.deployed[0].backoff = Backoff::Exponential;
        settings.clock = clock.clone();
    })
}

/// Submits a run whose first attempt fails, and waits until it has.
fn retrying(stage: &Stage, running: &Running) -> RunId {
    let file = stage.notes().with_extension("flaky");
    let input = format!(r#"{{"file": "{}", "failures": 1}}"#, file.display());
    let run = running.submit("flaky", &input);
    running.until(|notice| match notice {
        Notice::Run {
            happening: Happening::Retrying { .. },
            ..
        } => Some(()),
        _ => None,
    });
    run
}

/// The engine follows the clock when it begins a turn; a run does not end within the one in which it was submitted.
fn set(running: &Running, clock: &Clock, ahead: i64) {
    clock.set_ahead(ahead);
    running.completed(running.submit("echo", "{}"));
}

fn due(running: &Running, due: Due) -> RunId {
    let submission = Submission {
        due: Some(due),
        ..submission("echo", "{}")
    };
    running.accept(submission).unwrap().run
}

fn is_in_order(document: &RunDocument) -> bool {
    let (started, finished) = (document.started_at.unwrap(), document.finished_at.unwrap());
    let mut attempts = document.attempts.iter();
    document.created_at <= started
        && started <= finished
        && attempts.all(|attempt| attempt.started_at <= attempt.finished_at)
}

#[test]
fn times_of_day_follow_a_clock_that_is_set_forward_and_nothing_ends_early() {
    let (stage, clock) = (Stage::new(), Clock::default());
    let running = start(&stage, &clock);
    let held = running.submit("hold", &stage.held());
    let waits = stage.reached();
    let before = running.document(held).created_at;
    let scheduled = due(&running, Due::At(before.plus(HOUR / 2)));
    let (retried, failed) = (retrying(&stage, &running), clock.elapsed());
    set(&running, &clock, 3600);
    let after = running.completed(running.submit("echo", "{}"));
    assert!(after.created_at.since(before) >= HOUR);
    assert!(after.finished_at.unwrap().since(after.created_at) < HOUR);
    running.completed(scheduled);
    let retried = running.completed(retried);
    assert_eq!(retried.attempts.len(), 2);
    assert!(
        clock.elapsed() > failed + Duration::from_millis(1500),
        "the pause is 2 s"
    );
    assert_eq!(running.status(held), Status::Running);
    drop(waits);
    let held = running.completed(held);
    assert_eq!(held.attempts.len(), 1);
    assert!([after, retried, held].iter().all(is_in_order));
}

#[test]
fn times_of_day_follow_a_clock_that_is_set_back_and_nothing_lasts_longer() {
    let (stage, clock) = (Stage::new(), Clock::default());
    let running = start(&stage, &clock);
    let held = running.submit("hold", &stage.held());
    let waits = stage.reached();
    let before = running.document(held).created_at;
    let brief = running.submit("brief", &stage.held());
    let _brief_waits = stage.reached();
    let retried = retrying(&stage, &running);
    let begun = clock.elapsed();
    set(&running, &clock, -3600);
    let after = running.completed(running.submit("echo", "{}"));
    assert!(before.since(after.created_at) > HOUR * 9 / 10);
    let delayed = running.completed(due(&running, Due::In(Duration::from_millis(300))));
    let retried = running.completed(retried);
    assert_eq!(retried.attempts.len(), 2);
    let brief = running.finished(brief);
    assert_eq!(brief.attempts[0].outcome, Outcome::TimedOut);
    drop(waits);
    let held = running.completed(held);
    assert!(
        [after, delayed, retried, brief, held]
            .iter()
            .all(is_in_order)
    );
    assert!(clock.elapsed() < begun + Duration::from_secs(30));
}

#[test]
fn a_delay_is_as_long_as_it_should_be_whatever_the_clock_says() {
    for ahead in [-7200, 7200] {
        let stage = Stage::new();
        let running = start(&stage, &Clock::ahead_by(ahead));
        let delay = Duration::from_millis(400);
        let document = running.completed(due(&running, Due::In(delay)));
        let waited = document.started_at.unwrap().since(document.created_at);
        assert!(
            (delay..Duration::from_secs(20)).contains(&waited),
            "{waited:?}"
        );
    }
}
