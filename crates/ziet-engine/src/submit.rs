//! How runs come into being: submitted from outside, or called by a running attempt.

use std::collections::HashMap;
use std::time::Duration;

use ziet_core::action::ActionSpec;
use ziet_core::limits;
use ziet_core::retry::RetryPolicy;
use ziet_core::run::{Policy, Transition};
use ziet_core::{ActionId, ErrorCode, Json, MemoryId, Run, RunId, Time};
use ziet_store::{Change, Idempotency, NewRun, Parent, StoreError};

use crate::answer::{Accepted, Done, Refusal, Seen, Until};
use crate::keys::{Known, same_request};
use crate::live::{Caller, Live};
use crate::notice::Notice;
use crate::turn::Scheduler;

/// How long to wait when there are too many runs.
const BACKLOG_RETRY: Duration = Duration::from_secs(5);

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
    },
}

/// Runs that are asked for together.
pub(crate) struct Asked {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) done: Done<Result<Vec<Accepted>, Refusal>>,
    /// Who is to be shown the first of them, and when.
    pub(crate) watch: Option<(Until, Seen)>,
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
        if let Err(error) = self.worker.make_input(action, given) {
            self.tell(Notice::InputMade(Err(error.to_string())));
        }
    }

    pub(crate) fn submit(&mut self, asked: Asked) {
        if let Err(refusal) = self.admit(&asked.submissions) {
            (asked.done)(Err(refusal));
        } else if asked
            .submissions
            .iter()
            .any(|one| one.idempotency_key.is_some())
        {
            self.look_up_keys(asked);
        } else {
            self.accept(asked, &HashMap::new());
        }
    }

    /// `known` are the runs that were accepted with the keys among them.
    pub(crate) fn accept(&mut self, asked: Asked, known: &Known) {
        let Asked {
            submissions,
            done,
            watch,
        } = asked;
        let alone = submissions
            .iter()
            .any(|one| one.memory.is_some() || one.idempotency_key.is_some());
        let mut batch = Batch::default();
        for submission in submissions {
            if let Err(refusal) = self.add_to(&mut batch, submission, known) {
                batch.made.iter().for_each(|(id, _)| self.unmake(*id));
                return done(Err(refusal));
            }
        }
        let changes = std::mem::take(&mut batch.changes);
        for key in batch.keys.keys() {
            self.claimed_keys.insert(key.clone(), Vec::new());
        }
        let shown_at_once = match (&watch, batch.made.first()) {
            (Some((Until::Accepted, _)), Some((id, _))) => Some(*id),
            _ => None,
        };
        let after =
            move |scheduler: &mut Self, result| scheduler.accepted(batch, result, done, watch);
        if alone {
            self.commit_alone(changes, after);
        } else {
            self.shown_at_once.extend(shown_at_once);
            self.commit_or(changes, after);
        }
    }

    fn add_to(
        &mut self,
        batch: &mut Batch,
        submission: Submission,
        known: &Known,
    ) -> Result<(), Refusal> {
        let idempotency = submission.idempotency();
        if let Some(Idempotency { key, request }) = &idempotency {
            let earlier = batch.keys.get(key).or_else(|| known.get(key));
            if let Some((run, _)) = same_request(key, request, earlier)? {
                batch.accepted.push(Accepted {
                    run: *run,
                    existing: true,
                });
                return Ok(());
            }
        }
        let Made {
            id,
            change,
            accepted,
        } = self.make(submission, Place::Root)?;
        if let Some(Idempotency { key, request }) = idempotency {
            batch.keys.insert(key, (id, request));
        }
        batch.accepted.push(Accepted {
            run: id,
            existing: false,
        });
        batch.changes.push(change);
        batch.made.push((id, accepted));
        Ok(())
    }

    /// Refuses what there is no room for, or nobody to execute it.
    fn admit(&self, submissions: &[Submission]) -> Result<(), Refusal> {
        if self.drain.is_some() {
            return Err(Refusal::new(
                ErrorCode::Draining,
                "the server is being stopped",
            ));
        }
        if let Some(error) = self.unwritten.outage() {
            return Err(Refusal::from(error));
        }
        let bytes: usize = submissions
            .iter()
            .map(|one| one.input.as_bytes().len())
            .sum();
        let (runs, bytes) = (submissions.len() as u64, bytes as u64);
        let settings = &self.settings;
        let message = if self.backlog.runs + runs > settings.max_queued {
            format!(
                "{} runs have not finished, limit {}",
                self.backlog.runs, settings.max_queued
            )
        } else if self.backlog.bytes + bytes > settings.max_queued_bytes {
            let limit = limits::memory_text(settings.max_queued_bytes);
            format!(
                "the inputs of runs that have not finished take {}, limit {limit}",
                limits::memory_text(self.backlog.bytes)
            )
        } else {
            return Ok(());
        };
        let refusal = Refusal::new(ErrorCode::TooManyRuns, message);
        if runs > settings.max_queued || bytes > settings.max_queued_bytes {
            let message = format!("{}; so much is never accepted at once", refusal.message);
            return Err(Refusal { message, ..refusal });
        }
        Err(Refusal {
            retry_after: Some(BACKLOG_RETRY),
            ..refusal
        })
    }

    fn accepted(
        &mut self,
        batch: Batch,
        result: Result<(), StoreError>,
        done: Done<Result<Vec<Accepted>, Refusal>>,
        watch: Option<(Until, Seen)>,
    ) {
        match result {
            // First: so that whoever waits for an end is known before there can be one.
            Ok(()) => {
                let first = batch.accepted.first().map(|accepted| accepted.run);
                done(Ok(batch.accepted));
                if let (Some((until, seen)), Some(run)) = (watch, first) {
                    self.watch(run, until, seen);
                }
                for (id, accepted) in &batch.made {
                    self.enter(*id, accepted);
                }
            }
            Err(error) => {
                batch.made.iter().for_each(|(id, _)| self.unmake(*id));
                done(Err(Refusal::from(&error)));
            }
        }
        self.release_keys(batch.keys.into_keys());
    }

    fn watch(&mut self, run: RunId, until: Until, seen: Seen) {
        match until {
            Until::Accepted => seen(self.documents.remove(&run)),
            Until::Finished => self.when_finished(run, seen),
        }
    }

    /// What follows from a run's being accepted, once that is durable.
    pub(crate) fn enter(&mut self, id: RunId, accepted: &Transition) {
        let now = self.clock.now();
        if accepted.effects.is_empty() {
            self.runs.remove(&id); // Until somebody starts it.
        }
        for effect in &accepted.effects {
            // One that was cancelled meanwhile is in the queue for nothing.
            self.carry_out(id, &accepted.run, effect, now);
        }
    }

    /// Makes a run; it is there for others once the change is committed.
    pub(crate) fn make(&mut self, submission: Submission, place: Place) -> Result<Made, Refusal> {
        let policy = self.check(&submission)?;
        let idempotency = submission.idempotency();
        let Submission {
            action,
            input,
            memory,
            metadata,
            due,
            start,
            retry_of,
            ..
        } = submission;
        let now = self.clock.now();
        let id = RunId::new(now);
        let accepted = if start {
            Run::accepted(policy, due.map(|due| due.at(now)), now)
        } else {
            let (run, effects) = (Run::created(policy), Vec::new());
            Transition { run, effects }
        };
        let memory_id = memory.unwrap_or_else(|| id.own_memory());
        let (parent, root) = match place {
            Place::Root => (None, id),
            Place::Below {
                caller,
                parent,
                root,
            } => {
                self.callers.insert(id, caller);
                (Some(parent), root)
            }
        };
        let new = NewRun {
            id,
            action_id: action,
            deployment_id: self.settings.deployment,
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

    /// The run was not accepted after all.
    pub(crate) fn unmake(&mut self, id: RunId) {
        self.shown_at_once.remove(&id);
        self.callers.remove(&id);
        if let Some(live) = self.runs.remove(&id) {
            self.backlog.remove(&live);
        }
    }

    /// The rules for the run, if it can be one.
    fn check(&self, submission: &Submission) -> Result<Policy, Refusal> {
        let Submission {
            action,
            input,
            due,
            start,
            ..
        } = submission;
        let spec = self
            .catalogue
            .as_ref()
            .and_then(|catalogue| catalogue.get(action));
        let Some(spec) = spec else {
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
        Ok(self.policy(spec))
    }

    fn policy(&self, spec: &ActionSpec) -> Policy {
        Policy {
            timeout: Duration::from_secs(spec.timeout.into()),
            retry: RetryPolicy {
                retries: spec.retries,
                backoff: self.settings.backoff,
            },
            on_lost: spec.on_lost,
        }
    }
}
