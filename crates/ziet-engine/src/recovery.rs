//! What an engine takes over from the one before it: nothing is executed any more that was, and the rest waits in the
//! store.

use std::collections::HashMap;

use ziet_core::run::Ending;
use ziet_core::{Event, RunId};
use ziet_store::runs::Backlog as Stored;
use ziet_store::{LoadedRun, StoreError, runs};

use crate::live::Live;
use crate::turn::Scheduler;

/// What the store has.
struct Found {
    /// Runs in the middle of an attempt.
    executed: Vec<LoadedRun>,
    /// Those that they have called, and that have not finished.
    called: HashMap<RunId, Vec<RunId>>,
    /// Runs whose next attempt is further away than any can be: the clock was set back.
    misdated: Vec<RunId>,
    backlog: Stored,
}

impl Scheduler {
    /// Settles what the last engine has left. Before that nothing is executed.
    pub(crate) fn recover(&mut self) {
        let project = self.project.clone();
        let beyond = self.clock.now().plus(ziet_core::retry::LONGEST_WAIT);
        self.read_in_order(
            async move |tx| {
                let executed = runs::live(tx, &project).await?;
                let mut called = HashMap::new();
                for run in &executed {
                    let children = runs::children(tx, &project, run.id).await?;
                    let live = children
                        .into_iter()
                        .filter(|child| !child.status.is_finished());
                    called.insert(run.id, live.map(|child| child.id).collect());
                }
                Ok(Found {
                    executed,
                    called,
                    misdated: runs::retrying_beyond(tx, &project, beyond).await?,
                    backlog: runs::backlog(tx, &project).await?,
                })
            },
            |scheduler, found: Result<Found, StoreError>| match found {
                Ok(found) => scheduler.take_over(found),
                Err(error) => scheduler.break_down(error.into()),
            },
        );
    }

    fn take_over(&mut self, mut found: Found) {
        let Stored {
            runs,
            bytes,
            queued,
        } = found.backlog;
        self.backlog.runs += runs;
        self.backlog.bytes += bytes;
        self.backlog.queued += queued;
        for loaded in found.executed {
            let called = found.called.remove(&loaded.id).unwrap_or_default();
            self.lose_loaded(loaded, called);
        }
        for run in found.misdated {
            self.retry_now(run);
        }
        self.alarm.set(self.clock.now());
        self.recovered = true;
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
        let Some(claim) = loaded.run.state.claim() else {
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
