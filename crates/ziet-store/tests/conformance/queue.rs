//! What an engine takes up: the queue in its order, the timers in theirs, and what was being executed.

use std::time::Duration;

use ziet_core::run::{Cancelled, Status, WaitingOn};
use ziet_core::{Event, ProjectId, Run, RunId, Time};
use ziet_store::runs::{self, Backlog, Timer};
use ziet_store::{NewRun, Store, Tx};

use crate::stage::{
    change, claimed, commit, completed, json, load, new_run, now, on_each, policy, project, submit,
};

fn queued(store: &Store, after: Option<RunId>, limit: usize) -> Vec<RunId> {
    let found =
        store.read_now(async move |tx| runs::due_queued(tx, &project(), after, limit).await);
    found.unwrap().iter().map(|run| run.id).collect()
}

fn timers(store: &Store, after: Option<Timer>, limit: usize) -> Vec<Timer> {
    store
        .read_now(async move |tx| runs::timers(tx, &project(), after, limit).await)
        .unwrap()
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
            let lump = queued(store, after, 10);
            after = lump.last().copied();
            if lump.is_empty() {
                break;
            }
            found.extend(lump);
        }
        assert_eq!(found, expected);
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
        let found = store.read_now(async |tx| runs::due_queued(tx, &project(), None, 9).await);
        let found = found.unwrap().remove(0);
        assert_eq!(Some(&found), load(store, run.id).as_ref());
        assert_eq!(
            (found.retry_of, found.deployment_id),
            (run.retry_of, run.deployment_id)
        );
        assert_eq!((found.metadata, found.input), (run.metadata, run.input));
    });
}

#[test]
fn timers_come_by_their_time() {
    on_each(|store| {
        let at = |millis| Time::from_millis(1_900_000_000_000 + millis);
        let runs = [due(at(5)), due(at(1)), due(at(5)), due(at(3))];
        commit(store, runs.iter().map(submit).collect()).unwrap();
        commit(store, vec![submit(&new_run())]).unwrap();
        let expected = [(1, 1), (3, 3), (5, 0), (5, 2)].map(|(millis, run): (i64, usize)| Timer {
            at: at(millis),
            run: runs[run].id,
        });
        assert_eq!(timers(store, None, 10), expected);
        assert_eq!(timers(store, None, 2), expected[..2]);
        assert_eq!(timers(store, Some(expected[2]), 10), expected[3..]);
        let cancelled = Cancelled {
            by: "ada".to_owned(),
            reason: None,
        };
        let (cancel, _) = change(runs[1].id, &runs[1].run, Event::Cancel(cancelled));
        commit(store, vec![cancel]).unwrap();
        assert_eq!(timers(store, None, 10), expected[1..]);
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
        let found = timers(store, None, 10);
        let beyond = |at| {
            let verb = async move |tx: &mut Tx<'_>| runs::retrying_beyond(tx, &project(), at).await;
            store.read_now(verb).unwrap()
        };
        let before = Time::from_millis(found[0].at.as_millis() - 1);
        assert_eq!(
            (beyond(before), beyond(found[0].at)),
            (vec![run.id], vec![])
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].run, run.id);
        let scheduled = due(found[0].at.plus(Duration::from_secs(9)));
        commit(store, vec![submit(&scheduled)]).unwrap();
        for (millis, places) in [
            (10_000, [scheduled.id, run.id]),
            (-10_000, [run.id, scheduled.id]),
        ] {
            let verb =
                async move |tx: &mut Tx<'_>| runs::move_retries(tx, &project(), millis).await;
            store.write_now(verb).unwrap();
            let order: Vec<RunId> = timers(store, None, 10)
                .iter()
                .map(|timer| timer.run)
                .collect();
            assert_eq!(order, places, "only what is retrying is moved");
        }
        assert_eq!(timers(store, None, 1), found);
        let later = found[0].at.plus(Duration::from_millis(1));
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
        assert_eq!(
            (timers(store, None, 10).len(), queued(store, None, 9)),
            (1, vec![run.id])
        );
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
        let live = store
            .read_now(async |tx| runs::live(tx, &project()).await)
            .unwrap();
        assert_eq!(
            live.iter().map(|run| run.id).collect::<Vec<_>>(),
            [running.id, waiting.id]
        );
        assert_eq!(Some(&live[1]), load(store, waiting.id).as_ref());
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
