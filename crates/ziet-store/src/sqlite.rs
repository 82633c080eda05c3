//! SQLite: opening it, the thread that writes and the thread that reads.
//!
//! The writer commits many verbs at once, each in a savepoint of its own, and answers only then. When the transaction
//! itself cannot be kept, each verb is run again alone, so that only the one that is to blame fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::job::{Access, Asked, Job, Jobs};
use crate::migrate::{migrate, versions};
use crate::store::Committed;
use crate::{Durability, Result, StoreError, Tx, file};

/// Verbs that share a commit, and the rows that they change. More gain nothing, and the first would wait for the last.
const MOST_VERBS: usize = 256;
const MOST_ROWS: u64 = 4_000;

/// There are about forty texts of statements; each is prepared once.
const STATEMENTS: usize = 128;

/// How long a writer of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log is this long at most, but while one read goes on for very long.
const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// How long the writer waits for reads that keep the log from being begun anew.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// A checkpoint rides on a commit: at 1000 pages the slowest commits take 20 ms, at 4000 they took 35. The size limit is
/// that of the log.
const FILE_PRAGMAS: &str = "
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA mmap_size = 268435456;
    PRAGMA temp_store = MEMORY;";

/// A new store in memory.
pub(crate) fn open_memory() -> Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&connection)?;
    now(&mut connection, Access::Write, async |tx: &mut Tx<'_>| {
        migrate(tx).await
    })?;
    Ok(connection)
}

/// The file's writer.
pub(crate) fn open_file(path: &Path, durability: Durability) -> Result<Connection> {
    if !path.exists() {
        file::make(path)?;
    }
    open_writer(path, durability).map_err(|error| file::explain(path, error))
}

fn open_writer(path: &Path, durability: Durability) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    let (is_empty, is_ours) = tables(&connection)?;
    if !is_empty && !is_ours {
        return Err(StoreError::Foreign(OTHERS.to_owned()));
    }
    // Before there is a table, or never.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let text = "it cannot have a write-ahead log".to_owned();
        return Err(StoreError::Unavailable(text));
    }
    connection.execute_batch(FILE_PRAGMAS)?;
    connection.execute_batch("PRAGMA cache_size = -16384")?;
    connection.execute_batch(match durability {
        Durability::Full => "PRAGMA synchronous = FULL",
        Durability::Normal => "PRAGMA synchronous = NORMAL",
    })?;
    now(&mut connection, Access::Write, async |tx: &mut Tx<'_>| {
        migrate(tx).await
    })?;
    Ok(connection)
}

/// A reader of a file that has its tables.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection> {
    open_reader(path).map_err(|error| file::explain(path, error))
}

/// Nothing of the file is mapped: after each commit of the writer a reader would map it anew.
fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Copies a database as it is at this moment. Taking all pages in one step keeps it one moment, whoever writes.
pub(crate) fn copy(source: &Connection, to: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags)?;
    if Backup::new(source, &mut target)?.step(-1)? != StepResult::Done {
        return Err(StoreError::Busy);
    }
    // Without a log beside it, so that it can be read from where nothing can be written.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    Ok(())
}

/// Folds the log of a database that nobody uses into its file.
pub(crate) fn fold(path: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// Makes sure that every page of the file is as it should be, and that this program can go on with its tables.
pub(crate) fn check(connection: &mut Connection) -> Result<()> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Corrupt(found));
    }
    let (is_empty, is_ours) = tables(connection)?;
    if !is_ours {
        let what = if is_empty { "it is empty" } else { OTHERS };
        return Err(StoreError::Foreign(what.to_owned()));
    }
    now(connection, Access::Read, async |tx: &mut Tx<'_>| {
        versions(tx).await.map(drop)
    })
}

const OTHERS: &str = "it has the tables of something else";

