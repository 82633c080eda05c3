//! How runs come into being: submitted from outside, or called by a running attempt.

use std::collections::HashSet;
use std::sync::mpsc::Sender;
use std::time::Duration;

use ziet_core::action::ActionSpec;
use ziet_core::limits;
use ziet_core::retry::RetryPolicy;
use ziet_core::run::{Claim, OnLost, Policy, Transition, WaitingOn};
use ziet_core::wire::ToExecutor;
use ziet_core::{ActionId, ErrorCode, Event, Json, MemoryId, Run, RunId};
use ziet_store::{Change, NewRun, Parent};
use ziet_worker::ExecutorId;

use crate::attempt::Used;
use crate::live::{Caller, Live};
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

pub(crate) type MakeInputReply = Sender<Result<MadeInput, String>>;

/// Where a new run belongs: below a running attempt, or at the top.
struct Place {
    memory: MemoryId,
    new_memory: bool,
    root: Option<RunId>,
    depth: u32,
    parent: Option<(Caller, Parent)>,
}

impl Scheduler {
    pub(crate) fn make_input(&mut self, action: &ActionId, reply: MakeInputReply) {
        if let Err(error) = self.worker.make_input(action) {
            drop(reply.send(Err(error.to_string())));
        } else {
            self.made_inputs.push_back(reply);
        }
    }

    /// The zygote answers in the order in which it was asked.
    pub(crate) fn on_input_made(&mut self, input: Json, made: Vec<String>, error: Option<String>) {
        if let Some(reply) = self.made_inputs.pop_front() {
            drop(reply.send(error.map_or(Ok(MadeInput { input, made }), Err)));
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
                    Used::default(),
                );
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
                attempt.open_calls += 1;
            }
        }
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
            memory_id: place.memory,
            new_memory: place.new_memory,
            parent,
            root_id: place.root.unwrap_or(id),
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

    /// Tells the calling attempt, if it is still there, how its child run ended.
    pub(crate) fn answer_call(&mut self, child: RunId, caller: Caller, answer: &ToExecutor) {
        let Some(parent) = self.runs.get_mut(&caller.run) else {
            return;
        };
        parent.children.remove(&child);
        let Some(attempt) = parent
            .attempt
            .as_mut()
            .filter(|attempt| attempt.claim == caller.claim)
        else {
            return;
        };
        attempt.open_calls -= 1;
        let (executor, goes_on) = (attempt.executor, attempt.open_calls == 0);
        if goes_on {
            // It holds the claim, so nothing stands against it.
            let _ = self.apply(
                caller.run,
                Event::Resume {
                    claim: caller.claim,
                },
                Used::default(),
            );
        }
        self.answer(executor, answer);
    }
}

fn refusal(code: ErrorCode, message: String) -> Refusal {
    Refusal { code, message }
}
