//! Applies events to runs: core decides, the store writes, and what follows is done after the commit.

use std::collections::BTreeSet;
use std::time::Duration;

use ziet_core::error::Failure;
use ziet_core::memory::Entry;
use ziet_core::run::{Cancelled, Effect, ErrorNote, Outcome, Rejected, RunState};
use ziet_core::wire::ToExecutor;
use ziet_core::{EntryId, Event, Json, Run, RunId, Time, WorkerId, transition};
use ziet_store::{AttemptRecord, Change, StateChange};

use crate::attempt::Used;
use crate::live::Live;
use crate::notice::Happening;
use crate::outside::{CALLER_ENDED, abandoned};
use crate::turn::Scheduler;

/// How long ends of attempts are gathered for one commit while other runs wait for an executor: then it counts how many
/// end, and waking the store for each of them costs more than to write it.
const GATHER: Duration = Duration::from_millis(2);

impl Scheduler {
    pub(crate) fn apply(&mut self, id: RunId, event: Event) -> Result<(), Rejected> {
        self.apply_at(id, event, self.clock.now(), Used::default())
    }

    /// Applies what happened at `now`; the store's row, the attempt's record and the note in memory go into one commit.
    /// `used` is what the attempt has used, when the event ends one.
    pub(crate) fn apply_at(
        &mut self,
        id: RunId,
        event: Event,
        now: Time,
        used: Used,
    ) -> Result<(), Rejected> {
        let live = self.runs.get_mut(&id).ok_or(Rejected::Finished)?;
        let next = transition(&live.run, event, now)?;
        let fence = live.run.attempts;
        let claim = live.run.state.claim();
        let began = live.began();
        self.backlog.moved(&live.run.state, &next.run.state);
        let before = live.run.deadline();
        live.run = next.run.clone();
        move_timer(&mut self.timers, id, before, live.run.deadline());
        let (mut written, mut later) = (Vec::new(), Vec::new());
        for effect in next.effects {
            match effect {
                Effect::Record {
                    attempt,
                    outcome,
                    failure,
                } => {
                    let ended = Ended {
                        number: attempt,
                        outcome,
                        failure,
                        worker: claim.map_or(self.worker_id, |claim| claim.worker),
                        began,
                        used,
                    };
                    let attempt = live.attempt.as_mut();
                    written
                        .extend(attempt.and_then(|attempt| attempt.unsaved.take(id, ended.number)));
                    written.push(Change::Attempt(Box::new(ended.record(id, now))));
                }
                Effect::NoteError(note) => written.push(error_entry(id, live, fence, note, now)),
                // At once: the attempt is over, whether that is written yet or not.
                Effect::Stop { .. } => {
                    if let Some(attempt) = &live.attempt
                        && let Some(worker) = self.deployments.of(attempt.executor)
                    {
                        worker.stop(attempt.executor, false, self.clock.instant());
                    }
                }
                other => later.push(other),
            }
        }
        if live.run.state.claim().is_none() {
            live.attempt = None;
        }
        let change = changed(id, fence, next.run, now, live.earliest());
        self.write_down(change, written, later);
        Ok(())
    }

    /// Commits a transition with what belongs to it, and carries out the rest after that. One that asks for nothing else,
    /// as a claim does, is held back: when the attempt soon ends, both are written as one.
    fn write_down(
        &mut self,
        mut change: StateChange,
        mut written: Vec<Change>,
        later: Vec<Effect>,
    ) {
        if let Some(held) = self.unwritten.take_held(change.id) {
            change.fence = held.fence;
            change.since = held.since;
        }
        if written.is_empty() && later.is_empty() {
            return self.unwritten.hold(change);
        }
        let failed = failed_attempt(&written);
        let (id, now) = (change.id, change.now);
        let run = change.run.clone();
        written.push(Change::State(Box::new(change)));
        let wait = if self.queue.is_empty() {
            Duration::ZERO
        } else {
            GATHER
        };
        self.commit_within(wait, written, move |scheduler| {
            if let Some((outcome, failure)) = failed {
                scheduler.tell_of(id, Happening::AttemptFailed { outcome, failure });
            }
            for effect in later {
                scheduler.carry_out(id, &run, &effect, now);
            }
        });
    }

    pub(crate) fn carry_out(&mut self, id: RunId, run: &Run, effect: &Effect, now: Time) {
        match effect {
            Effect::Enqueue => {
                if run.lost_in_a_row > 0 {
                    self.tell_of(id, Happening::Lost);
                }
                self.enqueue(id);
            }
            Effect::Wake { at } => {
                self.alarm.set(*at);
                if let RunState::Retrying { .. } = run.state {
                    let (attempt, max_attempts) =
                        (run.counted_attempt(), run.policy.retry.attempts());
                    self.tell_of(
                        id,
                        Happening::Retrying {
                            wait: at.since(now),
                            attempt,
                            max_attempts,
                        },
                    );
                }
                self.leave_in_store(id, &run.state);
            }
            Effect::CancelChildren => self.cancel_children(id, run),
            Effect::Announce => self.announce(id, &run.state, now),
            Effect::Stop { .. } | Effect::Record { .. } | Effect::NoteError(_) => {}
        }
    }

    /// A child run belongs to the attempt that called it: when that has ended, nobody waits for it. In a tree that is cancelled
    /// each run says who did it.
    fn cancel_children(&mut self, id: RunId, run: &Run) {
        let cancelled = match &run.state {
            RunState::Cancelled(cancelled) => cancelled.clone(),
            _ => abandoned(CALLER_ENDED),
        };
        let children = self
            .runs
            .get_mut(&id)
            .map(|live| std::mem::take(&mut live.children))
            .unwrap_or_default();
        for child in children {
            self.cancel_called(child, cancelled.clone());
        }
    }

