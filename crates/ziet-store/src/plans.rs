//! No verb looks at a whole table or sorts one, however much is in it: the plans of all that the verbs ask.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use ziet_core::deployment::DeploymentStatus;
use ziet_core::memory::Search;
use ziet_core::retry::{Backoff, RetryPolicy};
use ziet_core::run::{Cancelled, Event, OnLost, Policy, Status};
use ziet_core::wire::Level;
use ziet_core::{ActionId, DeploymentId, Json, KeyId, ProjectId, Run, RunId, Time, transition};

use crate::changes::{self, Change, Idempotency, NewRun, StateChange};
use crate::deployments::{DeploymentError, DeploymentRecord};
use crate::job::Access;
use crate::logs::{LogQuery, NewLine};
use crate::runs::{Most, RunFilter};
use crate::{
    EventRecord, Result, Tx, deployments, environment, events, figures, keys, logs, memory,
    retention, runs, sessions, sqlite,
};

fn new_run(now: Time) -> NewRun {
    let id = RunId::new(now);
    let retry = RetryPolicy {
        retries: 0,
        backoff: Backoff::None,
    };
    let policy = Policy {
        timeout: Duration::from_secs(1),
        retry,
        on_lost: OnLost::Rerun,
    };
    NewRun {
        id,
        action_id: ActionId::new("pay"),
        deployment_id: None,
        memory_id: id.own_memory(),
        parent: None,
        root_id: id,
        retry_of: None,
        idempotency: Some(Idempotency {
            key: "k".to_owned(),
            request: [0; 32],
        }),
        input: Json::empty_object(),
        metadata: None,
        run: Run::accepted(policy, None, now).run,
        created_at: now,
    }
}

async fn write(tx: &mut Tx<'_>, project: &ProjectId, new: &NewRun, now: Time) -> Result<()> {
    let event = EventRecord {
        run_id: new.id,
        attempt: 0,
        at: now,
        kind: "accepted".to_owned(),
        body: String::new(),
    };
    let line = NewLine {
        at: now,
        level: Level::Info,
        text: "hello".to_owned(),
    };
    let again = NewRun {
        id: RunId::new(now),
        idempotency: None,
        ..new.clone()
    };
    let logs = Change::Logs {
        run: new.id,
        attempt: 1,
        lines: vec![line],
    };
    let cancelled = Event::Cancel(Cancelled {
        by: "ada".to_owned(),
        reason: None,
    });
    let ended = StateChange {
        id: new.id,
        fence: 0,
        run: transition(&new.run, cancelled, now)
            .expect("it is queued")
            .run,
        since: now,
        now,
    };
    let all = [
        Change::Submit(Box::new(new.clone())),
        Change::Submit(Box::new(again)),
        Change::Event(event),
        logs,
        Change::State(Box::new(ended)),
    ];
    changes::commit(tx, project, &all).await
}

async fn lists(tx: &mut Tx<'_>, project: &ProjectId, id: RunId) -> Result<()> {
    let all = RunFilter::default();
    let filters = [
        all.clone(),
        RunFilter {
            action_id: Some(ActionId::new("pay")),
            ..all.clone()
        },
        RunFilter {
            parent_id: Some(id),
            ..all.clone()
        },
        RunFilter {
            root_id: Some(id),
            ..all.clone()
        },
        RunFilter {
            text: Some(id.to_string()),
            ..all.clone()
        },
        RunFilter {
            statuses: vec![
                Status::Created,
                Status::Scheduled,
                Status::Queued,
                Status::Running,
                Status::Retrying,
                Status::Waiting,
                Status::Failed,
                Status::Cancelled,
            ],
            ..all.clone()
        },
    ];
    for filter in &filters {
        runs::list(tx, project, filter, None, 100).await?;
        runs::list(tx, project, filter, Some(id), 100).await?;
    }
    Ok(())
}

async fn deploy(tx: &mut Tx<'_>, project: &ProjectId, now: Time) -> Result<()> {
    let id = DeploymentId::new(now);
    let deployment = DeploymentRecord {
        id,
        version: "0123".to_owned(),
        digest: Some("0".repeat(64)),
        built: None,
        status: DeploymentStatus::Building,
        source: String::new(),
        error: None,
        created_by: None,
        created_at: now,
        active_since: None,
    };
    deployments::insert(tx, project, &deployment).await?;
    deployments::set_ready(tx, project, id, &[]).await?;
    let error = DeploymentError {
        message: String::new(),
        log_tail: String::new(),
    };
    deployments::set_failed(tx, project, id, &error).await?;
    deployments::activate(tx, project, id, now).await?;
    deployments::active(tx, project).await?;
    deployments::actions(tx, project, id).await?;
    deployments::action_ids(tx, project, id).await?;
    deployments::find(tx, project, id).await?;
    deployments::by_version(tx, project, "01").await?;
    deployments::by_digest(tx, project, &"0".repeat(64)).await?;
    deployments::page(tx, project, Some(id), 10).await?;
    deployments::with_status(tx, project, DeploymentStatus::Ready).await?;
    deployments::last_with(tx, project, &ActionId::new("pay")).await?;
    deployments::in_use(tx, project, Status::Queued, None, 10).await?;
    deployments::set_removed(tx, project, id).await?;
    environment::put(tx, project, "KEY", "value", now).await?;
    environment::list(tx, project).await?;
    environment::values(tx, project).await?;
    environment::remove(tx, project, "KEY").await?;
    Ok(())
}

