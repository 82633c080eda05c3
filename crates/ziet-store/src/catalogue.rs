//! Deployments and the actions that are in them. One deployment of each project is the active one.

use ziet_core::{ActionSpec, DeploymentId, ProjectId, Time};

use crate::{Result, StoreError, Tx};

/// One version of a project's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// Its id.
    pub id: DeploymentId,
    /// Where its code lies; for a folder that is served as it stands, the folder.
    pub source: String,
    /// When it became the active one.
    pub active_since: Time,
}

/// Keeps a deployment with its actions and makes it the active one. One that is there already keeps its source, and
/// has these actions from then on.
///
/// # Errors
/// What the database says.
pub async fn activate(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    deployment: &DeploymentRecord,
    actions: &[ActionSpec],
) -> Result<()> {
    let key = [project.into(), (&deployment.id).into()];
    let sql = "INSERT INTO projects (project_id, deployment_id) VALUES (?1, ?2)
        ON CONFLICT (project_id) DO UPDATE SET deployment_id = excluded.deployment_id";
    tx.execute(sql, &key).await?;
    let sql = "INSERT INTO deployments (project_id, deployment_id, source, active_since)
        VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (project_id, deployment_id) DO UPDATE SET active_since = excluded.active_since";
    let row = [
        key[0],
        key[1],
        deployment.source.as_bytes().into(),
        deployment.active_since.into(),
    ];
    tx.execute(sql, &row).await?;
    let sql = "DELETE FROM actions WHERE project_id = ?1 AND deployment_id = ?2";
    tx.execute(sql, &key).await?;
    let sql =
        "INSERT INTO actions (project_id, deployment_id, action_id, spec) VALUES (?1, ?2, ?3, ?4)";
    for action in actions {
        let spec = rmp_serde::to_vec_named(action)
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        let row = [key[0], key[1], (&action.id).into(), spec.as_slice().into()];
        tx.execute(sql, &row).await?;
    }
    Ok(())
}

/// The active deployment; None when nothing was ever deployed.
///
/// # Errors
/// What the database says.
pub async fn active(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Option<DeploymentRecord>> {
    let sql = "SELECT d.deployment_id, d.source, d.active_since FROM projects p
        JOIN deployments d ON d.project_id = p.project_id AND d.deployment_id = p.deployment_id
        WHERE p.project_id = ?1";
    tx.query_one(sql, &[project.into()], |row| {
        let mut columns = row.columns();
        Ok(DeploymentRecord {
            id: columns.next()?,
            source: String::from_utf8(columns.next()?).map_err(|_| {
                StoreError::Unreadable("a deployment's source is not text".to_owned())
            })?,
            active_since: columns.next()?,
        })
    })
    .await
}

/// The projects that anything was ever deployed of.
///
/// # Errors
/// What the database says.
pub async fn projects(tx: &mut Tx<'_>) -> Result<Vec<ProjectId>> {
    let sql = "SELECT project_id FROM projects ORDER BY project_id";
    tx.query(sql, &[], |row| row.get(0)).await
}

/// The actions of the active deployment, in the order of their ids.
///
/// # Errors
/// What the database says.
pub async fn actions(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Vec<ActionSpec>> {
    let sql = "SELECT a.spec FROM projects p
        JOIN actions a ON a.project_id = p.project_id AND a.deployment_id = p.deployment_id
        WHERE p.project_id = ?1 ORDER BY a.action_id";
    tx.query(sql, &[project.into()], |row| {
        let spec: Vec<u8> = row.get(0)?;
        rmp_serde::from_slice(&spec)
            .map_err(|error| StoreError::Unreadable(format!("an action: {error}")))
    })
    .await
}
