//! What is old goes, with all that belongs to it, and nothing else does.

use std::time::Duration;

use ziet_core::run::Ending;
use ziet_core::wire::Level;
use ziet_core::{DeploymentId, RunId, Time};
use ziet_store::deployments::{self, DeploymentError, DeploymentRecord};
use ziet_store::logs::NewLine;
use ziet_store::retention::{Old, Pruned, prune};
use ziet_store::{Change, EventRecord, Idempotency, NewRun, Store, StoreError, memory};

use crate::stage::{
    add, child_of, claimed, commit, completed, count, deployment, ended, entry, failed, json, load,
    new_run, now, on_each, project, submit,
};

/// Every table that a run has rows in.
const TABLES: &[&str] = &[
    "runs",
    "inputs",
    "results",
    "attempts",
    "logs",
    "events",
    "idempotency_keys",
    "memories",
    "entries",
];

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A day later, so that no idempotency key keeps its run.
fn prune_once(store: &Store, older_than: Time, after: Option<RunId>, limit: usize) -> Pruned {
    let old = Old::at(older_than.plus(DAY), DAY);
    store
        .write_now(async move |tx| prune(tx, &project(), &old, after, limit).await)
        .unwrap()
}

/// How many calls it took, and how many runs went.
fn prune_all(store: &Store, older_than: Time, limit: usize) -> (u32, u64) {
    let (mut calls, mut runs, mut after) = (0, 0, None);
    loop {
        let pruned = prune_once(store, older_than, after, limit);
        calls += 1;
        runs += pruned.runs;
        after = pruned.next;
        if after.is_none() {
            return (calls, runs);
        }
        assert!(calls < 10_000, "it comes to no end");
    }
}

fn rows(store: &Store) -> Vec<i64> {
    TABLES.iter().map(|table| count(store, table)).collect()
}

/// A completed run that has rows in every table.
fn whole(store: &Store, key: &str) -> NewRun {
    let run = NewRun {
        idempotency: Some(Idempotency {
            key: key.to_owned(),
            request: [0; 32],
        }),
        ..new_run()
    };
    let mut changes = completed(&run);
    changes.push(Change::Event(EventRecord {
        run_id: run.id,
        attempt: 1,
        at: now(),
        kind: "k".to_owned(),
        body: String::new(),
    }));
    changes.push(Change::Logs {
        run: run.id,
        attempt: 1,
        lines: vec![NewLine {
            at: now(),
            level: Level::Info,
            text: "x".to_owned(),
        }],
    });
    commit(store, changes).unwrap();
    add(store, run.memory_id, &entry("a", "1")).unwrap();
    run
}

#[test]
fn a_run_goes_with_all_that_belongs_to_it() {
    on_each(|store| {
        whole(store, "a");
        let one = rows(store);
        assert!(one.iter().all(|rows| *rows == 1), "{one:?}");
        whole(store, "b");
        let between = now();
        let young = whole(store, "c");
        assert_eq!(prune_all(store, between, 100), (1, 2));
        assert_eq!(rows(store), one);
        assert!(load(store, young.id).is_some());
        assert_eq!(prune_all(store, now(), 1), (2, 1));
        assert_eq!(rows(store), vec![0; TABLES.len()]);
    });
}

#[test]
fn what_is_alive_or_finished_lately_stays() {
    on_each(|store| {
        let (queued, slow) = (new_run(), new_run());
        let (claim, running) = claimed(&slow);
        commit(store, vec![submit(&queued), submit(&slow), claim]).unwrap();
        commit(store, failed(&new_run(), "old")).unwrap();
        let between = now();
        let output = json("1");
        let (finish, _) = ended(&slow, &running, Ending::Completed { output });
        commit(store, vec![finish]).unwrap();
        assert_eq!(prune_all(store, between, 1), (4, 1));
        assert_eq!(count(store, "runs"), 2);
        assert_eq!(prune_all(store, now(), 10), (1, 1));
        assert!(load(store, queued.id).is_some());
    });
}

#[test]
fn a_tree_goes_when_its_root_and_all_below_it_have_finished() {
    on_each(|store| {
        let root = new_run();
        let (claim, running) = claimed(&root);
        commit(store, vec![submit(&root), claim]).unwrap();
        let children: Vec<_> = (0..40).map(|number| child_of(&root, number)).collect();
        for child in &children[1..] {
            commit(store, completed(child)).unwrap();
        }
        assert_eq!(
            prune_all(store, now(), 100),
            (1, 0),
            "its parent can be executed again"
        );
        commit(store, vec![submit(&children[0])]).unwrap();
        let output = json("1");
        let (finish, _) = ended(&root, &running, Ending::Completed { output });
        commit(store, vec![finish]).unwrap();
        prune_all(store, now(), 100);
        assert!(load(store, root.id).is_some(), "a child is still alive");
        assert!(load(store, children[0].id).is_some());
        let (claim, running) = claimed(&children[0]);
        let output = json("1");
        let ending = Ending::Completed { output };
        let (finish, _) = ended(&children[0], &running, ending);
        commit(store, vec![claim, finish]).unwrap();
        prune_all(store, now(), 100);
        assert_eq!((count(store, "runs"), count(store, "memories")), (0, 0));
    });
}

