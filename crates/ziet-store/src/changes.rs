//! What the engine writes: a batch of changes that stand or fall together.
//!
//! Nothing is decided here. The one thing that is checked is the fence: a transition is written only if the run is
//! still as it was when core decided on it.

use ziet_core::call::CallKey;
use ziet_core::memory::Entry;
use ziet_core::run::Outcome;
use ziet_core::{
    ActionId, DeploymentId, Failure, Json, MemoryId, ProjectId, Run, RunId, Time, WorkerId,
};

use crate::events::{self, EventRecord};
use crate::logs::NewLine;
use crate::state::{Ended, Live, failure_bytes, millis};
use crate::value::Value;
use crate::word::Word;
use crate::{Result, StoreError, Tx, logs, memory, runs};

/// One row that comes or changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// A run is accepted.
    Submit(Box<NewRun>),
    /// A run is in another state.
    State(Box<StateChange>),
    /// An attempt has ended.
    Attempt(Box<AttemptRecord>),
    /// The engine adds to a memory, whether it is full or not: a note of an error must not be lost.
    Entry {
        /// The memory that it is added to.
        memory_id: MemoryId,
        /// What is added.
        entry: Entry,
    },
    /// Something happened to a run.
    Event(EventRecord),
    /// An attempt has printed or logged.
    Logs {
        /// The run.
        run: RunId,
        /// Its attempt.
        attempt: u32,
        /// What it printed, in its order.
        lines: Vec<NewLine>,
    },
}

/// A run as it was accepted.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The action that it executes.
    pub action_id: ActionId,
    /// The version of the code that it is accepted for; None for a local run.
    pub deployment_id: Option<DeploymentId>,
    /// The memory that its tree shares. That with the id of a root run comes into being with it.
    pub memory_id: MemoryId,
    /// Whose call it answers; None for a root run.
    pub parent: Option<Parent>,
    /// The root of its tree; itself for a root run.
    pub root_id: RunId,
    /// The run that it is another try of.
    pub retry_of: Option<RunId>,
    /// What makes asking for it once more have no effect.
    pub idempotency: Option<Idempotency>,
    /// The arguments.
    pub input: Json,
    /// What the caller wants to find on it again.
    pub metadata: Option<Json>,
    /// Its policy and its first state.
    pub run: Run,
    /// When it was accepted.
    pub created_at: Time,
}

/// A key that a caller chose for one request, so that repeating it does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// A digest of what is asked with it: another request with the same key is a mistake.
    pub request: [u8; 32],
}

/// The call that a child run answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The run that made the call.
    pub run_id: RunId,
    /// What the call is known by in that run.
    pub call: CallKey,
}

/// A transition that core decided on, or several of one run, one after the other.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// The run.
    pub id: RunId,
    /// The attempts that it had begun before the first of them.
    pub fence: u32,
    /// The run after the last of them.
    pub run: Run,
    /// The `now` of the first of them.
    pub since: Time,
    /// The `now` of the last of them.
    pub now: Time,
}

/// One attempt, written once, when it has ended.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The run.
    pub run_id: RunId,
    /// Its number in the run, from 1.
    pub number: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// When its code was started.
    pub started_at: Time,
    /// When it was settled.
    pub finished_at: Time,
    /// Processor time, where it is known.
    pub cpu_ms: Option<u64>,
    /// The most memory it had, where it is known.
    pub peak_memory_bytes: Option<u64>,
    /// Who executed it.
    pub worker: WorkerId,
}

/// Writes all of `changes`, in their order.
///
/// # Errors
/// [`StoreError::Fenced`] when one of the runs has gone on meanwhile, [`StoreError::Duplicate`] when an idempotency key
/// is taken, [`StoreError::NoMemory`] when a root run is to have a memory that is not there; then none is written.
pub async fn commit(tx: &mut Tx<'_>, project: &ProjectId, changes: &[Change]) -> Result<()> {
    for change in changes {
        match change {
            Change::Submit(new) => submit(tx, project, new).await?,
            Change::State(change) => transition(tx, project, change).await?,
            Change::Attempt(attempt) => record(tx, project, attempt).await?,
            Change::Entry { memory_id, entry } => {
                memory::add_always(tx, project, *memory_id, entry).await?;
            }
            Change::Event(event) => events::append(tx, project, event).await?,
            Change::Logs {
                run,
                attempt,
                lines,
            } => logs::append(tx, project, *run, *attempt, lines).await?,
        }
    }
    Ok(())
}

