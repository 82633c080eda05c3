//! Deleting what is old, a little at a time: the writer is never kept for long, and the file's space is used again.
//!
//! A tree of runs goes as a whole, its root last, so that whoever calls it again finds the rest. A memory goes with the
//! last root run that had it.

use std::time::Duration;

use ziet_core::{MemoryId, ProjectId, RunId, Time};

use crate::runs::{self, forgotten};
use crate::{Result, Row, Tx};

/// Bytes that one call deletes, about; what it finds larger it does in several.
const MOST_BYTES: u64 = 1024 * 1024;

/// Rows of logs, events and entries that one statement deletes; an entry can have 6 MB.
const LUMP: usize = 4;

/// What is old enough to go.
#[derive(Clone, Copy, Debug)]
pub struct Old {
    /// Runs that ended before this time.
    before: Time,
    /// Of those that were accepted with an idempotency key: what ended before this one.
    keyed_before: Time,
}

impl Old {
    /// What ended more than `keep` ago. A run with an idempotency key is kept for as long as its key is.
    pub fn at(now: Time, keep: Duration) -> Self {
        let before = now.minus(keep);
        Self {
            before,
            keyed_before: before.min(Time::from_millis(forgotten(now))),
        }
    }
}

/// What one call has deleted, and where to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs that are gone.
    pub runs: u64,
    /// What to give as `after` the next time; None when everything was looked at.
    pub next: Option<RunId>,
}

/// Deletes old runs with all that belongs to them, looking at no more than `limit` runs after `after`; what is known of
/// deployments whose code is gone goes with the last of them.
///
/// # Errors
/// What the database says.
pub async fn prune(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    old: &Old,
    after: Option<RunId>,
    limit: usize,
) -> Result<Pruned> {
    let sql = "SELECT run_id, memory_id, finished_at, parent_id FROM runs
        WHERE project_id = ?1 AND run_id > ?2 AND run_id < ?3 ORDER BY run_id LIMIT ?4";
    let after = after.unwrap_or(RunId::NONE);
    let until = RunId::first_of(old.before);
    let args = [
        project.into(),
        (&after).into(),
        (&until).into(),
        limit.into(),
    ];
    let rows = tx
        .query(sql, &args, |row| {
            let ended: Option<Time> = row.get(2)?;
            let parent: Option<RunId> = row.get(3)?;
            let ended = ended.filter(|at| *at < old.before && parent.is_none());
            Ok((row.get(0)?, row.get(1)?, ended))
        })
        .await?;
    let mut batch = Batch::new(project);
    let mut done = after;
    for (root, memory, ended) in &rows {
        if let Some(ended) = ended
            && (*ended < old.keyed_before || !has_key(tx, project, *root).await?)
            && !batch.tree(tx, *root, *memory).await?
        {
            return Ok(batch.pruned(Some(done)));
        }
        done = *root;
    }
    if rows.len() == limit {
        return Ok(batch.pruned(Some(done)));
    }
    deployments(tx, project, old.before).await?;
    Ok(batch.pruned(None))
}

async fn has_key(tx: &mut Tx<'_>, project: &ProjectId, run: RunId) -> Result<bool> {
    let sql = "SELECT 1 FROM inputs
        WHERE project_id = ?1 AND run_id = ?2 AND idempotency_key IS NOT NULL";
    let found = tx
        .query_one(sql, &[project.into(), (&run).into()], |_| Ok(()))
        .await?;
    Ok(found.is_some())
}

/// Of a folder that was served as it stood, nothing is left to execute once it was served anew: runs that name it are executed
/// as those of the one that is active. So it goes when none of them is alive. So does what failed or was removed, when that is
/// old.
async fn deployments(tx: &mut Tx<'_>, project: &ProjectId, before: Time) -> Result<()> {
    let oldest = runs::oldest_live(tx, project).await?;
    let unnamed = oldest.map_or(before, |accepted| before.min(accepted));
    let sql = "DELETE FROM deployments WHERE project_id = ?1
            AND deployment_id NOT IN (SELECT deployment_id FROM projects WHERE project_id = ?1)
            AND ((digest IS NULL AND EXISTS (SELECT 1 FROM deployments later WHERE later.project_id = ?1
                    AND later.active_since > deployments.active_since AND later.active_since <= ?2))
                OR ((status = 'failed' OR status = 'removed') AND created_at < ?3))
        RETURNING deployment_id";
    let args = [project.into(), unnamed.into(), before.into()];
    let gone: Vec<[u8; 16]> = tx.query(sql, &args, |row| row.get(0)).await?;
    for id in gone {
        let sql = "DELETE FROM actions WHERE project_id = ?1 AND deployment_id = ?2";
        tx.execute(sql, &[project.into(), id.as_slice().into()])
            .await?;
    }
    Ok(())
}

/// What one call may still delete.
struct Batch<'a> {
    project: &'a ProjectId,
    bytes_left: u64,
    runs: u64,
}

impl<'a> Batch<'a> {
    fn new(project: &'a ProjectId) -> Self {
        Self {
            project,
            bytes_left: MOST_BYTES,
            runs: 0,
        }
    }

    fn pruned(&self, next: Option<RunId>) -> Pruned {
        Pruned {
            runs: self.runs,
            next,
        }
    }

