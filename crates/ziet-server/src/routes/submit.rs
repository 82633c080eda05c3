//! Submitting runs.
//!
//! What is wrong with a request is told before anything is asked of the engine: all of a batch, or nothing. The input stays
//! the bytes that came.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json as Body;
use axum::extract::State;
use axum::http::header::{HeaderName, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use ziet_core::{ActionId, Json, MemoryId, RunId, Time, limits};
use ziet_engine::{Due, Submission};
use ziet_store::{Tx, deployments, runs};

use crate::asking::Shown;
use crate::auth::{Allowed, Caller, Run};
use crate::body::{MANY, ONE, Object, Payload};
use crate::checks::Compiled;
use crate::params::{Params, wrong};
use crate::platform::Platform;
use crate::problem::{Code, Fault, Problem, ProblemDocument};
use crate::{schema, strict};

/// Seconds for which a request may wait for its run: as long as an attempt may take.
const LONGEST_WAIT: u32 = *limits::TIMEOUT_SECONDS.end();

/// Runs of one batch.
const BATCH: usize = 1000;

/// Characters of an idempotency key.
const KEY_CHARS: usize = 256;

/// Days after which a run cannot be due: longer than anybody plans, and short enough to count with.
const FURTHEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Says of an answer to a submit that the run was there already, with the same idempotency key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A run that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun<'a> {
    action_id: String,
    /// The arguments: a JSON object of at most 6 MB that fits the action's `input_schema`. Without it, an empty object.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>, required = false)]
    input: Option<&'a RawValue>,
    /// Names the request: another one with the same key and input gives the same run, until a day after that has finished.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256, required = false)]
    idempotency_key: Option<String>,
    /// The memory to use; a new one without it.
    #[serde(default)]
    #[schema(value_type = Option<schema::Id>, required = false)]
    memory_id: Option<MemoryId>,
    /// What is to be found on the run again: a JSON object of at most 1 MB.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>, required = false)]
    metadata: Option<&'a RawValue>,
    /// When it is due, at most a year ahead: RFC 3339.
    #[serde(default)]
    #[schema(value_type = Option<schema::Timestamp>, required = false)]
    run_at: Option<String>,
    /// In how many seconds it is due; instead of `run_at`.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 31_622_400, required = false)]
    delay_seconds: Option<f64>,
    /// False to have it only created; it is started later by `/v1/runs/{id}/invoke`.
    #[serde(default)]
    #[schema(required = false, default = true)]
    start: Option<bool>,
}

/// Several runs that are asked for together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRuns<'a> {
    #[serde(borrow)]
    #[schema(min_items = 1, max_items = 1000, value_type = Vec<NewRun<'a>>)]
    runs: Vec<Object<NewRun<'a>>>,
}

/// A run that was accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcceptedRun {
    #[schema(value_type = schema::Id)]
    id: RunId,
    /// Whether it was there already: the same request with the same idempotency key came before.
    existing: bool,
}

/// The runs that were accepted, in the order in which they were asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcceptedRuns {
    data: Vec<AcceptedRun>,
}

/// Submit a run
///
/// It is accepted durably when this answers. With `wait` the answer comes when the run has finished, or after so many seconds
/// with the run as it stands by then. Where the run was there already, because of its idempotency key, the answer has the
/// header `Idempotent-Replayed: true`.
#[utoipa::path(post, path = "/v1/runs", tag = "runs", request_body = NewRun<'_>,
    params(("wait" = Option<u32>, Query, minimum = 0, maximum = 900, description = "Seconds to wait for the run to finish.")),
    responses(
        (status = 200, description = "The run has finished.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
            ("Idempotent-Replayed" = String, description = "`true` if the run was there already, because of its idempotency key."),
        )),
        (status = 202, description = "The run is accepted and has not finished.", body = schema::Run, headers(
            ("Location" = String, description = "The path of the run."),
            ("Idempotent-Replayed" = String, description = "`true` if the run was there already, because of its idempotency key."),
        )),
        (status = "default", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["run"])))]
pub(crate) async fn submit(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    mut params: Params,
    body: Payload<ONE>,
) -> Result<Response, Problem> {
    let wait = wait(&mut params)?;
    params.end()?;
    let project = caller.project()?;
    let actions = project.actions()?;
    let now = platform.settings.clock.now();
    let submission = body
        .made(move |body| {
            body.parse::<NewRun<'_>>()?
                .checked(&actions, Place(None), now)
        })
        .await;
    let submission = match submission {
        Ok(submission) => submission,
        Err(problem) => return Err(explained(&platform, &caller, problem).await),
    };
    submitted(&platform, &caller, submission, wait).await
}

