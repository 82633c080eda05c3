//! What attempts use is looked at every 100 ms while there are any, and those that use too much are ended.

use std::path::Path;
use std::time::{Duration, Instant};

use ziet_core::limits::SCRATCH_BYTES;

use super::{Excess, ExecutorId, WATCH, Worker, WorkerEvent};
use crate::executor::{Executor, Phase};
use crate::sandbox::HOME;
use crate::watch::{Found, Look, Reading, Walked, Watched, Watcher};

const EVERY: Duration = Duration::from_millis(100);

/// Which part of its limit an attempt may exceed before it is ended: Python's `MemoryError`, which comes at the limit
/// itself, tells where that was, and is not to be forestalled by pages that the limit does not count.
const GRACE: u64 = 16;

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
            self.watch.watcher = Watcher::start(&self.registry, self.own(WATCH)).ok();
        }
        let home = self.home.as_ref().filter(|_| self.settings.sandbox);
        let look = Look {
            watched: busy,
            scratch: home.map(|home| (home.scratch(), self.last_attempt)),
            now,
        };
        match &self.watch.watcher {
            Some(watcher) => {
                watcher.look(look);
                self.watch.asked = true;
            }
            // The system is out of threads or descriptors, which may be over by the next time.
            None => self.watch.next = Some(now + EVERY),
        }
    }

    pub(super) fn on_findings(&mut self) {
        let watcher = self.watch.watcher.as_mut();
        let Some(findings) = watcher.and_then(Watcher::findings) else {
            return;
        };
        self.watch.asked = false;
        self.watch.begin(self.now);
        for reading in findings.readings {
            self.on_reading(reading);
        }
        if let Some(walked) = findings.walked {
            self.on_walked(&walked);
        }
    }

    fn on_reading(&mut self, reading: Reading) {
        let Reading {
            executor: id,
            attempt,
            memory: used,
        } = reading;
        let found = self.executors.get_mut(&id);
        let Some(executor) = found.filter(|one| one.phase == Phase::Busy && one.attempt == attempt)
        else {
            return; // It has gone on meanwhile.
        };
        executor.sampled = executor.sampled.max(used);
        if let Some(limit) = executor.memory_limit
            && used > limit + limit / GRACE
        {
            self.exceeded(id, Excess::Memory { used, limit });
        }
    }

    /// Everything in the folder of scratch directories counts: what an attempt has in its own to that attempt, and
    /// what belongs to none to all that were executed meanwhile, since any of them can have written it.
    fn on_walked(&mut self, walked: &Walked) {
        let Some(home) = self.home.as_ref().map(super::Home::scratch) else {
            return;
        };
        if home != walked.root {
            return; // There is another zygote by now.
        }
        self.scratch_removals
            .retain(|(_, removal)| !removal.is_finished());
        let mut nobodys = 0_u64;
        let mut strays = Vec::new();
        for (name, Found { bytes, holds }) in &walked.found {
            let folder = home.join(name);
            let owner = self
                .executors
                .iter()
                .find(|(_, one)| one.scratch.as_ref() == Some(&folder));
            match owner.map(|(id, one)| (*id, one.phase, one.attempt <= walked.begun)) {
                Some((id, Phase::Busy, true)) if *bytes > SCRATCH_BYTES => {
                    self.exceeded(id, Excess::Scratch { used: *bytes });
                }
                // It was empty when its last attempt ended; the next one must not find what another has put there.
                Some((id, Phase::Idle, true)) if *holds => self.retire(id),
                None if name == HOME => nobodys += bytes,
                None if !self.is_being_removed(&folder) && folder.symlink_metadata().is_ok() => {
                    nobodys += bytes;
                    strays.push(folder);
                }
                Some(_) | None => {}
            }
        }
        if nobodys > SCRATCH_BYTES {
            let to_blame = self
                .executors
                .iter()
                .filter(|(_, one)| one.phase == Phase::Busy && one.attempt <= walked.begun);
            for id in to_blame.map(|(id, _)| *id).collect::<Vec<_>>() {
                self.exceeded(id, Excess::Beside { used: nobodys });
            }
        }
        if walked.is_over {
            self.remove_scratch(strays);
        }
    }

    fn is_being_removed(&self, folder: &Path) -> bool {
        let mut removals = self.scratch_removals.iter();
        removals.any(|(removed, _)| removed.iter().any(|one| one == folder))
    }

    fn exceeded(&mut self, id: u64, excess: Excess) {
        let usage = self.executors.get(&id).and_then(Executor::usage);
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
    })
}
