//! What only a file can do: outlive the program, be of another version, be damaged, be somebody else's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use ziet_core::Event;
use ziet_store::retention::{Old, prune};
use ziet_store::{
    Durability, Location, NewRun, Store, StoreError, Tx, backup, changes, lock, restore,
};

use crate::stage::{
    add, change, commit, completed, count, entry, file_in, hold, json, load, new_run, now, project,
    submit,
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
fn a_commit_waits_for_the_disk_unless_it_is_told_not_to() {
    let folder = TempDir::new().unwrap();
    for (durability, expected) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let store = Store::open(&file_in(&folder), durability).unwrap();
        let asked = store.write_now(async |tx| {
            tx.query_one("PRAGMA synchronous", &[], |row| row.get::<i64>(0))
                .await
        });
        assert_eq!(asked, Ok(Some(expected)));
    }
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
fn a_database_of_something_else_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    alter(path(&location), "CREATE TABLE a (b)");
    let before = fs::read(path(&location)).unwrap();
    let refused = error(&location).to_string();
    assert!(
        refused.ends_with("ziet.db: it has the tables of something else"),
        "{refused}"
    );
    assert_eq!(fs::read(path(&location)).unwrap(), before);
}

#[test]
fn a_damaged_database_does_not_take_the_place_of_its_last_copy() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    let copy = folder.path().join("copy.db");
    let store = Store::open(&location, Durability::Full).unwrap();
    for _ in 0..50 {
        commit(&store, vec![submit(&new_run())]).unwrap();
    }
    store.backup(&copy).unwrap();
    drop(store);
    let good = fs::read(&copy).unwrap();
    let mut bytes = fs::read(path(&location)).unwrap();
    bytes[8192..].fill(0xAA);
    fs::write(path(&location), bytes).unwrap();
    let refused = backup(path(&location), &copy).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    assert!(refused.to_string().contains("ziet.db"), "{refused}");
    assert_eq!(fs::read(&copy).unwrap(), good);
    assert!(!folder.path().join("copy.db.part").exists());
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

#[test]
fn a_folder_of_state_has_one_user() {
    let folder = TempDir::new().unwrap();
    let held = lock(folder.path()).unwrap();
    let refused = lock(folder.path()).unwrap_err();
    let text = format!(
        "{} is used by another ziet (process {}): only one server at a time can have a folder of state",
        folder.path().display(),
        std::process::id()
    );
    assert_eq!(refused.to_string(), text);
    drop(held);
    drop(lock(folder.path()).unwrap());
    let missing = lock(&folder.path().join("missing"));
    assert!(
        matches!(missing, Err(StoreError::Unavailable(_))),
        "{missing:?}"
    );
}

#[test]
fn others_cannot_read_what_is_stored() {
    let folder = TempDir::new().unwrap();
    let _held = lock(folder.path()).unwrap();
    let store = Store::open(&file_in(&folder), Durability::Full).unwrap();
    commit(&store, vec![submit(&new_run())]).unwrap();
    store.backup(&folder.path().join("copy.db")).unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        names.push(file.file_name().into_string().unwrap());
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
    names.sort();
    assert_eq!(
        names,
        ["copy.db", "lock", "ziet.db", "ziet.db-shm", "ziet.db-wal"]
    );
}

/// Makes files read-only. For root no file is, so that needs a disk which is.
fn set_read_only(disk: Option<&SmallDisk>, folder: &Path, read_only: bool) {
    if let Some(disk) = disk {
        return disk.remount(if read_only { "ro" } else { "rw" });
    }
    let mode = if read_only { 0o400 } else { 0o600 };
    for file in fs::read_dir(folder).unwrap() {
        fs::set_permissions(file.unwrap().path(), Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_read_only_file_is_told() {
    let disk = SmallDisk::new("6m");
    let folder = TempDir::new().unwrap();
    let folder = disk.as_ref().map_or(&folder, |disk| &disk.0);
    let location = file_in(folder);
    let run = new_run();
    let store = Store::open(&location, Durability::Full).unwrap();
    commit(&store, vec![submit(&run)]).unwrap();
    drop(store);
    set_read_only(disk.as_ref(), folder.path(), true);
    let refused = error(&location);
    let text = refused.to_string();
    let reason = ["read-only", "denied"]
        .iter()
        .any(|reason| text.to_lowercase().contains(reason));
    assert!(
        text.contains(path(&location).to_str().unwrap()) && reason,
        "{text}"
    );
    set_read_only(disk.as_ref(), folder.path(), false);
    let store = Store::open(&location, Durability::Full).unwrap();
    assert!(load(&store, run.id).is_some());
}

#[test]
fn a_copy_is_of_one_moment_while_others_write() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_in(&folder), Durability::Full).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        // Each commit has two runs, so a copy with an odd number of them is of no moment.
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                commit(&store, vec![submit(&new_run()), submit(&new_run())]).unwrap();
            }
        })
    };
    let copy = folder.path().join("copy.db");
    let mut counts = Vec::new();
    for _ in 0..10 {
        let before = count(&store, "runs");
        store.backup(&copy).unwrap();
        let copied = Store::open(&Location::File(copy.clone()), Durability::Full).unwrap();
        let found = count(&copied, "runs");
        assert!(found >= before && found % 2 == 0, "{found} after {before}");
        assert_eq!(found, count(&copied, "inputs"));
        counts.push(found);
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(counts.first() < counts.last(), "nobody wrote: {counts:?}");
}

