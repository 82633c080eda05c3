//! What has changed on its way into the store: gathered, handed over in order, and kept while the store cannot write.
//!
//! After a write that failed no later one is done before it: they may build on it. What was decided is written as soon as
//! the store works again; what was only asked for from outside is refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ziet_core::document::RunDocument;
use ziet_core::run::RunState;
use ziet_core::wire::Level;
use ziet_core::{RunId, Time};
use ziet_store::{Change, StateChange, StoreError, Tx, changes, runs};

use crate::clock::Step;
use crate::notice::Notice;
use crate::turn::{Scheduler, Work};

/// How long a transition that asks for nothing waits for the next one of its run. A crash in that time forgets no more than
/// one just before it would.
const HOLD: Duration = Duration::from_millis(5);

/// Bytes of input and output up to which a run is shown by the writer itself.
const SHOWN_BYTES: usize = 64 * 1024;

/// The pauses between two tries to write, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

type Answer = Box<dyn FnOnce(&mut Scheduler, Result<(), StoreError>) + Send>;

/// What is done when the store has answered.
enum After {
    /// What was decided cannot be taken back: it is tried until it is written.
    Written(Work),
    /// Whoever asked is told that it was not.
    Answered(Answer),
}

/// Changes that belong together.
struct Unit {
    changes: Vec<Change>,
    after: After,
}

/// What is to be written.
#[derive(Default)]
pub(crate) struct Unwritten {
    units: Vec<Unit>,
    /// When it is handed to the store at the latest; None when there is nothing.
    by: Option<Time>,
    /// Transitions that wait for the next one of their run, and since when the first of them does.
    held: HashMap<RunId, StateChange>,
    held_since: Option<Time>,
    /// Batches that the store has not answered.
    in_flight: usize,
    /// What of them was not written.
    failed: Vec<Unit>,
    /// Set on the store's own thread, so that nothing gets past a write that failed.
    stuck: Arc<AtomicBool>,
    outage: Option<Outage>,
}

/// The store cannot write.
struct Outage {
    error: StoreError,
    until: Time,
    pause: Duration,
}

impl Unwritten {
    /// Why the store cannot write at the moment.
    pub(crate) fn outage(&self) -> Option<&StoreError> {
        self.outage.as_ref().map(|outage| &outage.error)
    }

    /// Takes what is held back for a run, so that it can be written with what follows.
    pub(crate) fn take_held(&mut self, run: RunId) -> Option<StateChange> {
        let held = self.held.remove(&run);
        self.held_since = self.held_since.filter(|_| !self.held.is_empty());
        held
    }

    pub(crate) fn hold(&mut self, change: StateChange) {
        self.held_since.get_or_insert(change.now);
        self.held.insert(change.id, change);
    }

    /// The clock was set: what waits does so no longer, and no shorter.
    pub(crate) fn follow(&mut self, step: Step) {
        self.by = self.by.map(|by| step.moved(by));
        self.held_since = self.held_since.map(|since| step.moved(since));
        for change in self.held.values_mut() {
            change.now = step.moved(change.now);
        }
        if let Some(outage) = &mut self.outage {
            outage.until = step.moved(outage.until);
        }
    }

    /// When there is something to do; None when nothing waits.
    pub(crate) fn due(&self) -> Option<Time> {
        if let Some(outage) = &self.outage {
            return (self.in_flight == 0).then_some(outage.until);
        }
        let held = self.held_since.map(|since| since.plus(HOLD));
        [self.by, held].into_iter().flatten().min()
    }

    /// Says whether a verb of the engine may still write: not after one that failed.
    pub(crate) fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.stuck))
    }

    /// Writes what has been held back since `since` or longer; what is younger may still be one with what follows.
    fn hold_no_longer(&mut self, since: Time, now: Time) {
        let old = self.held.extract_if(|_, change| change.now <= since);
        let changes: Vec<Change> = old
            .map(|(_, change)| Change::State(Box::new(change)))
            .collect();
        self.held_since = self.held.values().map(|change| change.now).min();
        if !changes.is_empty() {
            let after = After::Written(Box::new(|_: &mut Scheduler| {}));
            self.push(now, Unit { changes, after });
        }
    }

    fn push(&mut self, by: Time, unit: Unit) {
        self.by = Some(self.by.map_or(by, |earlier| earlier.min(by)));
        self.units.push(unit);
    }
}

