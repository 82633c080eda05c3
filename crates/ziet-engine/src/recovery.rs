//! What an engine takes over from the one before it: nothing is executed any more that was, and the rest waits in the
//! store.

use ziet_core::run::{Ending, Status};
use ziet_core::{Event, RunId};
use ziet_store::LoadedRun;
use ziet_store::runs::{self, Most};

use crate::live::Live;
use crate::turn::Scheduler;

/// Runs that are settled at once.
const LUMP: Most = Most {
    runs: 500,
    bytes: 16 * 1024 * 1024,
};

impl Scheduler {
    /// Settles what the last engine has left. Before that nothing is executed.
    pub(crate) fn recover(&mut self) {
        let project = self.project.clone();
        let beyond = self.clock.now().plus(ziet_core::retry::LONGEST_WAIT);
        self.read_in_order(
            async move |tx| {
                // Their next attempt is further away than any can be: the clock was set back.
                let misdated = runs::retrying_beyond(tx, &project, beyond).await?;
                Ok((misdated, runs::backlog(tx, &project).await?))
            },
            |scheduler, found| match found {
                Ok((misdated, stored)) => {
                    scheduler.backlog.runs += stored.runs;
                    scheduler.backlog.bytes += stored.bytes;
                    scheduler.backlog.queued += stored.queued;
                    for run in misdated {
                        scheduler.retry_now(run);
                    }
                    scheduler.lose_those_that(Status::Running, None);
                }
                Err(error) => scheduler.break_down(error.into()),
            },
        );
    }

    /// Loses the attempts of the runs that stand so, after `after`; then those that waited in the middle of one.
    fn lose_those_that(&mut self, status: Status, after: Option<RunId>) {
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| {
                let lump = runs::unfinished(tx, &project, status, after, LUMP).await?;
                let mut called = Vec::with_capacity(lump.runs.len());
                for run in &lump.runs {
                    called.push(runs::open_children(tx, &project, run.id).await?);
                }
                Ok((lump, called))
            },
            move |scheduler, read| match read {
                Ok((lump, called)) => {
                    let last = lump.runs.last().map(|run| run.id);
                    for (loaded, called) in lump.runs.into_iter().zip(called) {
                        scheduler.lose_loaded(loaded, called);
                    }
                    match status {
                        _ if lump.more => scheduler.lose_those_that(status, last),
                        Status::Running => scheduler.lose_those_that(Status::Waiting, None),
                        _ => {
                            scheduler.alarm.set(scheduler.clock.now());
                            scheduler.recovered = true;
                        }
                    }
                }
                Err(error) => scheduler.break_down(error.into()),
            },
        );
    }

    fn retry_now(&mut self, run: RunId) {
        self.with_run(run, move |scheduler, _| {
            // One that has gone on meanwhile is not due.
            let _ = scheduler.apply(run, Event::Due);
        });
    }

    /// Nobody knows how the attempt ended, and nobody waits for what it called.
    fn lose_loaded(&mut self, loaded: LoadedRun, called: Vec<RunId>) {
        let (id, orphan) = (loaded.id, loaded.parent.is_some());
        let claim = loaded.run.state.claim();
        // One that is in memory was cancelled meanwhile.
        let Some(claim) = claim.filter(|_| !self.runs.contains_key(&id)) else {
            return;
        };
        let mut live = Live::from(loaded);
        live.children.extend(called);
        self.runs.insert(id, live);
        let ending = Ending::Lost;
        // It holds the claim, so nothing stands against it.
        let _ = self.apply(id, Event::Ended { claim, ending });
        if orphan {
            self.cancel_orphan(id);
        }
    }
}
