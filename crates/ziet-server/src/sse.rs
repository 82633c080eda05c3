//! Live answers: server-sent events that are read from the store as the reader takes them.
//!
//! A hint only says that it is time to look. Whoever reads slowly finds, when it comes to it, how things stand by then:
//! nothing is kept for it meanwhile but the one page that it is at.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::params::place;
use crate::problem::Problem;

/// After so long without an event a comment is sent, by which both sides see whether the other is there. The store is
/// looked at as well, should a hint have been lost.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What comes faster than this is told together.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a live answer goes on.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Resuming {
    /// The last event that was seen, to go on after it. Live answers only.
    #[param(rename = "Last-Event-ID", required = false)]
    last_event_id: String,
}

/// Where a live answer reads.
pub(crate) trait Source: Send + 'static {
    /// What there is after the place where the last call ended.
    fn read(&mut self) -> impl Future<Output = Result<News, Problem>> + Send;

    /// Until there was a hint since the last call.
    fn hint(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a look at the store brought.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) events: Vec<Event>,
    /// Whether there may be more already.
    pub(crate) more: bool,
    /// Whether there will be no more.
    pub(crate) ended: bool,
}

/// Whether the answer is to be live.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).into_iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// The last event that the reader has seen, when it comes back.
pub(crate) fn last_seen<T: std::str::FromStr>(headers: &HeaderMap) -> Result<Option<T>, Problem> {
    headers
        .get("last-event-id")
        .filter(|id| !id.is_empty())
        .map(|id| place("Last-Event-ID", &String::from_utf8_lossy(id.as_bytes())))
        .transpose()
}

/// An event that brings a document.
pub(crate) fn event(
    name: &str,
    id: impl ToString,
    document: &impl Serialize,
) -> Result<Event, Problem> {
    let event = Event::default().event(name).id(id.to_string());
    event.json_data(document).map_err(Problem::internal)
}

/// Answers with what there is, and with what comes, until it has ended or the server stops.
///
/// # Errors
/// What the first look at the store says: then nothing was answered yet.
pub(crate) async fn answer(
    mut source: impl Source,
    closed: CancellationToken,
) -> Result<Response, Problem> {
    let news = source.read().await?;
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let mut live = Live {
        source,
        ready: VecDeque::new(),
        stage: Stage::Reading,
        heartbeat,
        closed,
    };
    live.take(news);
    let events = stream::unfold(live, async |mut live| {
        let event = live.next().await?;
        live.heartbeat.reset();
        Some((Ok::<_, Infallible>(event), live))
    });
    Ok(Sse::new(events).into_response())
}

struct Live<S> {
    source: S,
    /// What was read and is not told yet.
    ready: VecDeque<Event>,
    stage: Stage,
    heartbeat: Interval,
    closed: CancellationToken,
}

/// What comes when all that was read is told.
enum Stage {
    Reading,
    Waiting,
    Ended,
    Over,
}

impl<S: Source> Live<S> {
    /// None when all is told, or the reader is to come back: it says then where it was.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.stage {
                Stage::Over => return None,
                Stage::Ended => {
                    self.stage = Stage::Over;
                    return Some(Event::default().event("end").data("{}"));
                }
                Stage::Waiting => tokio::select! {
                    () = self.closed.cancelled() => return None,
                    () = self.source.hint() => sleep(PAUSE).await,
                    _ = self.heartbeat.tick() => {
                        self.stage = Stage::Reading;
                        return Some(Event::default().comment("still here"));
                    }
                },
                Stage::Reading => {}
            }
            let news = self.source.read().await.ok()?;
            self.take(news);
        }
    }

    fn take(&mut self, news: News) {
        self.ready = news.events.into();
        self.stage = match news {
            News { more: true, .. } => Stage::Reading,
            News { ended: true, .. } => Stage::Ended,
            News { .. } => Stage::Waiting,
        };
    }
}
