//! How runs come into being: submitted from outside, or called by a running attempt.

use std::collections::HashSet;
use std::sync::mpsc::Sender;
use std::time::Duration;

use ziet_core::action::ActionSpec;
use ziet_core::limits;
use ziet_core::retry::RetryPolicy;
use ziet_core::run::{Cancelled, Claim, OnLost, Policy, Transition, WaitingOn};
use ziet_core::wire::ToExecutor;
use ziet_core::{ActionId, ErrorCode, Event, Json, MemoryId, Run, RunId};
use ziet_store::{Change, NewRun, Parent};
use ziet_worker::ExecutorId;

use crate::live::{Caller, Live};
use crate::notice::Notice;
use crate::turn::Scheduler;

/// A root run that is asked for.
#[derive(Clone, Debug)]
pub struct Submission {
    pub action: ActionId,
    /// A JSON object of the parameters; whether it fits them is found out by the executor.
    pub input: Json,
    /// The memory to use; a new one when None.
    pub memory: Option<MemoryId>,
}

/// Why a run was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

/// Test data: the input, and what of it was made up (`amount=10`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeInput {
    pub input: Json,
    pub made: Vec<String>,
}

/// Where a new run belongs: below a running attempt, or at the top.
struct Place {
    memory: MemoryId,
    new_memory: bool,
    root: Option<RunId>,
    depth: u32,
    parent: Option<(Caller, Parent)>,
}

impl Scheduler {
    pub(crate) fn make_input(&mut self, action: ActionId, given: Json) {
        if let Err(error) = self.worker.make_input(action, given) {
            self.tell(Notice::InputMade(Err(error.to_string())));
        }
    }

    pub(crate) fn submit(&mut self, submission: Submission, reply: Sender<Result<RunId, Refusal>>) {
        let Submission {
            action,
            input,
            memory,
        } = submission;
        let now = self.clock.now();
        let place = Place {
            memory: memory.unwrap_or_else(|| MemoryId::new(now)),
            new_memory: memory.is_none(),
            root: None,
            depth: 0,
            parent: None,
        };
        match self.accept(&action, input, place) {
            Ok((id, change, accepted)) => self.commit(vec![change], move |scheduler| {
                drop(reply.send(Ok(id)));
                scheduler.carry_out_all(id, &accepted);
            }),
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    /// A running attempt calls an action. It waits from here on; the child run is answered when it has finished.
    pub(crate) fn call(
        &mut self,
        executor: ExecutorId,
        request: u64,
        action: &ActionId,
        input: Json,
    ) {
        match self.accept_call(executor, request, action, input) {
            Ok((claim, child, change, accepted)) => {
                let Some(parent) = self.slots.get(&executor).map(|slot| slot.run) else {
                    return;
                };
                // Already waiting when this is not its only open call.
                let _ = self.apply(
                    parent,
                    Event::Wait {
                        claim,
                        on: WaitingOn::Children,
                    },
                );
                self.write_claim(parent);
                self.commit(vec![change], move |scheduler| {
                    scheduler.carry_out_all(child, &accepted);
                });
            }
            Err(Refusal { code, message }) => self.answer(
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
    ) -> Result<(Claim, RunId, Change, Transition), Refusal> {
        let ended = || refusal(ErrorCode::Lost, "the attempt has ended".to_owned());
        let parent_id = self
            .slots
            .get(&executor)
            .map(|slot| slot.run)
            .ok_or_else(ended)?;
        let parent = self.runs.get_mut(&parent_id).ok_or_else(ended)?;
        let depth = parent.depth + 1;
        if depth > limits::CALL_DEPTH {
            let message = format!(
                "{} actions have called each other, limit {}",
                depth,
                limits::CALL_DEPTH
            );
            return Err(refusal(ErrorCode::CallDepth, message));
        }
        let attempt = parent.attempt.as_mut().ok_or_else(ended)?;
        let caller = Caller {
            run: parent_id,
            claim: attempt.claim,
            request,
        };
        let call = Parent {
            run_id: parent_id,
            call: attempt.calls.key(action, &input),
        };
        let place = Place {
            memory: parent.memory,
            new_memory: false,
            root: Some(parent.root),
            depth,
            parent: Some((caller, call)),
        };
        let (child, change, accepted) = self.accept(action, input, place)?;
        if let Some(parent) = self.runs.get_mut(&parent_id) {
            parent.children.insert(child);
            if let Some(attempt) = &mut parent.attempt {
                attempt.open_calls.insert(request, child);
            }
        }
        self.set_waiting(executor, true);
        Ok((caller.claim, child, change, accepted))
    }

    /// Makes a run; it is there for others once the change is committed.
    fn accept(
        &mut self,
        action: &ActionId,
        input: Json,
        place: Place,
    ) -> Result<(RunId, Change, Transition), Refusal> {
        let unknown = || refusal(ErrorCode::UnknownAction, format!("no action {action}"));
        let spec = self
            .catalogue
            .as_ref()
            .and_then(|catalogue| catalogue.get(action))
            .ok_or_else(unknown)?;
        if let Some(excess) = limits::excess(input.as_bytes().len(), limits::JSON_BYTES) {
            return Err(refusal(
                ErrorCode::InvalidInput,
                format!("input of {excess}"),
            ));
        }
        let now = self.clock.now();
        let id = RunId::new(now);
        let accepted = Run::accepted(self.policy(spec), None, now);
        let (caller, parent) = place.parent.unzip();
        let new = NewRun {
            id,
            action_id: action.clone(),
            deployment_id: None,
            memory_id: place.memory,
            new_memory: place.new_memory,
            parent,
            root_id: place.root.unwrap_or(id),
            retry_of: None,
            idempotency: None,
            input: input.clone(),
            metadata: None,
            run: accepted.run.clone(),
            created_at: now,
        };
        let live = Live {
            run: accepted.run.clone(),
            action: action.clone(),
            input,
            memory: place.memory,
            root: new.root_id,
            depth: place.depth,
            caller,
            started_at: None,
            children: HashSet::new(),
            attempt: None,
        };
        self.runs.insert(id, live);
        Ok((id, Change::Submit(Box::new(new)), accepted))
    }

    fn policy(&self, spec: &ActionSpec) -> Policy {
        Policy {
            timeout: Duration::from_secs(spec.timeout.into()),
            retry: RetryPolicy {
                retries: spec.retries,
                backoff: self.settings.backoff,
            },
            on_lost: OnLost::Rerun,
        }
    }

    fn carry_out_all(&mut self, id: RunId, accepted: &Transition) {
        let now = self.clock.now();
        for effect in &accepted.effects {
            self.carry_out(id, &accepted.run, effect, now);
        }
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
            let reason = Some("its caller does not wait for it any more".to_owned());
            // One that has finished meanwhile needs no cancelling.
            let _ = self.apply(
                child,
                Event::Cancel(Cancelled {
                    by: "parent".to_owned(),
                    reason,
                }),
            );
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

fn refusal(code: ErrorCode, message: String) -> Refusal {
    Refusal { code, message }
}