/// Says of an action that there is not which version had it last.
pub(super) async fn explained(
    platform: &Platform,
    caller: &Caller,
    mut problem: Problem,
) -> Problem {
    let (Some(action), Ok(project)) = (problem.action.take(), caller.project()) else {
        return problem;
    };
    let project = project.id.clone();
    let Ok(room) = caller.room().await else {
        return problem;
    };
    let verb = async move |tx: &mut Tx<'_>| deployments::last_with(tx, &project, &action).await;
    match platform.read(&room, verb).await {
        Ok(Some(had)) => problem.adding(&format!(
            "version {} had it last (`ziet rollback {0}` brings it back)",
            had.version
        )),
        // What is wrong is told all the same.
        Ok(None) | Err(_) => problem,
    }
}

/// Has a run accepted, and answers with it.
pub(super) async fn submitted(
    platform: &Platform,
    caller: &Allowed<Run>,
    submission: Submission,
    wait: Duration,
) -> Result<Response, Problem> {
    let project = caller.project()?;
    let room = caller.key.share.runs(1).await?;
    let accepted = move |_| drop(room);
    let wait = platform.wait(wait);
    let (accepted, shown) = project.run(submission, wait, accepted).await?;
    let mut response = answer(caller, accepted.run, shown).await?;
    if accepted.existing {
        let there = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, there);
    }
    Ok(response)
}

/// Submit up to 1,000 runs
///
/// All of them are accepted, or none is.
#[utoipa::path(post, path = "/v1/runs/batch", tag = "runs", request_body = NewRuns<'_>,
    responses(
        (status = 202, description = "The runs are accepted.", body = AcceptedRuns),
        (status = "default", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["run"])))]
pub(crate) async fn submit_batch(
    caller: Allowed<Run>,
    State(platform): State<Arc<Platform>>,
    params: Params,
    body: Payload<MANY>,
) -> Result<(StatusCode, Body<AcceptedRuns>), Problem> {
    params.end()?;
    let project = caller.project()?;
    let actions = project.actions()?;
    let now = platform.settings.clock.now();
    let submissions = body
        .made(move |body| all_checked(body.parse()?, &actions, now))
        .await?;
    let room = caller.key.share.runs(submissions.len()).await?;
    let accepted = project.submit(submissions).await?;
    drop(room);
    let data = accepted.into_iter().map(|accepted| AcceptedRun {
        id: accepted.run,
        existing: accepted.existing,
    });
    let data = data.collect();
    Ok((StatusCode::ACCEPTED, Body(AcceptedRuns { data })))
}

/// The document of a run, read where it is not at hand.
pub(super) async fn answer(caller: &Caller, run: RunId, shown: Shown) -> Result<Response, Problem> {
    let (document, body) = if let Some(document) = shown {
        let body = Body(&*document).into_response();
        (document, body)
    } else {
        // What was asked for is done: only the answer waits for its turn.
        let room = caller.key.share.turn().await?;
        let document = caller.look(&room, run)?.read(runs::document).await?;
        let body = room.answer(&document)?;
        (Arc::new(document), body)
    };
    let status = if document.finished_at.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let place = format!("/v1/runs/{run}");
    Ok((status, [(LOCATION, place)], body).into_response())
}

/// For how long the caller wants to wait for the run.
pub(super) fn wait(params: &mut Params) -> Result<Duration, Problem> {
    let seconds: u32 = params
        .value("wait", "a whole number of seconds")?
        .unwrap_or(0);
    if seconds > LONGEST_WAIT {
        return Err(wrong(
            "wait",
            format_args!("is at most {LONGEST_WAIT}, not {seconds}"),
        ));
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// What is wrong in any of them is told together.
fn all_checked(
    NewRuns { runs }: NewRuns<'_>,
    actions: &Compiled,
    now: Time,
) -> Result<Vec<Submission>, Problem> {
    if !(1..=BATCH).contains(&runs.len()) {
        let what = format!("a batch has 1 to {BATCH} runs, not {}", runs.len());
        return Err(at(Code::InvalidRequest, Place(None), "/runs", what));
    }
    let mut submissions = Vec::with_capacity(runs.len());
    let mut refused: Option<Problem> = None;
    for (number, Object(run)) in runs.into_iter().enumerate() {
        match run.checked(actions, Place(Some(number)), now) {
            Ok(submission) => submissions.push(submission),
            Err(problem) => match &mut refused {
                None => refused = Some(problem),
                Some(refused) => {
                    if !refused.join(problem) {
                        break;
                    }
                }
            },
        }
    }
    refused.map_or(Ok(submissions), Err)
}

/// Where a run lies in the request: which one of a batch it is. None is the whole body.
#[derive(Clone, Copy)]
pub(super) struct Place(pub(super) Option<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |number| write!(f, "/runs/{number}"))
    }
}

