//! Runs that are not finished, as the engine takes them up: what waits for an executor, what waits for its time, and
//! what was being executed when the last engine ended.

use ziet_core::{ProjectId, RunId, Time};

use super::{LOADED, LoadedRun, loaded};
use crate::{Result, Row, Tx};

/// What has been accepted and has not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Runs.
    pub runs: u64,
    /// The bytes of their inputs.
    pub bytes: u64,
    /// Those of the runs that wait for an executor.
    pub queued: u64,
}

/// When a scheduled or retrying run is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// The time.
    pub at: Time,
    /// The run.
    pub run: RunId,
}

/// At most `limit` queued runs in the order of their ids, those after `after` when it is given.
///
/// # Errors
/// What the database says.
pub async fn due_queued(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    after: Option<RunId>,
    limit: usize,
) -> Result<Vec<LoadedRun>> {
    let sql = format!(
        "{LOADED} WHERE r.project_id = ?1 AND r.finished_at IS NULL AND r.status = 'queued'
        AND r.run_id > ?2 ORDER BY r.run_id LIMIT ?3"
    );
    let after = after.unwrap_or(RunId::NONE);
    let args = [project.into(), (&after).into(), limit.into()];
    tx.query(&sql, &args, loaded).await
}

/// The runs that are being executed, or wait in the middle of an attempt.
///
/// # Errors
/// What the database says.
pub async fn live(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Vec<LoadedRun>> {
    let mut found = Vec::new();
    for status in ["running", "waiting"] {
        let sql = format!(
            "{LOADED} WHERE r.project_id = ?1 AND r.finished_at IS NULL AND r.status = '{status}'
            ORDER BY r.run_id"
        );
        found.extend(tx.query(&sql, &[project.into()], loaded).await?);
    }
    Ok(found)
}

/// When the oldest run that has not finished was accepted; None when all have.
pub(crate) async fn oldest_live(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Option<Time>> {
    let mut oldest: Option<Time> = None;
    for status in LIVE {
        let sql = format!(
            "SELECT created_at FROM runs
            WHERE project_id = ?1 AND finished_at IS NULL AND status = '{status}' ORDER BY run_id LIMIT 1"
        );
        let found = tx
            .query_one(&sql, &[project.into()], |row| row.get(0))
            .await?;
        oldest = [oldest, found].into_iter().flatten().min();
    }
    Ok(oldest)
}

/// The statuses of runs that have not finished. Each is looked for by itself, for only then has the index their order.
const LIVE: [&str; 6] = [
    "created",
    "scheduled",
    "queued",
    "running",
    "waiting",
    "retrying",
];

/// At most `limit` times at which scheduled and retrying runs are due, the earliest first; those after `after` when it
/// is given.
///
/// # Errors
/// What the database says.
pub async fn timers(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    after: Option<Timer>,
    limit: usize,
) -> Result<Vec<Timer>> {
    let sql = "SELECT run_at, run_id FROM runs
        WHERE project_id = ?1 AND run_at IS NOT NULL AND (run_at, run_id) > (?2, ?3)
        ORDER BY run_at, run_id LIMIT ?4";
    let after = after.unwrap_or(Timer {
        at: Time::from_millis(i64::MIN),
        run: RunId::NONE,
    });
    let args = [
        project.into(),
        after.at.into(),
        (&after.run).into(),
        limit.into(),
    ];
    tx.query(sql, &args, |row| {
        Ok(Timer {
            at: row.get(0)?,
            run: row.get(1)?,
        })
    })
    .await
}

/// The retrying runs that are due later than `beyond`.
///
/// # Errors
/// What the database says.
pub async fn retrying_beyond(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    beyond: Time,
) -> Result<Vec<RunId>> {
    // The plus keeps SQLite from walking through all that is scheduled for later.
    let sql = "SELECT run_id FROM runs
        WHERE project_id = ?1 AND finished_at IS NULL AND status = 'retrying' AND +run_at > ?2";
    let args = [project.into(), beyond.into()];
    tx.query(sql, &args, |row| row.get(0)).await
}

/// Has all retrying runs due so many milliseconds later, or earlier when it is negative: the clock was set by so much.
///
/// # Errors
/// What the database says.
pub async fn move_retries(tx: &mut Tx<'_>, project: &ProjectId, millis: i64) -> Result<()> {
    let sql = "UPDATE runs SET run_at = run_at + ?2
        WHERE project_id = ?1 AND finished_at IS NULL AND status = 'retrying'";
    tx.execute(sql, &[project.into(), millis.into()]).await?;
    Ok(())
}

/// How much has been accepted and has not finished. It looks at each such run once, in an index.
///
/// # Errors
/// What the database says.
pub async fn backlog(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Backlog> {
    let sql = "SELECT COUNT(*), COALESCE(SUM(input_bytes), 0),
            COALESCE(SUM(CASE WHEN status = 'queued' THEN 1 ELSE 0 END), 0) FROM runs
        WHERE project_id = ?1 AND finished_at IS NULL";
    let read = |row: &Row<'_>| {
        Ok(Backlog {
            runs: row.get(0)?,
            bytes: row.get(1)?,
            queued: row.get(2)?,
        })
    };
    let found = tx.query_one(sql, &[project.into()], read).await?;
    Ok(found.unwrap_or_default())
}
