//! Many verbs share a commit, and none of them feels it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use ziet_core::run::Outcome;
use ziet_store::{
    Change, Durability, Location, NewRun, Result, Store, StoreError, Tx, changes, memory, runs,
};

use crate::stage::{
    attempt, commit, count, entry, hold, json, load, new_memory, new_run, now, on_each, project,
    submit,
};

/// What one of many does to the others' commit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Conduct {
    Good,
    Duplicate,
    SwallowsAnError,
    GivesUp,
    Panics,
    Waits,
}

fn conduct(number: usize) -> Conduct {
    match number {
        150 => Conduct::Panics,
        151 => Conduct::Waits,
        152 => Conduct::SwallowsAnError,
        153 => Conduct::GivesUp,
        _ if number % 7 == 3 => Conduct::Duplicate,
        _ => Conduct::Good,
    }
}

async fn behave(tx: &mut Tx<'_>, run: &NewRun, conduct: Conduct) -> Result<()> {
    changes::commit(tx, &project(), &[submit(run)]).await?;
    let again = run.clone();
    match conduct {
        Conduct::Good => Ok(()),
        Conduct::Duplicate => changes::commit(tx, &project(), &[submit(&again)]).await,
        Conduct::SwallowsAnError => {
            let refused = changes::commit(tx, &project(), &[submit(&again)]).await;
            assert!(matches!(refused, Err(StoreError::Duplicate(_))));
            let after = runs::load(tx, &project(), run.id).await;
            assert_eq!(after, Err(StoreError::Aborted));
            Ok(())
        }
        Conduct::GivesUp => Err(StoreError::Invalid("no".to_owned())),
        Conduct::Panics => panic!("as the test wants"),
        Conduct::Waits => std::future::pending().await,
    }
}

#[test]
fn of_three_hundred_writers_only_the_guilty_roll_back() {
    on_each(|store| {
        let release = hold(store);
        let (answers, answered) = channel();
        let writers: Vec<_> = (0..300)
            .map(|number| {
                let (store, answers, run) = (store.clone(), answers.clone(), new_run());
                thread::spawn(move || {
                    let (id, conduct) = (run.id, conduct(number));
                    let verb = async move |tx: &mut Tx<'_>| behave(tx, &run, conduct).await;
                    store.write(verb, move |done| answers.send((id, conduct, done)).unwrap());
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        drop((release, answers));
        let answered: Vec<_> = answered.iter().collect();
        assert_eq!(answered.len(), 300);
        for (id, conduct, done) in &answered {
            assert_eq!(load(store, *id).is_some(), *conduct == Conduct::Good);
            match (conduct, done) {
                (Conduct::Good, Ok(()))
                | (Conduct::Duplicate, Err(StoreError::Duplicate(_)))
                | (Conduct::SwallowsAnError, Err(StoreError::Aborted))
                | (Conduct::GivesUp, Err(StoreError::Invalid(_)))
                | (Conduct::Waits, Err(StoreError::Awaited)) => {}
                (Conduct::Panics, Err(StoreError::Panicked(why))) => {
                    assert_eq!(why, "as the test wants");
                }
                _ => panic!("{conduct:?} was answered {done:?}"),
            }
        }
        let good = answered
            .iter()
            .filter(|(_, conduct, _)| *conduct == Conduct::Good)
            .count();
        for table in ["runs", "inputs"] {
            assert_eq!(count(store, table), i64::try_from(good).unwrap(), "{table}");
        }
    });
}

#[test]
fn when_a_commit_fails_only_the_guilty_verb_does() {
    on_each(|store| {
        // A deferred foreign key is looked at by the commit and not by the statement.
        let tables = store.write_now(async |tx| {
            tx.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)", &[])
                .await?;
            let child = "CREATE TABLE children (id INTEGER PRIMARY KEY,
                parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)";
            tx.execute(child, &[]).await
        });
        assert!(tables.is_ok(), "{tables:?}");
        let (answers, answered) = channel();
        let ran = Arc::new(AtomicU32::new(0));
        let release = hold(store);
        for number in 0..20_i64 {
            let (answers, ran) = (answers.clone(), Arc::clone(&ran));
            let verb = async move |tx: &mut Tx<'_>| {
                ran.fetch_add(1, Ordering::Relaxed);
                let parent = if number == 7 { None } else { Some(number) };
                let sql = "INSERT INTO parents (id) VALUES (?1)";
                tx.execute(sql, &[parent.unwrap_or(1_000).into()]).await?;
                let sql = "INSERT INTO children (id, parent) VALUES (?1, ?1)";
                tx.execute(sql, &[number.into()]).await?;
                Ok(number)
            };
            store.write(verb, move |done| answers.send((number, done)).unwrap());
        }
        drop((release, answers));
        for (number, done) in answered {
            match done {
                Ok(answer) => assert!(answer == number && number != 7),
                Err(error) => {
                    assert!(matches!(error, StoreError::Constraint(_)), "{error:?}");
                    assert_eq!(number, 7);
                }
            }
        }
        assert_eq!(
            (count(store, "parents"), count(store, "children")),
            (19, 19)
        );
        assert_eq!(
            ran.load(Ordering::Relaxed),
            40,
            "together, and then each alone"
        );
    });
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    on_each(|store| {
        let (answers, answered) = channel();
        for number in 0..1_000 {
            let answers = answers.clone();
            let verb = async move |_: &mut Tx<'_>| Ok(number);
            store.write(verb, move |done| answers.send(done.unwrap()).unwrap());
        }
        drop(answers);
        assert!(answered.iter().eq(0..1_000));
    });
}

#[test]
fn who_asked_first_does_not_wait_for_all_that_came_with_it() {
    on_each(|store| {
        let release = hold(store);
        let answered = Arc::new(AtomicU32::new(0));
        let (seen, early) = channel();
        for number in 0..20 {
            let lives: Vec<Change> = (0..200).map(|_| submit(&new_run())).collect();
            let (before, seen) = (Arc::clone(&answered), seen.clone());
            let verb = async move |tx: &mut Tx<'_>| {
                if number == 19 {
                    seen.send(before.load(Ordering::SeqCst)).unwrap();
                }
                changes::commit(tx, &project(), &lives).await
            };
            let answered = Arc::clone(&answered);
            store.write(verb, move |done| {
                done.unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
            });
        }
        drop(release);
        let early = early.recv().unwrap();
        assert!(
            (2..19).contains(&early),
            "{early} of 20 were answered before the last ran"
        );
    });
}

