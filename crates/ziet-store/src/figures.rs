//! Figures of an action's recent runs, made from the runs themselves: nothing is counted twice, or wrongly after a
//! crash.

use ziet_core::run::Status;
use ziet_core::{ActionId, ProjectId, RunId, Time};

use crate::{Result, Tx};

/// Runs that are looked at for the figures of one action.
const MOST_RUNS: usize = 10_000;

/// How the runs of an action went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs that were accepted in the time.
    pub runs: u64,
    /// Those of them that completed.
    pub completed: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// How long half of the completed ones took at most, from the start of the first attempt; None without any.
    pub p50_ms: Option<u64>,
    /// How long 95 of 100 completed ones took at most.
    pub p95_ms: Option<u64>,
    /// Whether there were more runs than are looked at: the figures are of the newest 10,000.
    pub cut: bool,
}

/// The figures of the runs that were accepted from `since` on and before `until`.
///
/// # Errors
/// What the database says.
pub async fn of_action(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    action: &ActionId,
    since: Time,
    until: Time,
) -> Result<Figures> {
    let sql = "SELECT status, started_at, finished_at FROM runs
        WHERE project_id = ?1 AND action_id = ?2 AND run_id >= ?3 AND run_id < ?4
        ORDER BY run_id DESC LIMIT ?5";
    let (since, until) = (RunId::first_of(since), RunId::first_of(until));
    let args = [
        project.into(),
        action.into(),
        (&since).into(),
        (&until).into(),
        (MOST_RUNS + 1).into(),
    ];
    let mut figures = Figures::default();
    let mut times = Vec::new();
    tx.query(sql, &args, |row| {
        if figures.runs == MOST_RUNS as u64 {
            figures.cut = true;
            return Ok(());
        }
        figures.runs += 1;
        match row.get(0)? {
            Status::Completed => {
                figures.completed += 1;
                let (started, finished): (Option<Time>, Option<Time>) = (row.get(1)?, row.get(2)?);
                times.extend(started.zip(finished).map(|(from, to)| to.since(from)));
            }
            Status::Failed => figures.failed += 1,
            Status::Created
            | Status::Scheduled
            | Status::Queued
            | Status::Running
            | Status::Retrying
            | Status::Waiting
            | Status::Cancelled => {}
        }
        Ok(())
    })
    .await?;
    times.sort_unstable();
    let part = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).checked_sub(1)?;
        u64::try_from(times.get(place)?.as_millis()).ok()
    };
    figures.p50_ms = part(50);
    figures.p95_ms = part(95);
    Ok(figures)
}
