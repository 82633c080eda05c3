//! What can be asked of an engine, and what it answers.

use std::time::Duration;

use ziet_core::run::Status;
use ziet_core::wire::Level;
use ziet_core::{ErrorCode, Json, MemoryId, ProjectId, RunId, Time};
use ziet_engine::{Cancelling, Due, Happening, Notice, Submission};
use ziet_store::Change;
use ziet_store::logs::{self, LogQuery};

use crate::stage::{Running, Stage, submission};

fn keyed(key: &str, action: &str, input: &str) -> Submission {
    Submission {
        idempotency_key: Some(key.to_owned()),
        ..submission(action, input)
    }
}

fn lines(running: &Running, run: RunId) -> Vec<(u64, Level, String)> {
    let project = ProjectId::new("shop");
    let query = LogQuery {
        limit: 1000,
        ..LogQuery::default()
    };
    let page = running
        .store
        .read_now(async move |tx| logs::page(tx, &project, run, &query).await)
        .unwrap();
    page.lines
        .into_iter()
        .map(|line| (line.seq, line.level, line.text))
        .collect()
}

#[test]
fn many_are_accepted_together_or_none() {
    let stage = Stage::new();
    let running = stage.start();
    let batch = |last: &str| {
        let mut all = vec![submission("echo", r#"{"value": 7}"#); 20];
        all.push(submission(last, "{}"));
        all
    };
    let refusal = running.accept_all(batch("nothing")).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::UnknownAction);
    assert_eq!(running.figures().live, 0);
    let accepted = running.accept_all(batch("echo")).unwrap();
    assert_eq!(accepted.len(), 21);
    for one in accepted {
        assert!(!one.existing);
        running.completed(one.run);
    }
}

#[test]
fn a_key_makes_the_same_request_the_same_run() {
    let stage = Stage::new();
    let running = stage.start();
    let first = running
        .accept(keyed("a", "echo", r#"{"value": 1}"#))
        .unwrap();
    running.completed(first.run);
    let again = running
        .accept(keyed("a", "echo", "{ \"value\" : 1.0 }"))
        .unwrap();
    assert_eq!((again.run, again.existing), (first.run, true));
    for other in [
        keyed("a", "echo", r#"{"value": 2}"#),
        keyed("a", "remember", r#"{"value": 1}"#),
    ] {
        let refusal = running.accept(other).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::IdempotencyMismatch);
    }
    let batch = vec![
        keyed("b", "echo", "{}"),
        keyed("b", "echo", "{}"),
        keyed("a", "echo", r#"{"value": 1}"#),
    ];
    let accepted = running.accept_all(batch).unwrap();
    assert_eq!(accepted[0].run, accepted[1].run);
    assert_eq!(accepted.map_existing(), [false, true, true]);
    drop(running);
    let next = stage.start();
    let again = next.accept(keyed("a", "echo", r#"{"value": 1}"#)).unwrap();
    assert_eq!((again.run, again.existing), (first.run, true));
}

trait Existing {
    fn map_existing(&self) -> Vec<bool>;
}

impl Existing for Vec<ziet_engine::Accepted> {
    fn map_existing(&self) -> Vec<bool> {
        self.iter().map(|one| one.existing).collect()
    }
}

#[test]
fn requests_with_one_key_at_the_same_time_are_one_run() {
    let stage = Stage::new();
    let running = stage.start();
    let (answer, answers) = std::sync::mpsc::channel();
    for _ in 0..50 {
        let answer = answer.clone();
        let asked = vec![keyed("k", "echo", "{}")];
        running.engine.submit(asked, move |accepted| {
            answer.send(accepted.unwrap()[0]).unwrap();
        });
    }
    let accepted: Vec<_> = answers.iter().take(50).collect();
    assert!(accepted.iter().all(|one| one.run == accepted[0].run));
    assert_eq!(accepted.iter().filter(|one| !one.existing).count(), 1);
}

#[test]
fn a_run_that_is_not_started_waits_for_that() {
    let stage = Stage::new();
    let running = stage.start();
    let created = Submission {
        start: false,
        ..submission("echo", "{}")
    };
    let run = running.accept(created.clone()).unwrap().run;
    assert_eq!(running.status(run), Status::Created);
    running.invoke(run).unwrap();
    running.completed(run);
    assert_eq!(
        running.invoke(run).unwrap_err().code,
        ErrorCode::RunFinished
    );
    let other = running.accept(created).unwrap().run;
    assert_eq!(running.cancel(other), Ok(Cancelling::Cancelled));
    let unknown = RunId::new(Time::from_millis(1));
    assert_eq!(
        running.invoke(unknown).unwrap_err().code,
        ErrorCode::RunNotFound
    );
    running.engine.when_finished(unknown, |_| {});
    let refused = running.accept(Submission {
        memory: Some(MemoryId::new(Time::from_millis(1))),
        ..submission("echo", "{}")
    });
    assert_eq!(refused.unwrap_err().code, ErrorCode::MemoryNotFound);
    running.completed(running.submit("echo", "{}"));
}

#[test]
fn runs_share_a_memory_and_have_metadata() {
    let stage = Stage::new();
    let running = stage.start();
    let first = running.completed(running.submit("remember", r#"{"key": "one"}"#));
    let second = running
        .accept(Submission {
            memory: Some(first.memory_id),
            metadata: Some(Json::parse(r#"{"who": "me"}"#).unwrap()),
            retry_of: Some(first.id),
            ..submission("remember", r#"{"key": "two"}"#)
        })
        .unwrap();
    let document = running.completed(second.run);
    assert_eq!(document.retry_of, Some(first.id));
    assert_eq!(document.metadata.unwrap().as_bytes(), br#"{"who": "me"}"#);
    let entries = running.engine.memory(first.memory_id).unwrap();
    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["one", "two"]);
}

#[test]
fn a_run_is_cancelled_however_it_stands_with_who_and_why() {
    let stage = Stage::new();
    let running = stage.start_with(|settings| {
        settings.deployed[0].concurrency = 1;
        settings.deployed[0].backoff = ziet_core::retry::Backoff::Exponential;
    });
    let retrying = running.submit(
        "flaky",
        &format!(
            r#"{{"file": "{}", "failures": 9}}"#,
            stage.notes().display()
        ),
    );
    running.until(|notice| {
        matches!(
            notice,
            Notice::Run {
                happening: Happening::Retrying { .. },
                ..
            }
        )
        .then_some(())
    });
    let waiting = running.submit("parent", &stage.held());
    let _waits = stage.reached();
    let queued = running.submit("echo", "{}");
    let at = running
        .document(queued)
        .created_at
        .plus(Duration::from_secs(3600));
    let scheduled = Submission {
        due: Some(Due::At(at)),
        ..submission("echo", "{}")
    };
    let scheduled = running.accept(scheduled).unwrap().run;
    let stands = [retrying, waiting, queued, scheduled].map(|run| running.status(run));
    assert_eq!(
        stands,
        [
            Status::Retrying,
            Status::Waiting,
            Status::Queued,
            Status::Scheduled
        ]
    );
    for run in [retrying, waiting, queued, scheduled] {
        assert_eq!(running.cancel(run), Ok(Cancelling::Cancelled));
        let document = running.document(run);
        let cancelled = document.cancelled.unwrap();
        assert_eq!(
            (cancelled.by.as_str(), cancelled.reason.as_deref()),
            ("a test", Some("to see it"))
        );
        assert_eq!(running.cancel(run), Ok(Cancelling::Already));
    }
    // The child of the one that waited went with it, and its executor is free.
    let done = running.completed(running.submit("echo", "{}"));
    assert_eq!(
        running.cancel(done.id).unwrap_err().code,
        ErrorCode::RunFinished
    );
    assert_eq!(running.figures().live, 0);
}

#[test]
fn a_tree_is_cancelled_as_a_whole_and_each_run_says_who_did_it() {
    let stage = Stage::new();
    let running = stage.start();
    let alone = running.submit("hold", &stage.held());
    let _waits = stage.reached();
    let root = running.submit("grandparent", &stage.held());
    let _deep = stage.reached();
    for run in [alone, root] {
        assert_eq!(running.cancel(run), Ok(Cancelling::Cancelled));
    }
    let (mut tree, mut deepest) = (vec![alone], root);
    for below in [1, 1, 0] {
        tree.push(deepest);
        let children = running.children(deepest);
        assert_eq!(children.len(), below);
        deepest = children.first().map_or(deepest, |child| child.id);
    }
    for run in tree {
        let document = running.finished(run);
        let cancelled = document.cancelled.unwrap();
        assert_eq!(
            (document.status, cancelled.by.as_str()),
            (Status::Cancelled, "a test")
        );
        assert_eq!(
            running.invoke(run).unwrap_err().code,
            ErrorCode::RunFinished
        );
    }
    assert_eq!(running.figures().live, 0);
}

#[test]
fn lines_are_kept_while_the_attempt_goes_on_and_with_its_end() {
    let stage = Stage::new();
    let running = stage.start();
    let input = stage.held().replace('}', r#", "lines": 500}"#);
    let run = running.submit("chatter", &input);
    let waits = stage.reached();
    running.until(|notice| match notice {
        Notice::Written(changes) => changes
            .iter()
            .any(|change| matches!(change, Change::Logs { .. }))
            .then_some(()),
        _ => None,
    });
    assert_eq!(
        lines(&running, run),
        [(1, Level::Info, "line 1".to_owned())]
    );
    drop(waits);
    running.completed(run);
    let kept = lines(&running, run);
    assert_eq!(kept.len(), 500);
    assert!(kept.iter().enumerate().all(|(place, line)| {
        line.0 == place as u64 + 1 && line.2 == format!("line {}", place + 1)
    }));
}

#[test]
fn a_time_is_kept_to_20_ms() {
    let stage = Stage::new();
    let running = stage.start();
    let warm = running.completed(running.submit("echo", "{}"));
    let now = warm.finished_at.unwrap();
    let times: Vec<Time> = (1..=10)
        .map(|n| now.plus(Duration::from_millis(300 + 61 * n)))
        .collect();
    let runs: Vec<RunId> = times
        .iter()
        .map(|at| {
            let later = Submission {
                due: Some(Due::At(*at)),
                ..submission("echo", "{}")
            };
            running.accept(later).unwrap().run
        })
        .collect();
    let mut late: Vec<Duration> = runs
        .iter()
        .zip(&times)
        .map(|(run, at)| {
            let started = running.completed(*run).started_at.unwrap();
            assert!(started >= *at);
            started.since(*at)
        })
        .collect();
    late.sort();
    // A machine that is busy with something else may hold one up.
    assert!(late[5] <= Duration::from_millis(20), "{late:?}");
}

#[test]
fn an_idle_engine_says_nothing_and_does_nothing() {
    let stage = Stage::new();
    let running = stage.start();
    running.completed(running.submit("echo", "{}"));
    assert!(running.is_silent_for(Duration::from_millis(500)));
}
