//! Live answers: server-sent events that are read from the store as the reader takes them.
//!
//! A hint only says that it is time to look. Whoever reads slowly finds, when it comes to it, how things stand by then:
//! nothing is kept for it meanwhile but the one page that it is at.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use ziet_core::{ProjectId, RunId};

use crate::hints::RunHints;
use crate::keys::Key;
use crate::params::place;
use crate::platform::{Look, Platform};
use crate::problem::Problem;
use crate::share::Taken;

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
    /// What there is after the place where the last call ended: about as much as a page may have.
    fn read(&mut self, room: &Taken) -> impl Future<Output = Result<News, Problem>> + Send;

    /// Until there was a hint since the last call.
    fn hint(&mut self) -> impl Future<Output = ()> + Send;
}

/// Where a live answer about one run reads.
pub(crate) trait Told: Send + 'static {
    /// As of [`Source::read`].
    fn read(&mut self, look: Look<'_>) -> impl Future<Output = Result<News, Problem>> + Send;
}

/// A run that is followed live.
pub(crate) struct Followed<T> {
    platform: Arc<Platform>,
    project: ProjectId,
    run: RunId,
    hints: RunHints,
    told: T,
}

impl<T> Followed<T> {
    /// `told` is how far the reader is.
    pub(crate) fn new(platform: Arc<Platform>, project: ProjectId, run: RunId, told: T) -> Self {
        Self {
            hints: platform.hints.follow(run),
            platform,
            project,
            run,
            told,
        }
    }
}

impl<T: Told> Source for Followed<T> {
    async fn read(&mut self, room: &Taken) -> Result<News, Problem> {
        let look = Look {
            platform: &self.platform,
            room,
            project: &self.project,
            run: self.run,
        };
        self.told.read(look).await
    }

    async fn hint(&mut self) {
        self.hints.next().await;
    }
}

/// What a look at the store brought.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) events: Vec<Event>,
    /// Whether there may be more already.
    pub(crate) more: bool,
    /// What is told last, when there will be no more.
    pub(crate) ended: Option<Event>,
}

/// Says that there will be no more, and nothing else.
pub(crate) fn end() -> Event {
    Event::default().event("end").data("{}")
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
    id: &impl ToString,
    document: &impl Serialize,
) -> Result<Event, Problem> {
    let event = Event::default().event(name).id(id.to_string());
    event.json_data(document).map_err(Problem::internal)
}

/// Answers with what there is, and with what comes, until it has ended, the key is revoked or the server stops.
///
/// # Errors
/// When the key has no room for it, or what the first look at the store says: then nothing was answered yet.
pub(crate) async fn answer(mut source: impl Source, key: &Arc<Key>) -> Result<Response, Problem> {
    let stream = key.share.stream()?;
    let room = key.share.read().await?;
    let news = source.read(&room).await?;
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let mut live = Live {
        source,
        ready: VecDeque::new(),
        room: None,
        stage: Stage::Reading,
        heartbeat,
        key: Arc::clone(key),
        _stream: stream,
    };
    live.take(news, room);
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
    /// For as long as some of it is not told.
    room: Option<Taken>,
    stage: Stage,
    heartbeat: Interval,
    key: Arc<Key>,
    _stream: Taken,
}

/// What comes when all that was read is told.
enum Stage {
    Reading,
    Waiting,
    /// With what is told last.
    Ended(Event),
    Over,
}

