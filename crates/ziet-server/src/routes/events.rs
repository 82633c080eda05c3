//! What happened to a run, in its order: told by the run and its attempts as they are stored, and by what was recorded
//! while they were executed.
//!
//! An event has a place that never changes, so that a page or a live answer can go on after it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use ziet_core::document::{ErrorSummary, RunSummary};
use ziet_core::run::{Outcome, Status};
use ziet_core::{ProjectId, Time};
use ziet_store::events::{self, AttemptSummary, EventRecord, Rows};
use ziet_store::{Tx, runs};

use crate::auth::{Allowed, Read};
use crate::page::Page;
use crate::params::{MOST, Named, Params};
use crate::platform::{Look, Platform};
use crate::problem::Problem;
use crate::schema;
use crate::sse::{self, Followed, News, Told};

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RunEvent {
    /// Its place among the events of the run.
    #[schema(value_type = String)]
    #[serde(serialize_with = "place_text")]
    id: Place,
    /// `created`, `attempt_started`, `attempt_finished`, `completed`, `failed`, `cancelled`, or what was recorded meanwhile,
    /// such as `integration_called`. New kinds may come.
    kind: String,
    /// When; null for the start of an attempt that is not its run's first one and has not ended.
    #[schema(required, value_type = Option<schema::Timestamp>)]
    at: Option<Time>,
    /// The attempt that it is of.
    #[schema(required, minimum = 0)]
    attempt: Option<u32>,
    /// Of `attempt_finished`: what became of it.
    #[schema(required, value_type = Option<schema::Outcome>)]
    outcome: Option<Outcome>,
    /// Of `attempt_finished` and `failed`: why.
    #[schema(required, value_type = Option<schema::ErrorSummary>)]
    error: Option<ErrorSummary>,
    /// What was recorded, or why the run was cancelled.
    #[schema(required)]
    detail: Option<String>,
}

/// Where an event stands: in which attempt, at which step of it, and after which recorded event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    attempt: u32,
    step: u32,
    recorded: u64,
}

const BEGINS: u32 = 1;
const GOES_ON: u32 = 2;
const ENDS: u32 = 3;
/// The end of the run comes after all attempts.
const LAST: u32 = u32::MAX;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.attempt, self.step, self.recorded)
    }
}

impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        Ok(Self {
            attempt: part().parse()?,
            step: part().parse()?,
            recorded: part().parse()?,
        })
    }
}

fn place_text<S: serde::Serializer>(place: &Place, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(place)
}

