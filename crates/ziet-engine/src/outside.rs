//! What is asked from outside of runs that were accepted before: starting, cancelling, waiting for their end.
//!
//! Most runs that have not finished are in the store alone. One that is asked for is read, which comes after everything
//! that was written before: so what is in memory is always the newer.

use ziet_core::run::{Cancelled, Rejected, RunState};
use ziet_core::{ErrorCode, Event, RunId};
use ziet_store::{StoreError, runs};

use crate::answer::{Cancelling, Done, Refusal, Seen};
use crate::live::Live;
use crate::turn::Scheduler;

impl Scheduler {
    /// Does something with a run that is in memory then, unless it has finished or does not exist. One that is not changed
    /// by it leaves memory again if it was not there before.
    pub(crate) fn with_run(
        &mut self,
        run: RunId,
        work: impl FnOnce(&mut Self, Result<(), Refusal>) + Send + 'static,
    ) {
        if self.runs.contains_key(&run) {
            return work(self, Ok(()));
        }
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| runs::load(tx, &project, run).await,
            move |scheduler, loaded: Result<_, StoreError>| {
                let loaded = match loaded {
                    // It has come into memory meanwhile.
                    _ if scheduler.runs.contains_key(&run) => return work(scheduler, Ok(())),
                    Ok(Some(loaded)) if loaded.run.state.is_finished() => {
                        Err(ended(run, &loaded.run.state))
                    }
                    Ok(Some(loaded)) => Ok(loaded),
                    Ok(None) => Err(Refusal::no_run(run)),
                    Err(error) => Err(Refusal::from(&error)),
                };
                match loaded {
                    Ok(loaded) => {
                        let before = loaded.run.state.clone();
                        scheduler.runs.insert(run, Live::from(loaded));
                        work(scheduler, Ok(()));
                        if scheduler
                            .runs
                            .get(&run)
                            .is_some_and(|live| live.run.state == before)
                        {
                            scheduler.runs.remove(&run);
                        }
                    }
                    Err(refusal) => work(scheduler, Err(refusal)),
                }
            },
        );
    }

    /// What is asked from outside is refused while it cannot be written.
    pub(crate) fn writable(&self) -> Result<(), Refusal> {
        self.unwritten
            .outage()
            .map_or(Ok(()), |error| Err(Refusal::from(error)))
    }

    pub(crate) fn invoke(&mut self, run: RunId, done: Done<Result<(), Refusal>>) {
        let refused = match self.drain {
            Some(_) => Err(Refusal::draining()),
            None => self.writable(),
        };
        if let Err(refusal) = refused {
            return done(Err(refusal));
        }
        self.with_run(run, move |scheduler, found| {
            let finished =
                || Refusal::new(ErrorCode::RunFinished, format!("run {run} has finished"));
            let found = found.map_err(|refusal| match refusal.code {
                ErrorCode::Cancelled => finished(),
                _ => refusal,
            });
            let started = found.and_then(|()| {
                scheduler
                    .apply(run, Event::Start)
                    .map_err(|rejected| match rejected {
                        Rejected::Finished => finished(),
                        Rejected::Fenced | Rejected::NotDue | Rejected::Misplaced => {
                            let message = format!("run {run} was started before");
                            Refusal::new(ErrorCode::NotCreated, message)
                        }
                    })
            });
            match started {
                // The transition comes before it.
                Ok(()) => scheduler.commit(Vec::new(), move |_| done(Ok(()))),
                Err(refusal) => done(Err(refusal)),
            }
        });
    }

    pub(crate) fn cancel(
        &mut self,
        run: RunId,
        cancelled: Cancelled,
        done: Done<Result<Cancelling, Refusal>>,
    ) {
        match self.writable() {
            Ok(()) => self.cancel_now(run, cancelled, done),
            Err(refusal) => done(Err(refusal)),
        }
    }

    fn cancel_now(
        &mut self,
        run: RunId,
        cancelled: Cancelled,
        done: Done<Result<Cancelling, Refusal>>,
    ) {
        self.with_run(run, move |scheduler, found| {
            let refusal = match found {
                Ok(()) => match scheduler.apply(run, Event::Cancel(cancelled)) {
                    Ok(()) => {
                        return scheduler
                            .commit(Vec::new(), move |_| done(Ok(Cancelling::Cancelled)));
                    }
                    // It is being written that it has.
                    Err(_) => scheduler
                        .runs
                        .get(&run)
                        .map(|live| ended(run, &live.run.state)),
                },
                Err(refusal) => Some(refusal),
            };
            match refusal {
                Some(refusal) if refusal.code == ErrorCode::Cancelled => {
                    scheduler.commit(Vec::new(), move |_| done(Ok(Cancelling::Already)));
                }
                Some(refusal) => done(Err(refusal)),
                None => done(Err(Refusal::no_run(run))),
            }
        });
    }

    /// Cancels a run whose caller does not wait for it any more.
    pub(crate) fn cancel_called(&mut self, run: RunId, cancelled: Cancelled) {
        // One that has finished meanwhile needs no cancelling; one that could not be read is an orphan when it is due.
        self.cancel_now(run, cancelled, Box::new(drop));
    }

    pub(crate) fn when_finished(&mut self, run: RunId, seen: Seen) {
        if self.runs.contains_key(&run) || self.waiters.contains_key(&run) {
            return self.waiters.add(run, seen);
        }
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| runs::is_unfinished(tx, &project, run).await,
            move |scheduler, unfinished| match unfinished {
                _ if scheduler.runs.contains_key(&run) => scheduler.waiters.add(run, seen),
                Ok(true) => scheduler.waiters.add(run, seen),
                Ok(false) => seen.see(None),
                Err(error) => {
                    scheduler.store_failed(error);
                    // Asked again as soon as the store works.
                    scheduler.commit(Vec::new(), move |scheduler| {
                        scheduler.when_finished(run, seen);
                    });
                }
            },
        );
    }
}

/// A run is cancelled because its caller, which was not cancelled itself, does not wait for it.
pub(crate) fn abandoned(reason: &str) -> Cancelled {
    Cancelled {
        by: "parent".to_owned(),
        reason: Some(reason.to_owned()),
    }
}

pub(crate) const CALLER_ENDED: &str = "the run that called it has ended";

/// Why nothing is done with a run that has finished; the code tells whether it was cancelled.
fn ended(run: RunId, state: &RunState) -> Refusal {
    let code = match state {
        RunState::Cancelled(_) => ErrorCode::Cancelled,
        _ => ErrorCode::RunFinished,
    };
    Refusal::new(code, format!("run {run} has finished"))
}