#[test]
fn an_answer_is_given_after_the_commit() {
    on_each(|store| {
        let (tell, told) = channel();
        let (run, reader) = (new_run(), store.clone());
        let id = run.id;
        let verb =
            async move |tx: &mut Tx<'_>| changes::commit(tx, &project(), &[submit(&run)]).await;
        store.write(verb, move |done| {
            done.unwrap();
            let verb = async move |tx: &mut Tx<'_>| runs::load(tx, &project(), id).await;
            reader.read(verb, move |loaded| {
                tell.send(loaded.unwrap().is_some()).unwrap();
            });
        });
        assert_eq!(told.recv(), Ok(true));
    });
}

#[test]
fn an_answer_that_panics_hurts_nobody() {
    on_each(|store| {
        store.write(
            async |_: &mut Tx<'_>| Ok(()),
            |_| panic!("as the test wants"),
        );
        store.read(
            async |_: &mut Tx<'_>| Ok(()),
            |_| panic!("as the test wants"),
        );
        commit(store, vec![submit(&new_run())]).unwrap();
        assert_eq!(count(store, "runs"), 1);
    });
}

#[test]
fn a_read_cannot_write() {
    on_each(|store| {
        let run = new_run();
        let wrote =
            store.read_now(async move |tx| changes::commit(tx, &project(), &[submit(&run)]).await);
        assert_eq!(wrote, Err(StoreError::ReadOnly));
        let id = new_memory(store);
        let removed = store.read_now(async move |tx| {
            let removed = memory::remove(tx, &project(), id, None, Some("k")).await;
            assert_eq!(removed, Err(StoreError::ReadOnly));
            removed
        });
        assert!(removed.is_err());
        assert_eq!(count(store, "runs"), 1);
    });
}

#[test]
fn the_last_handle_can_go_in_an_answer() {
    let store = Store::open(&Location::Memory, Durability::Full).unwrap();
    let (gone, wait) = channel();
    let last = store.clone();
    let release = hold(&store);
    store.write(
        async |_: &mut Tx<'_>| Ok(()),
        move |_| {
            drop(last);
            gone.send(()).unwrap();
        },
    );
    // This drop waits for the queue, so somebody else must open the gate.
    let opener = thread::spawn(move || drop(release));
    drop(store);
    wait.recv().unwrap();
    opener.join().unwrap();
}

#[test]
fn on_a_full_disk_some_fit_and_the_rest_are_told() {
    on_each(|store| {
        let pages = |limit: Option<i64>| {
            store.write_now(async move |tx| {
                let now = tx
                    .query_one("PRAGMA page_count", &[], |row| row.get::<i64>(0))
                    .await?;
                let most = limit.map_or(1_000_000, |more| now.unwrap_or(0) + more);
                let sql = format!("PRAGMA max_page_count = {most}");
                tx.query(&sql, &[], |row| row.get::<i64>(0)).await
            })
        };
        pages(Some(400)).unwrap();
        let (answers, answered) = channel();
        let release = hold(store);
        let input = format!("\"{}\"", "x".repeat(20_000));
        for _ in 0..200 {
            let run = NewRun {
                input: json(&input),
                ..new_run()
            };
            let answers = answers.clone();
            let verb =
                async move |tx: &mut Tx<'_>| changes::commit(tx, &project(), &[submit(&run)]).await;
            store.write(verb, move |done| answers.send(done).unwrap());
        }
        drop((release, answers));
        let answered: Vec<_> = answered.iter().collect();
        let fit = answered.iter().filter(|done| done.is_ok()).count();
        let full = answered
            .iter()
            .filter(|done| **done == Err(StoreError::Full))
            .count();
        assert!(fit > 10 && full > 10, "{fit} fit, {full} did not");
        assert_eq!(fit + full, 200);
        assert_eq!(count(store, "runs"), i64::try_from(fit).unwrap());
        assert_eq!(count(store, "inputs"), i64::try_from(fit).unwrap());

        pages(None).unwrap();
        let run = NewRun {
            input: json(&input),
            ..new_run()
        };
        commit(store, vec![submit(&run)]).unwrap();
        assert_eq!(count(store, "runs"), i64::try_from(fit + 1).unwrap());
    });
}

#[test]
fn a_batch_writes_all_kinds_of_changes() {
    on_each(|store| {
        let run = new_run();
        let changes = vec![
            submit(&run),
            Change::Attempt(Box::new(attempt(run.id, 1, Outcome::Crashed))),
            Change::Entry {
                memory_id: run.memory_id,
                entry: entry("pay.error", "{}"),
            },
        ];
        commit(store, changes).unwrap();
        let id = run.memory_id;
        let read =
            store.read_now(async move |tx| memory::newest(tx, &project(), id, "pay.error").await);
        assert_eq!(read.unwrap().unwrap().value, json("{}"));
        assert!(now() > run.created_at);
    });
}