/// Which events are wanted.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are only described")]
struct Wanted {
    /// Only events after the one with this id; `next_cursor` of a page gives the next one.
    #[param(pattern = r"^\d+\.\d+\.\d+$")]
    after: Option<String>,
    /// The most events in a page; 20 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Read what happened to a run
///
/// The oldest event first. With `Accept: text/event-stream` the answer is live: each event has its kind as its name, and
/// `end` says that the run has finished and all is told.
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs", operation_id = "list_events",
    params(("id" = schema::Id, Path, description = "The run."), Wanted,
        sse::Resuming),
    responses((status = 200, description = "A page of events.", content((Page<RunEvent> = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(crate) async fn list(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let run = name.run()?;
    let after: Place = params.cursor("after")?.unwrap_or_default();
    let limit = params.limit()?;
    params.end()?;
    if sse::is_wanted(&headers) {
        let project = caller.project()?.id.clone();
        let after: Place = sse::last_seen(&headers)?.unwrap_or(after);
        let followed = Followed::new(platform, project, run, after);
        return sse::answer(followed, &caller.key).await;
    }
    let room = caller.room().await?;
    let found = find(caller.look(&room, run)?, after, limit).await?;
    let last = found.events.last().filter(|_| found.more);
    let next = last.map(|event| event.id);
    room.answer(&Page::new(found.events, limit, next))
}

struct Found {
    events: Vec<RunEvent>,
    more: bool,
    ended: bool,
}

async fn find(look: Look<'_>, after: Place, limit: usize) -> Result<Found, Problem> {
    let verb = async move |tx: &mut Tx<'_>, project: &ProjectId, run| {
        let Some(summary) = runs::summary(tx, project, run).await? else {
            return Ok(None);
        };
        let is_told = after.step >= ENDS;
        let from = after.attempt.saturating_add(is_told.into());
        // One more than fits, to know whether there are more.
        let attempts = events::attempts(tx, project, run, from, limit + 1).await?;
        let recorded = events::page(tx, project, run, after.recorded, limit + 1).await?;
        let (mut events, mut more) = in_order(&summary, attempts, recorded, after);
        more |= events.len() > limit;
        events.truncate(limit);
        Ok(Some(Found {
            events,
            more,
            ended: summary.finished_at.is_some(),
        }))
    };
    look.read(verb).await
}

/// The events after a place, as far as the attempts and what was recorded after it reach; and whether there are more.
fn in_order(
    run: &RunSummary,
    attempts: Rows<AttemptSummary>,
    recorded: Rows<(u64, EventRecord)>,
    after: Place,
) -> (Vec<RunEvent>, bool) {
    // What comes after rows that were not read is not told before them.
    let ended = attempts.rows.last().filter(|_| attempts.more);
    let last = recorded.rows.last().filter(|_| recorded.more);
    let ends = [
        ended.map(|attempt| (attempt.number, ENDS)),
        last.map(|(_, event)| (event.attempt, GOES_ON)),
    ];
    let end = ends.into_iter().flatten().min();
    let derived = told_by_rows(run, attempts.rows).into_iter();
    let derived =
        derived.filter(|event| (event.id.attempt, event.id.step) > (after.attempt, after.step));
    let recorded = recorded.rows.into_iter().map(|(number, event)| RunEvent {
        detail: Some(event.body),
        ..plain(event.attempt, GOES_ON, &event.kind, Some(event.at)).recorded(number)
    });
    let mut events: Vec<RunEvent> = derived.chain(recorded).collect();
    events.retain(|event| end.is_none_or(|end| (event.id.attempt, event.id.step) <= end));
    events.sort_by_key(|event| event.id);
    // Whoever goes on after one of them has seen all that came before, in whichever attempt it was.
    let mut last = after;
    for event in &mut events {
        let (attempt, step) = (last.attempt, last.step).max((event.id.attempt, event.id.step));
        let recorded = last.recorded.max(event.id.recorded);
        last = Place {
            attempt,
            step,
            recorded,
        };
        event.id = last;
    }
    (events, end.is_some())
}

/// What the run and its attempts tell.
fn told_by_rows(run: &RunSummary, attempts: Vec<AttemptSummary>) -> Vec<RunEvent> {
    let mut events = vec![plain(0, BEGINS, "created", Some(run.created_at))];
    let last = attempts.last().map_or(0, |attempt| attempt.number);
    for attempt in attempts {
        let (number, ended) = (attempt.number, Some(attempt.finished_at));
        let began = Some(attempt.started_at);
        events.push(plain(number, BEGINS, "attempt_started", began));
        events.push(RunEvent {
            outcome: Some(attempt.outcome),
            error: attempt.error,
            ..plain(number, ENDS, "attempt_finished", ended)
        });
    }
    if run.attempt_count > last && run.finished_at.is_none() {
        let at = run.started_at.filter(|_| run.attempt_count == 1);
        events.push(plain(run.attempt_count, BEGINS, "attempt_started", at));
    }
    let kind = match run.status {
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Created
        | Status::Scheduled
        | Status::Queued
        | Status::Running
        | Status::Retrying
        | Status::Waiting => return events,
    };
    events.push(RunEvent {
        attempt: None,
        error: run.error.clone(),
        detail: run
            .cancelled
            .as_ref()
            .and_then(|cancelled| cancelled.reason.clone()),
        ..plain(LAST, ENDS, kind, run.finished_at)
    });
    events
}

fn plain(attempt: u32, step: u32, kind: &str, at: Option<Time>) -> RunEvent {
    RunEvent {
        id: Place {
            attempt,
            step,
            recorded: 0,
        },
        kind: kind.to_owned(),
        at,
        attempt: (attempt > 0).then_some(attempt),
        outcome: None,
        error: None,
        detail: None,
    }
}

impl RunEvent {
    fn recorded(mut self, number: u64) -> Self {
        self.id.recorded = number;
        self
    }
}

impl Told for Place {
    async fn read(&mut self, look: Look<'_>) -> Result<News, Problem> {
        let found = find(look, *self, MOST).await?;
        *self = found.events.last().map_or(*self, |event| event.id);
        let events = found
            .events
            .iter()
            .map(|event| sse::event(&event.kind, &event.id, event));
        Ok(News {
            events: events.collect::<Result<_, _>>()?,
            more: found.more,
            ended: found.ended.then(sse::end),
        })
    }
}