impl<S: Source> Live<S> {
    /// None when all is told, or the reader is to come back: it says then where it was.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.key.ended.is_cancelled() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            self.room = None;
            match self.stage {
                Stage::Over => return None,
                Stage::Ended(ref mut last) => {
                    let last = mem::take(last);
                    self.stage = Stage::Over;
                    return Some(last);
                }
                Stage::Waiting => tokio::select! {
                    () = self.key.ended.cancelled() => return None,
                    () = self.source.hint() => sleep(PAUSE).await,
                    _ = self.heartbeat.tick() => {
                        self.stage = Stage::Reading;
                        return Some(Event::default().comment("still here"));
                    }
                },
                Stage::Reading => {}
            }
            let room = tokio::select! {
                () = self.key.ended.cancelled() => return None,
                room = self.key.share.turn() => room.ok()?,
            };
            let news = self.source.read(&room).await.ok()?;
            self.take(news, room);
        }
    }

    fn take(&mut self, news: News, room: Taken) {
        self.ready = news.events.into();
        self.room = (!self.ready.is_empty()).then_some(room);
        self.stage = match news {
            News { more: true, .. } => Stage::Reading,
            News {
                ended: Some(last), ..
            } => Stage::Ended(last),
            News { .. } => Stage::Waiting,
        };
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::{Instant, timeout};
    use tokio_util::sync::CancellationToken;
    use ziet_core::{KeyId, Scope, Time};
    use ziet_store::keys::KeyRecord;

    use super::*;
    use crate::keys::{Keys, NewKey};

    /// Tells each number that it is given, and how often it was looked at.
    struct Numbers {
        given: UnboundedReceiver<u32>,
        next: Option<u32>,
        looks: UnboundedSender<()>,
    }

    impl Source for Numbers {
        async fn read(&mut self, _: &Taken) -> Result<News, Problem> {
            let _ = self.looks.send(());
            let events = self.next.take().map(|next| event("number", &next, &next));
            Ok(News {
                events: events.into_iter().collect::<Result<_, _>>()?,
                ..News::default()
            })
        }

        async fn hint(&mut self) {
            match self.given.recv().await {
                Some(next) => self.next = Some(next),
                None => std::future::pending().await,
            }
        }
    }

    struct Reader {
        body: Body,
        give: UnboundedSender<u32>,
        looks: UnboundedReceiver<()>,
        key: Arc<Key>,
        keys: Keys,
    }

    impl Reader {
        async fn new() -> Self {
            let secret = NewKey::random().unwrap();
            let now = Time::from_millis(0);
            let keys = Keys::new(CancellationToken::new());
            keys.add(&KeyRecord {
                id: KeyId::new(now),
                project: None,
                name: "tests".to_owned(),
                scopes: vec![Scope::Read],
                hash: secret.hash,
                prefix: secret.prefix,
                created_at: now,
                last_used_at: None,
                revoked_at: None,
            });
            let key = keys.find(&secret.text).unwrap();
            let ((give, given), (look, looks)) = (unbounded_channel(), unbounded_channel());
            let source = Numbers {
                given,
                next: None,
                looks: look,
            };
            Self {
                body: answer(source, &key).await.unwrap().into_body(),
                give,
                looks,
                key,
                keys,
            }
        }

        async fn next(&mut self) -> Option<String> {
            let bytes = self.body.frame().await?.unwrap().into_data().unwrap();
            Some(String::from_utf8(bytes.to_vec()).unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_while_without_an_event_the_store_is_looked_at_and_a_comment_sent() {
        let mut reader = Reader::new().await;
        for _ in 0..3 {
            let began = Instant::now();
            assert_eq!(reader.next().await.unwrap(), ": still here\n\n");
            assert_eq!(began.elapsed(), HEARTBEAT);
        }
        // The beat counts from the last event.
        tokio::time::advance(HEARTBEAT / 2).await;
        reader.give.send(1).unwrap();
        let number = reader.next().await.unwrap();
        assert!(number.contains("data: 1\n"), "{number}");
        let began = Instant::now();
        assert_eq!(reader.next().await.unwrap(), ": still here\n\n");
        assert_eq!(began.elapsed(), HEARTBEAT);
        // Once at first, for the number, and after each beat but the last.
        let looks = std::iter::from_fn(|| reader.looks.try_recv().ok());
        assert_eq!(looks.count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_answer_reads_when_it_is_its_turn() {
        let mut reader = Reader::new().await;
        let key = Arc::clone(&reader.key);
        let mut rooms = Vec::new();
        while let Ok(room) = key.share.read().await {
            rooms.push(room);
        }
        reader.give.send(1).unwrap();
        assert!(timeout(HEARTBEAT * 10, reader.next()).await.is_err());
        rooms.pop();
        assert!(reader.next().await.unwrap().contains("data: 1\n"));
        // What is not told yet takes room; what waits for a hint takes none.
        assert!(key.share.read().await.is_err());
        assert!(timeout(PAUSE, reader.next()).await.is_err());
        key.share.read().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_live_for_a_key_ends_when_it_is_revoked() {
        let mut reader = Reader::new().await;
        assert!(timeout(PAUSE, reader.next()).await.is_err());
        reader.keys.remove(&reader.key.hash);
        assert_eq!(reader.next().await, None);
    }
}
