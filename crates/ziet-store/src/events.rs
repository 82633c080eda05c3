//! What happened while a run was executed, in its order. It is appended and read, never changed.

use ziet_core::{ProjectId, RunId, Time};

use crate::{Result, StoreError, Tx};

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The run.
    pub run_id: RunId,
    /// The attempt of the run; 0 before the first one.
    pub attempt: u32,
    /// When.
    pub at: Time,
    /// What kind of thing, as a word: `integration_called`.
    pub kind: String,
    /// What exactly; any text.
    pub body: String,
}

/// At most `limit` events of a run with their numbers in it, oldest first; only those after number `after`, 0 for all.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    run_id: RunId,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, EventRecord)>> {
    let sql = "SELECT number, attempt, at, kind, body FROM events
        WHERE project_id = ?1 AND run_id = ?2 AND number > ?3 ORDER BY number LIMIT ?4";
    let args = [project.into(), (&run_id).into(), after.into(), limit.into()];
    tx.query(sql, &args, |row| {
        let mut columns = row.columns();
        let number = columns.next()?;
        let event = EventRecord {
            run_id,
            attempt: columns.next()?,
            at: columns.next()?,
            kind: columns.next()?,
            body: text(columns.next()?)?,
        };
        Ok((number, event))
    })
    .await
}

/// Adds it after those that the run has.
pub(crate) async fn append(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    event: &EventRecord,
) -> Result<()> {
    let sql = "INSERT INTO events (project_id, run_id, number, attempt, at, kind, body)
        SELECT ?1, ?2, COALESCE(MAX(number), 0) + 1, ?3, ?4, ?5, ?6
        FROM events WHERE project_id = ?1 AND run_id = ?2";
    let row = [
        project.into(),
        (&event.run_id).into(),
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
