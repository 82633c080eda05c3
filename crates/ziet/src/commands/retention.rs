//! Removes runs that are older than they are to be kept: a little at a time, so that others have their turn.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info};
use ziet_store::retention::{self, Old};
use ziet_store::{Result, Store, StoreError, catalogue};

use crate::clock;
use crate::error::CliError;
use crate::output::counted;

/// Runs that are looked at in one transaction: a few milliseconds, in which others wait.
const BATCH: usize = 500;

/// Between two of them, while a server is running: as long as the last one took, within these bounds. So half of the
/// writer's time is for others, and where they use it, removing keeps up with them.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// Between two sweeps, at most.
const EVERY: Duration = Duration::from_secs(300);

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
    for project in store.read_now(async |tx| catalogue::projects(tx).await)? {
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
    while runs > 0 {
        let (more, took) = timed(|| vacuum(store));
        if !more? || !go_on(took) {
            break;
        }
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
    pub(super) fn start(store: Store, keep: Duration) -> std::result::Result<Self, CliError> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new()
            .name("ziet-retention".to_owned())
            .spawn(move || repeat(&store, keep, &stopped))
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

fn repeat(store: &Store, keep: Duration, stopped: &Receiver<()>) {
    let every = (keep / 10).clamp(Duration::from_secs(1), EVERY);
    let pause = |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    loop {
        match sweep(store, Old::at(clock::now(), keep), |took| {
            pause(took.clamp(PAUSES.0, PAUSES.1))
        }) {
            Ok(0) => {}
            Ok(runs) => info!(
                runs,
                "removed {} older than --retention",
                counted(runs, "run")
            ),
            // Whatever it is, it concerns runs as well, and the next sweep may find it better.
            Err(error) => error!("old runs are not removed: {error}"),
        }
        if !pause(every) {
            return;
        }
    }
}
