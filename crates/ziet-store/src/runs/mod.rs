//! Runs as they are read: one as a document, one as core decides on it, the children of one.

mod list;
mod queue;

use std::time::Duration;

use ziet_core::call::CallKey;
use ziet_core::document::{AttemptDocument, ErrorDocument, RunDocument};
use ziet_core::retry::RetryPolicy;
use ziet_core::run::{Policy, Status};
use ziet_core::{
    ActionId, DeploymentId, Failure, Json, MemoryId, ProjectId, Run, RunId, RunState, Time,
};

pub use list::{Listed, RunFilter, list, summary};
pub(crate) use queue::oldest_live;
pub use queue::{Backlog, Timer, backlog, due_queued, live, move_retries, retrying_beyond, timers};

use crate::changes::Parent;
use crate::state::{Ended, Live, failure, rebuild};
use crate::value::{Columns, Row};
use crate::{Result, StoreError, Tx};

/// A run as it is stored, without its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedRun {
    /// Its id.
    pub id: RunId,
    /// The action that it executes.
    pub action_id: ActionId,
    /// The memory that its tree shares.
    pub memory_id: MemoryId,
    /// The version of the code that it was accepted for.
    pub deployment_id: Option<DeploymentId>,
    /// Whose call it answers; None for a root run.
    pub parent: Option<Parent>,
    /// The root of its tree.
    pub root_id: RunId,
    /// The run that it is another try of.
    pub retry_of: Option<RunId>,
    /// The arguments.
    pub input: Json,
    /// What the caller wants to find on it again.
    pub metadata: Option<Json>,
    /// As core decides on it.
    pub run: Run,
    /// When it was accepted.
    pub created_at: Time,
    /// When its first attempt began.
    pub started_at: Option<Time>,
    /// When it finished.
    pub finished_at: Option<Time>,
}

/// A run that another one started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its id.
    pub id: RunId,
    /// Which call of its parent it answers.
    pub call: CallKey,
    /// How it stands.
    pub status: Status,
}

/// The run document; None when the project has no such run.
///
/// # Errors
/// What the database says.
pub async fn document(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: RunId,
) -> Result<Option<RunDocument>> {
    let Some(loaded) = load(tx, project, id).await? else {
        return Ok(None);
    };
    let attempts = attempts(tx, project, id).await?;
    Ok(Some(shown(project, loaded, attempts)))
}

/// What [`loaded`] reads.
const LOADED: &str = "SELECT r.run_id, r.action_id, r.memory_id, r.root_id, r.created_at, r.started_at, r.finished_at,
        i.deployment_id, i.retry_of, i.metadata, i.input,
        r.parent_id, i.call_action_id, i.call_arguments, i.call_occurrence,
        r.timeout_ms, r.retries, r.backoff, r.on_lost, r.attempts, r.counted, r.lost_in_a_row,
        r.status, r.waiting_on, r.run_at, r.worker, r.used_ms, r.since,
        o.output, o.failure, o.cancelled
    FROM runs r
    JOIN inputs i ON i.project_id = r.project_id AND i.run_id = r.run_id
    LEFT JOIN results o ON o.project_id = r.project_id AND o.run_id = r.run_id";

/// The run as it was last committed; None when the project has no such run.
///
/// # Errors
/// What the database says.
pub async fn load(tx: &mut Tx<'_>, project: &ProjectId, id: RunId) -> Result<Option<LoadedRun>> {
    let sql = format!("{LOADED} WHERE r.project_id = ?1 AND r.run_id = ?2");
    tx.query_one(&sql, &[project.into(), (&id).into()], loaded)
        .await
}

/// The run that was accepted with `key`, and the digest of what was asked with it. A key is forgotten a day after its
/// run has finished.
///
/// # Errors
/// What the database says.
pub async fn by_idempotency_key(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    key: &str,
    now: Time,
) -> Result<Option<(RunId, [u8; 32])>> {
    let sql = "SELECT k.run_id, k.request FROM idempotency_keys k
        JOIN runs r ON r.project_id = k.project_id AND r.run_id = k.run_id
        WHERE k.project_id = ?1 AND k.key = ?2 AND (r.finished_at IS NULL OR r.finished_at > ?3)";
    let args = [project.into(), key.as_bytes().into(), forgotten(now).into()];
    tx.query_one(sql, &args, |row| Ok((row.get(0)?, row.get(1)?)))
        .await
}

/// The idempotency keys of runs that finished then or earlier are free again.
pub(crate) fn forgotten(now: Time) -> i64 {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    now.as_millis().saturating_sub(DAY_MS)
}

/// The runs that `parent` started, in their order.
///
/// # Errors
/// What the database says.
pub async fn children(tx: &mut Tx<'_>, project: &ProjectId, parent: RunId) -> Result<Vec<Child>> {
    let sql = "SELECT r.run_id, i.call_action_id, i.call_arguments, i.call_occurrence, r.status
        FROM runs r JOIN inputs i ON i.project_id = r.project_id AND i.run_id = r.run_id
        WHERE r.project_id = ?1 AND r.parent_id = ?2 ORDER BY r.run_id";
    tx.query(sql, &[project.into(), (&parent).into()], |row| {
        let mut columns = row.columns();
        let columns = &mut columns;
        Ok(Child {
            id: columns.next()?,
            call: needed(call(columns)?)?,
            status: columns.next()?,
        })
    })
    .await
}

