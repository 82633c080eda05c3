//! What one key may have in work at a time, so that one client's flood stops neither the submits of others nor their reads.
//!
//! Waiting for an own turn is bounded: who is over it for long is told to come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::{Code, Problem};

/// Runs that are not committed yet. An engine accepts them in about a tenth of a second.
const RUNS: usize = 4_000;

/// Kilobytes of bodies.
const KILOBYTES: usize = 256 * 1024;

/// Reads of the store.
const READS: usize = 32;

/// How long a request waits for its turn among those of its own key.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for the requests of one key.
#[derive(Debug)]
pub(crate) struct Share {
    runs: Arc<Semaphore>,
    kilobytes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// Room that is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Default for Share {
    fn default() -> Self {
        let room = |permits| Arc::new(Semaphore::new(permits));
        Self {
            runs: room(RUNS),
            kilobytes: room(KILOBYTES),
            reads: room(READS),
        }
    }
}

impl Share {
    /// Room for accepting this many runs.
    pub(crate) async fn runs(&self, count: usize) -> Result<Taken, Problem> {
        take(&self.runs, count).await
    }

    /// Room for a body of at most this many bytes.
    pub(crate) async fn body(&self, bytes: usize) -> Result<Taken, Problem> {
        take(&self.kilobytes, bytes / 1024 + 1).await
    }

    /// Room for one read.
    pub(crate) async fn read(&self) -> Result<Taken, Problem> {
        take(&self.reads, 1).await
    }
}

async fn take(room: &Arc<Semaphore>, count: usize) -> Result<Taken, Problem> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if let Ok(permit) = Arc::clone(room).try_acquire_many_owned(count) {
        return Ok(Taken { _permit: permit });
    }
    match timeout(PATIENCE, Arc::clone(room).acquire_many_owned(count)).await {
        Ok(Ok(permit)) => Ok(Taken { _permit: permit }),
        // It is never closed; and a count beyond all room would wait for ever.
        Ok(Err(_)) | Err(_) => Err(Problem::new(
            Code::TooManyRequests,
            "requests with this key have waited too long for each other: send fewer at a time",
        )
        .retry_after(Duration::from_secs(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_too_much_in_work_waits_and_is_then_told_to_come_back() {
        let [flood, other] = [Share::default(), Share::default()];
        let taken = flood.runs(RUNS).await.unwrap();
        let refused = flood.runs(1).await.unwrap_err();
        assert_eq!(refused.code, Code::TooManyRequests);
        // Neither what the same key reads nor what others submit waits for that.
        flood.read().await.unwrap();
        other.runs(RUNS).await.unwrap();
        let (next, ()) = tokio::join!(flood.runs(1000), async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(taken);
        });
        next.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_have_room_by_their_size() {
        let share = Share::default();
        let first = share.body(KILOBYTES * 1024 - 1024).await.unwrap();
        assert!(share.body(1024).await.is_err());
        drop(first);
        share.body(1024).await.unwrap();
    }
}