impl NewRun<'_> {
    /// What the engine is asked for, when nothing is wrong with it. `place` is where it lies in the request.
    fn checked(self, actions: &Compiled, place: Place, now: Time) -> Result<Submission, Problem> {
        let action = ActionId::new(self.action_id.as_str());
        let input = self.input.map_or("{}", RawValue::get);
        checked_input(actions, &action, input, place)?;
        let metadata = self.metadata(place)?;
        let due = self.due(place, now)?;
        let key = self.idempotency_key;
        if key
            .as_ref()
            .is_some_and(|key| !(1..=KEY_CHARS).contains(&key.chars().count()))
        {
            let what = format!("an idempotency key has 1 to {KEY_CHARS} characters");
            return Err(at(Code::InvalidRequest, place, "/idempotency_key", what));
        }
        Ok(Submission {
            memory: self.memory_id,
            idempotency_key: key,
            metadata,
            due,
            start: self.start.unwrap_or(true),
            ..Submission::new(action, Json::trusted(input.as_bytes()))
        })
    }

    fn metadata(&self, place: Place) -> Result<Option<Json>, Problem> {
        let Some(text) = self.metadata.map(RawValue::get) else {
            return Ok(None);
        };
        let refused = |what: String| at(Code::InvalidRequest, place, "/metadata", what);
        if let Some(excess) = limits::excess(text.len(), limits::METADATA_BYTES) {
            return Err(refused(format!("the metadata is too large: {excess}")));
        }
        match strict::value(text) {
            Ok(value) if value.is_object() => Ok(Some(Json::trusted(text.as_bytes()))),
            Ok(_) => Err(refused("the metadata is to be a JSON object".to_owned())),
            Err(error) => Err(refused(format!("the metadata cannot be taken: {error}"))),
        }
    }

    fn due(&self, place: Place, now: Time) -> Result<Option<Due>, Problem> {
        let refused =
            |name: &str, what: &str| Err(at(Code::InvalidRequest, place, name, what.to_owned()));
        match (&self.run_at, self.delay_seconds) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => refused(
                "/delay_seconds",
                "give either run_at or delay_seconds, not both",
            ),
            (Some(text), None) => match text.parse::<Time>() {
                Ok(time) if time <= now.plus(FURTHEST) => Ok(Some(Due::At(time))),
                Ok(_) => refused("/run_at", "a run can be due at most a year ahead"),
                Err(_) => refused("/run_at", "a time is written like 2026-01-15T09:30:00Z"),
            },
            (None, Some(seconds)) if seconds < 0.0 => {
                refused("/delay_seconds", "a delay is a number of seconds from 0 on")
            }
            (None, Some(seconds)) => match Duration::try_from_secs_f64(seconds) {
                Ok(delay) if delay <= FURTHEST => Ok(Some(Due::In(delay))),
                _ => refused("/delay_seconds", "a run can be due at most a year ahead"),
            },
        }
    }
}

/// Whether `text` is an input that the action takes; it is part of what lies at `place` in the request.
pub(super) fn checked_input(
    actions: &Compiled,
    action: &ActionId,
    text: &str,
    place: Place,
) -> Result<(), Problem> {
    let spec = actions.action(action).ok_or_else(|| {
        let what = actions.unknown(action);
        at(Code::ActionNotFound, place, "/action_id", what).about(action)
    })?;
    let refused = |what: String| Err(at(Code::InvalidInput, place, "/input", what));
    if let Some(excess) = limits::excess(text.len(), limits::JSON_BYTES) {
        return refused(format!("the input is too large: {excess}"));
    }
    let value = match strict::value(text) {
        Ok(value) => value,
        Err(error) => return refused(format!("the input cannot be taken: {error}")),
    };
    let faults = actions.faults(spec, value, text.len(), format_args!("{place}/input"));
    if faults.is_empty() {
        return Ok(());
    }
    let detail = format!("the input does not fit the parameters of {action}");
    Err(Problem::new(Code::InvalidInput, detail).with_errors(faults))
}

/// One thing that is wrong, at one place of the request.
fn at(code: Code, place: Place, name: &str, what: String) -> Problem {
    let fault = Fault::new(format!("{place}{name}"), what);
    Problem::new(code, fault.message.clone()).with_errors(vec![fault])
}
