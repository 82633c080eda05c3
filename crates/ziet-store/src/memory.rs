//! Memories and their entries. What matches a search, core decides; here is only which entries there are.
//!
//! The newest entry is the one that was added last, whatever the clocks said: entries are numbered per memory. The
//! bytes of a memory are counted with each change, so that its limit is one comparison.
//!
//! A memory that comes into being with a root run has the run's id. Most are never used, so it has a row only from its
//! first entry on, or when a second root run is given it: until then the run says that it is there.

use ziet_core::limits::MEMORY_BYTES;
use ziet_core::memory::{Entry, Matcher, Search};
use ziet_core::{EntryId, MemoryId, ProjectId, Time};

use crate::value::{Row, Value};
use crate::{Result, StoreError, Tx};

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the memory.
    Yes,
    /// It is not: the memory would hold more than it may.
    Full {
        /// What it would hold.
        bytes: usize,
    },
}

/// A memory without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its id.
    pub id: MemoryId,
    /// What its entries take of its limit.
    pub bytes: usize,
    /// When it was made.
    pub created_at: Time,
}

/// A root run has this memory from now on, and keeps it from being deleted.
pub(crate) async fn take(tx: &mut Tx<'_>, project: &ProjectId, memory_id: MemoryId) -> Result<()> {
    make(tx, project, memory_id).await?;
    let sql = "UPDATE memories SET roots = roots + 1
        WHERE project_id = ?1 AND memory_id = ?2 AND roots > 0";
    match tx
        .execute(sql, &[project.into(), (&memory_id).into()])
        .await?
    {
        0 => Err(StoreError::NoMemory(memory_id)),
        _ => Ok(()),
    }
}

/// Gives the memory that came into being with a root run its row; false when it has one, or there is no such run.
async fn make(tx: &mut Tx<'_>, project: &ProjectId, memory_id: MemoryId) -> Result<bool> {
    let sql = "INSERT INTO memories (project_id, memory_id, bytes, newest, roots, created_at)
        SELECT project_id, memory_id, 0, 0, 1, created_at FROM runs
            WHERE project_id = ?1 AND run_id = ?2 AND memory_id = ?2
        ON CONFLICT (project_id, memory_id) DO NOTHING";
    let made = tx
        .execute(sql, &[project.into(), (&memory_id).into()])
        .await?;
    Ok(made > 0)
}

/// The memory itself; None when the project has no such memory.
///
/// # Errors
/// What the database says.
pub async fn find(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
) -> Result<Option<MemoryRecord>> {
    let sql = "SELECT bytes, created_at FROM memories
            WHERE project_id = ?1 AND memory_id = ?2 AND roots > 0
        UNION ALL SELECT 0, created_at FROM runs
            WHERE project_id = ?1 AND run_id = ?2 AND memory_id = ?2 AND NOT EXISTS
                (SELECT 1 FROM memories WHERE project_id = ?1 AND memory_id = ?2)";
    tx.query_one(sql, &[project.into(), (&memory_id).into()], |row| {
        Ok(MemoryRecord {
            id: memory_id,
            bytes: row.get(0)?,
            created_at: row.get(1)?,
        })
    })
    .await
}

/// Adds an entry if there is room for its key, value and metadata.
///
/// # Errors
/// [`StoreError::NoMemory`] when the memory does not exist.
pub async fn add(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    entry: &Entry,
) -> Result<Added> {
    if let Some(number) = make_room(tx, project, memory_id, entry, MEMORY_BYTES).await? {
        insert(tx, project, memory_id, entry, number).await?;
        return Ok(Added::Yes);
    }
    match find(tx, project, memory_id).await? {
        Some(memory) => Ok(Added::Full {
            bytes: memory.bytes.saturating_add(size(entry)),
        }),
        None => Err(StoreError::NoMemory(memory_id)),
    }
}

/// Adds an entry even to a full memory.
pub(crate) async fn add_always(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    entry: &Entry,
) -> Result<()> {
    match make_room(tx, project, memory_id, entry, usize::MAX).await? {
        Some(number) => insert(tx, project, memory_id, entry, number).await,
        None => Err(StoreError::NoMemory(memory_id)),
    }
}

/// What [`read`] reads.
const NUMBERED: &str =
    "SELECT number, entry_id, key, created_at, run_id, attempt, value, metadata FROM entries
    WHERE project_id = ?1 AND memory_id = ?2";

/// The entry that was added last under `key`.
///
/// # Errors
/// What the database says.
pub async fn newest(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    key: &str,
) -> Result<Option<Entry>> {
    let sql = format!("{NUMBERED} AND key = ?3 ORDER BY number DESC LIMIT 1");
    let args = [project.into(), (&memory_id).into(), key.into()];
    let found = tx.query_one(&sql, &args, read).await?;
    Ok(found.map(|(_, entry)| entry))
}

/// The entries that match, newest first, at most as many as the search wants.
///
/// # Errors
/// [`StoreError::BadFilter`] when the filter is not a JSON object.
pub async fn search(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    search: &Search,
) -> Result<Vec<Entry>> {
    // In pages: the database keeps no answer of hundreds of megabytes, and old entries are often not looked at.
    let sql = format!("{NUMBERED} AND number < ?3 ORDER BY number DESC LIMIT 64");
    let matcher = search.matcher().map_err(StoreError::BadFilter)?;
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut before = u64::MAX;
    while found.len() < limit {
        let args = [project.into(), (&memory_id).into(), before.into()];
        let mut page = Page {
            matcher: &matcher,
            left: limit - found.len(),
        };
        let rows = tx.query(&sql, &args, |row| page.look_at(row)).await?;
        match rows.last() {
            Some((oldest, _)) => before = *oldest,
            None => break,
        }
        found.extend(rows.into_iter().filter_map(|(_, entry)| entry));
    }
    Ok(found)
}

