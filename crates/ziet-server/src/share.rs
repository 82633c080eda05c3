//! What one key may have in work at a time, so that one client's flood stops neither the submits of others nor their reads.
//!
//! Waiting for an own turn is bounded: who is over it for long is told to come back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::{Code, Problem};

/// Runs that are not committed yet. An engine accepts them in about a tenth of a second.
const RUNS: usize = 4_000;

/// Kilobytes of bodies.
const KILOBYTES: usize = 256 * 1024;

/// Reads of the store, each until its answer is sent.
const READS: usize = 32;

/// Live answers.
const STREAMS: usize = 256;

/// How long a request waits for its turn among those of its own key.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for the requests of one key.
#[derive(Debug)]
pub(crate) struct Share {
    runs: Arc<Semaphore>,
    kilobytes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// Room that is taken until it and its clones are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Taken {
    /// Answers with a document, which takes the room until the last of it is sent or nobody wants it any more.
    pub(crate) fn answer(self, document: &impl Serialize) -> Result<Response, Problem> {
        struct Sent {
            bytes: Vec<u8>,
            _room: Taken,
        }
        impl AsRef<[u8]> for Sent {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        let bytes = serde_json::to_vec(document).map_err(Problem::internal)?;
        let sent = Bytes::from_owner(Sent { bytes, _room: self });
        let mut response = Response::new(Body::from(sent));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }
}

impl Default for Share {
    fn default() -> Self {
        let room = |permits| Arc::new(Semaphore::new(permits));
        Self {
            runs: room(RUNS),
            kilobytes: room(KILOBYTES),
            reads: room(READS),
            streams: room(STREAMS),
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

    /// Room for one read, however long it takes: where refusing it would hide what has been done already.
    pub(crate) async fn turn(&self) -> Result<Taken, Problem> {
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        permit.map(Taken::from).map_err(Problem::internal)
    }

    /// Room for a live answer.
    pub(crate) fn stream(&self) -> Result<Taken, Problem> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        permit.map(Taken::from).map_err(|_| {
            let detail = format!("a key has at most {STREAMS} live answers at a time: end some");
            Problem::new(Code::TooManyRequests, detail).retry_after(Duration::from_secs(1))
        })
    }
}

impl From<OwnedSemaphorePermit> for Taken {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Arc::new(permit),
        }
    }
}

async fn take(room: &Arc<Semaphore>, count: usize) -> Result<Taken, Problem> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if let Ok(permit) = Arc::clone(room).try_acquire_many_owned(count) {
        return Ok(permit.into());
    }
    match timeout(PATIENCE, Arc::clone(room).acquire_many_owned(count)).await {
        Ok(Ok(permit)) => Ok(permit.into()),
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
    use http_body_util::BodyExt;

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

    #[tokio::test(start_paused = true)]
    async fn an_answer_takes_its_room_until_the_last_of_it_is_sent() {
        let share = Share::default();
        let left = || share.reads.available_permits();
        let room = share.read().await.unwrap();
        let body = room.answer(&["a", "b"]).unwrap().into_body();
        let mut bytes = body.collect().await.unwrap().to_bytes();
        let sent = bytes.split_to(3);
        assert_eq!((&*sent, &*bytes), (&b"[\"a"[..], &b"\",\"b\"]"[..]));
        drop(sent);
        assert_eq!(left(), READS - 1);
        drop(bytes);
        assert_eq!(left(), READS);
        drop(share.read().await.unwrap().answer(&1).unwrap());
        assert_eq!(left(), READS);
    }

    #[test]
    fn a_key_has_so_many_live_answers() {
        let [flood, other] = [Share::default(), Share::default()];
        let taken: Vec<Taken> = (0..STREAMS).map(|_| flood.stream().unwrap()).collect();
        let refused = flood.stream().unwrap_err();
        assert_eq!(refused.code, Code::TooManyRequests);
        other.stream().unwrap();
        drop(taken);
        flood.stream().unwrap();
    }
}
