//! Removes runs that are older than they are to be kept: a little at a time, so that others have their turn.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};
use ziet_core::Time;
use ziet_engine::Clock;
use ziet_store::retention::{self, Old};
use ziet_store::{Result, Store, StoreError, deployments};

use crate::error::CliError;
use crate::output::counted;

/// Runs that are looked at in one transaction: a few milliseconds, in which others wait.
const BATCH: usize = 500;

/// Between two of them, while a server is running: as long as the last one took, so that others have half of the writer's
/// time, but within these bounds: what is removed must keep up with what they bring.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// Between two sweeps, at most.
const EVERY: Duration = Duration::from_secs(300);

/// How far the clock may be set forward between two sweeps: a mistake of more could have everything removed.
const LEAP: Duration = Duration::from_secs(3600);

/// How long it is to go on evenly after that until it is believed.
const STEADY: Duration = Duration::from_secs(3600);

/// Removes what is old, of all projects, and gives the space back; `go_on` is asked after each step, and told how long
/// that took. Returns how many runs are gone.
///
/// # Errors
/// What the store says; what was removed by then stays so.
pub(super) fn sweep(
    store: &Store,
    old: Old,
    mut go_on: impl FnMut(Duration) -> bool,
) -> Result<usize> {
    let mut runs = 0;
    for project in store.read_now(async |tx| deployments::projects(tx).await)? {
        let mut after = None;
        loop {
            let of = project.clone();
            let (pruned, took) = timed(|| {
                store.write_now(async move |tx| retention::prune(tx, &of, &old, after, BATCH).await)
            });
            let pruned = pruned?;
            runs += usize::try_from(pruned.runs).unwrap_or(usize::MAX);
            if !go_on(took) {
                return Ok(runs);
            }
            after = pruned.next;
            if after.is_none() {
                break;
            }
        }
    }
    let mut more = runs > 0;
    while more {
        let (left, took) = timed(|| vacuum(store));
        more = left? && go_on(took);
    }
    Ok(runs)
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed<T>(step: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = step();
    (done, start.elapsed())
}

/// Gives some space back; false when there is none left to give.
fn vacuum(store: &Store) -> Result<bool> {
    let (tell, done) = channel();
    store.vacuum_some(move |more| drop(tell.send(more)));
    done.recv().unwrap_or(Err(StoreError::Closed))
}

/// What a running server removes. Dropping it waits for the step that is under way.
pub(super) struct Retention {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Retention {
    /// Sweeps at once, and from then on every few minutes.
    pub(super) fn start(
        store: Store,
        keep: Duration,
        clock: Clock,
    ) -> std::result::Result<Self, CliError> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new()
            .name("ziet-retention".to_owned())
            .spawn(move || repeat(&store, keep, &clock, &stopped))
            .map_err(|error| CliError::failed("old runs cannot be removed", error))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn repeat(store: &Store, keep: Duration, clock: &Clock, stopped: &Receiver<()>) {
    let every = (keep / 10).clamp(Duration::from_secs(1), EVERY);
    let pause = |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    let mut trust = Trust::new(clock.origin());
    loop {
        let (origin, elapsed) = (clock.origin(), clock.elapsed());
        if trust.allows(origin, elapsed) {
            let old = Old::at(origin.plus(elapsed), keep);
            match sweep(store, old, |took| pause(took.clamp(PAUSES.0, PAUSES.1))) {
                Ok(0) => {}
                Ok(runs) => info!(
                    runs,
                    "removed {} older than --retention",
                    counted(runs, "run")
                ),
                // Whatever it is, it concerns runs as well, and the next sweep may find it better.
                Err(error) => error!("old runs are not removed: {error}"),
            }
        }
        if !pause(every) {
            return;
        }
    }
}

/// Whether a clock may say what is old. Runs that were removed because it was wrong do not come back.
struct Trust {
    /// Where the clock's time began when it was believed last.
    origin: Time,
    /// Where it has begun since it is not, and when that was seen, by the time that has elapsed.
    doubted: Option<(Time, Duration)>,
}

impl Trust {
    fn new(origin: Time) -> Self {
        Self {
            origin,
            doubted: None,
        }
    }

    fn allows(&mut self, origin: Time, elapsed: Duration) -> bool {
        let leap = origin.since(self.origin);
        if leap > LEAP {
            match self.doubted {
                Some((doubted, since)) if origin.since(doubted) <= LEAP => {
                    if elapsed.saturating_sub(since) < STEADY {
                        return false;
                    }
                }
                _ => {
                    warn!(
                        seconds = leap.as_secs(),
                        "the clock has jumped forward by {} s: old runs are not removed before it has gone on evenly for an hour",
                        leap.as_secs()
                    );
                    self.doubted = Some((origin, elapsed));
                    return false;
                }
            }
        }
        *self = Self::new(origin);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(hours: i64) -> Time {
        Time::from_millis(1_700_000_000_000 + hours * 3_600_000)
    }

    #[test]
    fn a_clock_is_believed_that_goes_on_or_is_set_a_little_or_back() {
        let mut trust = Trust::new(at(0));
        for (number, hours) in [0, 1, 2, 1, -500, -499].into_iter().enumerate() {
            let elapsed = MINUTE * 5 * u32::try_from(number).unwrap();
            assert!(trust.allows(at(hours), elapsed), "{hours}");
        }
    }

    #[test]
    fn a_clock_that_has_jumped_forward_is_believed_after_an_hour() {
        let mut trust = Trust::new(at(0));
        assert!(!trust.allows(at(31 * 24), MINUTE * 5));
        assert!(!trust.allows(at(31 * 24), MINUTE * 64));
        assert!(trust.allows(at(31 * 24), MINUTE * 65));
        assert!(trust.allows(at(31 * 24), MINUTE * 70));
    }

    #[test]
    fn the_hour_begins_again_with_the_next_jump() {
        let mut trust = Trust::new(at(0));
        assert!(!trust.allows(at(24), MINUTE * 5));
        assert!(!trust.allows(at(48), MINUTE * 60));
        assert!(!trust.allows(at(48), MINUTE * 119));
        assert!(trust.allows(at(48), MINUTE * 120));
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_no_doubt() {
        let mut trust = Trust::new(at(0));
        assert!(!trust.allows(at(24), MINUTE * 5));
        assert!(trust.allows(at(0), MINUTE * 10));
        assert!(!trust.allows(at(24), MINUTE * 70));
    }
}
