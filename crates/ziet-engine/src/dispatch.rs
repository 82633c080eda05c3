//! Gives queued runs to executors, and has these made.

use std::time::Duration;

use ziet_core::action::Isolation;
use ziet_core::error::Failure;
use ziet_core::run::{Ending, RunState};
use ziet_core::wire::Level;
use ziet_core::{Event, RunId};
use ziet_store::{LoadedRun, StoreError, runs};
use ziet_worker::{Demand, Stack, WorkerError};

use crate::import::missing;
use crate::live::Live;
use crate::notice::Notice;
use crate::turn::Scheduler;

/// How many runs that want an executor of their own are passed over to give others an idle one.
const LOOK_AHEAD: usize = 100;

/// What an executor must be for a queued run.
#[derive(Clone, Copy)]
struct Wanted {
    isolation: Isolation,
    /// Bytes that its attempt may use.
    memory: u64,
}

impl Scheduler {
    /// Gives queued runs an executor each, as long as not too many attempts execute already.
    pub(crate) fn dispatch(&mut self) {
        self.read_queue();
        if self.catalogue.is_none() || !self.recovered || self.unwritten.outage().is_some() {
            return;
        }
        let mut taken = false;
        let mut passed = 0;
        while self.executing < self.settings.concurrency && passed < LOOK_AHEAD {
            let Some(run) = self.queue.get(passed) else {
                break;
            };
            let executor = match self.wanted(run) {
                Ok(Some(wanted)) => match self.worker.take(wanted.isolation) {
                    Some(executor) => Ok((executor, wanted.memory)),
                    None if wanted.isolation == Isolation::Shared => break, // There is none at all.
                    None => {
                        passed += 1;
                        continue;
                    }
                },
                Ok(None) => {
                    self.queue.remove(passed); // Cancelled while it waited in the queue.
                    continue;
                }
                Err(failure) => Err(failure),
            };
            self.queue.remove(passed);
            match executor {
                Ok((executor, memory)) => {
                    taken = true;
                    self.begin(run, executor, memory);
                }
                Err(failure) => self.fail_queued(run, *failure),
            }
        }
        if self.import_allowed(taken) {
            self.expect_executors(taken, passed);
        }
    }

    /// Reads runs back that are queued in the store alone, when there is room for them.
    fn read_queue(&mut self) {
        if self.unwritten.outage().is_some() || !self.recovered {
            return;
        }
        let Some(after) = self.queue.begin_reading() else {
            return;
        };
        let limit = self.backlog.lump();
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| runs::due_queued(tx, &project, Some(after), limit).await,
            move |scheduler, read: Result<Vec<LoadedRun>, StoreError>| match read {
                Ok(read) => scheduler.take_queued(read, limit),
                Err(error) => {
                    scheduler.queue.fail_reading(after);
                    scheduler.store_failed(error);
                }
            },
        );
    }

    fn take_queued(&mut self, read: Vec<LoadedRun>, limit: usize) {
        let (last, more) = (read.last().map(|run| run.id), read.len() == limit);
        let mut taken = Vec::with_capacity(read.len());
        for loaded in read {
            let id = loaded.id;
            if self.runs.contains_key(&id) {
                continue; // In the queue already, or changed since.
            }
            let orphan = self.is_orphan(&loaded);
            self.runs.insert(id, Live::from(loaded));
            if orphan {
                self.cancel_orphan(id);
            } else {
                taken.push(id);
            }
        }
        self.queue.end_reading(last, more, taken);
    }

    /// Has as many executors made as runs wait for, and may execute. One is made for those that were passed over also
    /// where others execute instead of them: then it is there when the first of those ends.
    fn expect_executors(&mut self, taken: bool, passed: usize) {
        let room = self.settings.concurrency.saturating_sub(self.executing);
        let waiting = self.queue.len().min(room.max(passed.min(1)));
        // That it works again shows only when it is tried, which nobody else may ask for.
        let waiting = waiting.max(usize::from(self.tries_import()));
        if waiting == 0 && !taken {
            return;
        }
        let alone = |run: &RunId| {
            let wanted = self.wanted(*run).ok().flatten();
            wanted.is_some_and(|wanted| wanted.isolation == Isolation::Attempt)
        };
        let fresh = self.queue.iter().take(waiting).filter(alone).count();
        if let Err(error) = self.worker.expect(Demand { waiting, fresh }) {
            self.on_import_failed(error);
            self.import_allowed(false);
        }
    }

    /// None for a run that is not to be executed any more.
    ///
    /// # Errors
    /// Why it cannot be, when the project as it was imported last does not have its action.
    fn wanted(&self, run: RunId) -> Result<Option<Wanted>, Box<Failure>> {
        let live = self.runs.get(&run);
        let (Some(live), Some(catalogue)) = (
            live.filter(|live| live.run.state == RunState::Queued),
            &self.catalogue,
        ) else {
            return Ok(None);
        };
        let Some(spec) = catalogue.get(&live.action) else {
            return Err(Box::new(missing(catalogue, live.action.as_str())));
        };
        Ok(Some(Wanted {
            isolation: spec.isolation,
            memory: spec.memory,
        }))
    }

    /// Ends a run that no executor will ever take. It counts as an attempt, so that its document says why.
    pub(crate) fn fail_queued(&mut self, run: RunId, failure: Failure) {
        let worker = self.worker_id;
        // Rejected when it was cancelled in the same moment: then that is how it ended.
        let _ = self.apply(run, Event::Claim { worker });
        let claim = self.runs.get(&run).and_then(|live| live.run.state.claim());
        if let Some(claim) = claim {
            let ending = Ending::Failed(failure);
            let _ = self.apply(run, Event::Ended { claim, ending });
        }
    }

    /// The zygote is gone, and with it every attempt that was executed. The next run starts another.
    pub(crate) fn on_zygote_gone(&mut self, error: &WorkerError) {
        self.tell(Notice::Printed {
            level: Level::Warn,
            text: error.to_string(),
        });
        for executor in self.slots.keys().copied().collect::<Vec<_>>() {
            // One whose time was up is settled as such; the others' ends nobody knows.
            self.settle_timeout(executor, &Stack::default(), None);
            if let Some(slot) = self.vacate(executor) {
                self.lose(&slot);
            }
        }
    }

    /// The system is out of processes or memory: that passes, or it is told again and again.
    pub(crate) fn on_not_forked(&mut self, error: &str, pause: Duration) {
        let pause = pause.as_secs();
        let text = format!("no process for the attempt: {error}; trying again in {pause} s");
        if let Some(run) = self.queue.get(0) {
            self.tell_line(run, Level::Warn, text);
        }
    }
}
