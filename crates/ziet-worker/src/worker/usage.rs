//! What attempts use is looked at every 100 ms while there are any, and those that use too much are ended.

use std::time::{Duration, Instant};

use ziet_core::limits::SCRATCH_BYTES;

use super::{Excess, ExecutorId, WATCH, Worker, WorkerEvent};
use crate::executor::{Executor, Phase};
use crate::watch::{Reading, Watched, Watcher};

const EVERY: Duration = Duration::from_millis(100);

/// When to look, and who looks: a thread that is started with the first attempt.
#[derive(Default)]
pub(super) struct Watch {
    watcher: Option<Watcher>,
    /// None while an answer is awaited, or nothing is executed.
    next: Option<Instant>,
    asked: bool,
}

impl Watch {
    /// An attempt begins.
    pub(super) fn begin(&mut self, now: Instant) {
        if !self.asked {
            self.next.get_or_insert(now + EVERY);
        }
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next
    }
}

impl Worker {
    pub(super) fn look(&mut self, now: Instant) {
        self.watch.next = None;
        let busy: Vec<Watched> = self.executors.iter().filter_map(watched).collect();
        if busy.is_empty() {
            return;
        }
        if self.watch.watcher.is_none() {
            self.watch.watcher = Watcher::start(&self.registry, WATCH).ok();
        }
        match &self.watch.watcher {
            Some(watcher) => {
                watcher.look(busy, now);
                self.watch.asked = true;
            }
            // The system is out of threads or descriptors, which may be over by the next time.
            None => self.watch.next = Some(now + EVERY),
        }
    }

    pub(super) fn on_readings(&mut self) {
        let watcher = self.watch.watcher.as_mut();
        let Some(readings) = watcher.and_then(Watcher::readings) else {
            return;
        };
        self.watch.asked = false;
        self.watch.begin(self.now);
        for reading in readings {
            self.on_reading(reading);
        }
    }

    fn on_reading(&mut self, reading: Reading) {
        let Reading {
            executor: id,
            attempt,
            memory: used,
            scratch,
        } = reading;
        let found = self.executors.get_mut(&id);
        let Some(executor) = found.filter(|one| one.phase == Phase::Busy && one.attempt == attempt)
        else {
            return; // It has gone on meanwhile.
        };
        executor.sampled = executor.sampled.max(used);
        let excess = match executor.memory_limit {
            Some(limit) if used > limit => Excess::Memory { used, limit },
            _ if scratch > SCRATCH_BYTES => Excess::Scratch { used: scratch },
            _ => return,
        };
        let usage = executor.usage();
        self.retire(id);
        self.events.push_back(WorkerEvent::Exceeded {
            executor: ExecutorId(id),
            excess,
            usage,
        });
    }
}

fn watched((id, executor): (&u64, &Executor)) -> Option<Watched> {
    if executor.phase != Phase::Busy {
        return None;
    }
    Some(Watched {
        executor: *id,
        attempt: executor.attempt,
        pid: executor.pid?,
        had: executor.had,
        kept: executor.had.saturating_sub(executor.baseline),
        limit: executor.memory_limit?,
        scratch: executor.scratch.clone(),
    })
}
