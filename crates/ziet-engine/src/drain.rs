//! Ending in good order: attempts get some time to end, and the runs of those that do not are left to the next engine.

use std::time::Duration;

use ziet_core::run::Ending;
use ziet_core::{Event, Time};
use ziet_store::{Change, EventRecord};
use ziet_worker::ExecutorId;

use crate::answer::Done;
use crate::turn::Scheduler;

/// The engine takes nothing any more.
pub(crate) struct Drain {
    /// When attempts are ended that have not ended by themselves.
    pub(crate) until: Time,
    /// Who is told when none is left; nobody once that is done.
    waiting: Vec<Done<()>>,
}

impl Scheduler {
    /// Asked again, the shorter time counts.
    pub(crate) fn drain(&mut self, grace: Duration, done: Done<()>) {
        let until = self.clock.now().plus(grace);
        self.queue.closed = true;
        let drain = self.drain.get_or_insert_with(|| Drain {
            until,
            waiting: Vec::new(),
        });
        drain.until = drain.until.min(until);
        drain.waiting.push(done);
    }

    /// When the attempts that are left are ended; None when nobody waits for it.
    pub(crate) fn drain_due(&self) -> Option<Time> {
        let drain = self.drain.as_ref()?;
        (!drain.waiting.is_empty()).then_some(drain.until)
    }

    pub(crate) fn go_on_draining(&mut self) {
        let Some(until) = self.drain_due() else {
            return;
        };
        if until <= self.clock.now() {
            for executor in self.slots.keys().copied().collect::<Vec<_>>() {
                self.hand_back(executor);
            }
        }
        if self.slots.is_empty()
            && let Some(drain) = &mut self.drain
        {
            let waiting = std::mem::take(&mut drain.waiting);
            // After everything that was decided before.
            self.commit(Vec::new(), |_| {
                for done in waiting {
                    done(());
                }
            });
        }
    }

    fn hand_back(&mut self, executor: ExecutorId) {
        let Some((run, claim)) = self.claimed(executor) else {
            return;
        };
        let event = EventRecord {
            run_id: run,
            attempt: claim.attempt,
            at: self.clock.now(),
            kind: "handed_back".to_owned(),
            body: String::new(),
        };
        let ending = Ending::HandedBack;
        // Rejected when it was settled in the same moment: then that is how it ended.
        if self.apply(run, Event::Ended { claim, ending }).is_ok() {
            self.commit(vec![Change::Event(event)], |_| {});
        }
        self.stop(executor, false);
        self.vacate(executor);
    }
}
