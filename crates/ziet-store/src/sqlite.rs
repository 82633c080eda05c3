//! SQLite: opening it, the thread that writes and the thread that reads.
//!
//! The writer commits many verbs at once, each in a savepoint of its own, and answers only then. When the transaction
//! itself cannot be kept, each verb is run again alone, so that only the one that is to blame fails.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::job::{Access, Asked, Job};
use crate::migrate::migrate;
use crate::{Result, StoreError, Tx};

/// Verbs that share a commit. More gain nothing, and the first would wait for the last.
const LARGEST_BATCH: usize = 256;

/// There are about forty texts of statements; each is prepared once.
const STATEMENTS: usize = 128;

/// How long a writer of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A checkpoint rides on a commit: at 1000 pages the slowest commits take 20 ms, at 4000 they took 35.
const FILE_PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA mmap_size = 268435456;
    PRAGMA cache_size = -32768;
    PRAGMA temp_store = MEMORY;";

/// A new store in memory.
pub(crate) fn open_memory() -> Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&connection)?;
    migrate_now(&mut connection)?;
    Ok(connection)
}

/// The file's writer.
pub(crate) fn open_file(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let path = path.display();
        return Err(StoreError::Unavailable(format!(
            "{path} cannot have a write-ahead log"
        )));
    }
    connection.execute_batch(FILE_PRAGMAS)?;
    migrate_now(&mut connection)?;
    Ok(connection)
}

/// A reader of a file that has its tables.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    connection.execute_batch(FILE_PRAGMAS)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn migrate_now(connection: &mut Connection) -> Result<()> {
    let (answer, result) = sync_channel(1);
    let mut job: Box<dyn Job> = Box::new(Asked::new(
        Access::Write,
        async |tx: &mut Tx<'_>| migrate(tx).await,
        move |done| {
            let _ = answer.send(done);
        },
    ));
    let committed = alone(connection, job.as_mut());
    job.answer(committed);
    result.recv().unwrap_or(Err(StoreError::Closed))
}

/// The writer's thread: it ends when nobody can ask any more and everything is answered.
pub(crate) fn write_all(mut connection: Connection, jobs: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(LARGEST_BATCH - 1));
        commit(&mut connection, batch);
    }
}

/// The reader's thread. Each read has a snapshot of its own, as new as can be.
pub(crate) fn read_all(mut connection: Connection, jobs: &Receiver<Box<dyn Job>>) {
    for mut job in jobs {
        let done = alone(&mut connection, job.as_mut());
        job.answer(done);
    }
}

fn commit(connection: &mut Connection, mut batch: Vec<Box<dyn Job>>) {
    if batch.len() > 1 {
        // A writer of another process was waited for once; once for each verb would be minutes.
        if let done @ (Ok(()) | Err(StoreError::Busy)) = together(connection, &mut batch) {
            for job in batch {
                job.answer(done.clone());
            }
            return;
        }
    }
    for mut job in batch {
        let done = alone(connection, job.as_mut());
        job.answer(done);
    }
}

/// Runs all of them in one transaction. After an error nothing is left of any.
fn together(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> Result<()> {
    let writes = batch.iter().any(|job| job.access() == Access::Write);
    let access = if writes { Access::Write } else { Access::Read };
    begin(connection, access)?;
    let end = if writes { "COMMIT" } else { "ROLLBACK" };
    let done = in_savepoints(connection, batch).and_then(|()| statement(connection, end));
    if done.is_err() {
        roll_back(connection);
    }
    done
}

fn in_savepoints(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> Result<()> {
    for job in batch {
        statement(connection, "SAVEPOINT verb")?;
        let keep = job.run(Tx::sqlite(connection, job.access()));
        if connection.is_autocommit() {
            // The engine dropped the whole transaction, as it does when the disk is full.
            return Err(StoreError::Aborted);
        }
        if !keep {
            statement(connection, "ROLLBACK TO verb")?;
        }
        statement(connection, "RELEASE verb")?;
    }
    Ok(())
}

/// Runs one verb in a transaction of its own. The error is that of the transaction; the verb keeps its own result.
fn alone(connection: &mut Connection, job: &mut dyn Job) -> Result<()> {
    begin(connection, job.access())?;
    let keep = job.run(Tx::sqlite(connection, job.access()));
    let done = match (keep, job.access()) {
        (true, Access::Write) => statement(connection, "COMMIT"),
        (false, Access::Write) | (_, Access::Read) => Ok(()),
    };
    roll_back(connection);
    done
}

/// Differs because SQLite has one writer: a transaction that will write must say so first, or it can fail half-way
/// with an error that waiting does not cure.
fn begin(connection: &Connection, access: Access) -> Result<()> {
    match access {
        Access::Read => statement(connection, "BEGIN"),
        Access::Write => statement(connection, "BEGIN IMMEDIATE"),
    }
}

/// Leaves the transaction if there still is one.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // It fails only where the engine has rolled back by itself.
        let _ = statement(connection, "ROLLBACK");
    }
}

fn statement(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
