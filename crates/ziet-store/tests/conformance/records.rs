//! What is kept beside runs: lines of logs, keys, sessions, figures, pages of entries.

use std::time::Duration;

use ziet_core::memory::Search;
use ziet_core::wire::Level;
use ziet_core::{ActionId, KeyId, ProjectId, RunId, Scope, Time};
use ziet_store::figures::{Figures, of_action};
use ziet_store::keys::{self, KeyRecord};
use ziet_store::logs::{self, LogLine, LogPage, LogQuery, NewLine};
use ziet_store::sessions::{self, SessionRecord};
use ziet_store::{Change, NewRun, Store, StoreError, memory};

use crate::stage::{
    add, commit, completed, entry, failed, new_memory, new_run, now, on_each, project, submit,
};

fn line(level: Level, text: &str) -> NewLine {
    NewLine {
        at: now(),
        level,
        text: text.to_owned(),
    }
}

fn log(store: &Store, run: RunId, attempt: u32, lines: Vec<NewLine>) {
    let logs = Change::Logs {
        run,
        attempt,
        lines,
    };
    commit(store, vec![logs]).unwrap();
}

fn page(store: &Store, run: RunId, query: LogQuery) -> LogPage {
    store
        .read_now(async move |tx| logs::page(tx, &project(), run, &query).await)
        .unwrap()
}

/// All pages of `limit` lines.
fn paged(store: &Store, run: RunId, query: &LogQuery) -> Vec<LogLine> {
    let (mut lines, mut after) = (Vec::new(), 0);
    loop {
        let page = page(
            store,
            run,
            LogQuery {
                after,
                ..query.clone()
            },
        );
        assert!(page.lines.len() <= query.limit);
        lines.extend(page.lines);
        after = page.scanned_to;
        if !page.more {
            return lines;
        }
    }
}

#[test]
fn lines_are_numbered_through_all_attempts_of_a_run() {
    on_each(|store| {
        let (run, other) = (new_run().id, new_run().id);
        log(
            store,
            run,
            1,
            vec![line(Level::Info, "a\0b"), line(Level::Warn, "")],
        );
        log(store, other, 1, vec![line(Level::Info, "not this")]);
        log(store, run, 2, vec![line(Level::Error, "ü")]);
        log(store, run, 2, Vec::new());
        let query = |limit| LogQuery {
            limit,
            ..LogQuery::default()
        };
        let all = paged(store, run, &query(100));
        let seen: Vec<_> = all
            .iter()
            .map(|line| (line.seq, line.attempt, line.text.as_str()))
            .collect();
        assert_eq!(seen, [(1, 1, "a\0b"), (2, 1, ""), (3, 2, "ü")]);
        assert!(all[0].at < all[2].at);
        for limit in 1..5 {
            assert_eq!(paged(store, run, &query(limit)), all);
        }
        let rest = page(
            store,
            run,
            LogQuery {
                after: 2,
                ..query(100)
            },
        );
        assert_eq!((rest.lines.as_slice(), rest.more), (&all[2..], false));
    });
}

#[test]
fn lines_are_found_by_their_level_and_their_text() {
    on_each(|store| {
        let run = new_run().id;
        for number in 0..300 {
            let level = match number % 10 {
                0 => Level::Error,
                1 => Level::Warn,
                _ => Level::Info,
            };
            log(store, run, 1, vec![line(level, &format!("Line {number}."))]);
        }
        let found = |min_level, search: Option<&str>| {
            let search = search.map(str::to_owned);
            let query = LogQuery {
                limit: 7,
                min_level,
                search,
                ..LogQuery::default()
            };
            paged(store, run, &query).len()
        };
        assert_eq!(found(Some(Level::Error), None), 30);
        assert_eq!(found(Some(Level::Warn), None), 60);
        assert_eq!(found(Some(Level::Info), None), 300);
        assert_eq!(found(None, Some("LINE 29")), 11);
        assert_eq!(found(Some(Level::Error), Some("line 29")), 1);
        assert_eq!(found(None, Some("30.")), 3);
    });
}

#[test]
fn a_search_in_much_that_was_printed_comes_in_steps() {
    on_each(|store| {
        let run = new_run().id;
        let lines: Vec<_> = (0..1_000)
            .map(|_| line(Level::Info, &"x".repeat(10_000)))
            .collect();
        log(store, run, 1, lines);
        log(store, run, 1, vec![line(Level::Info, "needle")]);
        let query = LogQuery {
            limit: 10,
            search: Some("needle".to_owned()),
            ..LogQuery::default()
        };
        let first = page(store, run, query.clone());
        assert!(first.lines.is_empty() && first.more && first.scanned_to < 1_000);
        let found = paged(store, run, &query);
        assert_eq!((found.len(), found[0].seq), (1, 1_001));
    });
}

#[test]
fn who_finds_nothing_in_a_log_goes_on_after_all_of_it() {
    on_each(|store| {
        let run = new_run().id;
        log(store, run, 1, vec![line(Level::Warn, "one"); 5]);
        log(store, run, 1, vec![line(Level::Info, "two"); 5]);
        for (min_level, search) in [
            (Some(Level::Error), None),
            (Some(Level::Warn), Some("two")),
            (None, Some("three")),
        ] {
            let query = LogQuery {
                limit: 10,
                min_level,
                search: search.map(str::to_owned),
                ..LogQuery::default()
            };
            let found = page(store, run, query);
            assert!(found.lines.is_empty() && !found.more);
            assert_eq!(found.scanned_to, 10);
        }
    });
}