async fn submit(tx: &mut Tx<'_>, project: &ProjectId, new: &NewRun) -> Result<()> {
    if new.parent.is_none() && new.memory_id != new.id.own_memory() {
        memory::take(tx, project, new.memory_id).await?;
    }
    if let Some(idempotency) = &new.idempotency {
        take_key(tx, project, new, idempotency).await?;
    }
    insert_run(tx, project, new).await?;
    insert_input(tx, project, new).await?;
    insert_result(tx, project, new.id, &new.run).await
}

/// A key that is forgotten becomes that of the new run.
const TAKE_KEY: &str =
    "INSERT INTO idempotency_keys (project_id, key, run_id, request) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (project_id, key) DO UPDATE SET run_id = excluded.run_id, request = excluded.request
    WHERE NOT EXISTS (SELECT 1 FROM runs r
        WHERE r.project_id = idempotency_keys.project_id AND r.run_id = idempotency_keys.run_id
            AND (r.finished_at IS NULL OR r.finished_at > ?5))";

async fn take_key(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    new: &NewRun,
    idempotency: &Idempotency,
) -> Result<()> {
    let row = [
        project.into(),
        idempotency.key.as_bytes().into(),
        (&new.id).into(),
        idempotency.request.as_slice().into(),
        runs::forgotten(new.created_at).into(),
    ];
    if tx.execute(TAKE_KEY, &row).await? == 0 {
        let key = &idempotency.key;
        return Err(StoreError::Duplicate(format!("idempotency key {key}")));
    }
    Ok(())
}

const INSERT_RUN: &str =
    "INSERT INTO runs (project_id, run_id, status, waiting_on, run_at, worker, used_ms, since,
        attempts, counted, lost_in_a_row, started_at, finished_at,
        action_id, memory_id, parent_id, root_id, input_bytes, timeout_ms, retries, backoff, on_lost, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
        ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";

async fn insert_run(tx: &mut Tx<'_>, project: &ProjectId, new: &NewRun) -> Result<()> {
    let live = Live::of(&new.run.state);
    let [status, waiting_on, run_at, worker, used_ms, since] = hot(&new.run, &live);
    let [attempts, counted, lost, started_at, finished_at] =
        counters(&new.run, new.created_at, new.created_at);
    let policy = &new.run.policy;
    let row = [
        project.into(),
        (&new.id).into(),
        status,
        waiting_on,
        run_at,
        worker,
        used_ms,
        since,
        attempts,
        counted,
        lost,
        started_at,
        finished_at,
        (&new.action_id).into(),
        (&new.memory_id).into(),
        new.parent.as_ref().map(|parent| &parent.run_id).into(),
        (&new.root_id).into(),
        new.input.as_bytes().len().into(),
        millis(policy.timeout).into(),
        policy.retry.retries.into(),
        policy.retry.backoff.word().into(),
        policy.on_lost.word().into(),
        new.created_at.into(),
    ];
    tx.execute(INSERT_RUN, &row).await?;
    Ok(())
}

const INSERT_INPUT: &str = "INSERT INTO inputs (project_id, run_id, deployment_id, retry_of,
        idempotency_key, call_action_id, call_arguments, call_occurrence, metadata, input)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