#[test]
fn a_copy_can_be_put_in_the_place_of_what_was_lost() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    let copy = folder.path().join("copy.db");
    let store = Store::open(&location, Durability::Full).unwrap();
    let (kept, later) = (new_run(), new_run());
    commit(&store, vec![submit(&kept)]).unwrap();
    store.backup(&copy).unwrap();
    commit(&store, vec![submit(&later)]).unwrap();
    // A crash left the log, and somebody has removed the file that it belongs to.
    let log = folder.path().join("ziet.db-wal");
    let left = fs::read(&log).unwrap();
    drop(store);
    fs::remove_file(path(&location)).unwrap();
    fs::write(&log, left).unwrap();
    restore(&copy, path(&location)).unwrap();
    let store = Store::open(&location, Durability::Full).unwrap();
    assert!(load(&store, kept.id).is_some() && load(&store, later.id).is_none());
    commit(&store, vec![submit(&later)]).unwrap();
}

#[test]
fn what_is_no_whole_copy_replaces_nothing() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    let store = Store::open(&location, Durability::Full).unwrap();
    let run = new_run();
    commit(&store, vec![submit(&run)]).unwrap();
    let copy = folder.path().join("copy.db");
    store.backup(&copy).unwrap();
    drop(store);
    let whole = fs::read(&copy).unwrap();
    let mut damaged = whole.clone();
    damaged[8192..].fill(0xAA);
    let foreign = folder.path().join("foreign.db");
    alter(&foreign, "CREATE TABLE t (a)");
    let cases = [
        (damaged, "Corrupt"),
        (whole[..whole.len() / 2].to_vec(), "Corrupt"),
        (b"This is not a database. ".repeat(100), "Corrupt"),
        (fs::read(&foreign).unwrap(), "Foreign"),
        (Vec::new(), "Foreign"),
    ];
    for (bytes, expected) in cases {
        fs::write(&copy, bytes).unwrap();
        let refused = restore(&copy, path(&location)).unwrap_err();
        assert!(format!("{refused:?}").starts_with(expected), "{refused:?}");
    }
    fs::write(&copy, whole).unwrap();
    alter(
        &copy,
        "INSERT INTO schema_versions (version, checksum) VALUES (9, zeroblob(32))",
    );
    let newer = restore(&copy, path(&location));
    assert_eq!(newer, Err(StoreError::NewerSchema { found: 9, known: 1 }));
    let store = Store::open(&location, Durability::Full).unwrap();
    assert!(load(&store, run.id).is_some());
}

#[test]
fn where_the_log_cannot_be_removed_nothing_is_replaced() {
    let folder = TempDir::new().unwrap();
    let location = file_in(&folder);
    let copy = folder.path().join("copy.db");
    let store = Store::open(&location, Durability::Full).unwrap();
    store.backup(&copy).unwrap();
    let run = new_run();
    commit(&store, vec![submit(&run)]).unwrap();
    drop(store);
    let log = folder.path().join("ziet.db-wal");
    fs::create_dir(&log).unwrap();
    let refused = restore(&copy, path(&location)).unwrap_err().to_string();
    assert!(refused.contains("ziet.db-wal"), "{refused}");
    fs::remove_dir(&log).unwrap();
    let store = Store::open(&location, Durability::Full).unwrap();
    assert!(load(&store, run.id).is_some());
}

/// A file system of its own that is too small; None where the test may not make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output()
            .ok()?;
        mount.status.success().then_some(Self(folder))
    }
}

