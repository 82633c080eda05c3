//! Lists of runs, newest first, by what people ask for.
//!
//! What is asked for most has an index; for the rest a bounded number of runs is looked at, and the list says how far it
//! came. So no question can keep the reader for long, whatever the tables hold.

use serde_json::from_slice;
use ziet_core::document::{ErrorSummary, RunSummary};
use ziet_core::run::Status;
use ziet_core::{ActionId, ProjectId, RunId, Time};

use crate::state::cancelled;
use crate::value::{Row, Value};
use crate::word::Word;
use crate::{PAGE_BYTES, Result, StoreError, Tx};

/// Runs that one call looks at.
const MOST_LOOKED_AT: usize = 20_000;

/// What reading a run costs besides the bytes that people gave it: a search reads 2,000 small ones.
const RUN_COST: usize = 2 * 1024;

/// Runs that are fetched at once. The first lump is the page itself, if nothing is to be left out.
const LUMP: usize = 500;

/// Which runs are wanted. What is not given leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Runs of this action.
    pub action_id: Option<ActionId>,
    /// Runs that stand so now.
    pub statuses: Vec<Status>,
    /// Accepted then or later.
    pub created_from: Option<Time>,
    /// Accepted before.
    pub created_to: Option<Time>,
    /// Contained in the id, the metadata, or the type or message of the error, whatever its case.
    pub text: Option<String>,
    /// Runs that this one called.
    pub parent_id: Option<RunId>,
    /// Runs below this root, at any depth.
    pub root_id: Option<RunId>,
}

impl RunFilter {
    /// Whether a list with this filter would hold the run.
    pub fn matches(&self, run: &RunSummary) -> bool {
        let text = self.text.as_ref().map(|text| text.to_lowercase());
        self.has(run.status, &run.action_id, run.parent_id, run.root_id)
            && self.created_from.is_none_or(|from| run.created_at >= from)
            && self.created_to.is_none_or(|to| run.created_at < to)
            && text.is_none_or(|text| contains(run, &text))
    }

    fn has(&self, status: Status, action: &ActionId, parent: Option<RunId>, root: RunId) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&status))
            && self
                .action_id
                .as_ref()
                .is_none_or(|wanted| wanted == action)
            && self.parent_id.is_none_or(|wanted| Some(wanted) == parent)
            && self
                .root_id
                .is_none_or(|wanted| wanted == root && parent.is_some())
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What was found, newest first.
    pub runs: Vec<RunSummary>,
    /// Where to go on, because there are or may be more, even if nothing was found; None when there are not.
    pub scanned_to: Option<RunId>,
}

/// At most `limit` runs, newest first; those before `before` when it is given.
///
/// # Errors
/// What the database says.
pub async fn list(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    filter: &RunFilter,
    before: Option<RunId>,
    limit: usize,
) -> Result<Listed> {
    let paths = paths(tx, project, filter).await?;
    let text = filter.text.as_ref().map(|text| text.to_lowercase());
    let mut listed = Listed::default();
    let (mut before, mut looked_at, mut bytes) = (before, 0, 0);
    loop {
        let lump = lump(tx, project, filter, &paths, before).await?;
        looked_at += lump.looked_at;
        for id in lump.fitting {
            if listed.runs.len() == limit || bytes >= PAGE_BYTES {
                return Ok(listed);
            }
            listed.scanned_to = Some(id);
            let run = summary(tx, project, id).await?;
            bytes += run.as_ref().map_or(0, size);
            let fits = |run: &RunSummary| text.as_ref().is_none_or(|text| contains(run, text));
            listed.runs.extend(run.filter(fits));
        }
        listed.scanned_to = lump.to;
        if lump.to.is_none() || looked_at >= MOST_LOOKED_AT {
            return Ok(listed);
        }
        before = lump.to;
    }
}

/// A way through the runs for which there is an index.
#[derive(Clone, Copy)]
enum Path<'a> {
    Exactly(RunId),
    CalledBy(RunId),
    Below(RunId),
    Status(Status),
    Action(&'a ActionId),
    All,
}

