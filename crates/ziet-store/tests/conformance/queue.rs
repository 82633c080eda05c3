//! What an engine takes up: the queue in its order, the timers in theirs, and what was being executed.

use std::time::Duration;

use ziet_core::run::{Cancelled, Status, WaitingOn};
use ziet_core::{Event, ProjectId, Run, RunId, Time};
use ziet_store::runs::{self, Backlog, Lump, Most};
use ziet_store::{LoadedRun, NewRun, Store, Tx};

use crate::stage::{
    change, claimed, commit, completed, json, load, new_run, now, on_each, policy, project, submit,
};

const MOST: Most = Most {
    runs: 10,
    bytes: 1000,
};

fn unfinished(store: &Store, status: Status, after: Option<RunId>, most: Most) -> Lump {
    store
        .read_now(async move |tx| runs::unfinished(tx, &project(), status, after, most).await)
        .unwrap()
}

fn queued(store: &Store, after: Option<RunId>) -> Vec<RunId> {
    ids(&unfinished(store, Status::Queued, after, MOST).runs)
}

fn ids(runs: &[LoadedRun]) -> Vec<RunId> {
    runs.iter().map(|run| run.id).collect()
}

fn due_at(store: &Store, now: Time, most: Most) -> (Vec<RunId>, Option<Time>) {
    let found = store.read_now(async move |tx| runs::due(tx, &project(), now, most).await);
    let found = found.unwrap();
    (ids(&found.runs), found.next)
}

fn backlog(store: &Store) -> Backlog {
    store
        .read_now(async |tx| runs::backlog(tx, &project()).await)
        .unwrap()
}

fn due(at: Time) -> NewRun {
    NewRun {
        run: Run::accepted(policy(), Some(at), Time::from_millis(0)).run,
        ..new_run()
    }
}

#[test]
fn the_queue_is_read_in_lumps_in_the_order_of_ids() {
    on_each(|store| {
        let all: Vec<NewRun> = (0..25).map(|_| new_run()).collect();
        commit(store, all.iter().rev().map(submit).collect()).unwrap();
        commit(store, completed(&new_run())).unwrap();
        commit(store, vec![claimed(&all[3]).0, submit(&due(now()))]).unwrap();
        let mut expected: Vec<RunId> = all.iter().map(|run| run.id).collect();
        expected.remove(3);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let lump = unfinished(store, Status::Queued, after, MOST);
            after = lump.runs.last().map(|run| run.id);
            found.extend(ids(&lump.runs));
            if !lump.more {
                break;
            }
        }
        assert_eq!(found, expected);
        let nothing = unfinished(store, Status::Queued, after, MOST);
        assert!(nothing.runs.is_empty() && !nothing.more);
    });
}

#[test]
fn a_lump_ends_before_its_inputs_are_too_large() {
    on_each(|store| {
        let at = |number: i64| Time::from_millis(1_900_000_000_000 + number);
        let of_size = |new: NewRun, bytes: usize| NewRun {
            input: json(&format!("\"{}\"", "x".repeat(bytes - 2))),
            ..new
        };
        let sizes = [400, 600, 5, 2000, 3];
        let queued = sizes.map(|bytes| of_size(new_run(), bytes));
        let timed = [(0, 400), (1, 600), (2, 4), (3, 2000)]
            .map(|(number, bytes)| of_size(due(at(number)), bytes));
        commit(store, queued.iter().chain(&timed).map(submit).collect()).unwrap();
        let mut from = 0_usize;
        for expected in [2, 1, 1, 1] {
            let after = from.checked_sub(1).map(|last: usize| queued[last].id);
            let lump = unfinished(store, Status::Queued, after, MOST);
            let wanted: Vec<RunId> = queued[from..from + expected]
                .iter()
                .map(|run| run.id)
                .collect();
            assert_eq!(ids(&lump.runs), wanted);
            from += expected;
            assert_eq!(lump.more, from < queued.len());
        }
        let first = timed[..2].iter().map(|run| run.id).collect();
        assert_eq!(due_at(store, at(3), MOST), (first, Some(at(2))));
    });
}

#[test]
fn a_queued_run_comes_as_it_is_loaded() {
    on_each(|store| {
        let run = NewRun {
            metadata: Some(json("[1]")),
            retry_of: Some(RunId::new(now())),
            deployment_id: Some(ziet_core::DeploymentId::new(now())),
            ..new_run()
        };
        commit(store, vec![submit(&run)]).unwrap();
        let found = unfinished(store, Status::Queued, None, MOST).runs.remove(0);
        let whole = load(store, run.id).unwrap();
        let expected = LoadedRun {
            metadata: None,
            ..whole
        };
        assert_eq!(found, expected);
        assert_eq!(
            (found.retry_of, found.deployment_id, found.input),
            (run.retry_of, run.deployment_id, run.input)
        );
    });
}