    /// Deletes a tree whose root is old, but nothing above a run that is still alive. False when the batch is full
    /// before the tree is gone.
    async fn tree(&mut self, tx: &mut Tx<'_>, root: RunId, memory: MemoryId) -> Result<bool> {
        let sql = "SELECT run_id, finished_at FROM runs
            WHERE project_id = ?1 AND root_id = ?2 AND parent_id IS NOT NULL ORDER BY run_id LIMIT ?3";
        loop {
            let args = [self.project.into(), (&root).into(), LUMP.into()];
            let below = tx
                .query(sql, &args, |row| {
                    Ok((row.get(0)?, row.get::<Option<Time>>(1)?.is_some()))
                })
                .await?;
            if below.is_empty() {
                break;
            }
            for (run, finished) in below {
                if !finished {
                    return Ok(true);
                }
                if !self.history(tx, run).await? {
                    return Ok(false);
                }
                self.run(tx, run).await?;
            }
        }
        if !self.history(tx, root).await? || !self.memory(tx, memory).await? {
            return Ok(false);
        }
        self.run(tx, root).await?;
        Ok(true)
    }

    /// Deletes what a run has many rows of. False when the batch is full.
    async fn history(&mut self, tx: &mut Tx<'_>, run: RunId) -> Result<bool> {
        Ok(self.rows(tx, &LOGS, run.as_bytes()).await?
            && self.rows(tx, &EVENTS, run.as_bytes()).await?)
    }

    /// The memory of a root run that is about to go: with its last one it goes, too. False when the batch is full
    /// before it is gone; then it is given to no other run any more.
    async fn memory(&mut self, tx: &mut Tx<'_>, memory: MemoryId) -> Result<bool> {
        let key = [self.project.into(), (&memory).into()];
        let sql = "SELECT roots FROM memories WHERE project_id = ?1 AND memory_id = ?2";
        let Some(roots) = tx.query_one(sql, &key, |row| row.get::<u32>(0)).await? else {
            return Ok(true);
        };
        if roots > 0 {
            let sql =
                "UPDATE memories SET roots = roots - 1 WHERE project_id = ?1 AND memory_id = ?2";
            tx.execute(sql, &key).await?;
        }
        if roots > 1 {
            return Ok(true);
        }
        if !self.rows(tx, &ENTRIES, memory.as_bytes()).await? {
            return Ok(false);
        }
        let sql = "DELETE FROM memories WHERE project_id = ?1 AND memory_id = ?2";
        tx.execute(sql, &key).await?;
        Ok(true)
    }

    /// Deletes a run with all that it has one row of, or few.
    async fn run(&mut self, tx: &mut Tx<'_>, run: RunId) -> Result<()> {
        let key = [self.project.into(), (&run).into()];
        let sql = "DELETE FROM inputs WHERE project_id = ?1 AND run_id = ?2
            RETURNING idempotency_key, length(input)";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let input: Option<(Option<Vec<u8>>, u64)> = tx.query_one(sql, &key, read).await?;
        let (idempotency_key, input) = input.unwrap_or_default();
        if let Some(idempotency_key) = idempotency_key {
            let sql =
                "DELETE FROM idempotency_keys WHERE project_id = ?1 AND run_id = ?2 AND key = ?3";
            let args = [key[0], key[1], idempotency_key.as_slice().into()];
            tx.execute(sql, &args).await?;
        }
        let sql = "DELETE FROM results WHERE project_id = ?1 AND run_id = ?2
            RETURNING COALESCE(length(output), 0)";
        let output: Option<u64> = tx.query_one(sql, &key, |row| row.get(0)).await?;
        for sql in ROWS_OF_A_RUN {
            tx.execute(sql, &key).await?;
        }
        self.runs += 1;
        let bytes = input + output.unwrap_or(0) + RUN_BYTES;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        Ok(())
    }

    /// Deletes rows as long as there are any. False when the batch is full.
    async fn rows(&mut self, tx: &mut Tx<'_>, rows: &Rows, id: &[u8]) -> Result<bool> {
        while self.bytes_left > 0 {
            let args = [self.project.into(), id.into(), LUMP.into()];
            let read = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<u64>(1)?));
            let lump = tx.query(rows.first, &args, read).await?;
            let Some((last, _)) = lump.last() else {
                return Ok(true);
            };
            let args = [self.project.into(), id.into(), (*last).into()];
            tx.execute(rows.delete_to, &args).await?;
            let bytes = lump.iter().map(|(_, bytes)| bytes).sum();
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
        }
        Ok(false)
    }
}

/// What the rows of a run cost beside its input and its output.
const RUN_BYTES: u64 = 1024;

/// Rows of which there may be many, numbered in their order.
struct Rows {
    /// Their numbers, and what they take.
    first: &'static str,
    delete_to: &'static str,
}

const LOGS: Rows = Rows {
    first: "SELECT last, length(lines) + 100 FROM logs
        WHERE project_id = ?1 AND run_id = ?2 ORDER BY last LIMIT ?3",
    delete_to: "DELETE FROM logs WHERE project_id = ?1 AND run_id = ?2 AND last <= ?3",
};

const EVENTS: Rows = Rows {
    first: "SELECT number, length(body) + 100 FROM events
        WHERE project_id = ?1 AND run_id = ?2 ORDER BY number LIMIT ?3",
    delete_to: "DELETE FROM events WHERE project_id = ?1 AND run_id = ?2 AND number <= ?3",
};

const ENTRIES: Rows = Rows {
    first: "SELECT number, bytes + 200 FROM entries
        WHERE project_id = ?1 AND memory_id = ?2 ORDER BY number LIMIT ?3",
    delete_to: "DELETE FROM entries WHERE project_id = ?1 AND memory_id = ?2 AND number <= ?3",
};

const ROWS_OF_A_RUN: [&str; 2] = [
    "DELETE FROM attempts WHERE project_id = ?1 AND run_id = ?2",
    "DELETE FROM runs WHERE project_id = ?1 AND run_id = ?2",
];