impl Path<'_> {
    /// With words in place of arguments where an index holds only some of the runs: it is used only if the statement
    /// itself says so.
    fn condition(&self) -> &'static str {
        match self {
            Self::Exactly(_) => "run_id = ?5",
            Self::CalledBy(_) => "parent_id = ?5",
            Self::Below(_) => "root_id = ?5 AND parent_id IS NOT NULL",
            Self::Action(_) => "action_id = ?5",
            Self::Status(Status::Created) => "finished_at IS NULL AND status = 'created'",
            Self::Status(Status::Scheduled) => "finished_at IS NULL AND status = 'scheduled'",
            Self::Status(Status::Queued) => "finished_at IS NULL AND status = 'queued'",
            Self::Status(Status::Running) => "finished_at IS NULL AND status = 'running'",
            Self::Status(Status::Retrying) => "finished_at IS NULL AND status = 'retrying'",
            Self::Status(Status::Waiting) => "finished_at IS NULL AND status = 'waiting'",
            Self::Status(Status::Failed) => "status = 'failed'",
            Self::Status(Status::Cancelled) => "status = 'cancelled'",
            // Nearly all of them are: looking at the newest finds them.
            Self::Status(Status::Completed) | Self::All => "TRUE",
        }
    }

    fn value(&self) -> Option<Value<'_>> {
        match self {
            Self::Exactly(id) | Self::CalledBy(id) | Self::Below(id) => Some(id.into()),
            Self::Action(action) => Some((*action).into()),
            Self::Status(_) | Self::All => None,
        }
    }
}

/// The shortest way to what is wanted: one, or one for each status.
async fn paths<'a>(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    filter: &'a RunFilter,
) -> Result<Vec<Path<'a>>> {
    // A whole id is mostly that of a run; else it may stand in the metadata of one.
    if let Some(id) = filter
        .text
        .as_ref()
        .and_then(|text| text.trim().parse().ok())
        && summary(tx, project, id).await?.is_some()
    {
        return Ok(vec![Path::Exactly(id)]);
    }
    let one = match filter {
        RunFilter {
            parent_id: Some(parent),
            ..
        } => Path::CalledBy(*parent),
        RunFilter {
            root_id: Some(root),
            ..
        } => Path::Below(*root),
        RunFilter { statuses, .. }
            if !statuses.is_empty() && !statuses.contains(&Status::Completed) =>
        {
            let wanted = |status: &&Status| statuses.contains(status);
            return Ok(Status::ALL
                .iter()
                .filter(wanted)
                .copied()
                .map(Path::Status)
                .collect());
        }
        RunFilter {
            action_id: Some(action),
            ..
        } => Path::Action(action),
        RunFilter { .. } => Path::All,
    };
    Ok(vec![one])
}

/// The next runs on all paths.
struct Lump {
    /// Those that fit as far as the narrow row tells, newest first.
    fitting: Vec<RunId>,
    looked_at: usize,
    /// How far all paths were followed; None to their ends.
    to: Option<RunId>,
}

