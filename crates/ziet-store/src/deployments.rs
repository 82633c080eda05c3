//! Versions of a project's code, and the actions that are in them. One of each project is the active one.

use ziet_core::deployment::DeploymentStatus;
use ziet_core::run::Status;
use ziet_core::{ActionId, ActionSpec, Catalogue, DeploymentId, KeyId, ProjectId, RunId, Time};

use crate::value::{Columns, Row};
use crate::word::Word;
use crate::{Result, StoreError, Tx};

/// One version of a project's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// Its id.
    pub id: DeploymentId,
    /// What people see and type.
    pub version: String,
    /// Of what was deployed; None for a folder that is served as it stands.
    pub digest: Option<String>,
    /// How far it is.
    pub status: DeploymentStatus,
    /// Where its code lies; for a folder that is served as it stands, the folder.
    pub source: String,
    /// What executes it; None before that is built.
    pub built: Option<Built>,
    /// Why it failed.
    pub error: Option<DeploymentError>,
    /// The key that it was deployed with.
    pub created_by: Option<KeyId>,
    /// When it was deployed.
    pub created_at: Time,
    /// When it last became the active one.
    pub active_since: Option<Time>,
}

/// What executes a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The interpreter.
    pub python: String,
    /// The folder of its packages, where it has one of its own.
    pub environment: Option<String>,
}

/// Why a deployment failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentError {
    /// What is wrong.
    pub message: String,
    /// What was said last before that.
    pub log_tail: String,
}

const COLUMNS: &str =
    "deployment_id, version, digest, status, source, python, environment, error, log_tail,
    created_by, created_at, active_since";

fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM deployments WHERE project_id = ?1 {rest}")
}

/// Keeps a new deployment, without actions.
///
/// # Errors
/// [`StoreError::Duplicate`] when its id is there already.
pub async fn insert(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    deployment: &DeploymentRecord,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO deployments (project_id, {COLUMNS})
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    let (built, error) = (deployment.built.as_ref(), deployment.error.as_ref());
    let row = [
        project.into(),
        (&deployment.id).into(),
        deployment.version.as_str().into(),
        deployment.digest.as_deref().into(),
        deployment.status.word().into(),
        deployment.source.as_bytes().into(),
        built.map(|built| built.python.as_bytes()).into(),
        environment_of(built).into(),
        error.map(|error| error.message.as_bytes()).into(),
        error.map(|error| error.log_tail.as_bytes()).into(),
        deployment.created_by.as_ref().into(),
        deployment.created_at.into(),
        deployment.active_since.into(),
    ];
    tx.execute(&sql, &row).await?;
    Ok(())
}

fn environment_of(built: Option<&Built>) -> Option<&[u8]> {
    Some(built?.environment.as_ref()?.as_bytes())
}

/// What executes a deployment is there. False when there is no such that is building.
///
/// # Errors
/// What the database says.
pub async fn set_built(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: DeploymentId,
    built: &Built,
) -> Result<bool> {
    let sql = "UPDATE deployments SET python = ?3, environment = ?4
        WHERE project_id = ?1 AND deployment_id = ?2 AND status = 'building'";
    let row = [
        project.into(),
        (&id).into(),
        built.python.as_bytes().into(),
        environment_of(Some(built)).into(),
    ];
    Ok(tx.execute(sql, &row).await? > 0)
}

/// A deployment that was building, or is imported again, can be executed, and has these actions. False when there is no such.
///
/// # Errors
/// What the database says.
pub async fn set_ready(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: DeploymentId,
    actions: &[ActionSpec],
) -> Result<bool> {
    let key = [project.into(), (&id).into()];
    let sql = "UPDATE deployments SET status = 'ready' WHERE project_id = ?1 AND deployment_id = ?2
        AND (status = 'building' OR status = 'ready')";
    if tx.execute(sql, &key).await? == 0 {
        return Ok(false);
    }
    delete_actions(tx, project, id).await?;
    let sql =
        "INSERT INTO actions (project_id, deployment_id, action_id, spec) VALUES (?1, ?2, ?3, ?4)";
    for action in actions {
        let spec = rmp_serde::to_vec_named(action)
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let row = [key[0], key[1], (&action.id).into(), spec.as_slice().into()];
        tx.execute(sql, &row).await?;
    }
    Ok(true)
}

async fn delete_actions(tx: &mut Tx<'_>, project: &ProjectId, id: DeploymentId) -> Result<()> {
    let sql = "DELETE FROM actions WHERE project_id = ?1 AND deployment_id = ?2";
    tx.execute(sql, &[project.into(), (&id).into()]).await?;
    Ok(())
}

