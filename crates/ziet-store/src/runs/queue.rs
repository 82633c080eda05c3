//! Runs that are not finished, as the engine takes them up: what waits for an executor, what waits for its time, and
//! what was being executed when the last engine ended.

use ziet_core::run::Status;
use ziet_core::{ProjectId, RunId, Time};

use super::{LoadedRun, loaded, loading};
use crate::word::Word;
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

/// How much is read at once, since inputs may be large: one run at least.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Runs.
    pub runs: usize,
    /// Bytes of their inputs.
    pub bytes: u64,
}

impl Most {
    /// How many runs with inputs of these sizes that are.
    fn of(self, sizes: impl Iterator<Item = u64>) -> usize {
        let mut bytes = 0;
        sizes
            .take(self.runs)
            .take_while(|size| {
                let first = bytes == 0;
                bytes += size;
                first || bytes <= self.bytes
            })
            .count()
    }
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

/// Runs that are read together, without their metadata: that may be large, and nothing is decided with it.
#[derive(Debug)]
pub struct Lump {
    /// The runs.
    pub runs: Vec<LoadedRun>,
    /// Whether more come after them.
    pub more: bool,
}

/// Runs that have not finished and stand so, in the order of their ids; those after `after` when it is given.
///
/// # Errors
/// What the database says.
pub async fn unfinished(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    status: Status,
    after: Option<RunId>,
    most: Most,
) -> Result<Lump> {
    let after = after.unwrap_or(RunId::NONE);
    let sql = "SELECT run_id, input_bytes FROM runs
        WHERE project_id = ?1 AND finished_at IS NULL AND status = ?2 AND run_id > ?3
        ORDER BY run_id LIMIT ?4";
    let status = status.word().into();
    let args = [
        project.into(),
        status,
        (&after).into(),
        (most.runs + 1).into(),
    ];
    let sizes: Vec<(RunId, u64)> = tx
        .query(sql, &args, |row| Ok((row.get(0)?, row.get(1)?)))
        .await?;
    let count = most.of(sizes.iter().map(|(_, size)| *size));
    let last = sizes[..count].last().map_or(after, |(run, _)| *run);
    let sql = format!(
        "{} WHERE r.project_id = ?1 AND r.finished_at IS NULL AND r.status = ?2
            AND r.run_id > ?3 AND r.run_id <= ?4 ORDER BY r.run_id",
        loading(false)
    );
    let args = [project.into(), status, (&after).into(), (&last).into()];
    Ok(Lump {
        runs: tx.query(&sql, &args, loaded).await?,
        more: count < sizes.len(),
    })
}

/// Scheduled and retrying runs whose time has come, and when to look again.
#[derive(Debug)]
pub struct Due {
    /// The runs, without their metadata, the earliest first.
    pub runs: Vec<LoadedRun>,
    /// When the next one is due, which may be now; None when there is none.
    pub next: Option<Time>,
}

/// What is due at `now`.
///
/// # Errors
/// What the database says.
pub async fn due(tx: &mut Tx<'_>, project: &ProjectId, now: Time, most: Most) -> Result<Due> {
    let sql = "SELECT run_at, run_id, input_bytes FROM runs
        WHERE project_id = ?1 AND run_at IS NOT NULL ORDER BY run_at, run_id LIMIT ?2";
    let args = [project.into(), (most.runs + 1).into()];
    let timers: Vec<(Time, RunId, u64)> = tx
        .query(sql, &args, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .await?;
    let sizes = timers.iter().take_while(|(at, ..)| *at <= now);
    let count = most.of(sizes.map(|(.., size)| *size));
    let next = timers.get(count).map(|(at, ..)| *at);
    let Some((at, last, _)) = timers[..count].last() else {
        return Ok(Due {
            runs: Vec::new(),
            next,
        });
    };
    let sql = format!(
        "{} WHERE r.project_id = ?1 AND r.run_at IS NOT NULL AND (r.run_at, r.run_id) <= (?2, ?3)
            ORDER BY r.run_at, r.run_id",
        loading(false)
    );
    let args = [project.into(), (*at).into(), last.into()];
    Ok(Due {
        runs: tx.query(&sql, &args, loaded).await?,
        next,
    })
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
