//! Deleting what is old, a little at a time: the writer is never kept for long, and the file's space is used again.
//!
//! A tree of runs goes as a whole, its root last, so that whoever calls it again finds the rest. A memory goes with the
//! last root run that had it.

use ziet_core::{MemoryId, ProjectId, RunId, Time};

use crate::{Result, Row, Tx};

/// Bytes that one call deletes, about; what it finds larger it does in several.
const MOST_BYTES: u64 = 512 * 1024;

/// Rows of logs, events and entries that one statement deletes; an entry can have 6 MB.
const LUMP: usize = 4;

/// What one call has deleted, and where to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs that are gone.
    pub runs: u64,
    /// What to give as `after` the next time; None when everything was looked at.
    pub next: Option<RunId>,
}

/// Deletes runs that finished before `older_than`, with all that belongs to them, looking at no more than `limit` runs
/// after `after`; older deployments than the active one go with the last of them.
///
/// # Errors
/// What the database says.
pub async fn prune(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    older_than: Time,
    after: Option<RunId>,
    limit: usize,
) -> Result<Pruned> {
    let sql = "SELECT run_id, memory_id, finished_at, parent_id FROM runs
        WHERE project_id = ?1 AND run_id > ?2 AND run_id < ?3 ORDER BY run_id LIMIT ?4";
    let after = after.unwrap_or(RunId::NONE);
    let until = RunId::first_of(older_than);
    let args = [
        project.into(),
        (&after).into(),
        (&until).into(),
        limit.into(),
    ];
    let rows = tx
        .query(sql, &args, |row| {
            let finished: Option<Time> = row.get(2)?;
            let parent: Option<RunId> = row.get(3)?;
            let old = finished.is_some_and(|at| at < older_than) && parent.is_none();
            Ok((row.get(0)?, old.then_some(row.get(1)?)))
        })
        .await?;
    let mut batch = Batch::new(project);
    let mut done = after;
    for (root, memory) in &rows {
        if let Some(memory) = memory
            && !batch.tree(tx, *root, *memory).await?
        {
            return Ok(batch.pruned(Some(done)));
        }
        done = *root;
    }
    if rows.len() == limit {
        return Ok(batch.pruned(Some(done)));
    }
    deployments(tx, project, older_than).await?;
    Ok(batch.pruned(None))
}

/// Old deployments are only looked at when nothing older is left that would name them.
async fn deployments(tx: &mut Tx<'_>, project: &ProjectId, older_than: Time) -> Result<()> {
    let sql = "DELETE FROM deployments WHERE project_id = ?1 AND created_at < ?2
            AND deployment_id NOT IN (SELECT deployment_id FROM projects WHERE project_id = ?1)
        RETURNING deployment_id";
    let gone: Vec<[u8; 16]> = tx
        .query(sql, &[project.into(), older_than.into()], |row| row.get(0))
        .await?;
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

    /// The memory of a root run that is about to go: with its last one it goes, too. False when the batch is full.
    async fn memory(&mut self, tx: &mut Tx<'_>, memory: MemoryId) -> Result<bool> {
        let key = [self.project.into(), (&memory).into()];
        let sql = "SELECT roots FROM memories WHERE project_id = ?1 AND memory_id = ?2";
        let roots: Option<u32> = tx.query_one(sql, &key, |row| row.get(0)).await?;
        let sql = if roots == Some(1) {
            if !self.rows(tx, &ENTRIES, memory.as_bytes()).await? {
                return Ok(false);
            }
            "DELETE FROM memories WHERE project_id = ?1 AND memory_id = ?2"
        } else {
            "UPDATE memories SET roots = roots - 1 WHERE project_id = ?1 AND memory_id = ?2"
        };
        tx.execute(sql, &key).await?;
        Ok(true)
    }

    /// Deletes a run with all that it has one row of, or few.
    async fn run(&mut self, tx: &mut Tx<'_>, run: RunId) -> Result<()> {
        let key = [self.project.into(), (&run).into()];
        let sql =
            "SELECT i.idempotency_key, length(i.input), COALESCE(length(o.output), 0) FROM inputs i
            LEFT JOIN results o ON o.project_id = i.project_id AND o.run_id = i.run_id
            WHERE i.project_id = ?1 AND i.run_id = ?2";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<u64>(1)? + row.get::<u64>(2)?));
        let found: Option<(Option<Vec<u8>>, u64)> = tx.query_one(sql, &key, read).await?;
        let (idempotency_key, bytes) = found.unwrap_or_default();
        if let Some(idempotency_key) = idempotency_key {
            let sql =
                "DELETE FROM idempotency_keys WHERE project_id = ?1 AND run_id = ?2 AND key = ?3";
            let args = [key[0], key[1], idempotency_key.as_slice().into()];
            tx.execute(sql, &args).await?;
        }
        for sql in ONE_ROW {
            tx.execute(sql, &key).await?;
        }
        self.runs += 1;
        self.bytes_left = self.bytes_left.saturating_sub(bytes + RUN_BYTES);
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
const RUN_BYTES: u64 = 3 * 1024;

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

const ONE_ROW: [&str; 4] = [
    "DELETE FROM inputs WHERE project_id = ?1 AND run_id = ?2",
    "DELETE FROM results WHERE project_id = ?1 AND run_id = ?2",
    "DELETE FROM attempts WHERE project_id = ?1 AND run_id = ?2",
    "DELETE FROM runs WHERE project_id = ?1 AND run_id = ?2",
];