/// Lets nothing past a write that failed.
#[derive(Clone)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.0.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable(
                "an earlier write failed".to_owned(),
            ));
        }
        Ok(())
    }

    fn close(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Scheduler {
    /// Writes `changes` together, with all others of this turn of the loop, and does `after` once they are durable.
    pub(crate) fn commit(
        &mut self,
        changes: Vec<Change>,
        after: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        self.commit_within(Duration::ZERO, changes, after);
    }

    /// The same, but others may come first for so long.
    pub(crate) fn commit_within(
        &mut self,
        wait: Duration,
        changes: Vec<Change>,
        after: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        let by = self.clock.now().plus(wait);
        let after = After::Written(Box::new(after));
        self.unwritten.push(by, Unit { changes, after });
    }

    /// Writes what somebody asks for who can be told that it was not.
    pub(crate) fn commit_or(
        &mut self,
        changes: Vec<Change>,
        after: impl FnOnce(&mut Self, Result<(), StoreError>) + Send + 'static,
    ) {
        let by = self.clock.now();
        let after = After::Answered(Box::new(after));
        self.unwritten.push(by, Unit { changes, after });
    }

    /// The same for what the store may refuse, as nothing else of the turn should be.
    pub(crate) fn commit_alone(
        &mut self,
        changes: Vec<Change>,
        after: impl FnOnce(&mut Self, Result<(), StoreError>) + Send + 'static,
    ) {
        let (project, gate) = (self.project.clone(), self.unwritten.gate());
        let changes = Arc::new(changes);
        let kept = Arc::clone(&changes);
        let done = self.then(move |scheduler, result: Result<(), StoreError>| {
            if result.is_ok() {
                scheduler.tell(Notice::Written(kept));
            }
            after(scheduler, result);
        });
        self.store.write(
            async move |tx| {
                gate.check()?;
                changes::commit(tx, &project, &changes).await
            },
            done,
        );
    }

    /// Does not hold the run's transition back any longer: something is written that belongs to the attempt, and must not be
    /// there without it.
    pub(crate) fn write_claim(&mut self, run: RunId) {
        if let Some(change) = self.unwritten.take_held(run) {
            self.commit(vec![Change::State(Box::new(change))], |_| {});
        }
    }

    /// Reads what everything that was written before has left, and not before that is durable: what comes back is how a
    /// run stands if it is not in memory.
    pub(crate) fn read_in_order<T, F>(
        &mut self,
        verb: F,
        done: impl FnOnce(&mut Self, Result<T, StoreError>) + Send + 'static,
    ) where
        F: AsyncFn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.hand_over();
        let done = self.then(done);
        self.store.write(verb, done);
    }

    /// Hands what has changed to the store when it is time to: as one, since much of the cost of a change is that of handing it
    /// over and of being told.
    pub(crate) fn write_turn(&mut self) {
        let now = self.clock.now();
        let since = if self.stopping { now } else { now.minus(HOLD) };
        if self.unwritten.held_since.is_some_and(|held| held <= since) {
            self.unwritten.hold_no_longer(since, now);
        }
        if self
            .unwritten
            .due()
            .is_some_and(|due| due <= now || self.stopping)
        {
            self.hand_over();
        }
    }

    /// Hands over what has changed, but for what is held back.
    fn hand_over(&mut self) {
        let now = self.clock.now();
        let unwritten = &mut self.unwritten;
        if let Some(outage) = &unwritten.outage {
            if unwritten.in_flight > 0 || outage.until > now {
                return;
            }
            unwritten.stuck.store(false, Ordering::Release);
            if unwritten.units.is_empty() {
                unwritten.outage = None;
            }
        }
        unwritten.by = None;
        let units = std::mem::take(&mut unwritten.units);
        if !units.is_empty() {
            self.write(units);
        }
    }

    fn write(&mut self, units: Vec<Unit>) {
        let (mut changes, mut afters) = (Vec::new(), Vec::new());
        for unit in units {
            afters.push((unit.changes.len(), unit.after));
            changes.extend(unit.changes);
        }
        let changes = Arc::new(changes);
        let (project, gate, kept) = (
            self.project.clone(),
            self.unwritten.gate(),
            Arc::clone(&changes),
        );
        let closing = gate.clone();
        let shown = self.documents_wanted(&changes);
        self.unwritten.in_flight += 1;
        let done = self.then(move |scheduler, result| scheduler.written(result, kept, afters));
        self.store.write(
            async move |tx| {
                gate.check()?;
                let done = changes::commit(tx, &project, &changes).await;
                if done.is_err() {
                    gate.close();
                }
                done?;
                // Here what was just written is at hand; a reader would have to find it again.
                let mut documents = Vec::with_capacity(shown.len());
                for run in &shown {
                    documents.extend(runs::document(tx, &project, *run).await?);
                }
                Ok(documents)
            },
            move |result| {
                if result.is_err() {
                    closing.close();
                }
                done(result);
            },
        );
    }

    /// The runs for whose documents somebody waits, when these changes are written.
    fn documents_wanted(&mut self, changes: &[Change]) -> Vec<RunId> {
        if self.waiters.is_empty() && self.shown_at_once.is_empty() {
            return Vec::new();
        }
        let shown = changes.iter().filter_map(|change| match change {
            Change::Submit(new) if self.shown_at_once.remove(&new.id) => {
                Some((new.id, new.input.as_bytes().len()))
            }
            Change::State(change) if self.waiters.contains_key(&change.id) => {
                let output = match &change.run.state {
                    RunState::Completed { output } => output.as_bytes().len(),
                    RunState::Failed { .. } | RunState::Cancelled(_) => 0,
                    _ => return None,
                };
                let input = self.runs.get(&change.id)?.input.as_bytes().len();
                Some((change.id, input + output))
            }
            _ => None,
        });
        // The writer copies nothing large: all others would wait for it.
        let small = shown.filter(|(_, size)| *size <= SHOWN_BYTES);
        small.map(|(run, _)| run).collect()
    }

    fn written(
        &mut self,
        result: Result<Vec<RunDocument>, StoreError>,
        changes: Arc<Vec<Change>>,
        afters: Vec<(usize, After)>,
    ) {
        self.unwritten.in_flight -= 1;
        match result {
            Ok(documents) => {
                self.unwritten.outage = None;
                self.tell(Notice::Written(changes));
                let documents = documents.into_iter();
                self.documents = documents.map(|one| (one.id, Arc::new(one))).collect();
                for (_, after) in afters {
                    match after {
                        After::Written(after) => after(self),
                        After::Answered(after) => after(self, Ok(())),
                    }
                }
            }
            Err(error) if passes(&error) => self.not_written(&error, changes, afters),
            Err(error) => return self.break_down(error.into()),
        }
        if self.unwritten.in_flight == 0 && !self.unwritten.failed.is_empty() {
            let later = std::mem::take(&mut self.unwritten.units);
            self.unwritten.units = std::mem::take(&mut self.unwritten.failed);
            self.unwritten.units.extend(later);
        }
    }

    /// Keeps what was decided, and has it tried again after a pause.
    fn not_written(
        &mut self,
        error: &StoreError,
        changes: Arc<Vec<Change>>,
        afters: Vec<(usize, After)>,
    ) {
        let changes = Arc::try_unwrap(changes).unwrap_or_else(|shared| (*shared).clone());
        let mut changes = changes.into_iter();
        for (count, after) in afters {
            let changes: Vec<Change> = changes.by_ref().take(count).collect();
            match after {
                After::Written(_) => self.unwritten.failed.push(Unit { changes, after }),
                After::Answered(after) => after(self, Err(error.clone())),
            }
        }
        self.store_failed(error.clone());
    }

    /// The store could not do it. If that can pass, it is asked for nothing for a while, and nothing new is begun.
    pub(crate) fn store_failed(&mut self, error: StoreError) {
        if !passes(&error) {
            return self.break_down(error.into());
        }
        let now = self.clock.now();
        if self.unwritten.outage.is_none() {
            let text = format!("{error}; nothing is begun until it works again");
            self.tell(Notice::Printed {
                level: Level::Error,
                text,
            });
        }
        self.unwritten.outage = Some(match self.unwritten.outage.take() {
            // Those that were on their way with it say nothing new.
            Some(outage) if outage.until > now => outage,
            earlier => {
                let pause = earlier.map_or(FIRST_PAUSE, |earlier| {
                    (earlier.pause * 2).min(LONGEST_PAUSE)
                });
                Outage {
                    error,
                    until: now.plus(pause),
                    pause,
                }
            }
        });
    }
}

/// Whether it can be better later.
fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Full | StoreError::Busy | StoreError::ReadOnly | StoreError::Unavailable(_)
    )
}
