//! Applies events to runs: core decides, the store writes, and what follows is done after the commit.

use std::time::Duration;

use ziet_core::error::Failure;
use ziet_core::memory::Entry;
use ziet_core::run::{Cancelled, Effect, ErrorNote, Outcome, Rejected, RunState};
use ziet_core::wire::ToExecutor;
use ziet_core::{EntryId, Event, Json, Run, RunId, Time, WorkerId, transition};
use ziet_store::{AttemptRecord, Change, StateChange, changes};

use crate::attempt::Used;
use crate::live::Live;
use crate::notice::Happening;
use crate::turn::Scheduler;

/// How long a transition that asks for nothing waits for the next one of its run. A crash in that time forgets no more than
/// one just before it would.
const HOLD: Duration = Duration::from_millis(5);

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
        if let Some(deadline) = live.run.deadline() {
            self.timers.remove(&(deadline, id));
        }
        live.run = next.run.clone();
        if let Some(deadline) = live.run.deadline() {
            self.timers.insert((deadline, id));
        }
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
                        used,
                    };
                    written.push(Change::Attempt(Box::new(ended.record(id, live, now))));
                }
                Effect::NoteError(note) => written.push(error_entry(id, live, fence, note, now)),
                // At once: the attempt is over, whether that is written yet or not.
                Effect::Stop { .. } => {
                    if let Some(attempt) = &live.attempt {
                        self.worker
                            .stop(attempt.executor, false, self.clock.instant());
                    }
                }
                other => later.push(other),
            }
        }
        if live.run.state.claim().is_none() {
            live.attempt = None;
        }
        let change = StateChange {
            id,
            fence,
            run: next.run,
            since: now,
            now,
        };
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
        if let Some(held) = self.held.remove(&change.id) {
            change.fence = held.fence;
            change.since = held.since;
            self.held_since = self.held_since.filter(|_| !self.held.is_empty());
        }
        if written.is_empty() && later.is_empty() {
            self.held_since.get_or_insert(change.now);
            self.held.insert(change.id, change);
            return;
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

    /// Writes `changes` together, with all others of this turn of the loop, and does `after` once they are durable.
    pub(crate) fn commit(
        &mut self,
        changes: Vec<Change>,
        after: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        self.commit_within(Duration::ZERO, changes, after);
    }

    /// The same, but others may come first for so long.
    fn commit_within(
        &mut self,
        wait: Duration,
        changes: Vec<Change>,
        after: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        let by = self.clock.now().plus(wait);
        self.write_by = Some(self.write_by.map_or(by, |earlier| earlier.min(by)));
        self.unwritten.extend(changes);
        self.afterwards.push(Box::new(after));
    }

    /// Hands what has changed to the store when it is time to: as one, since much of the cost of a change is that of handing it
    /// over and of being told. A store that cannot write is the end: what happens in memory from there on would not be
    /// true.
    pub(crate) fn write_turn(&mut self) {
        if self.held_for().is_some_and(|rest| rest.is_zero()) {
            let held = self
                .held
                .drain()
                .map(|(_, change)| Change::State(Box::new(change)));
            self.unwritten.extend(held);
            self.held_since = None;
            self.write_by = Some(self.clock.now());
        }
        let now = self.clock.now();
        if self.write_by.is_none_or(|by| by > now && !self.stopping) {
            return;
        }
        self.write_by = None;
        let project = self.project.clone();
        let changes = std::mem::take(&mut self.unwritten);
        let afterwards = std::mem::take(&mut self.afterwards);
        let done = self.then(move |scheduler, result| match result {
            Ok(()) => afterwards.into_iter().for_each(|after| after(scheduler)),
            Err(error) => scheduler.break_down(error.into()),
        });
        self.store.write(
            async move |tx| changes::commit(tx, &project, &changes).await,
            done,
        );
    }

    /// How long what is held back may still be; None when nothing is.
    pub(crate) fn held_for(&self) -> Option<Duration> {
        let held = self.clock.now().since(self.held_since?);
        Some(HOLD.saturating_sub(held))
    }

    pub(crate) fn carry_out(&mut self, id: RunId, run: &Run, effect: &Effect, now: Time) {
        match effect {
            Effect::Enqueue => {
                if run.lost_in_a_row > 0 {
                    self.tell_of(id, Happening::Lost);
                }
                self.queue.push_back(id);
            }
            Effect::Wake { at } => {
                self.timers.insert((*at, id));
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
            }
            Effect::CancelChildren => self.cancel_children(id),
            Effect::Announce => self.announce(id, &run.state, now),
            Effect::Stop { .. } | Effect::Record { .. } | Effect::NoteError(_) => {}
        }
    }

    /// A child run belongs to the attempt that called it: when that has ended, nobody waits for it.
    fn cancel_children(&mut self, id: RunId) {
        let children = self
            .runs
            .get_mut(&id)
            .map(|live| std::mem::take(&mut live.children))
            .unwrap_or_default();
        for child in children {
            let cancelled = Cancelled {
                by: "parent".to_owned(),
                reason: Some("the run that called it has ended".to_owned()),
            };
            // One that has finished meanwhile needs no cancelling.
            let _ = self.apply(child, Event::Cancel(cancelled));
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
        let caller = live.caller;
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
        self.runs.remove(&id);
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

/// An attempt that is over.
struct Ended {
    number: u32,
    outcome: Outcome,
    failure: Option<Failure>,
    worker: WorkerId,
    used: Used,
}

impl Ended {
    fn record(self, run_id: RunId, live: &Live, now: Time) -> AttemptRecord {
        let Self {
            number,
            outcome,
            failure,
            worker,
            used,
        } = self;
        let Used {
            cpu_ms,
            peak_memory_bytes,
        } = used;
        // One that never began has no other time than that of its end.
        let started_at = live
            .attempt
            .as_ref()
            .map_or(now, |attempt| attempt.started_at);
        AttemptRecord {
            run_id,
            number,
            outcome,
            failure,
            started_at,
            finished_at: now,
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
