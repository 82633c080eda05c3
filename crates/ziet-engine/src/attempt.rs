//! An attempt from its start frame to its end, whichever way it ends.

use std::collections::HashMap;
use std::sync::Arc;

use ziet_core::call::CallCounter;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::limits;
use ziet_core::run::{Claim, Ending, OnLost};
use ziet_core::wire::{Finished, Level, Start};
use ziet_core::{Event, RunId, Time};
use ziet_store::Change;
use ziet_worker::{Ended, Ending as ProcessEnding, Excess, ExecutorId, Stack, Usage, ending_text};

use crate::live::{Attempt, Slot, TimeUp};
use crate::logs::Unsaved;
use crate::notice::Happening;
use crate::turn::Scheduler;

/// What an attempt has used, where it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Scheduler {
    /// The attempt begins in the executor that was taken for it, and its time runs from here. What must never be executed
    /// twice is not before it is written down that it is.
    pub(crate) fn begin(&mut self, run: RunId, executor: ExecutorId, memory: u64) {
        let worker = self.worker_id;
        // It is in the queue, so nothing stands against it.
        let _ = self.apply(run, Event::Claim { worker });
        let Some((start, on_lost)) = self.start_frame(run, executor, memory) else {
            return self.stop(executor, false);
        };
        if on_lost == OnLost::Fail
            && let Some(claimed) = self.unwritten.take_held(run)
        {
            let claimed = Change::State(Box::new(claimed));
            return self.commit(vec![claimed], move |scheduler| {
                scheduler.launch(executor, start);
            });
        }
        self.launch(executor, start);
    }

    /// Sends the attempt to its executor, if it has not ended meanwhile.
    fn launch(&mut self, executor: ExecutorId, start: Start) {
        let Some(slot) = self.slots.get(&executor) else {
            return;
        };
        let (run, memory) = (slot.run, slot.memory);
        if slot.time_up.is_some() || self.claim_of(run) != Some(slot.claim) {
            return;
        }
        if start.attempt == 1 {
            self.tell_of(run, Happening::Initialized);
        }
        self.tell_of(run, Happening::Executing);
        // An input that is within its limit always fits into a frame.
        let worker = self.deployments.of(executor);
        if let Some(Err(error)) = worker.map(|worker| worker.begin(executor, start, memory)) {
            let failure = Failure::new(ErrorCode::InvalidInput, "InputError", error.to_string());
            let ending = Ending::Failed(Failure {
                retryable: false,
                ..failure
            });
            self.end(executor, ending, Used::default());
            self.stop(executor, false);
        }
    }

    /// Ends an executor and what it started; with `stack` it is asked for that first.
    pub(crate) fn stop(&mut self, executor: ExecutorId, stack: bool) {
        if let Some(worker) = self.deployments.of(executor) {
            worker.stop(executor, stack, self.clock.instant());
        }
    }

    fn claim_of(&self, run: RunId) -> Option<Claim> {
        self.runs.get(&run)?.run.state.claim()
    }

    /// Ties the executor to the attempt that was just claimed, and says what it needs to begin.
    fn start_frame(
        &mut self,
        run: RunId,
        executor: ExecutorId,
        memory: u64,
    ) -> Option<(Start, OnLost)> {
        let live = self.runs.get_mut(&run)?;
        let deployment = self.deployments.get(live.deployment);
        let locals = deployment.is_some_and(|deployment| deployment.locals);
        let claim = live.run.state.claim()?;
        // The time from which the deadline counts: a later one would make an attempt look shorter than its timeout.
        let started_at = live.run.running_since()?.max(live.created_at);
        live.started_at.get_or_insert(started_at);
        live.attempt = Some(Attempt {
            claim,
            executor,
            started_at,
            calls: CallCounter::default(),
            open_calls: HashMap::new(),
            printed: 0,
            unsaved: Unsaved::default(),
        });
        let slot = Slot {
            run,
            claim,
            memory,
            waiting: false,
            asked: Arc::default(),
            time_up: None,
        };
        self.slots.insert(executor, slot);
        self.executing += 1;
        let start = Start {
            run_id: run,
            attempt: claim.attempt,
            action_id: live.action.clone(),
            input: live.input.clone(),
            memory_id: live.memory,
            first_call: 0,
            environment: Vec::new(),
            secrets: Vec::new(),
            mocked: self.settings.mocked,
            locals,
            memory_limit: None,
        };
        Some((start, live.run.policy.on_lost))
    }

    /// The attempt has come to its end by itself, and its executor is free for the next one.
    pub(crate) fn finish(&mut self, executor: ExecutorId, mut finished: Finished) {
        let Some(slot) = self.slots.get(&executor) else {
            return;
        };
        let memory = slot.memory;
        if !finished.left.is_empty() {
            let text = format!("left behind and ended: {}", named(&finished.left));
            self.on_output(executor, Level::Warn, text);
        }
        // One that says neither cannot be trusted with another attempt.
        finished.spent |= finished.output.is_none() && finished.failure.is_none();
        if let Some(worker) = self.deployments.of(executor) {
            worker.release(executor, &mut finished);
        }
        let used = Used {
            cpu_ms: Some(finished.cpu_ms),
            peak_memory_bytes: Some(finished.peak_memory_bytes),
        };
        self.end(executor, ending(finished, memory), used);
        self.vacate(executor);
    }

    /// The attempt's time is up: from here on nothing that it sends counts but its stack, with which it ends.
    pub(crate) fn time_out(&mut self, run: RunId, deadline: Time) {
        let attempt = self.runs.get(&run).and_then(|live| live.attempt.as_ref());
        let Some(executor) = attempt.map(|attempt| attempt.executor) else {
            return;
        };
        if let Some(slot) = self.slots.get_mut(&executor)
            && slot.time_up.is_none()
        {
            let settled = self.clock.now();
            slot.time_up = Some(TimeUp { deadline, settled });
            self.stop(executor, true);
        }
    }

    /// SIGKILL was sent. An attempt whose time was up is settled now, with the stack that came.
    pub(crate) fn on_stopped(&mut self, executor: ExecutorId, stack: &Stack, usage: Option<Usage>) {
        self.settle_timeout(executor, stack, usage);
        self.vacate(executor);
    }

    /// Nothing to do for an attempt whose time was not up.
    pub(crate) fn settle_timeout(
        &mut self,
        executor: ExecutorId,
        stack: &Stack,
        usage: Option<Usage>,
    ) {
        let Some(slot) = self.slots.get(&executor) else {
            return;
        };
        let (Some(time_up), Some(live)) = (slot.time_up, self.runs.get(&slot.run)) else {
            return;
        };
        let timeout = live.run.policy.timeout.as_secs();
        let overrun = self.clock.now().since(time_up.deadline).as_millis();
        let message = format!("exceeded its timeout of {timeout} s");
        let mut failure = Failure::new(ErrorCode::TimedOut, "TimeoutError", message);
        failure.traceback = Some(stack.traceback(&failure.headline()));
        failure.frames.clone_from(&stack.frames);
        failure
            .notes
            .push(format!("ended {overrun} ms after its deadline"));
        if stack.frames.is_empty() {
            failure.notes.push(
                "its stack is not known: it was not shown before the process was ended".to_owned(),
            );
        }
        let (run, claim) = (slot.run, slot.claim);
        let ending = Ending::TimedOut(failure);
        // Rejected when it was cancelled in the same moment: then that is how it ended.
        let event = Event::Ended { claim, ending };
        let _ = self.apply_at(run, event, time_up.settled, usage.into());
    }

    /// The worker has ended it because it used more than it may.
    pub(crate) fn on_exceeded(
        &mut self,
        executor: ExecutorId,
        excess: Excess,
        usage: Option<Usage>,
    ) {
        let out_of_memory = |message| {
            Ending::OutOfMemory(Failure::new(ErrorCode::OutOfMemory, "MemoryError", message))
        };
        let scratch_full =
            |message| Ending::Failed(Failure::new(ErrorCode::ScratchFull, "ScratchFull", message));
        let ending = match excess {
            Excess::Memory { used, limit } => out_of_memory(limits::memory_excess(used, limit)),
            Excess::System { used } => out_of_memory(format!(
                "the system had none left; used {}",
                limits::memory_text(used)
            )),
            Excess::Scratch { used } => {
                scratch_full(limits::memory_excess(used, limits::SCRATCH_BYTES))
            }
            Excess::Beside { used } => scratch_full(format!(
                "beside the folders of attempts: {}",
                limits::memory_excess(used, limits::SCRATCH_BYTES)
            )),
        };
        self.end(executor, ending, usage.into());
        self.vacate(executor);
    }

    /// The process died although nobody stopped it.
    pub(crate) fn on_ended(&mut self, ended: Ended) {
        let Ended {
            executor,
            ending,
            fault,
            stack,
            stderr,
            usage,
        } = ended;
        // A process that was killed for what it did says nothing by its signal.
        let fault = fault.filter(|_| ending == ProcessEnding::Signal(9));
        let died = || format!("the process died: {}", ending_text(ending));
        let mut failure = crash(&fault.unwrap_or_else(died));
        if !stack.frames.is_empty() {
            failure.traceback = Some(stack.traceback(&failure.headline()));
        }
        failure.frames = stack.frames;
        let stderr = stderr.map(|last| format!("standard error ended with:\n{last}"));
        failure.notes.extend(stderr);
        self.end(executor, Ending::Crashed(failure), usage.into());
        self.vacate(executor);
    }

    /// The executor has nothing to do with its attempt any more.
    pub(crate) fn vacate(&mut self, executor: ExecutorId) -> Option<Slot> {
        let slot = self.slots.remove(&executor)?;
        self.executing -= usize::from(!slot.waiting);
        Some(slot)
    }

    /// Notes whether the attempt waits for its calls, or goes on.
    pub(crate) fn set_waiting(&mut self, executor: ExecutorId, waiting: bool) {
        let Some(slot) = self.slots.get_mut(&executor) else {
            return;
        };
        self.executing -= usize::from(!slot.waiting);
        slot.waiting = waiting;
        self.executing += usize::from(!slot.waiting);
    }

    /// Nobody knows how the attempt of this slot ended.
    pub(crate) fn lose(&mut self, slot: &Slot) {
        let (claim, ending) = (slot.claim, Ending::Lost);
        // One that has been settled meanwhile is not lost.
        let _ = self.apply(slot.run, Event::Ended { claim, ending });
    }

    /// The attempt that an executor executes.
    pub(crate) fn claimed(&self, executor: ExecutorId) -> Option<(RunId, Claim)> {
        let slot = self.slots.get(&executor)?;
        Some((slot.run, slot.claim))
    }

    fn end(&mut self, executor: ExecutorId, ending: Ending, used: Used) {
        let Some((run, claim)) = self.claimed(executor) else {
            return;
        };
        // Rejected when it was cancelled in the same moment: then that is how it ended.
        let event = Event::Ended { claim, ending };
        let _ = self.apply_at(run, event, self.clock.now(), used);
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

/// How an attempt ended by what its executor says of it.
fn ending(finished: Finished, memory: u64) -> Ending {
    match (finished.output, finished.failure) {
        // Python raised it because the limit was in force, so that the action can tell where it was.
        (_, Some(mut failure)) if failure.code == ErrorCode::OutOfMemory => {
            let limit = limits::memory_text(memory);
            failure
                .notes
                .push(format!("its limit of memory is {limit}"));
            Ending::OutOfMemory(failure)
        }
        (_, Some(failure)) => Ending::Failed(failure),
        (Some(output), None) => match limits::excess(output.as_bytes().len(), limits::JSON_BYTES) {
            None => Ending::Completed { output },
            Some(excess) => {
                let message = format!("returned {excess}");
                let failure = Failure::new(ErrorCode::InvalidOutput, "OutputError", message);
                Ending::Failed(Failure {
                    retryable: false,
                    ..failure
                })
            }
        },
        (None, None) => Ending::Crashed(crash("it finished without a result")),
    }
}

/// The first few of what an attempt has left behind, and how many more there are.
fn named(left: &[String]) -> String {
    const NAMED: usize = 5;
    const LONGEST: usize = 200;
    let shown = |one: &String| one.chars().take(LONGEST).collect();
    let mut named: Vec<String> = left.iter().take(NAMED).map(shown).collect();
    if left.len() > NAMED {
        named.push(format!("and {} more", left.len() - NAMED));
    }
    named.join(", ")
}

fn crash(message: &str) -> Failure {
    Failure::new(ErrorCode::Crashed, "ProcessDied", message)
}
