//! What the code of a run printed and logged, at once and live.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use ziet_core::wire::Level;
use ziet_core::{ProjectId, RunId, Time};
use ziet_store::logs::{self, LogPage, LogQuery};
use ziet_store::{Tx, runs};

use crate::auth::{Allowed, Read};
use crate::hints::RunHints;
use crate::page::Page;
use crate::params::{MOST, Named, Params};
use crate::platform::Platform;
use crate::problem::Problem;
use crate::schema;
use crate::sse::{self, News, Source};

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
    let project = caller.project()?.id.clone();
    let run = name.run()?;
    let mut query = LogQuery {
        after: params.cursor("after")?.unwrap_or(0),
        limit: params.limit()?,
        min_level: params.word("level", "one of info, warn and error")?,
        search: params.text("search")?.filter(|text| !text.is_empty()),
    };
    params.end()?;
    if sse::is_wanted(&headers) {
        let closed = platform.hints.closed().clone();
        query.after = sse::last_seen(&headers)?.unwrap_or(query.after);
        query.limit = MOST;
        let hints = platform.hints.follow(run);
        return sse::answer(
            Live {
                platform,
                project,
                run,
                hints,
                query,
            },
            closed,
        )
        .await;
    }
    let limit = query.limit;
    let (page, _) = page(&platform, project, run, query).await?;
    let lines = page.lines.into_iter().map(LogLine::from).collect();
    Ok(Json(Page::new(lines, limit, page.scanned_to)).into_response())
}

/// A page, and whether the run had finished before it was read.
async fn page(
    platform: &Platform,
    project: ProjectId,
    run: RunId,
    query: LogQuery,
) -> Result<(LogPage, bool), Problem> {
    let verb = async move |tx: &mut Tx<'_>| -> ziet_store::Result<Option<(LogPage, bool)>> {
        let Some(summary) = runs::summary(tx, &project, run).await? else {
            return Ok(None);
        };
        let page = logs::page(tx, &project, run, &query).await?;
        Ok(Some((page, summary.finished_at.is_some())))
    };
    let found = platform.read(verb).await?;
    found.ok_or_else(|| Problem::run_not_found(run))
}

struct Live {
    platform: Arc<Platform>,
    project: ProjectId,
    run: RunId,
    hints: RunHints,
    query: LogQuery,
}

impl Source for Live {
    async fn read(&mut self) -> Result<News, Problem> {
        let (page, ended) = page(
            &self.platform,
            self.project.clone(),
            self.run,
            self.query.clone(),
        )
        .await?;
        let last = page.lines.last().map(|line| line.seq);
        self.query.after = page.scanned_to.or(last).unwrap_or(self.query.after);
        let events = page
            .lines
            .into_iter()
            .map(|line| sse::event("log", line.seq, &LogLine::from(line)));
        Ok(News {
            events: events.collect::<Result<_, _>>()?,
            more: page.scanned_to.is_some(),
            ended,
        })
    }

    async fn hint(&mut self) {
        self.hints.next().await;
    }
}