async fn everything(tx: &mut Tx<'_>) -> Result<()> {
    let (project, now) = (
        &ProjectId::new("shop"),
        Time::from_millis(1_700_000_000_000),
    );
    let new = new_run(now);
    write(tx, project, &new, now).await?;
    lists(tx, project, new.id).await?;
    runs::document(tx, project, new.id).await?;
    runs::open_children(tx, project, new.id).await?;
    runs::is_unfinished(tx, project, new.id).await?;
    runs::by_idempotency_key(tx, project, "k", now).await?;
    let most = Most {
        runs: 10,
        bytes: 1000,
    };
    runs::unfinished(tx, project, Status::Queued, Some(new.id), most).await?;
    runs::due(tx, project, now, most).await?;
    runs::retrying_beyond(tx, project, now).await?;
    runs::move_retries(tx, project, 1).await?;
    runs::backlog(tx, project).await?;
    events::page(tx, project, new.id, 0, 10).await?;
    events::attempts(tx, project, new.id, 1, 10).await?;
    let query = LogQuery {
        limit: 10,
        min_level: Some(Level::Warn),
        ..LogQuery::default()
    };
    logs::page(tx, project, new.id, &query).await?;
    memory::page(tx, project, new.memory_id, &Search::default(), None).await?;
    memory::newest(tx, project, new.memory_id, "k").await?;
    memory::entries(tx, project, new.memory_id).await?;
    memory::remove(tx, project, new.memory_id, None, Some("k")).await?;
    figures::of_action(tx, project, &new.action_id, now, now).await?;
    deploy(tx, project, now).await?;
    keys::find(tx, KeyId::new(now)).await?;
    keys::page(tx, Some(project), Some(KeyId::new(now)), 10).await?;
    keys::revoke(tx, KeyId::new(now), now).await?;
    keys::touch(tx, KeyId::new(now), now).await?;
    sessions::by_hash(tx, &[0; 32], now).await?;
    sessions::close(tx, &[0; 32]).await?;
    let later = now.plus(Duration::from_secs(1));
    let old = retention::Old::at(later, Duration::ZERO);
    retention::prune(tx, project, &old, None, 10).await?;
    let old = retention::Old::at(later.plus(Duration::from_secs(25 * 3600)), Duration::ZERO);
    retention::prune(tx, project, &old, None, 10).await?;
    Ok(())
}

/// A project has only a few rows in them, called `p` and `later` where tables are joined. Live runs are counted, once.
const SMALL: &[&str] = &[
    "SEARCH projects",
    "SEARCH p ",
    "SEARCH deployments",
    "SEARCH later ",
    "SEARCH environment",
    "COVERING INDEX runs_live",
];

/// What a statement that asks so is to be answered with.
const INDEXES: &[(&str, &str)] = &[
    ("SUM(input_bytes)", "COVERING INDEX runs_live"),
    ("AND finished_at IS NULL AND status = 'queued'", "runs_live"),
    (
        "AND finished_at IS NULL AND status = 'scheduled'",
        "runs_live",
    ),
    ("finished_at IS NULL AND r.status = '", "runs_live"),
    ("SET run_at = run_at + ?2", "runs_live"),
    ("AND status = 'failed'", "runs_unsuccessful"),
    ("AND status = 'cancelled'", "runs_unsuccessful"),
    ("run_at IS NOT NULL", "runs_due"),
    ("status = 'retrying' AND run_at > ", "runs_due"),
    ("AND action_id = ", "runs_by_action"),
    ("parent_id = ", "runs_by_parent"),
    ("AND root_id = ", "runs_by_root"),
    ("memory_id = ?2 AND key = ?3", "entries_by_key"),
];

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let mut steps = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(step) = steps.next().unwrap() {
        plan.push(step.get(3).unwrap());
    }
    plan
}

#[test]
fn every_verb_finds_what_it_looks_for_in_an_index() {
    let mut connection = sqlite::open_memory().unwrap();
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let notes = Arc::clone(&asked);
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, sql) = event {
            notes.lock().unwrap().insert(sql.to_owned());
        }
    };
    connection
        .trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note))
        .unwrap();
    let verbs = async |tx: &mut Tx<'_>| everything(tx).await;
    sqlite::now(&mut connection, Access::Write, verbs).unwrap();
    let asked = asked.lock().unwrap().clone();
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let verbs = asked
        .iter()
        .filter(|sql| verbs.iter().any(|verb| sql.starts_with(verb)));
    let mut seen = 0;
    for sql in verbs {
        let plan = plan(&connection, sql);
        let costly = |step: &&String| {
            let small = SMALL.iter().any(|table| step.contains(table));
            let whole = step.ends_with("(project_id=?)") && !small;
            whole || step.starts_with("SCAN") || step.contains("B-TREE")
        };
        assert_eq!(plan.iter().find(costly), None, "{sql}\n{plan:#?}");
        for (asked, index) in INDEXES.iter().filter(|(asked, _)| sql.contains(asked)) {
            let found = plan.iter().any(|step| step.contains(index));
            assert!(found, "{asked} does not use {index}: {sql}\n{plan:#?}");
        }
        seen += 1;
    }
    assert!(seen > 50, "only {seen} statements were seen");
}
