//! What attempts printed and logged, in the order of the run.
//!
//! Lines are kept in lumps: one row each would double what a short run costs, and one for all would make a page as dear
//! as the whole. Every line has a number of its own, so that a reader can go on where it stopped.

use ziet_core::wire::Level;
use ziet_core::{ProjectId, RunId, Time};

use crate::word::Word;
use crate::{Result, Row, StoreError, Tx};

/// A lump ends with the line that takes it over this. A page is made of whole lumps, so it is what reading one costs.
const LUMP_BYTES: usize = 32 * 1024;

/// Bytes that one call looks at, with so many for each lump. A search that has found nothing by then says how far it
/// came.
const MOST_BYTES: usize = 2 * 1024 * 1024;
const LUMP_COST: usize = 512;

/// A line that comes, of an attempt that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLine {
    /// When it was printed.
    pub at: Time,
    /// How important it is.
    pub level: Level,
    /// The line, without its end.
    pub text: String,
}

/// A line of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number in the run, from 1, without gaps.
    pub seq: u64,
    /// When it was printed.
    pub at: Time,
    /// The attempt that printed it.
    pub attempt: u32,
    /// How important it is.
    pub level: Level,
    /// The line, without its end.
    pub text: String,
}

/// Which lines of a run are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only those after this one; 0 for all.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
    /// Only those of at least this level.
    pub min_level: Option<Level>,
    /// Only those that contain it, whatever their case.
    pub search: Option<String>,
}

/// Lines, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// What was found.
    pub lines: Vec<LogLine>,
    /// The last line that was looked at: where to go on.
    pub scanned_to: u64,
    /// Whether there may be more already.
    pub more: bool,
}

/// One page of a run's lines. It looks at a bounded number of them, so a page may hold fewer than wanted, or none,
/// although there are more.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    run: RunId,
    query: &LogQuery,
) -> Result<LogPage> {
    let sql = "SELECT last, attempt, lines FROM logs
        WHERE project_id = ?1 AND run_id = ?2 AND last > ?3 AND level >= ?4 ORDER BY last LIMIT 1";
    let wanted = Wanted::of(query);
    let mut page = LogPage {
        scanned_to: query.after,
        ..LogPage::default()
    };
    let mut looked_at = 0;
    while looked_at < MOST_BYTES {
        let args = [
            project.into(),
            (&run).into(),
            page.scanned_to.into(),
            wanted.level.into(),
        ];
        let read = |row: &Row<'_>| {
            let packed: Vec<u8> = row.get(2)?;
            looked_at += packed.len() + LUMP_COST;
            unpack(row.get(0)?, row.get(1)?, &packed)
        };
        let Some(lines) = tx.query_one(sql, &args, read).await? else {
            if wanted.level > 0 {
                page.scanned_to = last(tx, project, run).await?.max(query.after);
            }
            return Ok(page);
        };
        for line in lines.into_iter().skip_while(|line| line.seq <= query.after) {
            let (seq, fits) = (line.seq, wanted.matches(&line));
            if fits && page.lines.len() == query.limit {
                page.more = true;
                return Ok(page);
            }
            page.lines.extend(fits.then_some(line));
            page.scanned_to = seq;
        }
    }
    page.more = true;
    Ok(page)
}

/// The number of the run's last line, whatever its level; 0 without any.
async fn last(tx: &mut Tx<'_>, project: &ProjectId, run: RunId) -> Result<u64> {
    let sql = "SELECT MAX(last) FROM logs WHERE project_id = ?1 AND run_id = ?2";
    let last = tx
        .query_one(sql, &[project.into(), (&run).into()], |row| row.get(0))
        .await?;
    Ok(last.flatten().unwrap_or(0))
}

/// Adds lines after those that the run has.
pub(crate) async fn append(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    run: RunId,
    attempt: u32,
    lines: &[NewLine],
) -> Result<()> {
    let sql = "INSERT INTO logs (project_id, run_id, last, attempt, level, lines)
        SELECT ?1, ?2, COALESCE(MAX(last), 0) + ?3, ?4, ?5, ?6
        FROM logs WHERE project_id = ?1 AND run_id = ?2";
    let mut rest = lines;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(first_lump(rest));
        rest = later;
        let level = now.iter().map(|line| rank(line.level)).max();
        let packed = pack(now)?;
        let row = [
            project.into(),
            (&run).into(),
            now.len().into(),
            attempt.into(),
            level.into(),
            packed.as_slice().into(),
        ];
        tx.execute(sql, &row).await?;
    }
    Ok(())
}

struct Wanted {
    level: u32,
    text: Option<String>,
}

impl Wanted {
    fn of(query: &LogQuery) -> Self {
        Self {
            level: query.min_level.map_or(0, rank),
            text: query.search.as_deref().map(str::to_lowercase),
        }
    }

    fn matches(&self, line: &LogLine) -> bool {
        let found = |text: &String| line.text.to_lowercase().contains(text.as_str());
        rank(line.level) >= self.level && self.text.as_ref().is_none_or(found)
    }
}

/// How many of the lines make a lump, at least one.
fn first_lump(lines: &[NewLine]) -> usize {
    let mut bytes = 0;
    let over = lines.iter().position(|line| {
        bytes += line.text.len();
        bytes > LUMP_BYTES
    });
    over.map_or(lines.len(), |over| over + 1)
}

/// A line as it lies in its lump.
type Packed = (i64, String, String);

fn pack(lines: &[NewLine]) -> Result<Vec<u8>> {
    let lines: Vec<(i64, &str, &str)> = lines
        .iter()
        .map(|line| (line.at.as_millis(), line.level.word(), line.text.as_str()))
        .collect();
    rmp_serde::to_vec(&lines).map_err(|error| StoreError::Invalid(error.to_string()))
}

fn unpack(last: u64, attempt: u32, packed: &[u8]) -> Result<Vec<LogLine>> {
    let unreadable = || StoreError::Unreadable("lines of a log".to_owned());
    let lines: Vec<Packed> = rmp_serde::from_slice(packed).map_err(|_| unreadable())?;
    let before = last
        .checked_sub(lines.len() as u64)
        .ok_or_else(unreadable)?;
    (before + 1..)
        .zip(lines)
        .map(|(seq, (at, level, text))| {
            let level = Level::from_word(&level).ok_or_else(unreadable)?;
            let at = Time::from_millis(at);
            Ok(LogLine {
                seq,
                at,
                attempt,
                level,
                text,
            })
        })
        .collect()
}

fn rank(level: Level) -> u32 {
    match level {
        Level::Info => 1,
        Level::Warn => 2,
        Level::Error => 3,
    }
}
