//! One run, at once and live.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use ziet_core::document::{RunDocument, RunSummary};
use ziet_core::{ProjectId, RunId};
use ziet_store::{Tx, runs};

use crate::auth::{Allowed, Read};
use crate::hints::RunHints;
use crate::params::{Named, Params};
use crate::platform::Platform;
use crate::problem::Problem;
use crate::schema;
use crate::sse::{self, News, Source};

/// Get a run
///
/// With `Accept: text/event-stream` the answer is live: the event `run` brings the run as it stands, at once and whenever it
/// has changed, and `end` says that it has finished.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", operation_id = "get_run",
    params(("id" = schema::Id, Path, description = "The run."),
        sse::Resuming),
    responses((status = 200, description = "The run.", content((schema::Run = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(crate) async fn get(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    Named(run): Named,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let project = caller.project()?.id.clone();
    let run = Named(run).run()?;
    params.end()?;
    if sse::is_wanted(&headers) {
        let closed = platform.hints.closed().clone();
        let told = sse::last_seen(&headers)?;
        let hints = platform.hints.follow(run);
        return sse::answer(
            Live {
                platform,
                project,
                run,
                hints,
                told,
            },
            closed,
        )
        .await;
    }
    let verb = async move |tx: &mut Tx<'_>| runs::document(tx, &project, run).await;
    let document = platform.read(verb).await?;
    let document = document.ok_or_else(|| Problem::run_not_found(run))?;
    Ok(Json(document).into_response())
}

struct Live {
    platform: Arc<Platform>,
    project: ProjectId,
    run: RunId,
    hints: RunHints,
    /// How the run stood when it was told last.
    told: Option<String>,
}

impl Source for Live {
    async fn read(&mut self) -> Result<News, Problem> {
        let (project, run, told) = (self.project.clone(), self.run, self.told.clone());
        // The document can be large, so it is read only when there is something to tell.
        let verb = async move |tx: &mut Tx<'_>| -> ziet_store::Result<
            Option<(String, bool, Option<RunDocument>)>,
        > {
            let Some(summary) = runs::summary(tx, &project, run).await? else {
                return Ok(None);
            };
            let version = version(&summary);
            let document = if told.as_ref() == Some(&version) {
                None
            } else {
                runs::document(tx, &project, run).await?
            };
            Ok(Some((version, summary.finished_at.is_some(), document)))
        };
        let found = self.platform.read(verb).await?;
        let (version, ended, document) = found.ok_or_else(|| Problem::run_not_found(run))?;
        let mut news = News {
            ended,
            ..News::default()
        };
        if let Some(document) = document {
            news.events.push(sse::event("run", &version, &document)?);
            self.told = Some(version);
        }
        Ok(news)
    }

    async fn hint(&mut self) {
        self.hints.next().await;
    }
}

/// Differs from what it was whenever the document does.
fn version(run: &RunSummary) -> String {
    let due = run.run_at.map(|due| due.as_millis().to_string());
    format!(
        "{:?}.{}.{:?}.{}",
        run.status,
        run.attempt_count,
        run.waiting_on,
        due.unwrap_or_default()
    )
    .to_lowercase()
}
