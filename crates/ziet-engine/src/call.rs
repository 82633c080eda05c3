//! Calls: a running attempt asks for a child run, waits for it, and is answered when that has finished.

use std::collections::HashMap;

use ziet_core::limits;
use ziet_core::run::{Claim, WaitingOn};
use ziet_core::wire::ToExecutor;
use ziet_core::{ActionId, ErrorCode, Event, Json, RunId};
use ziet_store::Parent;
use ziet_worker::ExecutorId;

use crate::answer::Refusal;
use crate::live::Caller;
use crate::outside::abandoned;
use crate::submit::{Made, Place, Submission};
use crate::turn::Scheduler;

/// Who waits for which run, in memory or not.
#[derive(Default)]
pub(crate) struct Callers {
    of: HashMap<RunId, Caller>,
    bytes: u64,
}

impl Callers {
    pub(crate) fn insert(&mut self, child: RunId, caller: Caller) {
        self.bytes += caller.bytes;
        self.of.insert(child, caller);
    }

    pub(crate) fn get(&self, child: RunId) -> Option<&Caller> {
        self.of.get(&child)
    }

    pub(crate) fn remove(&mut self, child: RunId) -> Option<Caller> {
        let caller = self.of.remove(&child)?;
        self.bytes -= caller.bytes;
        Some(caller)
    }

    /// Called runs that have not finished.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// Those of their inputs.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Scheduler {
    /// A running attempt calls an action. It waits from here on; the child run is answered when it has finished.
    pub(crate) fn call(
        &mut self,
        executor: ExecutorId,
        request: u64,
        action: &ActionId,
        input: Json,
    ) {
        match self.accept_call(executor, request, action, input) {
            Ok((caller, made)) => {
                let (claim, on) = (caller.claim, WaitingOn::Children);
                // Already waiting when this is not its only open call.
                let _ = self.apply(caller.run, Event::Wait { claim, on });
                self.write_claim(caller.run);
                let Made {
                    id,
                    change,
                    accepted,
                } = made;
                self.commit(vec![change], move |scheduler| {
                    scheduler.enter(id, &accepted);
                });
            }
            Err(Refusal { code, message, .. }) => self.answer(
                executor,
                &ToExecutor::Refused {
                    request,
                    code,
                    message,
                },
            ),
        }
    }

    fn accept_call(
        &mut self,
        executor: ExecutorId,
        request: u64,
        action: &ActionId,
        input: Json,
    ) -> Result<(Caller, Made), Refusal> {
        let ended = || Refusal::new(ErrorCode::Lost, "the attempt has ended");
        let (parent_id, claim) = self.claimed(executor).ok_or_else(ended)?;
        let depth = self.callers.get(parent_id).map_or(0, |caller| caller.depth) + 1;
        if depth > limits::CALL_DEPTH {
            let limit = limits::CALL_DEPTH;
            let message = format!("{depth} actions have called each other, limit {limit}");
            return Err(Refusal::new(ErrorCode::CallDepth, message));
        }
        let bytes = input.as_bytes().len() as u64;
        let room = self.room_for_calls();
        let parent = self.runs.get_mut(&parent_id).ok_or_else(ended)?;
        let attempt = parent.attempt.as_mut().ok_or_else(ended)?;
        let (open, limit) = (attempt.open_calls.len(), limits::OPEN_CALLS);
        if open >= limit as usize {
            let message =
                format!("{open} calls of this attempt have not been answered, limit {limit}");
            return Err(Refusal::new(ErrorCode::TooManyRuns, message));
        }
        room.admit(1, bytes)?;
        let caller = Caller {
            run: parent_id,
            claim,
            request,
            depth,
            bytes,
        };
        let call = attempt.calls.key(action, &input);
        let place = Place::Below {
            caller,
            parent: Parent {
                run_id: parent_id,
                call,
            },
            root: parent.root,
            deployment: parent.deployment,
        };
        let submission = Submission {
            memory: Some(parent.memory),
            ..Submission::new(action.clone(), input)
        };
        let made = self.make(submission, None, place)?;
        if let Some(parent) = self.runs.get_mut(&parent_id) {
            parent.children.insert(made.id);
            if let Some(attempt) = &mut parent.attempt {
                attempt.open_calls.insert(request, made.id);
            }
        }
        self.set_waiting(executor, true);
        Ok((caller, made))
    }

    /// Tells the calling attempt, if it is still there and still waits, how its child run ended.
    pub(crate) fn answer_call(&mut self, child: RunId, caller: Caller, answer: &ToExecutor) {
        if let Some(parent) = self.runs.get_mut(&caller.run) {
            parent.children.remove(&child);
        }
        if let Some(executor) = self.close_call(caller.run, caller.claim, caller.request) {
            self.answer(executor, answer);
        }
    }

    /// Nobody waits for the call any more, so its child run is not wanted either.
    pub(crate) fn abandon(&mut self, executor: ExecutorId, request: u64) {
        let Some((run, claim)) = self.claimed(executor) else {
            return;
        };
        let attempt = self.runs.get(&run).and_then(|live| live.attempt.as_ref());
        let child = attempt.and_then(|attempt| attempt.open_calls.get(&request).copied());
        self.close_call(run, claim, request);
        if let Some(child) = child {
            self.cancel_called(child, abandoned("its caller does not wait for it any more"));
        }
    }

    /// The attempt goes on with its last open call. None when it is over, or does not wait for this one.
    fn close_call(&mut self, run: RunId, claim: Claim, request: u64) -> Option<ExecutorId> {
        let attempt = self.runs.get_mut(&run)?.attempt.as_mut()?;
        if attempt.claim != claim || attempt.open_calls.remove(&request).is_none() {
            return None;
        }
        let executor = attempt.executor;
        if attempt.open_calls.is_empty() {
            // It holds the claim, so nothing stands against it.
            let _ = self.apply(run, Event::Resume { claim });
            self.set_waiting(executor, false);
        }
        Some(executor)
    }
}