async fn lump(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    filter: &RunFilter,
    paths: &[Path<'_>],
    before: Option<RunId>,
) -> Result<Lump> {
    let from = filter.created_from.map_or(RunId::NONE, RunId::first_of);
    let before = [before, filter.created_to.map(RunId::first_of)]
        .into_iter()
        .flatten()
        .min();
    let before = before.unwrap_or(RunId::LAST);
    let (mut found, mut to) = (Vec::new(), None);
    for path in paths {
        let condition = path.condition();
        let sql = format!(
            "SELECT run_id, status, action_id, parent_id, root_id FROM runs
            WHERE project_id = ?1 AND run_id >= ?2 AND run_id < ?3 AND {condition}
            ORDER BY run_id DESC LIMIT ?4"
        );
        let args = [
            project.into(),
            (&from).into(),
            (&before).into(),
            LUMP.into(),
        ];
        let args: Vec<Value<'_>> = args.into_iter().chain(path.value()).collect();
        let rows = tx
            .query(&sql, &args, |row| Ok((row.get(0)?, fits(row, filter)?)))
            .await?;
        if rows.len() == LUMP {
            to = to.max(rows.last().map(|(id, _)| *id));
        }
        found.extend(rows);
    }
    found.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
    let looked_at = found.len();
    // Beyond that, another path may have runs that come between.
    found.retain(|(id, fits)| *fits && to.is_none_or(|to| *id >= to));
    Ok(Lump {
        fitting: found.into_iter().map(|(id, _)| id).collect(),
        looked_at,
        to,
    })
}

fn fits(row: &Row<'_>, filter: &RunFilter) -> Result<bool> {
    let mut columns = row.columns();
    columns.skip();
    let (status, action): (_, ActionId) = (columns.next()?, columns.next()?);
    Ok(filter.has(status, &action, columns.next()?, columns.next()?))
}

/// These runs as lists show them, in their order, each None when the project has no such run. They are fewer where those
/// together have as much as a page may.
///
/// # Errors
/// What the database says.
pub async fn summaries(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    ids: impl IntoIterator<Item = RunId>,
) -> Result<Vec<Option<RunSummary>>> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for id in ids {
        if bytes >= PAGE_BYTES {
            break;
        }
        let run = summary(tx, project, id).await?;
        bytes += run.as_ref().map_or(0, size);
        found.push(run);
    }
    Ok(found)
}

/// A run as lists show it; None when the project has no such run.
///
/// # Errors
/// What the database says.
pub async fn summary(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    id: RunId,
) -> Result<Option<RunSummary>> {
    let sql = "SELECT r.action_id, r.status, r.waiting_on, r.memory_id, r.parent_id, r.root_id, r.attempts, r.run_at,
            r.created_at, r.started_at, r.finished_at, i.deployment_id, i.retry_of, i.metadata, o.failure, o.cancelled
        FROM runs r
        JOIN inputs i ON i.project_id = r.project_id AND i.run_id = r.run_id
        LEFT JOIN results o ON o.project_id = r.project_id AND o.run_id = r.run_id
        WHERE r.project_id = ?1 AND r.run_id = ?2";
    tx.query_one(sql, &[project.into(), (&id).into()], |row| {
        let mut columns = row.columns();
        // The fields stand in the order of the columns, for that is the order in which they are read.
        Ok(RunSummary {
            id,
            project_id: project.clone(),
            action_id: columns.next()?,
            status: columns.next()?,
            waiting_on: columns.next()?,
            memory_id: columns.next()?,
            parent_id: columns.next()?,
            root_id: columns.next()?,
            attempt_count: columns.next()?,
            run_at: columns.next()?,
            created_at: columns.next()?,
            started_at: columns.next()?,
            finished_at: columns.next()?,
            deployment_id: columns.next()?,
            retry_of: columns.next()?,
            metadata: columns.next()?,
            error: error(columns.next()?)?,
            cancelled: columns
                .next::<Option<Vec<u8>>>()?
                .as_deref()
                .map(cancelled)
                .transpose()?,
        })
    })
    .await
}

/// A failure that is stored, without its stack.
pub(crate) fn error(failure: Option<Vec<u8>>) -> Result<Option<ErrorSummary>> {
    let read = |failure: Vec<u8>| {
        from_slice(&failure).map_err(|error| StoreError::Unreadable(format!("a failure: {error}")))
    };
    failure.map(read).transpose()
}

/// About what a run takes of a page.
fn size(run: &RunSummary) -> usize {
    let metadata = run.metadata.as_ref();
    let error = run.error.as_ref();
    RUN_COST
        + metadata.map_or(0, |json| json.as_bytes().len())
        + error.map_or(0, |error| error.kind.len() + error.message.len())
}

/// Whether `text`, in lower case, stands in what people would look for.
fn contains(run: &RunSummary, text: &str) -> bool {
    let has = |place: &str| place.to_lowercase().contains(text);
    let error = run.error.as_ref();
    has(&run.id.to_string())
        || run
            .metadata
            .as_ref()
            .and_then(|json| json.as_str())
            .is_some_and(has)
        || error.is_some_and(|error| has(&error.kind) || has(&error.message))
}
