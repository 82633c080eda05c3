//! Calls: a running attempt asks for a child run, waits for it, and is answered when that has finished.

use ziet_core::limits;
use ziet_core::run::{Claim, WaitingOn};
use ziet_core::wire::ToExecutor;
use ziet_core::{ActionId, ErrorCode, Event, Json, RunId};
use ziet_store::Parent;
use ziet_worker::ExecutorId;

use crate::answer::Refusal;
use crate::live::Caller;
use crate::submit::{Made, Place, Submission};
use crate::turn::Scheduler;

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
        let depth = self
            .callers
            .get(&parent_id)
            .map_or(0, |caller| caller.depth)
            + 1;
        if depth > limits::CALL_DEPTH {
            let limit = limits::CALL_DEPTH;
            let message = format!("{depth} actions have called each other, limit {limit}");
            return Err(Refusal::new(ErrorCode::CallDepth, message));
        }
        let parent = self.runs.get_mut(&parent_id).ok_or_else(ended)?;
        let attempt = parent.attempt.as_mut().ok_or_else(ended)?;
        let caller = Caller {
            run: parent_id,
            claim,
            request,
            depth,
        };
        let call = attempt.calls.key(action, &input);
        let place = Place::Below {
            caller,
            parent: Parent {
                run_id: parent_id,
                call,
            },
            root: parent.root,
        };
        let submission = Submission {
            memory: Some(parent.memory),
            ..Submission::new(action.clone(), input)
        };
        let made = self.make(submission, place)?;
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
            self.cancel_called(child, "its caller does not wait for it any more");
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
