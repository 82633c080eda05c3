//! How runs come into being: submitted from outside, or called by a running attempt.

use std::time::Duration;

use ziet_core::action::ActionSpec;
use ziet_core::limits;
use ziet_core::retry::RetryPolicy;
use ziet_core::run::{Policy, Transition};
use ziet_core::{ActionId, DeploymentId, ErrorCode, Json, MemoryId, Run, RunId, RunState, Time};
use ziet_store::{Change, Idempotency, NewRun, Parent};

use crate::answer::{Accepted, Done, Refusal, Seen, Until};
use crate::deployments::Deployment;
use crate::keys::{Existing, Known, same_request};
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
    /// The same submission with the same key is the same run, until a day after that has finished.
    pub idempotency_key: Option<String>,
    /// What the caller wants to find on it again.
    pub metadata: Option<Json>,
    /// Not to be executed before; at once when None.
    pub due: Option<Due>,
    /// Whether it is to be executed without being asked for again.
    pub start: bool,
    /// The run that it is another try of.
    pub retry_of: Option<RunId>,
}

/// When a run may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    At(Time),
    /// So long after it was accepted.
    In(Duration),
}

impl Due {
    fn at(self, accepted: Time) -> Time {
        match self {
            Self::At(at) => at,
            Self::In(delay) => accepted.plus(delay),
        }
    }
}

impl Submission {
    /// To be executed at once, with a memory of its own.
    pub fn new(action: ActionId, input: Json) -> Self {
        Self {
            action,
            input,
            memory: None,
            idempotency_key: None,
            metadata: None,
            due: None,
            start: true,
            retry_of: None,
        }
    }
}

/// Where a new run belongs: below a running attempt, or at the top.
pub(crate) enum Place {
    Root,
    Below {
        caller: Caller,
        parent: Parent,
        root: RunId,
        deployment: DeploymentId,
    },
}

/// Runs that are asked for together.
pub(crate) struct Asked {
    /// With the digests of those that have keys.
    wanted: Vec<(Submission, Option<Idempotency>)>,
    done: Done<Result<Vec<Accepted>, Refusal>>,
    /// Who is to be shown the first of them, and when.
    watch: Option<(Until, Seen)>,
}

impl Asked {
    /// To be called on the thread of who asks: a digest of a large input takes its time.
    pub(crate) fn new(
        submissions: Vec<Submission>,
        done: Done<Result<Vec<Accepted>, Refusal>>,
        watch: Option<(Until, Seen)>,
    ) -> Self {
        let wanted = submissions.into_iter().map(|one| {
            let idempotency = one.idempotency();
            (one, idempotency)
        });
        Self {
            wanted: wanted.collect(),
            done,
            watch,
        }
    }
}

/// Runs that are accepted together.
#[derive(Default)]
struct Batch {
    accepted: Vec<Accepted>,
    changes: Vec<Change>,
    made: Vec<(RunId, Transition)>,
    keys: Known,
}

/// A run that is in memory, and is there for others once the change is committed.
pub(crate) struct Made {
    pub(crate) id: RunId,
    pub(crate) change: Change,
    pub(crate) accepted: Transition,
}

impl Scheduler {
    pub(crate) fn make_input(&mut self, action: ActionId, given: Json) {
        let active = self.deployments.active().map(|active| active.id);
        let worker = active.and_then(|active| self.deployments.worker(active));
        if let Some(Err(error)) = worker.map(|worker| worker.make_input(action, given)) {
            self.tell(Notice::InputMade(Err(error.to_string())));
        }
    }

    pub(crate) fn submit(&mut self, asked: Asked) {
        let Asked {
            wanted,
            done,
            watch,
        } = asked;
        let keyed = wanted.iter().any(|(_, key)| key.is_some());
        let alone = keyed || wanted.iter().any(|(one, _)| one.memory.is_some());
        let room = self.room();
        let bytes = wanted.iter().map(|(one, _)| one.input.as_bytes().len());
        // Of those with keys only the store knows which are new.
        let admitted = self.writable().and_then(|()| {
            if keyed {
                return Ok(());
            }
            room.admit(wanted.len() as u64, bytes.sum::<usize>() as u64)
        });
        if let Err(refusal) = admitted {
            return done(Err(refusal));
        }
        let mut batch = Batch::default();
        for (submission, idempotency) in wanted {
            if let Err(refusal) = self.add_to(&mut batch, submission, idempotency) {
                batch.made.iter().for_each(|(id, _)| self.unmake(*id));
                return done(Err(refusal));
            }
        }
        let changes = std::mem::take(&mut batch.changes);
        if alone {
            self.commit_new(changes, room, move |scheduler, result| {
                scheduler.accepted(batch, result, done, watch);
            });
        } else {
            if let (Some((Until::Accepted, _)), Some((id, _))) = (&watch, batch.made.first()) {
                self.shown_at_once.insert(*id);
            }
            self.commit_or(changes, move |scheduler, result| {
                let result = result.map(|()| Existing::new());
                scheduler.accepted(batch, result.map_err(|error| (&error).into()), done, watch);
            });
        }
    }

    fn add_to(
        &mut self,
        batch: &mut Batch,
        submission: Submission,
        idempotency: Option<Idempotency>,
    ) -> Result<(), Refusal> {
        if let Some(asked) = &idempotency
            && let Some(earlier) = batch.keys.get(&asked.key)
        {
            let run = same_request(asked, *earlier)?;
            batch.accepted.push(Accepted {
                run,
                existing: true,
            });
            return Ok(());
        }
        let key = idempotency.clone();
        let Made {
            id,
            change,
            accepted,
        } = self.make(submission, idempotency, Place::Root)?;
        batch
            .keys
            .extend(key.map(|Idempotency { key, request }| (key, (id, request))));
        batch.accepted.push(Accepted {
            run: id,
            existing: false,
        });
        batch.changes.push(change);
        batch.made.push((id, accepted));
        Ok(())
    }