impl SmallDisk {
    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let done = Command::new("mount")
            .args(["-o", &options])
            .arg(self.0.path())
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// With a real disk that is full. Where none can be made, `on_a_full_disk_some_fit_and_the_rest_are_told` is left.
#[test]
fn when_the_disk_has_room_again_work_goes_on() {
    let Some(disk) = SmallDisk::new("6m") else {
        return;
    };
    let location = file_in(&disk.0);
    let store = Store::open(&location, Durability::Full).unwrap();
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 3_000_000]).unwrap();
    let big = format!("\"{}\"", "x".repeat(50_000));
    let mut accepted = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let run = NewRun {
            input: json(&big),
            ..new_run()
        };
        match commit(&store, vec![submit(&run)]) {
            Ok(()) => accepted.push(run.id),
            Err(StoreError::Full) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(
        accepted.len() > 5 && refused > 5,
        "{} {refused}",
        accepted.len()
    );
    assert!(accepted.iter().all(|id| load(&store, *id).is_some()));
    fs::remove_file(ballast).unwrap();
    let run = new_run();
    commit(&store, vec![submit(&run)]).unwrap();
    accepted.push(run.id);
    drop(store);
    let store = Store::open(&location, Durability::Full).unwrap();
    assert!(accepted.iter().all(|id| load(&store, *id).is_some()));
    assert_eq!(
        count(&store, "runs"),
        i64::try_from(accepted.len()).unwrap()
    );
}

/// Longer than a statement of another thread takes to begin.
const LONG_READ: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
    SELECT COUNT(*) FROM n WHERE (SELECT COUNT(*) FROM runs WHERE project_id = 'none') = 0";

#[test]
fn the_log_is_bounded_though_somebody_always_reads() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_in(&folder), Durability::Normal).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [(); 3].map(|()| {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let read = store.read_now(async |tx| {
                    tx.query_one(LONG_READ, &[], |row| row.get::<i64>(0)).await
                });
                assert_eq!(read, Ok(Some(4_000)));
            }
        })
    });
    let big = json(&format!("\"{}\"", "x".repeat(4_000_000)));
    let log = folder.path().join("ziet.db-wal");
    let mut longest = 0;
    for _ in 0..40 {
        let run = NewRun {
            input: big.clone(),
            ..new_run()
        };
        commit(&store, vec![submit(&run)]).unwrap();
        longest = longest.max(fs::metadata(&log).unwrap().len());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    // On a busy machine a reader may take longer than the writer waits for it, once.
    assert!(longest < 140_000_000, "{longest} bytes after 160 MB");
}

fn vacuum(store: &Store) -> u32 {
    let mut calls = 0;
    loop {
        let (answer, more) = channel();
        store.vacuum_some(move |done| answer.send(done).unwrap());
        calls += 1;
        if !more.recv().unwrap().unwrap() {
            return calls;
        }
    }
}

#[test]
fn under_a_steady_load_the_file_stops_growing_and_after_it_shrinks() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&file_in(&folder), Durability::Normal).unwrap();
    let pages = || {
        let asked = store.read_now(async |tx| {
            tx.query_one("PRAGMA page_count", &[], |row| row.get::<i64>(0))
                .await
        });
        asked.unwrap().unwrap()
    };
    let prune_before = |time| {
        let old = Old::at(time, Duration::ZERO);
        let pruned =
            store.write_now(async move |tx| prune(tx, &project(), &old, None, 1_000).await);
        assert_eq!(pruned.unwrap().next, None);
    };
    let mut sizes = Vec::new();
    let mut oldest: Vec<_> = (0..3).map(|_| now()).collect();
    for round in 0..60 {
        let lives = (0..30).flat_map(|number| {
            let run = NewRun {
                input: json(&format!("\"{}\"", "x".repeat(500 * (number % 7)))),
                ..new_run()
            };
            completed(&run)
        });
        commit(&store, lives.collect()).unwrap();
        oldest.push(now());
        prune_before(oldest[round]);
        vacuum(&store);
        sizes.push(pages());
    }
    let early = sizes[10..20].iter().max();
    let late = sizes[50..].iter().max();
    assert!(late <= early, "{sizes:?}");
    prune_before(now());
    vacuum(&store);
    assert_eq!(count(&store, "runs"), 0);
    assert!(pages() * 2 < sizes[59], "{} of {}", pages(), sizes[59]);
}