    fn enqueue(&mut self, id: RunId) {
        let called = self.callers.get(id).is_some();
        let Some(live) = self.runs.get_mut(&id) else {
            return; // It was cancelled in the same moment.
        };
        let taken = match self.deployments.home(live.deployment) {
            Some(home) if called => {
                live.deployment = home;
                self.queue.push_called(home, id);
                true
            }
            Some(home) => {
                live.deployment = home;
                self.queue.push(home, id, live.bytes())
            }
            None => {
                self.queue.leave(id);
                false
            }
        };
        if !taken {
            self.leave_in_store(id, &RunState::Queued);
        }
    }

    /// The store has all of it, and nothing is to be done with it for now.
    pub(crate) fn leave_in_store(&mut self, id: RunId, state: &RunState) {
        // Not while a later transition is on its way into the store.
        if self
            .runs
            .get(&id)
            .is_some_and(|live| live.run.state == *state)
        {
            self.runs.remove(&id);
        }
    }

    /// The run has finished: its caller gets the result, and whoever watches is told.
    fn announce(&mut self, id: RunId, state: &RunState, now: Time) {
        let Some(live) = self.runs.get(&id) else {
            return;
        };
        let took = live
            .started_at
            .map(|started| now.since(started))
            .unwrap_or_default();
        let caller = self.callers.remove(id);
        let document = self.documents.remove(&id);
        let (happening, output, failure) = match state {
            RunState::Completed { output } => (
                Happening::Completed {
                    output: output.clone(),
                    took,
                },
                Some(output.clone()),
                None,
            ),
            RunState::Failed { failure } => (
                Happening::Failed {
                    failure: failure.clone(),
                },
                None,
                Some(failure.clone()),
            ),
            RunState::Cancelled(cancelled) => (
                Happening::Cancelled(cancelled.clone()),
                None,
                Some(cancelled_failure(cancelled)),
            ),
            RunState::Created
            | RunState::Scheduled { .. }
            | RunState::Queued
            | RunState::Running { .. }
            | RunState::Waiting { .. }
            | RunState::Retrying { .. } => return,
        };
        self.tell_of(id, happening);
        if let Some(live) = self.runs.remove(&id) {
            self.backlog.remove(&live);
        }
        for seen in self.waiters.remove(id) {
            seen.see(document.clone());
        }
        if let Some(caller) = caller {
            let answer = ToExecutor::CallEnded {
                request: caller.request,
                run_id: id,
                output,
                failure,
            };
            self.answer_call(id, caller, &answer);
        }
    }
}

fn changed(id: RunId, fence: u32, run: Run, now: Time, earliest: Time) -> StateChange {
    let shown = now.max(earliest);
    StateChange {
        id,
        fence,
        since: shown,
        now: if run.state.is_finished() { shown } else { now },
        run,
    }
}

fn move_timer(
    timers: &mut BTreeSet<(Time, RunId)>,
    id: RunId,
    before: Option<Time>,
    after: Option<Time>,
) {
    if let Some(before) = before {
        timers.remove(&(before, id));
    }
    if let Some(after) = after {
        timers.insert((after, id));
    }
}

/// An attempt that is over.
struct Ended {
    number: u32,
    outcome: Outcome,
    failure: Option<Failure>,
    worker: WorkerId,
    /// None for one that never began: it has no other time than that of its end.
    began: Option<Time>,
    used: Used,
}

impl Ended {
    fn record(self, run_id: RunId, now: Time) -> AttemptRecord {
        let Self {
            number,
            outcome,
            failure,
            worker,
            began,
            used,
        } = self;
        let Used {
            cpu_ms,
            peak_memory_bytes,
        } = used;
        let started_at = began.unwrap_or(now);
        AttemptRecord {
            run_id,
            number,
            outcome,
            failure,
            started_at,
            // The clock may have been set back since the last engine began it.
            finished_at: now.max(started_at),
            cpu_ms,
            peak_memory_bytes,
            worker,
        }
    }
}

/// What memory keeps of a failed attempt, under the action's own error key.
fn error_entry(run_id: RunId, live: &Live, attempt: u32, note: ErrorNote, now: Time) -> Change {
    let ErrorNote {
        attempt: counted,
        max_attempts,
        will_retry,
        failure,
    } = note;
    let value = serde_json::json!({
        "type": failure.kind,
        "message": failure.message,
        "traceback": failure.traceback,
        "attempt": counted,
        "max_attempts": max_attempts,
        "will_retry": will_retry,
    });
    let entry = Entry {
        entry_id: EntryId::new(now),
        key: live.action.error_key(),
        value: Json::trusted(value.to_string().into_bytes()),
        metadata: None,
        created_at: now,
        run_id: Some(run_id),
        attempt: Some(attempt),
    };
    Change::Entry {
        memory_id: live.memory,
        entry,
    }
}

fn failed_attempt(changes: &[Change]) -> Option<(Outcome, Failure)> {
    changes.iter().find_map(|change| match change {
        Change::Attempt(record) => record
            .failure
            .clone()
            .map(|failure| (record.outcome, failure)),
        _ => None,
    })
}

fn cancelled_failure(cancelled: &Cancelled) -> Failure {
    use ziet_core::ErrorCode;
    let reason = cancelled
        .reason
        .as_deref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    Failure::new(
        ErrorCode::Cancelled,
        "RunCancelled",
        format!("cancelled by {}{reason}", cancelled.by),
    )
}