/// A deployment that was building never becomes one that can be executed. False when there is no such.
///
/// # Errors
/// What the database says.
pub async fn set_failed(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: DeploymentId,
    error: &DeploymentError,
) -> Result<bool> {
    let sql = "UPDATE deployments SET status = 'failed', error = ?3, log_tail = ?4
        WHERE project_id = ?1 AND deployment_id = ?2 AND status = 'building'";
    let row = [
        project.into(),
        (&id).into(),
        error.message.as_bytes().into(),
        error.log_tail.as_bytes().into(),
    ];
    Ok(tx.execute(sql, &row).await? > 0)
}

/// The code of a deployment is deleted: its actions go as well, and it cannot become the active one again. False when it is the
/// active one, or there is no such that was ready.
///
/// # Errors
/// What the database says.
pub async fn set_removed(tx: &mut Tx<'_>, project: &ProjectId, id: DeploymentId) -> Result<bool> {
    let sql = "UPDATE deployments SET status = 'removed'
        WHERE project_id = ?1 AND deployment_id = ?2 AND status = 'ready'
            AND NOT EXISTS (SELECT 1 FROM projects p
                WHERE p.project_id = ?1 AND p.deployment_id = deployments.deployment_id)";
    let removed = tx.execute(sql, &[project.into(), (&id).into()]).await? > 0;
    if removed {
        delete_actions(tx, project, id).await?;
    }
    Ok(removed)
}

/// Makes a deployment that can be executed the active one of its project. False when there is no such.
///
/// # Errors
/// What the database says.
pub async fn activate(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: DeploymentId,
    now: Time,
) -> Result<bool> {
    let sql = "UPDATE deployments SET active_since = ?3
        WHERE project_id = ?1 AND deployment_id = ?2 AND status = 'ready'";
    if tx
        .execute(sql, &[project.into(), (&id).into(), now.into()])
        .await?
        == 0
    {
        return Ok(false);
    }
    let sql = "INSERT INTO projects (project_id, deployment_id) VALUES (?1, ?2)
        ON CONFLICT (project_id) DO UPDATE SET deployment_id = excluded.deployment_id";
    tx.execute(sql, &[project.into(), (&id).into()]).await?;
    Ok(true)
}

/// The active deployment; None when nothing was ever activated.
///
/// # Errors
/// What the database says.
pub async fn active(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Option<DeploymentRecord>> {
    let sql = select(
        "AND deployment_id = (SELECT p.deployment_id FROM projects p WHERE p.project_id = ?1)",
    );
    tx.query_one(&sql, &[project.into()], record).await
}

/// The projects that have an active deployment.
///
/// # Errors
/// What the database says.
pub async fn projects(tx: &mut Tx<'_>) -> Result<Vec<ProjectId>> {
    let sql = "SELECT project_id FROM projects ORDER BY project_id";
    tx.query(sql, &[], |row| row.get(0)).await
}

/// The actions of a deployment.
///
/// # Errors
/// What the database says.
pub async fn actions(tx: &mut Tx<'_>, project: &ProjectId, id: DeploymentId) -> Result<Catalogue> {
    let sql = "SELECT spec FROM actions WHERE project_id = ?1 AND deployment_id = ?2";
    let read = |row: &Row<'_>| {
        let spec: Vec<u8> = row.get(0)?;
        rmp_serde::from_slice(&spec)
            .map_err(|error| StoreError::Unreadable(format!("an action: {error}")))
    };
    let key = [project.into(), (&id).into()];
    let mut catalogue = Catalogue::default();
    let specs = tx.query(sql, &key, read).await?;
    for spec in specs {
        catalogue.add(spec);
    }
    Ok(catalogue)
}

/// The ids of the actions of a deployment, in their order.
///
/// # Errors
/// What the database says.
pub async fn action_ids(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: DeploymentId,
) -> Result<Vec<ActionId>> {
    let sql = "SELECT action_id FROM actions
        WHERE project_id = ?1 AND deployment_id = ?2 ORDER BY action_id";
    tx.query(sql, &[project.into(), (&id).into()], |row| row.get(0))
        .await
}

/// The deployment with this id.
///
/// # Errors
/// What the database says.
pub async fn find(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: DeploymentId,
) -> Result<Option<DeploymentRecord>> {
    let sql = select("AND deployment_id = ?2");
    tx.query_one(&sql, &[project.into(), (&id).into()], record)
        .await
}

/// The deployments whose versions begin so, the newest first. A version has several where it was deployed again after it had failed
/// or was removed.
///
/// # Errors
/// What the database says.
pub async fn by_version(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    prefix: &str,
) -> Result<Vec<DeploymentRecord>> {
    let sql = select("AND substr(version, 1, length(?2)) = ?2 ORDER BY deployment_id DESC");
    tx.query(&sql, &[project.into(), prefix.into()], record)
        .await
}

