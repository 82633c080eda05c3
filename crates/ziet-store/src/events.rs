//! What happened while a run was executed, in its order. It is appended and read, never changed.

use ziet_core::{ProjectId, RunId, Time};

use crate::{Result, StoreError, Tx};

/// Something that happened during an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The run.
    pub run_id: RunId,
    /// The attempt of the run.
    pub attempt: u32,
    /// When.
    pub at: Time,
    /// What kind of thing, as a word: `integration_called`.
    pub kind: String,
    /// What exactly; any text.
    pub body: String,
}

/// The events of a run, oldest first.
///
/// # Errors
/// What the database says.
pub async fn of_run(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    run_id: RunId,
) -> Result<Vec<EventRecord>> {
    let sql = "SELECT attempt, at, kind, body FROM events
        WHERE project_id = ?1 AND run_id = ?2 ORDER BY number";
    tx.query(sql, &[project.into(), (&run_id).into()], |row| {
        let mut columns = row.columns();
        Ok(EventRecord {
            run_id,
            attempt: columns.next()?,
            at: columns.next()?,
            kind: columns.next()?,
            body: text(columns.next()?)?,
        })
    })
    .await
}

/// Adds it after those that the run has.
pub(crate) async fn append(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    event: &EventRecord,
) -> Result<()> {
    let sql = "SELECT number FROM events WHERE project_id = ?1 AND run_id = ?2
        ORDER BY number DESC LIMIT 1";
    let args = [project.into(), (&event.run_id).into()];
    let last: Option<i64> = tx.query_one(sql, &args, |row| row.get(0)).await?;
    let sql = "INSERT INTO events (project_id, run_id, number, attempt, at, kind, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = [
        project.into(),
        (&event.run_id).into(),
        last.unwrap_or(0).saturating_add(1).into(),
        event.attempt.into(),
        event.at.into(),
        event.kind.as_str().into(),
        event.body.as_bytes().into(),
    ];
    tx.execute(sql, &row).await?;
    Ok(())
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| StoreError::Unreadable("an event is not text".to_owned()))
}
