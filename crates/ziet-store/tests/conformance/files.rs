//! What only a file can do: outlive the program, be of another version, be damaged, be somebody else's.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use ziet_core::Event;
use ziet_store::{Durability, Location, Store, StoreError, Tx, changes};

use crate::stage::{
    add, change, commit, count, entry, file_in, hold, load, new_run, now, project, submit,
};

fn error(location: &Location) -> StoreError {
    Store::open(location, Durability::Full)
        .err()
        .expect("it does not open")
}

fn alter(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn path(location: &Location) -> &Path {
    match location {
        Location::File(path) => path,
        Location::Memory => panic!("not a file"),
    }
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let run = new_run();
    let (claim, running) = change(
        run.id,
        &run.run,
        Event::Claim {
            worker: ziet_core::WorkerId::new(now()),
        },
    );
    let store = Store::open(&file_in(&folder), Durability::Full).unwrap();
    commit(&store, vec![submit(&run), claim]).unwrap();
    add(&store, run.memory_id, &entry("a", "1")).unwrap();
    let before = load(&store, run.id);
    drop(store);
    let log = folder.path().join("ziet.db-wal");
    assert!(!log.exists(), "an orderly end folds the log into the file");

    let store = Store::open(&file_in(&folder), Durability::Full).unwrap();
    assert_eq!(load(&store, run.id), before);
    assert_eq!(before.unwrap().run, running);
    assert_eq!(count(&store, "entries"), 1);
    commit(&store, vec![submit(&new_run())]).unwrap();
}

#[test]
fn what_was_queued_is_done_before_the_last_handle_is_gone() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_in(&folder), Durability::Full).unwrap();
    let release = hold(&store);
    for _ in 0..500 {
        let run = new_run();
        let verb =
            async move |tx: &mut Tx<'_>| changes::commit(tx, &project(), &[submit(&run)]).await;
        store.write(verb, |done| assert_eq!(done, Ok(())));
    }
    drop(release);
    drop(store);
    assert_eq!(
        count(
            &Store::open(&file_in(&folder), Durability::Full).unwrap(),
            "runs"
        ),
        500
    );
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    drop(Store::open(&location, Durability::Full).unwrap());
    alter(
        path(&location),
        "INSERT INTO schema_versions (version, checksum) VALUES (2, x'00')",
    );
    // A newer program may write its versions in another way, but not their numbers.
    alter(
        path(&location),
        "UPDATE schema_versions SET checksum = zeroblob(32)",
    );
    assert_eq!(
        error(&location),
        StoreError::NewerSchema { found: 2, known: 1 }
    );
    let text = error(&location).to_string();
    assert_eq!(
        text,
        "the database has schema 2, this version of ziet knows 1 at most: upgrade ziet"
    );

    alter(
        path(&location),
        "DELETE FROM schema_versions WHERE version = 2",
    );
    assert_eq!(error(&location), StoreError::ForeignSchema(1));
}

#[test]
fn a_file_that_is_something_else_is_refused() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    fs::write(path(&location), "This is not a database. ".repeat(100)).unwrap();
    assert!(
        matches!(error(&location), StoreError::Corrupt(_)),
        "{:?}",
        error(&location)
    );

    let nowhere = Location::File(folder.path().join("missing").join("ziet.db"));
    assert!(
        matches!(error(&nowhere), StoreError::Unavailable(_)),
        "{:?}",
        error(&nowhere)
    );
    let a_folder = Location::File(folder.path().to_owned());
    assert!(
        matches!(error(&a_folder), StoreError::Unavailable(_)),
        "{:?}",
        error(&a_folder)
    );
}

#[test]
fn a_damaged_file_says_so() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    let store = Store::open(&location, Durability::Full).unwrap();
    for _ in 0..50 {
        commit(&store, vec![submit(&new_run())]).unwrap();
    }
    drop(store);
    let mut bytes = fs::read(path(&location)).unwrap();
    bytes[8192..].fill(0xAA);
    fs::write(path(&location), bytes).unwrap();
    let found = Store::open(&location, Durability::Full)
        .and_then(|store| commit(&store, vec![submit(&new_run())]));
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
}

#[test]
fn another_writer_makes_it_busy_and_reads_go_on() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    let store = Store::open(&location, Durability::Full).unwrap();
    commit(&store, vec![submit(&new_run())]).unwrap();
    let other = Connection::open(path(&location)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = store.clone();
    let writer = std::thread::spawn(move || commit(&waiting, vec![submit(&new_run())]));
    assert_eq!(count(&store, "runs"), 1);
    assert_eq!(writer.join().unwrap(), Err(StoreError::Busy));
    other.execute_batch("ROLLBACK").unwrap();
    commit(&store, vec![submit(&new_run())]).unwrap();
}