/// Whether it has no table, and whether it has the one with which each database of Ziet begins.
fn tables(connection: &Connection) -> Result<(bool, bool)> {
    let sql = "SELECT count(*) = 0, total(name = 'schema_versions') > 0 FROM sqlite_master";
    Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Unused pages that are given back at once: more would keep the writer for long.
const VACUUM_PAGES: i64 = 256;

/// Gives unused pages back if more than an eighth of the file is unused: what is deleted and added at a steady rate
/// needs that room again.
pub(crate) fn vacuum_some(connection: &Connection) -> Result<bool> {
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let spare = number("PRAGMA freelist_count")? - number("PRAGMA page_count")? / 8;
    let pages = spare.clamp(0, VACUUM_PAGES);
    if pages > 0 {
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut given_back = vacuum.query([])?;
        while given_back.next()?.is_some() {}
    }
    Ok(spare > VACUUM_PAGES)
}

fn prepare(connection: &Connection) -> Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Runs a verb on the calling thread.
pub(crate) fn now<T, F>(connection: &mut Connection, access: Access, verb: F) -> Result<T>
where
    F: AsyncFn(&mut Tx<'_>) -> Result<T> + Send,
    T: Send,
{
    let (answer, result) = sync_channel(1);
    let tell = move |done| {
        let _ = answer.send(done);
    };
    let mut job = Box::new(Asked::new(access, verb, tell));
    let committed = alone(connection, job.as_mut());
    job.answer(committed);
    result.recv().unwrap_or(Err(StoreError::Closed))
}

/// The writer's log beside the file, which gets longer as long as each read begins before the one before it ends.
#[derive(Clone)]
pub(crate) struct Log {
    path: PathBuf,
    /// How long it may become before something is done about it.
    most: u64,
}

impl Log {
    pub(crate) fn of(database: &Path) -> Self {
        Self {
            path: file::beside(database, "-wal"),
            most: LOG_BYTES,
        }
    }

    /// Begins the log anew when it is too long: reads that begin now no longer need it, and the others are waited for,
    /// a little. When that was not enough, it is done again only after the log has become much longer still.
    fn bound(&mut self, connection: &Connection) -> Result<()> {
        let length = fs::metadata(&self.path).map_or(0, |found| found.len());
        if length <= self.most {
            return Ok(());
        }
        connection.busy_timeout(LOG_PATIENCE)?;
        let sql = "PRAGMA wal_checkpoint(RESTART)";
        let busy = connection.query_row(sql, [], |row| row.get::<_, bool>(0));
        connection.busy_timeout(PATIENCE)?;
        self.most = match busy {
            Ok(false) => LOG_BYTES,
            Ok(true) | Err(_) => length + LOG_BYTES,
        };
        Ok(())
    }
}

/// The writer's thread: it ends when nobody can ask any more and everything is answered.
pub(crate) fn write_all(
    mut connection: Connection,
    jobs: &Jobs,
    mut log: Option<Log>,
    committed: &OnceLock<Committed>,
) {
    while let Ok(first) = jobs.recv() {
        #[expect(clippy::disallowed_methods, reason = "it measures")]
        let start = Instant::now();
        commit(&mut connection, first, jobs, |verbs| {
            if let Some(tell) = committed.get() {
                tell(start.elapsed(), verbs);
            }
        });
        if let Some(log) = &mut log {
            // Nobody waits for it, and the next commit tells what is wrong with the file.
            let _ = log.bound(&connection);
        }
    }
}

/// A reader's thread. Each read has a snapshot of its own, as new as can be.
pub(crate) fn read_all(mut connection: Connection, jobs: &Jobs) {
    while let Ok(job) = jobs.recv() {
        answer_alone(&mut connection, job);
    }
}

fn commit(
    connection: &mut Connection,
    first: Box<dyn Job>,
    jobs: &Jobs,
    committed: impl Fn(usize),
) {
    let Some(second) = jobs.try_recv().ok() else {
        let mut job = first;
        let done = alone(connection, job.as_mut());
        committed(1);
        return job.answer(done);
    };
    let mut batch = vec![first, second];
    // A writer of another process was waited for once; once for each verb would be minutes.
    if let done @ (Ok(()) | Err(StoreError::Busy)) = together(connection, &mut batch, jobs) {
        committed(batch.len());
        for job in batch {
            job.answer(done.clone());
        }
        return;
    }
    for job in batch {
        answer_alone(connection, job);
    }
}

fn answer_alone(connection: &mut Connection, mut job: Box<dyn Job>) {
    let done = alone(connection, job.as_mut());
    job.answer(done);
}

/// Runs the jobs of the batch in one transaction, and those that come meanwhile. After an error nothing is left of any.
fn together(connection: &mut Connection, batch: &mut Vec<Box<dyn Job>>, jobs: &Jobs) -> Result<()> {
    begin(connection, Access::Write)?;
    let done =
        in_savepoints(connection, batch, jobs).and_then(|()| statement(connection, "COMMIT"));
    if done.is_err() {
        roll_back(connection);
    }
    done
}

fn in_savepoints(
    connection: &mut Connection,
    batch: &mut Vec<Box<dyn Job>>,
    jobs: &Jobs,
) -> Result<()> {
    let before = connection.total_changes();
    let mut next = 0;
    while let Some(job) = batch.get_mut(next) {
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
        next += 1;
        let has_room = next < MOST_VERBS && connection.total_changes() - before < MOST_ROWS;
        if next == batch.len() && has_room {
            batch.extend(jobs.try_recv());
        }
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