/// The newest deployment of what has this digest that was not given up.
///
/// # Errors
/// What the database says.
pub async fn by_digest(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    digest: &str,
) -> Result<Option<DeploymentRecord>> {
    let sql = select(
        "AND digest = ?2 AND (status = 'building' OR status = 'ready') ORDER BY deployment_id DESC LIMIT 1",
    );
    tx.query_one(&sql, &[project.into(), digest.into()], record)
        .await
}

/// At most `limit` deployments, the newest first, and only those before `before` when it is given.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    before: Option<DeploymentId>,
    limit: usize,
) -> Result<Vec<DeploymentRecord>> {
    let before = before.unwrap_or(DeploymentId::LAST);
    let sql = select("AND deployment_id < ?2 ORDER BY deployment_id DESC LIMIT ?3");
    let args = [project.into(), (&before).into(), limit.into()];
    tx.query(&sql, &args, record).await
}

/// The deployments with this status, the newest first.
///
/// # Errors
/// What the database says.
pub async fn with_status(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    status: DeploymentStatus,
) -> Result<Vec<DeploymentRecord>> {
    let sql = select("AND status = ?2 ORDER BY deployment_id DESC");
    tx.query(&sql, &[project.into(), status.word().into()], record)
        .await
}

/// All deployments that are building, the oldest of each project first.
///
/// # Errors
/// What the database says.
pub async fn building(tx: &mut Tx<'_>) -> Result<Vec<(ProjectId, DeploymentId)>> {
    let sql = "SELECT project_id, deployment_id FROM deployments
        WHERE status = 'building' ORDER BY project_id, deployment_id";
    tx.query(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))
        .await
}

/// The deployment with this action that was the active one last.
///
/// # Errors
/// What the database says.
pub async fn last_with(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    action: &ActionId,
) -> Result<Option<DeploymentRecord>> {
    let sql = select(
        "AND active_since IS NOT NULL AND EXISTS (SELECT 1 FROM actions a WHERE a.project_id = ?1
            AND a.deployment_id = deployments.deployment_id AND a.action_id = ?2)",
    );
    let found = tx
        .query(&sql, &[project.into(), action.into()], record)
        .await?;
    Ok(found.into_iter().max_by_key(|found| found.active_since))
}

/// Deployments that runs name which have not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// The deployments, some of them perhaps more than once.
    pub deployments: Vec<DeploymentId>,
    /// Where to go on; None when all runs that stand so were looked at.
    pub next: Option<RunId>,
}

/// Looks at no more than `limit` runs that have not finished and stand so, after `after`.
///
/// # Errors
/// What the database says.
pub async fn in_use(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    status: Status,
    after: Option<RunId>,
    limit: usize,
) -> Result<InUse> {
    let sql = "SELECT r.run_id, i.deployment_id FROM runs r
        JOIN inputs i ON i.project_id = r.project_id AND i.run_id = r.run_id
        WHERE r.project_id = ?1 AND r.finished_at IS NULL AND r.status = ?2 AND r.run_id > ?3
        ORDER BY r.run_id LIMIT ?4";
    let after = after.unwrap_or(RunId::NONE);
    let args = [
        project.into(),
        status.word().into(),
        (&after).into(),
        limit.into(),
    ];
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<Option<DeploymentId>>(1)?));
    let found = tx.query(sql, &args, read).await?;
    let next = found.last().filter(|_| found.len() == limit);
    Ok(InUse {
        next: next.map(|(run, _)| *run),
        deployments: found.into_iter().filter_map(|(_, named)| named).collect(),
    })
}

fn record(row: &Row<'_>) -> Result<DeploymentRecord> {
    let mut columns = row.columns();
    let columns = &mut columns;
    Ok(DeploymentRecord {
        id: columns.next()?,
        version: columns.next()?,
        digest: columns.next()?,
        status: columns.next()?,
        source: text(columns)?.unwrap_or_default(),
        built: built(columns)?,
        error: error(columns)?,
        created_by: columns.next()?,
        created_at: columns.next()?,
        active_since: columns.next()?,
    })
}

fn built(columns: &mut Columns<'_>) -> Result<Option<Built>> {
    let (python, environment) = (text(columns)?, text(columns)?);
    Ok(python.map(|python| Built {
        python,
        environment,
    }))
}

fn error(columns: &mut Columns<'_>) -> Result<Option<DeploymentError>> {
    let (message, log_tail) = (text(columns)?, text(columns)?);
    Ok(message
        .zip(log_tail)
        .map(|(message, log_tail)| DeploymentError { message, log_tail }))
}

fn text(columns: &mut Columns<'_>) -> Result<Option<String>> {
    let bytes: Option<Vec<u8>> = columns.next()?;
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| StoreError::Unreadable("a text of a deployment is none".to_owned()))
}