/// The attempts of a run that have ended, in their order.
///
/// # Errors
/// What the database says.
pub async fn attempts(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: RunId,
) -> Result<Vec<AttemptDocument>> {
    let sql = "SELECT number, outcome, failure, started_at, finished_at, cpu_ms, peak_memory_bytes, worker
        FROM attempts WHERE project_id = ?1 AND run_id = ?2 ORDER BY number";
    tx.query(sql, &[project.into(), (&id).into()], |row| {
        let mut columns = row.columns();
        Ok(AttemptDocument {
            number: columns.next()?,
            outcome: columns.next()?,
            error: error(columns.next::<Option<Vec<u8>>>()?.as_deref())?,
            started_at: columns.next()?,
            finished_at: columns.next()?,
            cpu_ms: columns.next()?,
            peak_memory_bytes: columns.next()?,
            worker: columns.next()?,
        })
    })
    .await
}

fn loaded(row: &Row<'_>) -> Result<LoadedRun> {
    let mut columns = row.columns();
    let columns = &mut columns;
    // The fields stand in the order of the columns, for that is the order in which they are read.
    Ok(LoadedRun {
        id: columns.next()?,
        action_id: columns.next()?,
        memory_id: columns.next()?,
        root_id: columns.next()?,
        created_at: columns.next()?,
        started_at: columns.next()?,
        finished_at: columns.next()?,
        deployment_id: columns.next()?,
        retry_of: columns.next()?,
        metadata: columns.next()?,
        input: columns.next()?,
        parent: parent(columns)?,
        run: run(columns)?,
    })
}

fn parent(columns: &mut Columns<'_>) -> Result<Option<Parent>> {
    let run_id: Option<RunId> = columns.next()?;
    let call = call(columns)?;
    run_id
        .map(|run_id| {
            Ok(Parent {
                run_id,
                call: needed(call)?,
            })
        })
        .transpose()
}

fn call(columns: &mut Columns<'_>) -> Result<Option<CallKey>> {
    let action_id: Option<ActionId> = columns.next()?;
    let arguments: Option<[u8; 32]> = columns.next()?;
    let occurrence: Option<u32> = columns.next()?;
    Ok(action_id
        .zip(arguments)
        .zip(occurrence)
        .map(|((action_id, arguments), occurrence)| CallKey {
            action_id,
            arguments,
            occurrence,
        }))
}

fn run(columns: &mut Columns<'_>) -> Result<Run> {
    let policy = Policy {
        timeout: Duration::from_millis(columns.next()?),
        retry: RetryPolicy {
            retries: columns.next()?,
            backoff: columns.next()?,
        },
        on_lost: columns.next()?,
    };
    let attempts = columns.next()?;
    let counted = columns.next()?;
    let lost_in_a_row = columns.next()?;
    let status = columns.next()?;
    let live = Live::read(columns)?;
    let state = rebuild(status, attempts, &live, Ended::read(columns)?)?;
    Ok(Run {
        policy,
        state,
        attempts,
        counted,
        lost_in_a_row,
    })
}

fn shown(project: &ProjectId, loaded: LoadedRun, attempts: Vec<AttemptDocument>) -> RunDocument {
    let live = Live::of(&loaded.run.state);
    let status = loaded.run.state.status();
    let (output, error, cancelled) = match loaded.run.state {
        RunState::Completed { output } => (Some(output), None, None),
        RunState::Failed { failure } => (None, Some(failure.into()), None),
        RunState::Cancelled(cancelled) => (None, None, Some(cancelled)),
        RunState::Created
        | RunState::Scheduled { .. }
        | RunState::Queued
        | RunState::Running { .. }
        | RunState::Waiting { .. }
        | RunState::Retrying { .. } => (None, None, None),
    };
    RunDocument {
        id: loaded.id,
        action_id: loaded.action_id,
        project_id: project.clone(),
        deployment_id: loaded.deployment_id,
        status,
        waiting_on: live.waiting_on,
        input: loaded.input,
        output,
        error,
        memory_id: loaded.memory_id,
        parent_id: loaded.parent.map(|parent| parent.run_id),
        root_id: loaded.root_id,
        attempts,
        metadata: loaded.metadata,
        run_at: live.run_at,
        retry_of: loaded.retry_of,
        cancelled,
        created_at: loaded.created_at,
        started_at: loaded.started_at,
        finished_at: loaded.finished_at,
        memory: None,
    }
}

fn error(bytes: Option<&[u8]>) -> Result<Option<ErrorDocument>> {
    let failure: Option<Failure> = bytes.map(failure).transpose()?;
    Ok(failure.map(ErrorDocument::from))
}

fn needed(call: Option<CallKey>) -> Result<CallKey> {
    call.ok_or_else(|| StoreError::Unreadable("a child run has no call".to_owned()))
}
