//! Executors for attempts: taken out of the pool, given back, made and ended as it says.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use ziet_core::action::Isolation;
use ziet_core::frame::FrameError;
use ziet_core::limits::{IMPORT_TIME, LOST_IN_A_ROW};
use ziet_core::wire::{Finished, Start, StartMethod, ToExecutor, ToZygote};

use super::{ExecutorId, PAUSE, Worker, WorkerError, WorkerEvent};
use crate::executor::{Executor, Phase};
use crate::os::{self, Ending, ending_text};
use crate::pool::Demand;

impl Worker {
    /// An idle executor, which from here on serves an attempt. None where none fits: [`Worker::expect`] makes them.
    pub fn take(&mut self, isolation: Isolation) -> Option<ExecutorId> {
        let id = self.pool.take(isolation, self.now)?;
        self.enter(id, Phase::Busy);
        let executor = self.executors.get_mut(&id)?;
        executor.alone = isolation == Isolation::Attempt;
        Some(ExecutorId(id))
    }

    /// Tells how many attempts wait now that no executor could be taken for: so many are made, and a zygote first where
    /// there is none. [`WorkerEvent::Ready`] tells when one can be taken.
    ///
    /// # Errors
    /// When Python does not start.
    pub fn expect(&mut self, demand: Demand) -> Result<(), WorkerError> {
        let Some(zygote) = &self.zygote else {
            return if demand.waiting > 0 {
                self.import()
            } else {
                Ok(())
            };
        };
        if zygote.loading.is_some() || self.forks_from.is_some() {
            return Ok(());
        }
        for _ in 0..self.pool.missing(demand, self.arriving(), self.now) {
            self.fork()?;
        }
        Ok(())
    }

    /// Whether an executor can be taken at once for an attempt that shares one.
    pub fn has_idle(&self) -> bool {
        self.pool.has_idle()
    }

    /// How many executors are awaited.
    pub(super) fn arriving(&self) -> usize {
        let arriving = |executor: &&Executor| matches!(executor.phase, Phase::Arriving { .. });
        self.executors.values().filter(arriving).count()
    }

    fn fork(&mut self) -> Result<(), WorkerError> {
        self.last_id += 1;
        let id = self.last_id;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let home = self.home.as_ref().filter(|_| self.settings.sandbox);
        let scratch = home.map(|home| home.scratch().join(id.to_string()));
        let text = scratch.as_ref().map(|folder| folder.to_string_lossy());
        self.tell_zygote(&ToZygote::Fork {
            token: secret.clone(),
            scratch: text.map(Cow::into_owned),
        })?;
        let until = self.now + IMPORT_TIME;
        self.executors
            .insert(id, Executor::new(secret, scratch, until));
        self.due.insert((until, id));
        Ok(())
    }

    /// Starts an attempt in an executor that was taken for it. It may use `memory` bytes besides what the executor has.
    ///
    /// # Errors
    /// When `start` is larger than a frame may be. The executor is still to be released or stopped.
    pub fn begin(
        &mut self,
        id: ExecutorId,
        mut start: Start,
        memory: u64,
    ) -> Result<(), FrameError> {
        let Some(executor) = self.executors.get_mut(&id.0) else {
            return Ok(()); // It died in between, which is told by an event of its own.
        };
        self.last_attempt += 1;
        executor.attempt = self.last_attempt;
        executor.attempts += 1;
        executor.sampled = 0;
        executor.tail.clear();
        self.watch.begin(self.now);
        let had = executor.had_before(memory);
        let changed = executor.memory_limit != Some(memory) || executor.had != had;
        start.memory_limit = changed.then_some(memory);
        if let (Some(group), true) = (&executor.group, changed) {
            group.limit_memory(memory + had.saturating_sub(executor.baseline));
        }
        executor.had = had;
        executor.memory_limit = Some(memory);
        self.send(id, &ToExecutor::Start(Box::new(start)))
    }