#[test]
fn timers_come_by_their_time() {
    on_each(|store| {
        let at = |millis: i64| Time::from_millis(1_900_000_000_000 + millis);
        let runs = [due(at(5)), due(at(1)), due(at(5)), due(at(3))];
        commit(store, runs.iter().map(submit).collect()).unwrap();
        commit(store, vec![submit(&new_run())]).unwrap();
        let expected = [1, 3, 0, 2].map(|run: usize| runs[run].id);
        let due_at = |millis, most| due_at(store, at(millis), most);
        assert_eq!(due_at(0, MOST), (vec![], Some(at(1))));
        assert_eq!(due_at(4, MOST), (expected[..2].to_vec(), Some(at(5))));
        assert_eq!(due_at(5, MOST), (expected.to_vec(), None));
        let two = Most { runs: 2, ..MOST };
        assert_eq!(due_at(9, two), (expected[..2].to_vec(), Some(at(5))));
        let cancelled = Cancelled {
            by: "ada".to_owned(),
            reason: None,
        };
        let (cancel, _) = change(runs[1].id, &runs[1].run, Event::Cancel(cancelled));
        commit(store, vec![cancel]).unwrap();
        assert_eq!(due_at(9, MOST), (expected[1..].to_vec(), None));
    });
}

#[test]
fn a_run_that_fails_has_a_timer_until_its_next_attempt() {
    on_each(|store| {
        let run = new_run();
        let failure = ziet_core::Failure::new(ziet_core::ErrorCode::Exception, "E", "again");
        let life = crate::stage::life(&run, ziet_core::run::Ending::Failed(failure));
        commit(store, life).unwrap();
        let retrying = load(store, run.id).unwrap().run;
        assert_eq!(retrying.state.status(), Status::Retrying);
        let long_ago = Time::from_millis(0);
        let (_, at) = due_at(store, long_ago, MOST);
        let at = at.unwrap();
        let beyond = |at| {
            let verb = async move |tx: &mut Tx<'_>| runs::retrying_beyond(tx, &project(), at).await;
            store.read_now(verb).unwrap()
        };
        let before = Time::from_millis(at.as_millis() - 1);
        assert_eq!((beyond(before), beyond(at)), (vec![run.id], vec![]));
        assert_eq!(due_at(store, at, MOST), (vec![run.id], None));
        let scheduled = due(at.plus(Duration::from_secs(9)));
        commit(store, vec![submit(&scheduled)]).unwrap();
        for (millis, places) in [
            (10_000, [scheduled.id, run.id]),
            (-10_000, [run.id, scheduled.id]),
        ] {
            let verb =
                async move |tx: &mut Tx<'_>| runs::move_retries(tx, &project(), millis).await;
            store.write_now(verb).unwrap();
            let far = at.plus(Duration::from_secs(60));
            let (order, _) = due_at(store, far, MOST);
            assert_eq!(order, places, "only what is retrying is moved");
        }
        let later = at.plus(Duration::from_millis(1));
        let after = ziet_core::transition(&retrying, Event::Due, later)
            .unwrap()
            .run;
        let go = ziet_store::StateChange {
            id: run.id,
            fence: 1,
            run: after,
            since: later,
            now: later,
        };
        commit(store, vec![ziet_store::Change::State(Box::new(go))]).unwrap();
        let at = at.plus(Duration::from_secs(9));
        assert_eq!(due_at(store, later, MOST), (vec![], Some(at)));
        assert_eq!(queued(store, None), [run.id]);
    });
}

#[test]
fn what_was_being_executed_is_found_after_a_crash() {
    on_each(|store| {
        let (running, waiting) = (new_run(), new_run());
        let (claim, _) = claimed(&running);
        let (first, state) = claimed(&waiting);
        let claim_of = state.state.claim().unwrap();
        let on = WaitingOn::Approval;
        let (wait, _) = change(
            waiting.id,
            &state,
            Event::Wait {
                claim: claim_of,
                on,
            },
        );
        commit(
            store,
            vec![submit(&running), claim, submit(&waiting), first, wait],
        )
        .unwrap();
        commit(
            store,
            [completed(&new_run()), vec![submit(&new_run())]].concat(),
        )
        .unwrap();
        for (status, run) in [(Status::Running, &running), (Status::Waiting, &waiting)] {
            let found = unfinished(store, status, None, MOST);
            assert_eq!((ids(&found.runs), found.more), (vec![run.id], false));
            assert_eq!(found.runs.first(), load(store, run.id).as_ref());
        }
    });
}

#[test]
fn the_backlog_is_what_has_not_finished() {
    on_each(|store| {
        assert_eq!(backlog(store), Backlog::default());
        let runs: Vec<NewRun> = (0..5).map(|_| new_run()).collect();
        commit(store, runs.iter().map(submit).collect()).unwrap();
        commit(store, vec![claimed(&runs[0]).0]).unwrap();
        commit(store, completed(&new_run())).unwrap();
        let expected = Backlog {
            runs: 5,
            bytes: 5 * new_run().input.as_bytes().len() as u64,
            queued: 4,
        };
        assert_eq!(backlog(store), expected);
        let other = store.read_now(async |tx| runs::backlog(tx, &ProjectId::new("other")).await);
        assert_eq!(other, Ok(Backlog::default()));
    });
}