/// Removes one entry, or all under a key; tells how many there were.
///
/// # Errors
/// [`StoreError::Invalid`] unless exactly one of the two is given.
pub async fn remove(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    entry_id: Option<EntryId>,
    key: Option<&str>,
) -> Result<u64> {
    let removed = match (&entry_id, key) {
        (Some(entry_id), None) => {
            let sql =
                "DELETE FROM entries WHERE project_id = ?1 AND memory_id = ?2 AND entry_id = ?3
                RETURNING bytes";
            removed_bytes(
                tx,
                sql,
                &[project.into(), (&memory_id).into(), entry_id.into()],
            )
            .await?
        }
        (None, Some(key)) => {
            let sql = "DELETE FROM entries WHERE project_id = ?1 AND memory_id = ?2 AND key = ?3
                RETURNING bytes";
            removed_bytes(tx, sql, &[project.into(), (&memory_id).into(), key.into()]).await?
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "remove takes either an entry id or a key";
            return Err(StoreError::Invalid(message.to_owned()));
        }
    };
    let bytes: i64 = removed.iter().sum();
    let sql = "UPDATE memories SET bytes = bytes - ?3 WHERE project_id = ?1 AND memory_id = ?2";
    tx.execute(sql, &[project.into(), (&memory_id).into(), bytes.into()])
        .await?;
    Ok(removed.len() as u64)
}

/// All entries, oldest first.
///
/// # Errors
/// What the database says.
pub async fn entries(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
) -> Result<Vec<Entry>> {
    let sql = format!("{NUMBERED} ORDER BY number");
    let args = [project.into(), (&memory_id).into()];
    tx.query(&sql, &args, |row| Ok(read(row)?.1)).await
}

/// At most `limit` entries with their numbers, newest first; only those before number `before`, when one is given.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, Entry)>> {
    let sql = format!("{NUMBERED} AND number < ?3 ORDER BY number DESC LIMIT ?4");
    let before = before.unwrap_or(u64::MAX).into();
    let args = [project.into(), (&memory_id).into(), before, limit.into()];
    tx.query(&sql, &args, read).await
}

/// A page of a search while it is read.
struct Page<'a> {
    matcher: &'a Matcher,
    left: usize,
}

impl Page<'_> {
    /// The entry's number, and itself if it matches and is still wanted.
    fn look_at(&mut self, row: &Row<'_>) -> Result<(u64, Option<Entry>)> {
        if self.left == 0 {
            return Ok((row.get(0)?, None));
        }
        let (number, entry) = read(row)?;
        if !self
            .matcher
            .matches(&entry.key, &entry.value, entry.metadata.as_ref())
        {
            return Ok((number, None));
        }
        self.left -= 1;
        Ok((number, Some(entry)))
    }
}

fn read(row: &Row<'_>) -> Result<(u64, Entry)> {
    let mut columns = row.columns();
    let number = columns.next()?;
    let entry = Entry {
        entry_id: columns.next()?,
        key: columns.next()?,
        created_at: columns.next()?,
        run_id: columns.next()?,
        attempt: columns.next()?,
        value: columns.next()?,
        metadata: columns.next()?,
    };
    Ok((number, entry))
}

/// What an entry takes of its memory's limit.
fn size(entry: &Entry) -> usize {
    let metadata = entry
        .metadata
        .as_ref()
        .map_or(0, |json| json.as_bytes().len());
    entry.key.len() + entry.value.as_bytes().len() + metadata
}

/// Counts the entry in and gives it its number. None when there is no room for it, or no memory.
async fn make_room(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    entry: &Entry,
    limit: usize,
) -> Result<Option<i64>> {
    let sql = "UPDATE memories SET bytes = bytes + ?3, newest = newest + 1
        WHERE project_id = ?1 AND memory_id = ?2 AND roots > 0 AND bytes <= ?4 RETURNING newest";
    let bytes = size(entry);
    let Some(most_before) = limit.checked_sub(bytes) else {
        return Ok(None);
    };
    let args = [
        project.into(),
        (&memory_id).into(),
        bytes.into(),
        most_before.into(),
    ];
    let number = tx.query_one(sql, &args, |row| row.get(0)).await?;
    if number.is_none() && make(tx, project, memory_id).await? {
        return tx.query_one(sql, &args, |row| row.get(0)).await;
    }
    Ok(number)
}

async fn insert(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    entry: &Entry,
    number: i64,
) -> Result<()> {
    let sql =
        "INSERT INTO entries (project_id, memory_id, number, entry_id, key, bytes, created_at,
            run_id, attempt, value, metadata)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let row = [
        project.into(),
        (&memory_id).into(),
        number.into(),
        (&entry.entry_id).into(),
        entry.key.as_str().into(),
        size(entry).into(),
        entry.created_at.into(),
        entry.run_id.as_ref().into(),
        entry.attempt.into(),
        (&entry.value).into(),
        entry.metadata.as_ref().into(),
    ];
    tx.execute(sql, &row).await?;
    Ok(())
}

async fn removed_bytes(tx: &mut Tx<'_>, sql: &str, args: &[Value<'_>]) -> Result<Vec<i64>> {
    tx.query(sql, args, |row| row.get(0)).await
}
