//! Runs that wait for a time: they are in the store, and memory has only the next time at which one is due.

use ziet_core::{Event, RunId, Time};
use ziet_store::{LoadedRun, StoreError, runs};

use crate::live::Live;
use crate::turn::Scheduler;

/// Runs that are read at once.
const LUMP: usize = 500;

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
            async move |tx| {
                // One more than are taken, which says when to look again.
                let timers = runs::timers(tx, &project, None, LUMP + 1).await?;
                let count = timers
                    .iter()
                    .take(LUMP)
                    .take_while(|timer| timer.at <= now)
                    .count();
                let mut due = Vec::with_capacity(count);
                for timer in &timers[..count] {
                    due.extend(runs::load(tx, &project, timer.run).await?);
                }
                Ok((due, timers.get(count).map(|timer| timer.at)))
            },
            move |scheduler, read: Result<(Vec<LoadedRun>, Option<Time>), StoreError>| {
                scheduler.alarm.reading = false;
                match read {
                    Ok((due, next)) => {
                        for loaded in due {
                            scheduler.on_due(loaded);
                        }
                        if let Some(at) = next {
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
        let orphan = self.is_orphan(&loaded);
        self.runs.insert(id, Live::from(loaded));
        if orphan {
            self.cancel_orphan(id);
        } else {
            // It is due, so nothing stands against it.
            let _ = self.apply(id, Event::Due);
        }
    }

    /// Whether a run was called by an attempt that is over: the last engine ended before it could cancel it.
    pub(crate) fn is_orphan(&self, loaded: &LoadedRun) -> bool {
        loaded.parent.is_some() && !self.callers.contains_key(&loaded.id)
    }

    pub(crate) fn cancel_orphan(&mut self, run: RunId) {
        self.cancel_called(run, "the run that called it has ended");
    }
}
