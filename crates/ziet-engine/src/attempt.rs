//! An attempt from its start frame to its end, whichever way it ends.

use std::collections::HashMap;
use std::time::Duration;

use ziet_core::call::CallCounter;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::limits;
use ziet_core::run::{Claim, Ending};
use ziet_core::wire::{Finished, Level, Start, ToExecutor};
use ziet_core::{Event, RunId};
use ziet_worker::{Ended, Ending as ProcessEnding, ExecutorId, Stack, Usage, ending_text};

use crate::live::{Attempt, Slot};
use crate::notice::Happening;
use crate::turn::Scheduler;

/// How long no executor is asked for after the system would not make one.
const FORK_PAUSE: Duration = Duration::from_secs(1);

/// What an attempt has used, where it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Scheduler {
    /// An executor is ready: the attempt that it was asked for begins, and its time runs from here.
    pub(crate) fn begin(&mut self, executor: ExecutorId) {
        let Some(run) = self.slots.get(&executor).map(|slot| slot.run) else {
            return;
        };
        if self
            .apply(
                run,
                Event::Claim {
                    worker: self.worker_id,
                },
            )
            .is_err()
        {
            // Cancelled while the executor was forked.
            return self.worker.stop(executor, false, self.clock.instant());
        }
        let Some(start) = self.start_frame(run, executor) else {
            return;
        };
        if start.attempt == 1 {
            self.tell_of(run, Happening::Initialized);
        }
        self.tell_of(run, Happening::Executing);
        // An input that is within its limit always fits into a frame.
        if let Err(error) = self
            .worker
            .send(executor, &ToExecutor::Start(Box::new(start)))
        {
            let failure = Failure::new(ErrorCode::InvalidInput, "InputError", error.to_string());
            let ending = Ending::Failed(Failure {
                retryable: false,
                ..failure
            });
            self.end(executor, ending, Used::default());
        }
    }

    /// Ties the executor to the attempt that was just claimed, and says what it needs to begin.
    fn start_frame(&mut self, run: RunId, executor: ExecutorId) -> Option<Start> {
        let live = self.runs.get_mut(&run)?;
        let claim = live.run.state.claim()?;
        // The time from which the deadline counts: a later one would make an attempt look shorter than its timeout.
        let started_at = live.run.running_since()?;
        live.started_at.get_or_insert(started_at);
        live.attempt = Some(Attempt {
            claim,
            executor,
            started_at,
            calls: CallCounter::default(),
            open_calls: HashMap::new(),
            printed: 0,
        });
        self.slots.get_mut(&executor)?.claim = Some(claim);
        Some(Start {
            run_id: run,
            attempt: claim.attempt,
            action_id: live.action.clone(),
            input: live.input.clone(),
            memory_id: live.memory,
            first_call: 0,
            environment: Vec::new(),
            secrets: Vec::new(),
            mocked: self.settings.mocked,
            locals: self.settings.locals,
            memory_limit: None,
        })
    }

    /// The attempt has come to its end by itself. Its process is ended with everything that it left behind.
    pub(crate) fn finish(&mut self, executor: ExecutorId, finished: Finished) {
        let Finished {
            output,
            failure,
            cpu_ms,
            peak_memory_bytes,
            left: _,
            spent: _,
        } = finished;
        let ending = match (output, failure) {
            (_, Some(failure)) => Ending::Failed(failure),
            (Some(output), None) => {
                match limits::excess(output.as_bytes().len(), limits::JSON_BYTES) {
                    None => Ending::Completed { output },
                    Some(excess) => {
                        let failure = Failure::new(
                            ErrorCode::InvalidOutput,
                            "OutputError",
                            format!("returned {excess}"),
                        );
                        Ending::Failed(Failure {
                            retryable: false,
                            ..failure
                        })
                    }
                }
            }
            (None, None) => Ending::Crashed(crash("it finished without a result")),
        };
        let used = Used {
            cpu_ms: Some(cpu_ms),
            peak_memory_bytes: Some(peak_memory_bytes),
        };
        self.end(executor, ending, used);
        self.worker.stop(executor, false, self.clock.instant());
    }

    /// The attempt's time is up: from here on nothing that it sends counts but its stack, with which it ends.
    pub(crate) fn time_out(&mut self, run: RunId) {
        let Some(attempt) = self.runs.get(&run).and_then(|live| live.attempt.as_ref()) else {
            return;
        };
        let executor = attempt.executor;
        if let Some(slot) = self.slots.get_mut(&executor) {
            slot.timed_out = true;
            self.worker.stop(executor, true, self.clock.instant());
        }
    }

    /// SIGKILL was sent. An attempt whose time was up is settled now, with the stack that came.
    pub(crate) fn on_stopped(&mut self, executor: ExecutorId, stack: &Stack, usage: Option<Usage>) {
        self.settle_timeout(executor, stack, usage);
        self.slots.remove(&executor);
    }

    /// Nothing to do for an attempt whose time was not up.
    pub(crate) fn settle_timeout(
        &mut self,
        executor: ExecutorId,
        stack: &Stack,
        usage: Option<Usage>,
    ) {
        let timed_out = self.slots.get(&executor).filter(|slot| slot.timed_out);
        let Some(live) = timed_out.and_then(|slot| self.runs.get(&slot.run)) else {
            return;
        };
        let message = format!(
            "exceeded its timeout of {} s",
            live.run.policy.timeout.as_secs()
        );
        let failure = Failure::new(ErrorCode::TimedOut, "TimeoutError", message);
        let traceback = Some(stack.traceback(&failure.headline()));
        let failure = Failure {
            traceback,
            frames: stack.frames.clone(),
            ..failure
        };
        self.end(executor, Ending::TimedOut(failure), usage.into());
    }

    /// The system is out of processes or memory: that passes, or it is told again and again.
    pub(crate) fn on_not_forked(&mut self, executor: ExecutorId, error: &str) {
        let Some(slot) = self.slots.remove(&executor) else {
            return;
        };
        let text = format!(
            "no process for the attempt: {error}; trying again in {} s",
            FORK_PAUSE.as_secs()
        );
        self.tell_of(
            slot.run,
            Happening::Output {
                level: Level::Warn,
                text,
            },
        );
        let again = self.clock.now().plus(FORK_PAUSE);
        self.forks_from = Some(again);
        self.timers.insert((again, slot.run));
        self.queue.push_front(slot.run);
    }

    /// The process died although nobody stopped it.
    pub(crate) fn on_ended(&mut self, ended: Ended) {
        let Ended {
            executor,
            ending,
            fault,
            stack,
            usage,
        } = ended;
        let Some(slot) = self.slots.get(&executor) else {
            return;
        };
        if slot.claim.is_some() {
            // A process that was killed for what it did says nothing by its signal.
            let fault = fault.filter(|_| ending == ProcessEnding::Signal(9));
            let died = || format!("the process died: {}", ending_text(ending));
            let failure = crash(&fault.unwrap_or_else(died));
            let traceback =
                (!stack.frames.is_empty()).then(|| stack.traceback(&failure.headline()));
            let failure = Failure {
                traceback,
                frames: stack.frames,
                ..failure
            };
            self.end(executor, Ending::Crashed(failure), usage.into());
            self.slots.remove(&executor);
        } else if let Some(slot) = self.slots.remove(&executor) {
            // It never got to the action's code: the platform's fault.
            self.lose(&slot);
        }
    }

    /// Nobody knows how the attempt of this slot ended, or it could not begin.
    pub(crate) fn lose(&mut self, slot: &Slot) {
        let claim = match slot.claim {
            Some(claim) => claim,
            None => match self.claim_for_loss(slot.run) {
                Some(claim) => claim,
                None => return,
            },
        };
        // One that has been settled meanwhile is not lost.
        let _ = self.apply(
            slot.run,
            Event::Ended {
                claim,
                ending: Ending::Lost,
            },
        );
    }

    /// An executor that dies before its attempt begins counts as a lost attempt, or it would be forked for ever.
    fn claim_for_loss(&mut self, run: RunId) -> Option<Claim> {
        self.apply(
            run,
            Event::Claim {
                worker: self.worker_id,
            },
        )
        .ok()?;
        self.runs.get(&run)?.run.state.claim()
    }

    /// The attempt that an executor executes, once it has begun.
    pub(crate) fn claimed(&self, executor: ExecutorId) -> Option<(RunId, Claim)> {
        let slot = self.slots.get(&executor)?;
        Some((slot.run, slot.claim?))
    }

    fn end(&mut self, executor: ExecutorId, ending: Ending, used: Used) {
        let Some((run, claim)) = self.claimed(executor) else {
            return;
        };
        // Rejected when it was cancelled in the same moment: then that is how it ended.
        let _ = self.apply_end(run, Event::Ended { claim, ending }, used);
    }
}

impl From<Option<Usage>> for Used {
    fn from(usage: Option<Usage>) -> Self {
        Self {
            cpu_ms: usage.and_then(|usage| u64::try_from(usage.cpu.as_millis()).ok()),
            peak_memory_bytes: usage.and_then(|usage| usage.peak_memory_bytes),
        }
    }
}

fn crash(message: &str) -> Failure {
    Failure::new(ErrorCode::Crashed, "ProcessDied", message)
}