fn key(project: Option<&str>, hash: [u8; 32]) -> KeyRecord {
    KeyRecord {
        id: KeyId::new(now()),
        project: project.map(ProjectId::new),
        name: "ci \0".to_owned(),
        scopes: vec![Scope::Run, Scope::Read],
        hash,
        prefix: "sk_abcd".to_owned(),
        created_at: now(),
        last_used_at: None,
        revoked_at: None,
    }
}

#[test]
fn a_key_is_found_and_revoked_once() {
    on_each(|store| {
        let (ours, all) = (key(Some("shop"), [1; 32]), key(None, [2; 32]));
        let kept = [ours.clone(), all.clone(), key(Some("other"), [3; 32])];
        let used = now();
        let twice = KeyRecord {
            hash: ours.hash,
            ..key(None, [4; 32])
        };
        let (mut ours_used, all_later) = (ours.clone(), all.clone());
        let done = store.write_now(async move |tx| {
            for key in &kept {
                keys::create(tx, key).await?;
            }
            keys::touch(tx, ours.id, used).await?;
            assert!(keys::revoke(tx, all.id, used).await?);
            assert!(
                !keys::revoke(tx, all.id, now()).await?,
                "it is revoked already"
            );
            assert!(!keys::revoke(tx, KeyId::new(now()), used).await?);
            Ok((
                keys::find(tx, ours.id).await?,
                keys::find(tx, KeyId::new(now())).await?,
                keys::page(tx, Some(&project()), None, 10).await?,
                keys::all(tx).await?,
                keys::page(tx, None, Some(ours.id), 1).await?,
            ))
        });
        let (found, nothing, of_project, of_all, second) = done.unwrap();
        ours_used.last_used_at = Some(used);
        assert_eq!((found.as_ref(), nothing), (Some(&ours_used), None));
        assert_eq!(of_project, [ours_used]);
        assert_eq!(second, of_all[1..2]);
        assert_eq!(
            (of_all.len(), of_all[1].id, of_all[1].revoked_at),
            (3, all_later.id, Some(used))
        );
        let refused = store.write_now(async move |tx| keys::create(tx, &twice).await);
        assert!(matches!(refused, Err(StoreError::Duplicate(_))));
    });
}

#[test]
fn a_session_ends_by_itself_or_when_it_is_closed() {
    on_each(|store| {
        let start = now();
        let session = |hash, seconds| SessionRecord {
            hash: [hash; 32],
            key: KeyId::new(start),
            created_at: start.plus(Duration::from_secs(seconds)),
            expires_at: start.plus(Duration::from_secs(seconds + 60)),
        };
        let (first, second, third) = (session(1, 0), session(2, 0), session(3, 60));
        let done = store.write_now(async move |tx| {
            sessions::open(tx, &first).await?;
            sessions::open(tx, &second).await?;
            assert_eq!(sessions::by_hash(tx, &[1; 32], start).await?, Some(first));
            assert_eq!(
                sessions::by_hash(tx, &[1; 32], first.expires_at).await?,
                None
            );
            sessions::close(tx, &[2; 32]).await?;
            assert_eq!(sessions::by_hash(tx, &[2; 32], start).await?, None);
            sessions::open(tx, &third).await
        });
        assert_eq!(done, Ok(()));
        assert_eq!(
            crate::stage::count(store, "sessions"),
            1,
            "what has ended is forgotten"
        );
    });
}

#[test]
fn figures_are_those_of_the_time_that_is_asked_for() {
    on_each(|store| {
        let action = || ActionId::new("pay");
        let figures = |since, until| {
            store
                .read_now(async move |tx| of_action(tx, &project(), &action(), since, until).await)
                .unwrap()
        };
        let start = now();
        assert_eq!(figures(start, now()), Figures::default());
        for _ in 0..20 {
            commit(store, completed(&new_run())).unwrap();
        }
        let middle = now();
        commit(store, failed(&new_run(), "no")).unwrap();
        commit(store, vec![submit(&new_run())]).unwrap();
        let ship = NewRun {
            action_id: ActionId::new("ship"),
            ..new_run()
        };
        commit(store, completed(&ship)).unwrap();
        let all = figures(start, now());
        assert_eq!(
            (all.runs, all.completed, all.failed, all.cut),
            (22, 20, 1, false)
        );
        assert!(all.p50_ms.is_some() && all.p50_ms <= all.p95_ms);
        let late = figures(middle, now());
        assert_eq!((late.runs, late.completed, late.p50_ms), (2, 0, None));
        assert_eq!(figures(start, middle).runs, 20);
        assert_eq!(figures(Time::from_millis(0), start).runs, 0);
    });
}

#[test]
fn entries_are_paged_from_the_newest() {
    on_each(|store| {
        let memory = new_memory(store);
        let entries: Vec<_> = (0..5)
            .map(|number| entry("k", &number.to_string()))
            .collect();
        for entry in &entries {
            add(store, memory, entry).unwrap();
        }
        let page = |before, limit| {
            let search = Search {
                limit,
                ..Search::default()
            };
            let found = store.read_now(async move |tx| {
                memory::page(tx, &project(), memory, &search, before).await
            });
            found.unwrap()
        };
        let newest = page(None, 2);
        assert_eq!(newest.entries, [entries[4].clone(), entries[3].clone()]);
        let rest = page(newest.scanned_to, 3);
        let oldest: Vec<_> = entries[..3].iter().rev().cloned().collect();
        assert_eq!((rest.entries, rest.scanned_to), (oldest, None));
        assert_eq!(page(Some(1), 2), memory::Found::default());
        let found = store.read_now(async move |tx| memory::find(tx, &project(), memory).await);
        assert_eq!(found.unwrap().unwrap().bytes, 10);
    });
}
