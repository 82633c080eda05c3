//! Runs that wait for a time: they are in the store, and memory has only the next time at which one is due.

use ziet_core::{Event, RunId, Time};
use ziet_store::LoadedRun;
use ziet_store::runs::{self, Most};

use crate::live::Live;
use crate::outside::{CALLER_ENDED, abandoned};
use crate::turn::Scheduler;

/// Runs that are read at once.
const LUMP: Most = Most {
    runs: 500,
    bytes: 16 * 1024 * 1024,
};

/// When to look for runs that are due.
#[derive(Default)]
pub(crate) struct Alarm {
    next: Option<Time>,
    reading: bool,
}

impl Alarm {
    /// A run is due at that time.
    pub(crate) fn set(&mut self, at: Time) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// None while there is nothing to wait for but the store.
    pub(crate) fn due(&self) -> Option<Time> {
        self.next.filter(|_| !self.reading)
    }
}

impl Scheduler {
    /// Queues the runs whose time has come.
    pub(crate) fn wake(&mut self) {
        let now = self.clock.now();
        if self.unwritten.outage().is_some() || self.alarm.due().is_none_or(|due| due > now) {
            return;
        }
        self.alarm = Alarm {
            next: None,
            reading: true,
        };
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| runs::due(tx, &project, now, LUMP).await,
            move |scheduler, read| {
                scheduler.alarm.reading = false;
                match read {
                    Ok(due) => {
                        for loaded in due.runs {
                            scheduler.on_due(loaded);
                        }
                        if let Some(at) = due.next {
                            scheduler.alarm.set(at);
                        }
                    }
                    Err(error) => {
                        scheduler.store_failed(error);
                        scheduler.alarm.set(now);
                    }
                }
            },
        );
    }

    fn on_due(&mut self, loaded: LoadedRun) {
        let id = loaded.id;
        if self.runs.contains_key(&id) {
            return; // It is being changed by something else.
        }
        let live = Live::from(loaded);
        let orphan = self.is_orphan(id, &live);
        self.runs.insert(id, live);
        if orphan {
            self.cancel_orphan(id);
        } else {
            // It is due, so nothing stands against it.
            let _ = self.apply(id, Event::Due);
        }
    }

    /// Whether a run was called by an attempt that is over, or does not wait for it any more, so that nobody does.
    pub(crate) fn is_orphan(&self, id: RunId, live: &Live) -> bool {
        let awaited = || {
            let caller = self.callers.get(id)?;
            let attempt = self.runs.get(&caller.run)?.attempt.as_ref()?;
            let same = attempt.claim == caller.claim;
            same.then(|| attempt.open_calls.get(&caller.request).copied())?
        };
        live.root != id && awaited() != Some(id)
    }

    pub(crate) fn cancel_orphan(&mut self, run: RunId) {
        self.cancel_called(run, abandoned(CALLER_ENDED));
    }
}
