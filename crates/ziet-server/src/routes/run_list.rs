//! Lists of runs, at once and live.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;

use ziet_core::document::RunSummary;
use ziet_core::{ActionId, ProjectId, RunId};
use ziet_store::Tx;
use ziet_store::runs::{self, RunFilter};

use crate::auth::{Allowed, Read};
use crate::hints::{AllHints, Changed, Place};
use crate::page::Page;
use crate::params::{MOST, Params, word};
use crate::platform::Platform;
use crate::problem::Problem;
use crate::routes::Paging;
use crate::schema;
use crate::share::Taken;
use crate::sse::{self, News, Source};

const STATUSES: &str = "one of created, scheduled, queued, running, retrying, waiting, completed, failed and cancelled";
const TIME: &str = "a time such as 2026-01-15T09:30:00Z";
const RUN: &str = "the id of a run";

/// Which runs are wanted. What is not given leaves nothing out.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are only described")]
struct Wanted {
    /// Runs of the action with this id.
    action: Option<String>,
    /// Runs that stand so now. It may be given several times, or once with commas.
    status: Option<Vec<schema::Status>>,
    /// Runs that were accepted then or later.
    created_after: Option<schema::Timestamp>,
    /// Runs that were accepted before.
    created_before: Option<schema::Timestamp>,
    /// Contained in the id, the metadata, or the type or message of the error, whatever its case.
    text: Option<String>,
    /// Runs that this run called.
    parent: Option<schema::Id>,
    /// Runs below this root, at any depth.
    root: Option<schema::Id>,
}

/// List runs
///
/// The newest first. A request looks only at so many runs: a page may hold fewer than `limit`, even none, although
/// `has_more` is true; then go on with `next_cursor`.
///
/// With `Accept: text/event-stream` the answer is live: the event `snapshot` brings a page as here and takes the place of
/// all that was told before, `run` a run that is new or has changed, and `gone` the id of one that fits no longer.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", operation_id = "list_runs",
    params(Wanted, Paging, sse::Resuming),
    responses((status = 200, description = "A page of runs.",
        content((Page<schema::RunSummary> = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(crate) async fn list(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let project = caller.project()?.id.clone();
    let filter = filter(&mut params)?;
    let limit = params.limit()?;
    let before = params.cursor::<RunId>("cursor")?;
    params.end()?;
    if sse::is_wanted(&headers) {
        let place = sse::last_seen(&headers)?;
        let hints = platform.hints.follow_all();
        let source = Live {
            platform,
            project,
            filter,
            limit,
            hints,
            place,
        };
        return sse::answer(source, &caller.key).await;
    }
    let room = caller.room().await?;
    let verb = async move |tx: &mut Tx<'_>| runs::list(tx, &project, &filter, before, limit).await;
    let listed = platform.read(&room, verb).await?;
    room.answer(&Page::new(listed.runs, limit, listed.scanned_to))
}

fn filter(params: &mut Params) -> Result<RunFilter, Problem> {
    let statuses = params.many("status").into_iter();
    Ok(RunFilter {
        action_id: params.text("action")?.map(ActionId::new),
        statuses: statuses
            .map(|text| word("status", STATUSES, &text))
            .collect::<Result<_, _>>()?,
        created_from: params.value("created_after", TIME)?,
        created_to: params.value("created_before", TIME)?,
        text: params.text("text")?.filter(|text| !text.is_empty()),
        parent_id: params.value("parent", RUN)?,
        root_id: params.value("root", RUN)?,
    })
}

/// A run that no longer fits what was asked for.
#[derive(Serialize)]
struct Gone {
    id: RunId,
}

struct Live {
    platform: Arc<Platform>,
    project: ProjectId,
    filter: RunFilter,
    limit: usize,
    hints: AllHints,
    /// None before the first page.
    place: Option<Place>,
}

impl Source for Live {
    async fn read(&mut self, room: &Taken) -> Result<News, Problem> {
        let changed = self.place.and_then(|place| self.hints.since(place, MOST));
        let Some(Changed {
            runs: changed,
            more,
        }) = changed
        else {
            return self.snapshot(room).await;
        };
        if changed.is_empty() {
            return Ok(News::default());
        }
        let (project, ids) = (self.project.clone(), changed.clone());
        let verb = async move |tx: &mut Tx<'_>| {
            runs::summaries(tx, &project, ids.iter().map(|(run, _)| *run)).await
        };
        let found = self.platform.read(room, verb).await?;
        let mut news = News {
            more: more || found.len() < changed.len(),
            ..News::default()
        };
        for (run, (_, place)) in found.into_iter().zip(changed) {
            self.place = Some(place);
            match run {
                Some(run) if self.filter.matches(&run) => {
                    news.events.push(sse::event("run", &place, &run)?);
                }
                Some(run) if self.fitted_before(&run) => {
                    let gone = Gone { id: run.id };
                    news.events.push(sse::event("gone", &place, &gone)?);
                }
                Some(_) | None => {}
            }
        }
        Ok(news)
    }

    async fn hint(&mut self) {
        self.hints.next().await;
    }
}

impl Live {
    async fn snapshot(&mut self, room: &Taken) -> Result<News, Problem> {
        // The place comes first: what changes while the page is read is told again.
        self.place = self.hints.place();
        let (project, filter, limit) = (self.project.clone(), self.filter.clone(), self.limit);
        let verb =
            async move |tx: &mut Tx<'_>| runs::list(tx, &project, &filter, None, limit).await;
        let listed = self.platform.read(room, verb).await?;
        let id = self
            .place
            .map(|place| place.to_string())
            .unwrap_or_default();
        let page = Page::new(listed.runs, limit, listed.scanned_to);
        Ok(News {
            events: vec![sse::event("snapshot", &id, &page)?],
            ..News::default()
        })
    }

    /// Whether the run may have been told: only what can change keeps it from fitting now.
    fn fitted_before(&self, run: &RunSummary) -> bool {
        let fixed = RunFilter {
            statuses: Vec::new(),
            text: None,
            ..self.filter.clone()
        };
        fixed.matches(run)
    }
}
