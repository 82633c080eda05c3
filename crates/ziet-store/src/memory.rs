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
use crate::{PAGE_BYTES, Result, StoreError, Tx};

/// What looking at an entry costs besides its bytes.
const ENTRY_COST: usize = 256;

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

/// A part of what a search finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The newest first.
    pub entries: Vec<Entry>,
    /// Where to go on, because there are or may be more, even if nothing was found; None when there are not.
    pub scanned_to: Option<u64>,
}

/// All entries that match, newest first, at most as many as the search wants.
///
/// # Errors
/// [`StoreError::BadFilter`] when the filter is not a JSON object.
pub async fn search(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    search: &Search,
) -> Result<Vec<Entry>> {
    let mut wanted = search.clone();
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let part = page(tx, project, memory_id, &wanted, before).await?;
        wanted.limit = wanted
            .limit
            .saturating_sub(u32::try_from(part.entries.len()).unwrap_or(u32::MAX));
        found.extend(part.entries);
        before = part.scanned_to;
        if before.is_none() || wanted.limit == 0 {
            return Ok(found);
        }
    }
}

/// The first entries that match, newest first, at most as many as the search wants; only those before number `before`,
/// when one is given. It looks at a bounded number of bytes, so there may be fewer, or none, although there are more.
///
/// # Errors
/// [`StoreError::BadFilter`] when the filter is not a JSON object.
pub async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    memory_id: MemoryId,
    search: &Search,
    before: Option<u64>,
) -> Result<Found> {
    // In lumps: whoever wants few entries has not all of them stepped over.
    let sql = format!("{NUMBERED} AND number < ?3 ORDER BY number DESC LIMIT 64");
    let mut look = Look {
        matcher: &search.matcher().map_err(StoreError::BadFilter)?,
        limit: usize::try_from(search.limit).unwrap_or(usize::MAX),
        bytes: 0,
        before: before.unwrap_or(u64::MAX),
        found: Vec::new(),
    };
    loop {
        let args = [project.into(), (&memory_id).into(), look.before.into()];
        let looked_at = tx.query(&sql, &args, |row| look.at(row)).await?;
        let is_whole = looked_at.iter().all(|done| *done);
        if looked_at.is_empty() || !is_whole {
            return Ok(Found {
                entries: look.found,
                scanned_to: (!is_whole).then_some(look.before),
            });
        }
    }
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

/// A page while it is read.
struct Look<'a> {
    matcher: &'a Matcher,
    limit: usize,
    /// What was looked at so far.
    bytes: usize,
    /// The number of the entry that was looked at last.
    before: u64,
    found: Vec<Entry>,
}

impl Look<'_> {
    /// False for an entry that is left to a later page.
    fn at(&mut self, row: &Row<'_>) -> Result<bool> {
        if self.found.len() >= self.limit || self.bytes >= PAGE_BYTES {
            return Ok(false);
        }
        let (number, entry) = read(row)?;
        self.before = number;
        self.bytes += size(&entry) + ENTRY_COST;
        let fits = self
            .matcher
            .matches(&entry.key, &entry.value, entry.metadata.as_ref());
        self.found.extend(fits.then_some(entry));
        Ok(true)
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