    /// The attempt has finished as it says: its executor goes back into the pool, or is ended with what was left in it.
    /// Its peak becomes the one that was seen from outside, with child processes, where that is higher.
    pub fn release(&mut self, executor: ExecutorId, finished: &mut Finished) {
        let id = executor.0;
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        // One that is being stopped, or was found out meanwhile, has its own end before it.
        if executor.phase != Phase::Busy || executor.fault.is_some() {
            return;
        }
        let cpu = Duration::from_millis(finished.cpu_ms);
        executor.reported = executor.reported.saturating_add(cpu);
        executor.peak = finished.peak_memory_bytes;
        finished.peak_memory_bytes = executor.peak.max(executor.seen().unwrap_or_default());
        if self.settings.start == StartMethod::Spawn {
            // Making another takes as long as importing the project: whoever comes next must not wait for that.
            self.pool.keep_spare(1);
        }
        let pool = self.settings.pool;
        let grown = |bytes: u64| bytes.saturating_sub(executor.baseline) > pool.growth_bytes;
        let worn = executor.alone
            || finished.spent
            || !finished.left.is_empty()
            || executor.attempts >= pool.attempts
            // What it has now is looked at only where the most that it had could be too much.
            || grown(executor.peak)
                && executor.pid.and_then(os::resident).is_some_and(grown);
        if worn {
            self.retire(id);
        } else {
            self.enter(id, Phase::Idle);
            self.pool.give_back(id, self.now);
        }
    }

    /// Puts an executor into another phase.
    pub(super) fn enter(&mut self, id: u64, phase: Phase) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        if let Some(until) = executor.until() {
            self.due.remove(&(until, id));
        }
        executor.phase = phase;
        if let Some(until) = executor.until() {
            self.due.insert((until, id));
        }
    }

    /// It has said hello: whoever waits may take it.
    pub(super) fn arrived(&mut self, id: u64) {
        let group = self.group(&id.to_string());
        if let Some(executor) = self.executors.get_mut(&id) {
            if let (Some(group), Some(pid)) = (&group, executor.pid) {
                // Where that fails, it stays in its zygote's.
                let _ = group.join(pid);
            }
            executor.group = group;
        }
        self.failed_arrivals = 0;
        self.enter(id, Phase::Idle);
        self.pool.add_fresh(id, self.now);
        self.events.push_back(WorkerEvent::Ready);
    }

    /// It has ended before its hello. Where that is the rule, making more would not help.
    pub(super) fn did_not_arrive(&mut self, ending: Ending) {
        let import = self.settings.start == StartMethod::Spawn && matches!(ending, Ending::Exit(_));
        if !import {
            if self.forks_from.is_some() {
                return; // It was made together with one that has failed already.
            }
            self.failed_arrivals += 1;
            if self.failed_arrivals < LOST_IN_A_ROW {
                let error = format!("it ended before it could be used ({})", ending_text(ending));
                return self.not_forked(error);
            }
        }
        self.failed_arrivals = 0;
        let said = self.zygote_said();
        let ending = ending_text(ending);
        let error = WorkerError::Arrival { ending, said };
        self.events.push_back(WorkerEvent::ImportFailed(error));
    }

    /// What the system is out of, processes or memory, comes back. It is told once for all that were asked for together.
    pub(super) fn not_forked(&mut self, error: String) {
        if self.forks_from.is_none() {
            self.forks_from = Some(self.now + PAUSE);
            self.events.push_back(WorkerEvent::NotForked {
                error,
                pause: PAUSE,
            });
        }
    }

    /// Ends those that have had nothing to do for too long, and at last the zygote.
    pub(super) fn shrink(&mut self, now: Instant) {
        for id in self.pool.expired(now) {
            self.retire(id);
        }
        let needed = self.executors.len() + usize::from(self.makes_input);
        if self.pool.is_abandoned(needed, now) {
            self.unload();
        }
    }
}
