//! Runs from their submission to their end, and the fence that keeps late writers out.

use serde_json::json as value;
use ziet_core::error::{ErrorCode, Failure, StackFrame};
use ziet_core::run::{Cancelled, Ending, Outcome, Status, WaitingOn};
use ziet_core::{Event, ProjectId, Run, RunState, Time};
use ziet_store::{Change, EventRecord, NewRun, StoreError, changes, events, runs};

use crate::stage::{
    attempt, change, child_of, claimed, commit, count, document, ended, json, load, new_run, now,
    on_each, project, submit,
};

#[test]
fn a_run_is_submitted_claimed_and_finished() {
    on_each(|store| {
        let run = NewRun {
            metadata: Some(json(r#"{"order": 7}"#)),
            ..new_run()
        };
        commit(store, vec![submit(&run)]).unwrap();
        let queued = document(store, run.id);
        assert_eq!((queued.status, queued.started_at), (Status::Queued, None));
        assert_eq!(queued.metadata, Some(json(r#"{"order": 7}"#)));

        let (claim, running) = claimed(&run);
        commit(store, vec![claim]).unwrap();
        let started = document(store, run.id);
        assert_eq!(started.status, Status::Running);
        assert!(started.started_at.is_some());

        let (finish, _) = ended(
            &run,
            &running,
            Ending::Completed {
                output: json("[1.50]"),
            },
        );
        let record = attempt(run.id, 1, Outcome::Completed);
        commit(store, vec![finish, Change::Attempt(Box::new(record))]).unwrap();
        let finished = document(store, run.id);
        assert_eq!(finished.status, Status::Completed);
        assert_eq!(finished.output, Some(json("[1.50]")));
        assert_eq!(finished.started_at, started.started_at);
        assert!(finished.finished_at > finished.started_at);
        assert_eq!(finished.attempts.len(), 1);
    });
}

#[test]
fn a_whole_life_can_stand_in_one_commit() {
    on_each(|store| {
        let run = new_run();
        let (claim, running) = claimed(&run);
        let (finish, completed) = ended(&run, &running, Ending::Completed { output: json("1") });
        commit(store, vec![submit(&run), claim, finish]).unwrap();
        assert_eq!(load(store, run.id).unwrap().run, completed);
    });
}

#[test]
fn a_claim_that_is_written_with_the_end_keeps_its_time() {
    on_each(|store| {
        let run = new_run();
        let (claim, running) = claimed(&run);
        let (finish, completed) = ended(&run, &running, Ending::Completed { output: json("1") });
        let (Change::State(claim), Change::State(mut finish)) = (claim, finish) else {
            panic!("these are transitions");
        };
        (finish.fence, finish.since) = (claim.fence, claim.since);
        let times = (Some(claim.now), Some(finish.now));
        commit(store, vec![submit(&run)]).unwrap();
        commit(store, vec![Change::State(finish)]).unwrap();
        assert_eq!(load(store, run.id).unwrap().run, completed);
        let shown = document(store, run.id);
        assert_eq!((shown.started_at, shown.finished_at), times);
    });
}

#[test]
fn who_lost_the_run_changes_nothing() {
    on_each(|store| {
        let run = new_run();
        let (claim, running) = claimed(&run);
        let (lost, queued) = ended(&run, &running, Ending::Lost);
        let again = NewRun {
            run: queued.clone(),
            ..run.clone()
        };
        let (reclaim, running_again) = claimed(&again);
        commit(store, vec![submit(&run), claim.clone(), lost, reclaim]).unwrap();

        let (late, _) = ended(&run, &running, Ending::Completed { output: json("1") });
        let other = new_run();
        let result = commit(store, vec![submit(&other), late]);
        assert_eq!(result, Err(StoreError::Fenced(run.id)));
        assert_eq!(load(store, run.id).unwrap().run, running_again);
        assert_eq!(
            load(store, other.id),
            None,
            "a batch stands or falls as one"
        );

        assert_eq!(commit(store, vec![claim]), Err(StoreError::Fenced(run.id)));
        let (finish, _) = ended(
            &run,
            &running_again,
            Ending::Completed { output: json("2") },
        );
        commit(store, vec![finish.clone()]).unwrap();
        assert_eq!(commit(store, vec![finish]), Err(StoreError::Fenced(run.id)));
        assert_eq!(document(store, run.id).output, Some(json("2")));
    });
}

#[test]
fn a_run_that_is_not_there_is_fenced_too() {
    on_each(|store| {
        let run = new_run();
        assert_eq!(
            commit(store, vec![claimed(&run).0]),
            Err(StoreError::Fenced(run.id))
        );
    });
}

#[test]
fn a_run_or_an_attempt_is_stored_once() {
    on_each(|store| {
        let run = new_run();
        let record = || Change::Attempt(Box::new(attempt(run.id, 1, Outcome::Lost)));
        commit(store, vec![submit(&run), record()]).unwrap();
        assert!(matches!(
            commit(store, vec![record()]),
            Err(StoreError::Duplicate(_))
        ));
        let again = run.clone();
        assert!(matches!(
            commit(store, vec![submit(&again)]),
            Err(StoreError::Duplicate(_))
        ));
        assert_eq!((count(store, "runs"), count(store, "attempts")), (1, 1));
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    on_each(|store| {
        let run = NewRun {
            run: Run {
                counted: 3,
                ..new_run().run
            },
            ..new_run()
        };
        assert!(matches!(
            commit(store, vec![submit(&run)]),
            Err(StoreError::Constraint(_))
        ));
        assert_eq!((count(store, "runs"), count(store, "memories")), (0, 0));
    });
}

#[test]
fn a_failed_run_tells_everything_in_its_document() {
    on_each(|store| {
        let run = new_run();
        let failure = Failure {
            retryable: false,
            traceback: Some("Traceback …\0".to_owned()),
            frames: vec![StackFrame {
                file: "a.py".to_owned(),
                line: 3,
                function: "pay".to_owned(),
                source: None,
                user: true,
                ..StackFrame::default()
            }],
            ..Failure::new(ErrorCode::Exception, "ValueError", "no \"money\"")
        };
        let (claim, running) = claimed(&run);
        let (fail, _) = ended(&run, &running, Ending::Failed(failure.clone()));
        let mut record = attempt(run.id, 1, Outcome::Failed);
        record.failure = Some(failure);
        commit(
            store,
            vec![
                submit(&run),
                claim,
                fail,
                Change::Attempt(Box::new(record.clone())),
            ],
        )
        .unwrap();
        let error = value!({
            "type": "ValueError", "message": "no \"money\"", "traceback": "Traceback …\0", "code": "exception",
            "frames": [{"file": "a.py", "line": 3, "function": "pay", "source": null, "user": true}],
        });
        let shown = document(store, run.id);
        let text = |time: Time| time.to_string();
        assert_eq!(
            serde_json::to_value(&shown).unwrap(),
            value!({
                "id": run.id, "action_id": "pay", "project_id": "shop", "deployment_id": null,
                "status": "failed", "waiting_on": null, "input": {"amount": 10}, "output": null,
                "error": error, "memory_id": run.memory_id, "parent_id": null, "root_id": run.id,
                "attempts": [{
                    "number": 1, "outcome": "failed", "error": error,
                    "started_at": text(record.started_at), "finished_at": text(record.finished_at),
                    "cpu_ms": 12, "peak_memory_bytes": null, "worker": record.worker,
                }],
                "metadata": null, "run_at": null, "retry_of": null, "cancelled": null,
                "created_at": text(run.created_at), "started_at": text(shown.started_at.unwrap()),
                "finished_at": text(shown.finished_at.unwrap()),
            })
        );
    });
}

#[test]
fn documents_show_due_times_waiting_and_cancelling() {
    on_each(|store| {
        let due = now().plus(std::time::Duration::from_secs(60));
        let run = NewRun {
            run: Run::accepted(new_run().run.policy, Some(due), now()).run,
            ..new_run()
        };
        commit(store, vec![submit(&run)]).unwrap();
        let scheduled = document(store, run.id);
        assert_eq!(
            (scheduled.status, scheduled.run_at),
            (Status::Scheduled, Some(due))
        );

        let waiting = new_run();
        let (claim, running) = claimed(&waiting);
        let wait = Event::Wait {
            claim: running.state.claim().unwrap(),
            on: WaitingOn::Children,
        };
        let (wait, waits) = change(waiting.id, &running, wait);
        commit(store, vec![submit(&waiting), claim, wait]).unwrap();
        let shown = document(store, waiting.id);
        assert_eq!(
            (shown.status, shown.waiting_on),
            (Status::Waiting, Some(WaitingOn::Children))
        );

        let by = Cancelled {
            by: "ada".to_owned(),
            reason: None,
        };
        let (cancel, _) = change(waiting.id, &waits, Event::Cancel(by.clone()));
        commit(store, vec![cancel]).unwrap();
        let shown = document(store, waiting.id);
        assert_eq!((shown.status, shown.waiting_on), (Status::Cancelled, None));
        assert_eq!(shown.cancelled, Some(by));
    });
}

#[test]
fn attempts_stand_in_their_order() {
    on_each(|store| {
        let run = new_run();
        let records =
            [3, 1, 2].map(|n| Change::Attempt(Box::new(attempt(run.id, n, Outcome::Crashed))));
        commit(store, [vec![submit(&run)], records.to_vec()].concat()).unwrap();
        let numbers: Vec<u32> = document(store, run.id)
            .attempts
            .iter()
            .map(|a| a.number)
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    });
}

#[test]
fn a_parent_finds_its_children_by_their_calls() {
    on_each(|store| {
        let parent = new_run();
        let children = [child_of(&parent, 0), child_of(&parent, 1)];
        commit(
            store,
            vec![submit(&parent), submit(&children[0]), submit(&children[1])],
        )
        .unwrap();
        let id = parent.id;
        let found = store
            .read_now(async move |tx| runs::children(tx, &project(), id).await)
            .unwrap();
        let ids: Vec<_> = found.iter().map(|child| child.id).collect();
        assert_eq!(ids, children.each_ref().map(|child| child.id));
        assert_eq!(found[1].call, children[1].parent.as_ref().unwrap().call);
        assert_eq!(found[0].status, Status::Queued);
        let loaded = load(store, children[0].id).unwrap();
        assert_eq!(
            (loaded.parent, loaded.root_id),
            (children[0].parent.clone(), parent.id)
        );
        assert_eq!(document(store, children[0].id).parent_id, Some(parent.id));
    });
}

#[test]
fn events_keep_their_order_and_may_hold_any_text() {
    on_each(|store| {
        let run = new_run();
        let event = |body: &str| EventRecord {
            run_id: run.id,
            attempt: 1,
            at: Time::from_millis(5),
            kind: "integration_called".to_owned(),
            body: body.to_owned(),
        };
        let all = ["google.search(\"ziet\")", "", "a\0b"].map(event);
        commit(store, all.iter().cloned().map(Change::Event).collect()).unwrap();
        commit(store, vec![Change::Event(event("last"))]).unwrap();
        let id = run.id;
        let page = |after, limit| {
            store
                .read_now(async move |tx| events::page(tx, &project(), id, after, limit).await)
                .unwrap()
        };
        let [first, second, third] = all;
        assert_eq!(page(0, 2), [(1, first), (2, second)]);
        assert_eq!(page(2, 10), [(3, third), (4, event("last"))]);
        assert_eq!(page(4, 10), []);
    });
}

#[test]
fn a_project_does_not_see_the_runs_of_another() {
    on_each(|store| {
        let run = new_run();
        commit(store, vec![submit(&run)]).unwrap();
        let id = run.id;
        let (claim, _) = claimed(&run);
        let result = store.write_now(async move |tx| {
            let other = ProjectId::new("other");
            assert_eq!(runs::load(tx, &other, id).await?, None);
            assert!(runs::document(tx, &other, id).await?.is_none());
            changes::commit(tx, &other, std::slice::from_ref(&claim)).await
        });
        assert_eq!(result, Err(StoreError::Fenced(id)));
        assert_eq!(load(store, id).unwrap().run.state, RunState::Queued);
    });
}
