//! What happened while a run was executed, in its order. It is appended and read, never changed.

use ziet_core::document::ErrorSummary;
use ziet_core::run::Outcome;
use ziet_core::{ProjectId, RunId, Time};

use crate::runs::error_summary;
use crate::{PAGE_BYTES, Result, Row, StoreError, Tx, Value};

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

/// What an attempt that has ended tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptSummary {
    /// Its number in its run, from 1.
    pub number: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, without the stack.
    pub error: Option<ErrorSummary>,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Time,
}

/// Rows, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<T> {
    /// At most as many as were wanted; fewer where those have as much as a page may.
    pub rows: Vec<T>,
    /// Whether there may be more.
    pub more: bool,
}

/// At most `limit` events of a run with their numbers in it; only those after number `after`, 0 for all.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    run_id: RunId,
    after: u64,
    limit: usize,
) -> Result<Rows<(u64, EventRecord)>> {
    let sql = "SELECT number, attempt, at, kind, body FROM events
        WHERE project_id = ?1 AND run_id = ?2 AND number > ?3 ORDER BY number LIMIT ?4";
    let args = [project.into(), (&run_id).into(), after.into(), limit.into()];
    let size = |(_, event): &(u64, EventRecord)| event.body.len();
    let read = |row: &Row<'_>| {
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
    };
    some(tx, sql, &args, limit, read, size).await
}

/// At most `limit` attempts of a run that have ended; only those from number `from` on.
///
/// # Errors
/// What the database says.
pub async fn attempts(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    run_id: RunId,
    from: u32,
    limit: usize,
) -> Result<Rows<AttemptSummary>> {
    let sql = "SELECT number, outcome, failure, started_at, finished_at FROM attempts
        WHERE project_id = ?1 AND run_id = ?2 AND number >= ?3 ORDER BY number LIMIT ?4";
    let args = [project.into(), (&run_id).into(), from.into(), limit.into()];
    let size = |attempt: &AttemptSummary| {
        let error = attempt.error.as_ref();
        error.map_or(0, |error| error.kind.len() + error.message.len())
    };
    let read = |row: &Row<'_>| {
        let mut columns = row.columns();
        Ok(AttemptSummary {
            number: columns.next()?,
            outcome: columns.next()?,
            error: error_summary(columns.next()?)?,
            started_at: columns.next()?,
            finished_at: columns.next()?,
        })
    };
    some(tx, sql, &args, limit, read, size).await
}

/// Reads rows until they have as much as a page may.
async fn some<T>(
    tx: &mut Tx<'_>,
    sql: &str,
    args: &[Value<'_>],
    limit: usize,
    read: impl Fn(&Row<'_>) -> Result<T>,
    size: impl Fn(&T) -> usize,
) -> Result<Rows<T>> {
    let mut bytes = 0;
    let found = tx.query(sql, args, |row| {
        if bytes >= PAGE_BYTES {
            return Ok(None);
        }
        let row = read(row)?;
        bytes += size(&row);
        Ok(Some(row))
    });
    let found = found.await?;
    let more = found.len() == limit || found.last().is_some_and(Option::is_none);
    let rows = found.into_iter().flatten().collect();
    Ok(Rows { rows, more })
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
