//! The stores that tests run on, and runs and entries with as much in them as a test cares about.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tempfile::TempDir;
use ziet_core::call::CallKey;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::document::RunDocument;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::memory::Entry;
use ziet_core::retry::{Backoff, RetryPolicy};
use ziet_core::run::{Ending, OnLost, Outcome, Policy};
use ziet_core::{
    ActionId, DeploymentId, EntryId, Event, Json, MemoryId, ProjectId, Run, RunId, Time, WorkerId,
    transition,
};
use ziet_store::deployments::DeploymentRecord;
use ziet_store::{
    Added, AttemptRecord, Change, Durability, LoadedRun, Location, NewRun, Parent, Result,
    StateChange, Store, StoreError, Tx, changes, memory, runs,
};

/// Runs `test` on a fresh store of each kind.
pub(crate) fn on_each(test: impl Fn(&Store)) {
    test(&Store::open(&Location::Memory, Durability::Full).unwrap());
    let folder = TempDir::new().unwrap();
    test(&Store::open(&file_in(&folder), Durability::Full).unwrap());
}

pub(crate) fn file_in(folder: &TempDir) -> Location {
    Location::File(folder.path().join("ziet.db"))
}

pub(crate) fn project() -> ProjectId {
    ProjectId::new("shop")
}

/// A time that has never been before.
pub(crate) fn now() -> Time {
    static NOW: AtomicI64 = AtomicI64::new(1_700_000_000_000);
    Time::from_millis(NOW.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy {
        timeout: Duration::from_secs(300),
        retry: RetryPolicy {
            retries: 2,
            backoff: Backoff::Exponential,
        },
        on_lost: OnLost::Rerun,
    }
}

/// A queued root run with a memory of its own.
pub(crate) fn new_run() -> NewRun {
    let id = RunId::new(now());
    NewRun {
        id,
        action_id: ActionId::new("pay"),
        memory_id: id.own_memory(),
        parent: None,
        root_id: id,
        deployment_id: None,
        retry_of: None,
        idempotency: None,
        input: json(r#"{"amount": 10}"#),
        metadata: None,
        run: Run::accepted(policy(), None, now()).run,
        created_at: now(),
    }
}

pub(crate) fn child_of(parent: &NewRun, occurrence: u32) -> NewRun {
    let call = CallKey {
        action_id: ActionId::new("pay"),
        arguments: [7; 32],
        occurrence,
    };
    NewRun {
        memory_id: parent.memory_id,
        parent: Some(Parent {
            run_id: parent.id,
            call,
        }),
        root_id: parent.root_id,
        ..new_run()
    }
}

pub(crate) fn entry(key: &str, value: &str) -> Entry {
    Entry {
        entry_id: EntryId::new(now()),
        key: key.to_owned(),
        value: json(value),
        metadata: None,
        created_at: now(),
        run_id: None,
        attempt: None,
    }
}

pub(crate) fn attempt(run_id: RunId, number: u32, outcome: Outcome) -> AttemptRecord {
    AttemptRecord {
        run_id,
        number,
        outcome,
        failure: None,
        started_at: now(),
        finished_at: now(),
        cpu_ms: Some(12),
        peak_memory_bytes: None,
        worker: WorkerId::new(now()),
    }
}

/// What `event` makes of `run`, as a change to write and the run that it leads to.
pub(crate) fn change(id: RunId, run: &Run, event: Event) -> (Change, Run) {
    let now = now();
    let after = transition(run, event, now).unwrap().run;
    let change = StateChange {
        id,
        fence: run.attempts,
        run: after.clone(),
        since: now,
        now,
    };
    (Change::State(Box::new(change)), after)
}

pub(crate) fn claimed(run: &NewRun) -> (Change, Run) {
    change(
        run.id,
        &run.run,
        Event::Claim {
            worker: WorkerId::new(now()),
        },
    )
}

pub(crate) fn ended(run: &NewRun, running: &Run, ending: Ending) -> (Change, Run) {
    change(
        run.id,
        running,
        Event::Ended {
            claim: running.state.claim().unwrap(),
            ending,
        },
    )
}

/// All that happens to a run whose first attempt ends so.
pub(crate) fn life(run: &NewRun, ending: Ending) -> Vec<Change> {
    let (claim, running) = claimed(run);
    let (finish, _) = ended(run, &running, ending);
    vec![submit(run), claim, finish]
}

pub(crate) fn completed(run: &NewRun) -> Vec<Change> {
    let record = attempt(run.id, 1, Outcome::Completed);
    let mut life = life(run, Ending::Completed { output: json("1") });
    life.push(Change::Attempt(Box::new(record)));
    life
}

pub(crate) fn failed(run: &NewRun, message: &str) -> Vec<Change> {
    let failure = Failure {
        retryable: false,
        ..Failure::new(ErrorCode::Exception, "ValueError", message)
    };
    life(run, Ending::Failed(failure))
}

pub(crate) fn submit(run: &NewRun) -> Change {
    Change::Submit(Box::new(run.clone()))
}

pub(crate) fn commit(store: &Store, changes: Vec<Change>) -> Result<()> {
    store.write_now(async move |tx| changes::commit(tx, &project(), &changes).await)
}

pub(crate) fn load(store: &Store, id: RunId) -> Option<LoadedRun> {
    store
        .read_now(async move |tx| runs::load(tx, &project(), id).await)
        .unwrap()
}

pub(crate) fn document(store: &Store, id: RunId) -> RunDocument {
    let found = store.read_now(async move |tx| runs::document(tx, &project(), id).await);
    found.unwrap().expect("the run is there")
}

/// A deployment of something that is building.
pub(crate) fn deployment(id: DeploymentId, version: &str) -> DeploymentRecord {
    let digest = format!("{version:0<64}");
    DeploymentRecord {
        id,
        version: version.to_owned(),
        digest: Some(digest),
        status: DeploymentStatus::Building,
        source: "/srv/shop".to_owned(),
        built: None,
        error: None,
        created_by: None,
        created_at: now(),
        active_since: None,
    }
}

/// An empty memory.
pub(crate) fn new_memory(store: &Store) -> MemoryId {
    let run = new_run();
    commit(store, vec![submit(&run)]).unwrap();
    run.memory_id
}

pub(crate) fn add(store: &Store, memory_id: MemoryId, entry: &Entry) -> Result<Added> {
    let entry = entry.clone();
    store.write_now(async move |tx| memory::add(tx, &project(), memory_id, &entry).await)
}

pub(crate) fn count(store: &Store, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let counted = store.read_now(async move |tx| tx.query_one(&sql, &[], |row| row.get(0)).await);
    counted.unwrap().unwrap()
}

/// Keeps the writer busy until the sender is dropped, so that what is asked meanwhile shares a commit.
pub(crate) fn hold(store: &Store) -> Sender<()> {
    let (release, gate) = channel();
    let verb = async move |_: &mut Tx<'_>| {
        let _ = gate.recv();
        Ok(())
    };
    store.write(verb, |done| assert_eq!(done, Ok::<(), StoreError>(())));
    release
}