#[test]
fn a_memory_goes_with_the_last_root_that_had_it() {
    on_each(|store| {
        let first = new_run();
        commit(store, completed(&first)).unwrap();
        add(store, first.memory_id, &entry("a", "1")).unwrap();
        let between = now();
        let second = NewRun {
            memory_id: first.memory_id,
            ..new_run()
        };
        commit(store, completed(&second)).unwrap();
        assert_eq!(prune_all(store, between, 10), (1, 1));
        assert_eq!((count(store, "memories"), count(store, "entries")), (1, 1));
        assert_eq!(prune_all(store, now(), 10), (1, 1));
        assert_eq!((count(store, "memories"), count(store, "entries")), (0, 0));
    });
}

#[test]
fn what_is_large_goes_in_several_steps() {
    on_each(|store| {
        let run = new_run();
        commit(store, completed(&run)).unwrap();
        let big = format!("\"{}\"", "x".repeat(1_000_000));
        for _ in 0..20 {
            add(store, run.memory_id, &entry("a", &big)).unwrap();
        }
        let lines = (0..500).map(|_| NewLine {
            at: now(),
            level: Level::Info,
            text: "x".repeat(16_000),
        });
        let logs = Change::Logs {
            run: run.id,
            attempt: 1,
            lines: lines.collect(),
        };
        commit(store, vec![logs]).unwrap();
        let (calls, runs) = prune_all(store, now(), 100);
        assert!(calls > 4, "{calls} calls for 28 MB");
        assert_eq!((runs, rows(store)), (1, vec![0; TABLES.len()]));
    });
}

#[test]
fn a_memory_that_is_being_deleted_is_given_to_nobody() {
    on_each(|store| {
        let run = new_run();
        commit(store, completed(&run)).unwrap();
        let big = format!("\"{}\"", "x".repeat(1_000_000));
        for _ in 0..4 {
            add(store, run.memory_id, &entry("a", &big)).unwrap();
        }
        let taking = || {
            submit(&NewRun {
                memory_id: run.memory_id,
                ..new_run()
            })
        };
        let begun = prune_once(store, now(), None, 10);
        assert!(begun.next.is_some() && count(store, "entries") < 4);
        let gone = StoreError::NoMemory(run.memory_id);
        assert_eq!(commit(store, vec![taking()]), Err(gone.clone()));
        assert_eq!(add(store, run.memory_id, &entry("b", "1")), Err(gone));
        let id = run.memory_id;
        let found = store.read_now(async move |tx| memory::find(tx, &project(), id).await);
        assert_eq!(found, Ok(None));
        prune_all(store, now(), 10);
        assert_eq!(rows(store), vec![0; TABLES.len()]);
    });
}

#[test]
fn a_run_is_kept_for_as_long_as_its_idempotency_key() {
    on_each(|store| {
        commit(store, completed(&new_run())).unwrap();
        let keyed = whole(store, "a");
        let prune_at = |now| {
            let old = Old::at(now, Duration::ZERO);
            let pruned = store
                .write_now(async move |tx| prune(tx, &project(), &old, None, 10).await)
                .unwrap();
            assert_eq!(pruned.next, None);
            pruned.runs
        };
        let ended = load(store, keyed.id).unwrap().finished_at.unwrap();
        assert_eq!(prune_at(ended.plus(DAY)), 1, "the one without a key");
        assert_eq!(prune_at(ended.plus(DAY).plus(Duration::from_millis(1))), 1);
    });
}

#[test]
fn a_served_folder_goes_when_no_run_that_is_alive_can_name_it() {
    on_each(|store| {
        let deploy = |id: DeploymentId| {
            let folder = DeploymentRecord {
                digest: None,
                ..deployment(id, "folder")
            };
            let made = store.write_now(async move |tx| {
                if deployments::find(tx, &project(), id).await?.is_none() {
                    deployments::insert(tx, &project(), &folder).await?;
                }
                deployments::set_ready(tx, &project(), id, &[]).await?;
                deployments::activate(tx, &project(), id, now()).await
            });
            assert_eq!(made, Ok(true));
        };
        let pruned = || {
            prune_all(store, now(), 10);
            count(store, "deployments")
        };
        let ids = [(); 4].map(|()| DeploymentId::new(now()));
        deploy(ids[0]);
        deploy(ids[1]);
        let run = new_run();
        commit(store, vec![submit(&run)]).unwrap();
        deploy(ids[2]);
        assert_eq!(pruned(), 2, "the run may be of the second");
        // Going back and on again does not make the first old.
        deploy(ids[1]);
        deploy(ids[3]);
        assert_eq!(pruned(), 3);
        let (claim, running) = claimed(&run);
        let output = json("1");
        let (finish, _) = ended(&run, &running, Ending::Completed { output });
        commit(store, vec![claim, finish]).unwrap();
        assert_eq!(pruned(), 1);
    });
}

#[test]
fn what_is_known_of_a_deployment_without_code_goes_when_it_is_old() {
    on_each(|store| {
        let [failed, removed, ready] = [(); 3].map(|()| DeploymentId::new(now()));
        let made = store.write_now(async move |tx| {
            for id in [failed, removed, ready] {
                deployments::insert(tx, &project(), &deployment(id, "v")).await?;
            }
            let error = DeploymentError {
                message: "no".to_owned(),
                log_tail: String::new(),
            };
            deployments::set_failed(tx, &project(), failed, &error).await?;
            deployments::set_ready(tx, &project(), removed, &[]).await?;
            deployments::set_ready(tx, &project(), ready, &[]).await?;
            deployments::set_removed(tx, &project(), removed).await
        });
        assert_eq!(made, Ok(true));
        prune_all(store, Time::from_millis(0), 10);
        assert_eq!(count(store, "deployments"), 3);
        prune_all(store, now(), 10);
        assert_eq!(count(store, "deployments"), 1);
    });
}
