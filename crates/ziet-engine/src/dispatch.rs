//! Gives queued runs to executors, and has these made.

use std::time::Duration;

use ziet_core::action::Isolation;
use ziet_core::error::Failure;
use ziet_core::run::{Ending, RunState, Status};
use ziet_core::wire::Level;
use ziet_core::{Catalogue, DeploymentId, Event, RunId};
use ziet_store::runs::{self, Lump};
use ziet_worker::{Demand, Stack, WorkerError};

use crate::import::missing;
use crate::live::Live;
use crate::notice::Notice;
use crate::queue::{LUMP, Round};
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
        if !self.recovered || self.unwritten.outage().is_some() {
            return;
        }
        self.queue.begin_round();
        while self.executing < self.deployments.concurrency() {
            let Some((lane, run)) = self.queue.next() else {
                break;
            };
            self.give(lane, run);
        }
        for place in 0.. {
            let Some(id) = self.deployments.all().nth(place).map(|one| one.id) else {
                return;
            };
            let Round { taken, passed, .. } = self.queue.round(id);
            if self.import_allowed(id, taken) {
                self.expect_executors(id, taken, passed);
            }
        }
    }

    /// Gives the next run of a lane an executor, if there is one for it.
    fn give(&mut self, lane: usize, run: RunId) {
        let id = self.queue.deployment(lane);
        let catalogue = self.deployments.get(id);
        let Some(catalogue) = catalogue.and_then(|one| one.catalogue.as_ref()) else {
            return self.queue.hold(lane); // It is imported for the first time.
        };
        let wanted = match self.wanted(run, catalogue) {
            Ok(Some(wanted)) => wanted,
            // Cancelled while it waited in the queue.
            Ok(None) => return self.queue.remove(lane, false),
            Err(failure) => {
                self.queue.remove(lane, false);
                return self.fail_queued(run, *failure);
            }
        };
        match self.deployments.take(id, wanted.isolation) {
            Some(executor) => {
                self.queue.remove(lane, true);
                self.begin(run, executor, wanted.memory);
            }
            None if wanted.isolation == Isolation::Shared => self.queue.hold(lane),
            None => self.queue.pass(lane, LOOK_AHEAD),
        }
    }

    /// Reads runs back that are queued in the store alone, when there is room for them.
    pub(crate) fn read_queue(&mut self) {
        let ready = self.recovered && self.deployments.active().is_some();
        if !ready || self.unwritten.outage().is_some() {
            return;
        }
        let Some(after) = self.queue.begin_reading() else {
            return;
        };
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| runs::unfinished(tx, &project, Status::Queued, Some(after), LUMP).await,
            move |scheduler, read| match read {
                Ok(read) => scheduler.take_queued(read),
                Err(error) => {
                    scheduler.queue.fail_reading(after);
                    scheduler.store_failed(error);
                }
            },
        );
    }

    fn take_queued(&mut self, read: Lump) {
        let last = read.runs.last().map(|run| run.id);
        let mut taken = Vec::with_capacity(read.runs.len());
        for loaded in read.runs {
            let id = loaded.id;
            if self.runs.contains_key(&id) {
                continue; // In the queue already, or changed since.
            }
            let mut live = Live::from(loaded);
            live.deployment = self
                .deployments
                .home(live.deployment)
                .unwrap_or(live.deployment);
            let (orphan, home, bytes) = (self.is_orphan(id, &live), live.deployment, live.bytes());
            if orphan {
                self.runs.insert(id, live);
                self.cancel_orphan(id);
            } else if self.queue.is_blocked(home) {
                self.queue.leave_blocked(home, id);
            } else {
                self.runs.insert(id, live);
                taken.push((home, id, bytes));
            }
        }
        self.queue.end_reading(last, read.more, taken);
    }

    /// Has as many executors of a deployment made as its runs wait for, and may execute. One is made for those that were passed
    /// over also where others execute instead of them: then it is there when the first of those ends.
    fn expect_executors(&mut self, id: DeploymentId, taken: bool, passed: usize) {
        let Some(deployment) = self.deployments.get(id) else {
            return;
        };
        let concurrency = self.deployments.concurrency();
        let room = concurrency.saturating_sub(self.executing);
        let waiting = self.queue.len(id).min(room.max(passed.min(1)));
        // That it works again shows only when it is tried, which nobody else may ask for.
        let waiting = waiting.max(usize::from(self.tries_import(deployment)));
        if waiting == 0 && !taken {
            return;
        }
        let catalogue = deployment.catalogue.as_ref();
        let alone = |run: &RunId| {
            let wanted = catalogue.and_then(|known| self.wanted(*run, known).ok().flatten());
            wanted.is_some_and(|wanted| wanted.isolation == Isolation::Attempt)
        };
        let fresh = self.queue.iter(id).take(waiting).filter(alone).count();
        let started = self.deployments.worker_for(id, &self.clock);
        let expected = started.and_then(|worker| match worker {
            Some(worker) => worker.expect(Demand { waiting, fresh }),
            None => Ok(()),
        });
        if let Err(error) = expected {
            self.cannot_import(id, error);
            self.import_allowed(id, false);
        }
    }

    /// None for a run that is not to be executed any more.
    ///
    /// # Errors
    /// Why it cannot be, when the project as it was imported last does not have its action.
    fn wanted(&self, run: RunId, catalogue: &Catalogue) -> Result<Option<Wanted>, Box<Failure>> {
        let live = self.runs.get(&run);
        // One whose caller's attempt is over is cancelled as soon as that is written.
        let waits = |live: &&Live| live.run.state == RunState::Queued && !self.is_orphan(run, live);
        let Some(live) = live.filter(waits) else {
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

    /// The zygote of a worker is gone, and with it every attempt that was executed. The next run starts another.
    pub(crate) fn on_zygote_gone(&mut self, worker: u32, error: &WorkerError) {
        self.tell(Notice::Printed {
            level: Level::Warn,
            text: error.to_string(),
        });
        let all = self.slots.keys().copied();
        for executor in all.filter(|one| one.worker() == worker).collect::<Vec<_>>() {
            // One whose time was up is settled as such; the others' ends nobody knows.
            self.settle_timeout(executor, &Stack::default(), None);
            if let Some(slot) = self.vacate(executor) {
                self.lose(&slot);
            }
        }
    }

    /// The system is out of processes or memory: that passes, or it is told again and again.
    pub(crate) fn on_not_forked(&mut self, id: DeploymentId, error: &str, pause: Duration) {
        let pause = pause.as_secs();
        let text = format!("no process for the attempt: {error}; trying again in {pause} s");
        let first = self.queue.iter(id).next();
        if let Some(run) = first {
            self.tell_line(run, Level::Warn, text);
        }
    }
}
