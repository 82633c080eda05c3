//! What becomes of a run that is there: starting one that was only created, cancelling, repeating.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use ziet_core::run::Cancelled;
use ziet_engine::Submission;
use ziet_store::runs;

use super::submit::{Place, answer, checked_input, explained, submitted, wait};
use crate::auth::{Allowed, Read, Run};
use crate::body::{ONE, Payload};
use crate::params::{Named, Params};
use crate::platform::Platform;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::schema;

/// Characters of a reason.
const REASON_CHARS: usize = 1000;

/// Nothing more is to be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Why a run is cancelled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancellation {
    /// It stands in the run's document.
    #[serde(default)]
    #[schema(max_length = 1000, required = false)]
    reason: Option<String>,
}

/// Start a run that was only created
#[utoipa::path(post, path = "/v1/runs/{id}/invoke", tag = "runs",
    params(
        ("id" = schema::Id, Path, description = "The run."),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 900, description = "Seconds to wait for the run to finish."),
    ),
    responses(
        (status = 200, description = "The run has finished.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
        )),
        (status = 202, description = "The run is started.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
        )),
        (status = "default", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["run"])))]
pub(crate) async fn invoke(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
    body: Payload<ONE>,
) -> Result<Response, Problem> {
    let wait = wait(&mut params)?;
    params.end()?;
    let Nothing {} = body.parse()?;
    let (project, run) = (caller.project()?, name.run()?);
    // Without them it could not be executed.
    project.actions()?;
    project.invoke(run).await?;
    let shown = project.finished(run, platform.wait(wait)).await;
    answer(&caller, run, shown).await
}

/// Cancel a run and all below it
///
/// One that has been cancelled before stays as it is; one that has finished otherwise is refused.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", request_body = Option<Cancellation>,
    params(("id" = schema::Id, Path, description = "The run.")),
    responses(
        (status = 200, description = "The run is cancelled.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
        )),
        (status = "default", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["run"])))]
pub(crate) async fn cancel(
    caller: Allowed<Run>,
    name: Named,
    params: Params,
    body: Payload<ONE>,
) -> Result<Response, Problem> {
    params.end()?;
    let Cancellation { reason } = body.parse()?;
    if reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > REASON_CHARS)
    {
        let detail = format!("a reason has {REASON_CHARS} characters at most");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let by = format!("key {}", caller.key.name);
    let (project, run) = (caller.project()?, name.run()?);
    project.cancel(run, Cancelled { by, reason }).await?;
    answer(&caller, run, None).await
}

/// Run a finished run again
///
/// It is a new run of the same action with the same input, memory and metadata, and names the old one as `retry_of`.
#[utoipa::path(post, path = "/v1/runs/{id}/retry", tag = "runs",
    params(
        ("id" = schema::Id, Path, description = "The run to repeat."),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 900, description = "Seconds to wait for the run to finish."),
    ),
    responses(
        (status = 200, description = "The new run has finished.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
        )),
        (status = 202, description = "The new run is accepted.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
        )),
        (status = "default", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["run", "read"])))]
pub(crate) async fn retry(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    name: Named,
    mut params: Params,
    body: Payload<ONE>,
) -> Result<Response, Problem> {
    // The new run shows what the old one was given.
    caller.needs::<Read>()?;
    let wait = wait(&mut params)?;
    params.end()?;
    let Nothing {} = body.parse()?;
    let (project, old) = (caller.project()?, name.run()?);
    let room = caller.room().await?;
    let document = caller.look(&room, old)?.read(runs::document).await?;
    drop(room);
    if document.finished_at.is_none() {
        let detail = "the run has not finished: cancel it first, or wait for it";
        return Err(Problem::new(Code::RunNotFinished, detail));
    }
    let input = document.input.as_str().unwrap_or_default();
    // The code may have changed since.
    let actions = project.actions()?;
    if let Err(problem) = checked_input(&actions, &document.action_id, input, Place(None)) {
        return Err(explained(&platform, &caller, problem).await);
    }
    let submission = Submission {
        memory: Some(document.memory_id),
        metadata: document.metadata,
        retry_of: Some(old),
        ..Submission::new(document.action_id, document.input)
    };
    submitted(&platform, &caller, submission, wait).await
}