    fn accepted(
        &mut self,
        batch: Batch,
        result: Result<Existing, Refusal>,
        done: Done<Result<Vec<Accepted>, Refusal>>,
        watch: Option<(Until, Seen)>,
    ) {
        let Batch {
            mut accepted, made, ..
        } = batch;
        let existing = match result {
            Ok(existing) => existing,
            Err(refusal) => {
                for (id, _) in made {
                    self.unmake(id);
                }
                return done(Err(refusal));
            }
        };
        for one in &mut accepted {
            if let Some(run) = existing.get(&one.run) {
                *one = Accepted {
                    run: *run,
                    existing: true,
                };
            }
        }
        let first = accepted.first().map(|accepted| accepted.run);
        // First: so that whoever waits for an end is known before there can be one.
        done(Ok(accepted));
        if let (Some((until, seen)), Some(run)) = (watch, first) {
            self.watch(run, until, seen);
        }
        for (id, accepted) in &made {
            if existing.contains_key(id) {
                self.unmake(*id);
            } else {
                self.enter(*id, accepted);
            }
        }
    }

    fn watch(&mut self, run: RunId, until: Until, seen: Seen) {
        match until {
            Until::Accepted => seen.see(self.documents.remove(&run)),
            Until::Finished => self.when_finished(run, seen),
        }
    }

    /// What follows from a run's being accepted, once that is durable.
    pub(crate) fn enter(&mut self, id: RunId, accepted: &Transition) {
        let now = self.clock.now();
        if accepted.effects.is_empty() {
            self.leave_in_store(id, &RunState::Created); // Until somebody starts it.
        }
        for effect in &accepted.effects {
            // One that was cancelled meanwhile is in the queue for nothing.
            self.carry_out(id, &accepted.run, effect, now);
        }
    }

    /// Makes a run; it is there for others once the change is committed.
    pub(crate) fn make(
        &mut self,
        submission: Submission,
        idempotency: Option<Idempotency>,
        place: Place,
    ) -> Result<Made, Refusal> {
        let (deployment_id, policy) = self.accepting(&submission, &place)?;
        let Submission {
            action,
            input,
            memory,
            metadata,
            due,
            retry_of,
            start,
            ..
        } = submission;
        let now = self.clock.now();
        let id = RunId::new(now);
        let accepted = accepted(policy, due, start, now);
        let memory_id = memory.unwrap_or_else(|| id.own_memory());
        let (parent, root) = match place {
            Place::Root => (None, id),
            Place::Below {
                caller,
                parent,
                root,
                ..
            } => {
                self.callers.insert(id, caller);
                (Some(parent), root)
            }
        };
        let new = NewRun {
            id,
            action_id: action,
            deployment_id,
            memory_id,
            parent,
            root_id: root,
            retry_of,
            idempotency,
            input,
            metadata,
            run: accepted.run.clone(),
            created_at: now,
        };
        let live = Live::from(&new);
        self.backlog.add(&live);
        self.runs.insert(id, live);
        let change = Change::Submit(Box::new(new));
        Ok(Made {
            id,
            change,
            accepted,
        })
    }

    /// The deployment that is to execute the run, with the rules for it, if it can be one.
    fn accepting(
        &self,
        submission: &Submission,
        place: &Place,
    ) -> Result<(Option<DeploymentId>, Policy), Refusal> {
        let deployment = match place {
            Place::Root => self.deployments.active(),
            Place::Below { deployment, .. } => self.deployments.get(*deployment),
        };
        let policy = check(deployment, submission)?;
        let named = deployment.map(|deployment| deployment.id);
        Ok((named.filter(|id| *id != DeploymentId::NONE), policy))
    }

    /// The run was not accepted after all.
    pub(crate) fn unmake(&mut self, id: RunId) {
        self.shown_at_once.remove(&id);
        self.callers.remove(id);
        if let Some(live) = self.runs.remove(&id) {
            self.backlog.remove(&live);
        }
    }
}

/// A run as it begins.
fn accepted(policy: Policy, due: Option<Due>, start: bool, now: Time) -> Transition {
    if start {
        return Run::accepted(policy, due.map(|due| due.at(now)), now);
    }
    let (run, effects) = (Run::created(policy), Vec::new());
    Transition { run, effects }
}

/// The rules for a run of this deployment, if it can be one.
fn check(deployment: Option<&Deployment>, submission: &Submission) -> Result<Policy, Refusal> {
    let Submission {
        action,
        input,
        due,
        start,
        ..
    } = submission;
    let known = deployment.and_then(|one| Some((one, one.catalogue.as_ref()?.get(action)?)));
    let Some((deployment, spec)) = known else {
        return Err(Refusal::new(
            ErrorCode::UnknownAction,
            format!("no action {action}"),
        ));
    };
    if let Some(excess) = limits::excess(input.as_bytes().len(), limits::JSON_BYTES) {
        return Err(Refusal::new(
            ErrorCode::InvalidInput,
            format!("input of {excess}"),
        ));
    }
    if due.is_some() && !start {
        let message = "a run that is not started has no time to be executed at";
        return Err(Refusal::new(ErrorCode::InvalidInput, message));
    }
    Ok(policy(deployment, spec))
}

fn policy(deployment: &Deployment, spec: &ActionSpec) -> Policy {
    Policy {
        timeout: Duration::from_secs(spec.timeout.into()),
        retry: RetryPolicy {
            retries: spec.retries,
            backoff: deployment.backoff,
        },
        on_lost: spec.on_lost,
    }
}