async fn insert_input(tx: &mut Tx<'_>, project: &ProjectId, new: &NewRun) -> Result<()> {
    let call = new.parent.as_ref().map(|parent| &parent.call);
    let key = new.idempotency.as_ref();
    let row = [
        project.into(),
        (&new.id).into(),
        new.deployment_id.as_ref().into(),
        new.retry_of.as_ref().into(),
        key.map(|idempotency| idempotency.key.as_bytes()).into(),
        call.map(|call| &call.action_id).into(),
        call.map(|call| call.arguments.as_slice()).into(),
        call.map(|call| call.occurrence).into(),
        new.metadata.as_ref().into(),
        (&new.input).into(),
    ];
    tx.execute(INSERT_INPUT, &row).await?;
    Ok(())
}

const TRANSITION: &str =
    "UPDATE runs SET status = ?3, waiting_on = ?4, run_at = ?5, worker = ?6, used_ms = ?7,
        since = ?8, attempts = ?9, counted = ?10, lost_in_a_row = ?11,
        started_at = COALESCE(started_at, ?12), finished_at = ?13
    WHERE project_id = ?1 AND run_id = ?2 AND attempts = ?14 AND finished_at IS NULL";

async fn transition(tx: &mut Tx<'_>, project: &ProjectId, change: &StateChange) -> Result<()> {
    let live = Live::of(&change.run.state);
    let [status, waiting_on, run_at, worker, used_ms, since] = hot(&change.run, &live);
    let [attempts, counted, lost, started_at, finished_at] =
        counters(&change.run, change.since, change.now);
    let row = [
        project.into(),
        (&change.id).into(),
        status,
        waiting_on,
        run_at,
        worker,
        used_ms,
        since,
        attempts,
        counted,
        lost,
        started_at,
        finished_at,
        change.fence.into(),
    ];
    if tx.execute(TRANSITION, &row).await? == 0 {
        return Err(StoreError::Fenced(change.id));
    }
    insert_result(tx, project, change.id, &change.run).await
}

fn hot<'a>(run: &Run, live: &'a Live) -> [Value<'a>; 6] {
    [
        run.state.status().word().into(),
        live.waiting_on.map(Word::word).into(),
        live.run_at.into(),
        live.worker.as_ref().into(),
        live.used_ms.into(),
        live.since.into(),
    ]
}

/// A run has started once an attempt has begun, and also when that attempt's end comes in the same change.
fn counters(run: &Run, since: Time, now: Time) -> [Value<'static>; 5] {
    [
        run.attempts.into(),
        run.counted.into(),
        run.lost_in_a_row.into(),
        (run.attempts > 0).then_some(since).into(),
        run.state.is_finished().then_some(now).into(),
    ]
}

const INSERT_RESULT: &str = "INSERT INTO results (project_id, run_id, output, failure, cancelled)
    VALUES (?1, ?2, ?3, ?4, ?5)";

async fn insert_result(tx: &mut Tx<'_>, project: &ProjectId, id: RunId, run: &Run) -> Result<()> {
    let Some(ended) = Ended::of(&run.state)? else {
        return Ok(());
    };
    let row = [
        project.into(),
        (&id).into(),
        ended.output.as_ref().into(),
        ended.failure.as_deref().into(),
        ended.cancelled.as_deref().into(),
    ];
    tx.execute(INSERT_RESULT, &row).await?;
    Ok(())
}

const INSERT_ATTEMPT: &str = "INSERT INTO attempts (project_id, run_id, number, outcome, failure,
        started_at, finished_at, cpu_ms, peak_memory_bytes, worker)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

async fn record(tx: &mut Tx<'_>, project: &ProjectId, attempt: &AttemptRecord) -> Result<()> {
    let failure = attempt.failure.as_ref().map(failure_bytes).transpose()?;
    let row = [
        project.into(),
        (&attempt.run_id).into(),
        attempt.number.into(),
        attempt.outcome.word().into(),
        failure.as_deref().into(),
        attempt.started_at.into(),
        attempt.finished_at.into(),
        attempt.cpu_ms.into(),
        attempt.peak_memory_bytes.into(),
        (&attempt.worker).into(),
    ];
    tx.execute(INSERT_ATTEMPT, &row).await?;
    Ok(())
}
