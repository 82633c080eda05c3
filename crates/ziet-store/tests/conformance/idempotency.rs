//! The same request twice is one run.

use std::time::Duration;

use ziet_core::{ProjectId, RunId, Time};
use ziet_store::{Idempotency, NewRun, Store, StoreError, runs};

use crate::stage::{commit, completed, count, load, new_run, now, on_each, project, submit};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn keyed(key: &str) -> NewRun {
    NewRun {
        idempotency: Some(Idempotency {
            key: key.to_owned(),
            request: [3; 32],
        }),
        ..new_run()
    }
}

fn find(store: &Store, key: &'static str, now: Time) -> Option<(RunId, [u8; 32])> {
    store
        .read_now(async move |tx| runs::by_idempotency_key(tx, &project(), key, now).await)
        .unwrap()
}

#[test]
fn a_key_leads_to_its_run_and_cannot_be_taken_twice() {
    on_each(|store| {
        let run = keyed("a\0 é");
        commit(store, vec![submit(&run)]).unwrap();
        assert_eq!(find(store, "a\0 é", now()), Some((run.id, [3; 32])));
        assert_eq!(find(store, "a", now()), None);
        let taken = commit(store, vec![submit(&keyed("a\0 é"))]);
        assert!(matches!(taken, Err(StoreError::Duplicate(_))), "{taken:?}");
        assert_eq!(count(store, "runs"), 1);
        let other = store.read_now(async |tx| {
            runs::by_idempotency_key(tx, &ProjectId::new("other"), "a\0 é", now()).await
        });
        assert_eq!(other, Ok(None));
    });
}

#[test]
fn a_key_is_free_again_a_day_after_its_run_has_finished() {
    on_each(|store| {
        let run = keyed("k");
        commit(store, completed(&run)).unwrap();
        let finished = load(store, run.id).unwrap().finished_at.unwrap();
        let later = finished.plus(DAY);
        let before = Time::from_millis(later.as_millis() - 1);
        assert!(find(store, "k", before).is_some());
        assert_eq!(find(store, "k", later), None);
        let at = |created_at| NewRun {
            created_at,
            ..keyed("k")
        };
        assert!(commit(store, vec![submit(&at(before))]).is_err());
        let next = at(later);
        commit(store, vec![submit(&next)]).unwrap();
        assert_eq!(find(store, "k", later).map(|(id, _)| id), Some(next.id));
        assert!(
            find(store, "k", later.plus(DAY * 100)).is_some(),
            "it has not finished"
        );
    });
}
