//! What the code of a run printed and logged, at once and live.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use ziet_core::wire::Level;
use ziet_core::{ProjectId, Time};
use ziet_store::logs::{self, LogPage, LogQuery};
use ziet_store::{Tx, runs};

use crate::auth::{Allowed, Read};
use crate::page::Page;
use crate::params::{MOST, Named, Params};
use crate::platform::{Look, Platform};
use crate::problem::Problem;
use crate::schema;
use crate::sse::{self, Followed, News, Told};

/// A line that code printed or logged.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLine {
    /// Its number in the run: from 1, without gaps.
    #[schema(minimum = 1)]
    seq: u64,
    #[schema(value_type = schema::Timestamp)]
    at: Time,
    /// The attempt that printed it; 0 for what was told before the first one.
    #[schema(minimum = 0)]
    attempt: u32,
    #[schema(value_type = schema::Level)]
    level: Level,
    text: String,
}

impl From<logs::LogLine> for LogLine {
    fn from(line: logs::LogLine) -> Self {
        let logs::LogLine {
            seq,
            at,
            attempt,
            level,
            text,
        } = line;
        Self {
            seq,
            at,
            attempt,
            level,
            text,
        }
    }
}

/// Which lines are wanted.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are only described")]
struct Wanted {
    /// Only lines after the one with this number; `next_cursor` of a page gives the next one.
    #[param(minimum = 0)]
    after: Option<u64>,
    /// The most lines in a page; 20 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Only lines of at least this level.
    level: Option<schema::Level>,
    /// Only lines that contain it, whatever their case.
    search: Option<String>,
}

/// Read the log of a run
///
/// The oldest line first. With `Accept: text/event-stream` the answer is live: each event `log` brings one line as it is
/// stored, and `end` says that the run has finished and all is told.
#[utoipa::path(get, path = "/v1/runs/{id}/logs", tag = "runs", operation_id = "list_logs",
    params(("id" = schema::Id, Path, description = "The run."), Wanted,
        sse::Resuming),
    responses((status = 200, description = "A page of lines.", content((Page<LogLine> = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(crate) async fn list(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let run = name.run()?;
    let mut query = LogQuery {
        after: params.cursor("after")?.unwrap_or(0),
        limit: params.limit()?,
        min_level: params.word("level", "one of info, warn and error")?,
        search: params.text("search")?.filter(|text| !text.is_empty()),
    };
    params.end()?;
    if sse::is_wanted(&headers) {
        let project = caller.project()?.id.clone();
        query.after = sse::last_seen(&headers)?.unwrap_or(query.after);
        query.limit = MOST;
        let followed = Followed::new(platform, project, run, query);
        return sse::answer(followed, &caller.key).await;
    }
    let (room, limit) = (caller.room().await?, query.limit);
    let (page, _) = page(caller.look(&room, run)?, query).await?;
    let lines = page.lines.into_iter().map(LogLine::from).collect();
    let next = page.more.then_some(page.scanned_to);
    room.answer(&Page::new(lines, limit, next))
}

/// A page, and whether the run had finished before it was read.
async fn page(look: Look<'_>, query: LogQuery) -> Result<(LogPage, bool), Problem> {
    let verb = async move |tx: &mut Tx<'_>, project: &ProjectId, run| {
        let Some(summary) = runs::summary(tx, project, run).await? else {
            return Ok(None);
        };
        let page = logs::page(tx, project, run, &query).await?;
        Ok(Some((page, summary.finished_at.is_some())))
    };
    look.read(verb).await
}

impl Told for LogQuery {
    async fn read(&mut self, look: Look<'_>) -> Result<News, Problem> {
        let (page, ended) = page(look, self.clone()).await?;
        self.after = page.scanned_to;
        let events = page
            .lines
            .into_iter()
            .map(LogLine::from)
            .map(|line| sse::event("log", &line.seq, &line));
        Ok(News {
            events: events.collect::<Result<_, _>>()?,
            more: page.more,
            ended: ended.then(sse::end),
        })
    }
}
