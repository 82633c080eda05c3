//! What the actions of a project find in their environment: names and values that were set on the server.

use ziet_core::{ProjectId, Time};

use crate::{Result, StoreError, Tx};

/// A variable, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// What the code knows it by.
    pub name: String,
    /// When its value was set last.
    pub updated_at: Time,
}

/// The variables of a project, in the order of their names.
///
/// # Errors
/// What the database says.
pub async fn list(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Vec<Variable>> {
    let sql = "SELECT name, updated_at FROM environment WHERE project_id = ?1 ORDER BY name";
    tx.query(sql, &[project.into()], |row| {
        Ok(Variable {
            name: row.get(0)?,
            updated_at: row.get(1)?,
        })
    })
    .await
}

/// The names and values of a project's variables, in the order of their names.
///
/// # Errors
/// What the database says.
pub async fn values(tx: &mut Tx<'_>, project: &ProjectId) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, value FROM environment WHERE project_id = ?1 ORDER BY name";
    tx.query(sql, &[project.into()], |row| {
        let value = String::from_utf8(row.get(1)?);
        let unreadable = |_| StoreError::Unreadable("a variable is not text".to_owned());
        Ok((row.get(0)?, value.map_err(unreadable)?))
    })
    .await
}

/// Sets a variable; one that is there gets the new value.
///
/// # Errors
/// What the database says.
pub async fn put(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    name: &str,
    value: &str,
    now: Time,
) -> Result<()> {
    let sql = "INSERT INTO environment (project_id, name, value, updated_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (project_id, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
    let row = [
        project.into(),
        name.into(),
        value.as_bytes().into(),
        now.into(),
    ];
    tx.execute(sql, &row).await?;
    Ok(())
}

/// Removes a variable. False when there is none of this name.
///
/// # Errors
/// What the database says.
pub async fn remove(tx: &mut Tx<'_>, project: &ProjectId, name: &str) -> Result<bool> {
    let sql = "DELETE FROM environment WHERE project_id = ?1 AND name = ?2";
    Ok(tx.execute(sql, &[project.into(), name.into()]).await? > 0)
}
