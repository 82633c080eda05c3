//! One run, at once and live.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use ziet_core::ProjectId;
use ziet_core::document::RunSummary;
use ziet_store::{Tx, runs};

use super::submit::wait;
use crate::auth::{Allowed, Read};
use crate::params::{Named, Params};
use crate::platform::{Look, Platform};
use crate::problem::Problem;
use crate::schema;
use crate::sse::{self, Followed, News, Told};

/// Get a run
///
/// With `wait` the answer comes when the run has finished, or after so many seconds with the run as it stands by then.
///
/// With `Accept: text/event-stream` the answer is live: the event `run` brings the run as it stands, at once and whenever it
/// has changed, and `end` says that it has finished.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", operation_id = "get_run",
    params(("id" = schema::Id, Path, description = "The run."),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 900, description = "Seconds to wait for the run to finish."),
        sse::Resuming),
    responses((status = 200, description = "The run.", content((schema::Run = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(crate) async fn get(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    Named(run): Named,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let run = Named(run).run()?;
    let wait = wait(&mut params)?;
    params.end()?;
    if sse::is_wanted(&headers) {
        let project = caller.project()?.id.clone();
        let version = Version(sse::last_seen(&headers)?);
        let followed = Followed::new(platform, project, run, version);
        return sse::answer(followed, &caller.key).await;
    }
    let finished = caller.project()?.finished(run, platform.wait(wait));
    if let Some(document) = finished.await {
        return Ok(Json(&*document).into_response());
    }
    let room = caller.room().await?;
    let look = caller.look(&room, run)?;
    let document = look.read(runs::document).await?;
    room.answer(&document)
}

/// How the run stood when it was told last.
struct Version(Option<String>);

impl Told for Version {
    async fn read(&mut self, look: Look<'_>) -> Result<News, Problem> {
        let told = self.0.clone();
        // The document can be large, so it is read only when there is something to tell.
        let verb = async move |tx: &mut Tx<'_>, project: &ProjectId, run| {
            let Some(summary) = runs::summary(tx, project, run).await? else {
                return Ok(None);
            };
            let version = version(&summary);
            let document = if told.as_ref() == Some(&version) {
                None
            } else {
                runs::document(tx, project, run).await?
            };
            Ok(Some((version, summary.finished_at.is_some(), document)))
        };
        let (version, ended, document) = look.read(verb).await?;
        let mut news = News {
            ended: ended.then(sse::end),
            ..News::default()
        };
        if let Some(document) = document {
            news.events.push(sse::event("run", &version, &document)?);
            self.0 = Some(version);
        }
        Ok(news)
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
