//! The actions of a project, as its last import found them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use ziet_core::action::{Isolation, Parameter};
use ziet_core::{ActionId, ActionSpec, Time};
use ziet_store::{Tx, figures};

use crate::auth::{Allowed, Read};
use crate::page::Page;
use crate::params::{Named, Params};
use crate::platform::Platform;
use crate::problem::{Code, Problem};
use crate::routes::Paging;
use crate::schema;

/// Figures are of the runs of so long.
const RECENT_MS: i64 = 24 * 60 * 60 * 1000;

/// An action as lists show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionSummary {
    #[schema(value_type = String)]
    id: ActionId,
    name: String,
    description: String,
    module: String,
    function: String,
    file: String,
    #[schema(minimum = 1)]
    line: u32,
    /// Seconds of an attempt's own time.
    #[schema(minimum = 1, maximum = 900)]
    timeout: u32,
    /// Attempts after the first one.
    #[schema(minimum = 0, maximum = 100)]
    retries: u32,
    /// Bytes of memory that an attempt may use.
    memory: u64,
    #[schema(value_type = schema::Isolation)]
    isolation: Isolation,
    #[schema(value_type = Vec<schema::Parameter>)]
    parameters: Vec<Parameter>,
    /// Whether the function has `**kwargs`.
    accepts_unknown: bool,
}

impl From<&ActionSpec> for ActionSummary {
    fn from(spec: &ActionSpec) -> Self {
        Self {
            id: spec.id.clone(),
            name: spec.name.clone(),
            description: spec.description.clone(),
            module: spec.module.clone(),
            function: spec.function.clone(),
            file: spec.file.clone(),
            line: spec.line,
            timeout: spec.timeout,
            retries: spec.retries,
            memory: spec.memory,
            isolation: spec.isolation,
            parameters: spec.parameters.clone(),
            accepts_unknown: spec.accepts_unknown,
        }
    }
}

/// List actions
///
/// In the order of their ids.
#[utoipa::path(get, path = "/v1/actions", tag = "actions", operation_id = "list_actions", params(Paging),
    responses((status = 200, description = "A page of actions.", body = Page<ActionSummary>)),
    security(("api_key" = ["read"])))]
pub(crate) async fn list(
    caller: Allowed<Read>,
    mut params: Params,
) -> Result<Json<Page<ActionSummary>>, Problem> {
    let limit = params.limit()?;
    let after = params.text("cursor")?.map(ActionId::new);
    params.end()?;
    let known = caller.project()?.actions()?;
    let actions = known
        .actions()
        .filter(|spec| after.as_ref().is_none_or(|after| spec.id > *after))
        .map(ActionSummary::from);
    Ok(Json(Page::cut(actions, limit, |action| action.id.clone())))
}

/// An action, and how its recent runs went.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionDocument {
    #[serde(flatten)]
    #[schema(value_type = schema::Action)]
    spec: ActionSpec,
    recent: Recent,
}

/// The runs of an action that were accepted in the last 24 hours.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recent {
    #[schema(value_type = schema::Timestamp)]
    since: Time,
    runs: u64,
    completed: u64,
    failed: u64,
    /// How long half of the completed ones took at most, from the start of the first attempt; null without any.
    #[schema(required)]
    p50_ms: Option<u64>,
    /// How long 95 of 100 completed ones took at most.
    #[schema(required)]
    p95_ms: Option<u64>,
    /// Whether there were more runs than were looked at: then the figures are of the newest ones.
    cut: bool,
}

/// Get an action
///
/// With the JSON Schemas of its input and output, and how its recent runs went.
#[utoipa::path(get, path = "/v1/actions/{id}", tag = "actions", operation_id = "get_action",
    params(("id" = String, Path, description = "The action.")),
    responses((status = 200, description = "The action.", body = ActionDocument)),
    security(("api_key" = ["read"])))]
pub(crate) async fn get(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    Named(id): Named,
    params: Params,
) -> Result<Json<ActionDocument>, Problem> {
    params.end()?;
    let project = caller.project()?;
    let (known, id) = (project.actions()?, ActionId::new(id));
    let missing = || Problem::new(Code::ActionNotFound, known.unknown(&id));
    let spec = known.action(&id).ok_or_else(missing)?.clone();
    let now = platform.settings.clock.now();
    let since = Time::from_millis(now.as_millis() - RECENT_MS);
    let project = project.id.clone();
    let verb = async move |tx: &mut Tx<'_>| figures::of_action(tx, &project, &id, since, now).await;
    let figures = platform.read(&caller.room().await?, verb).await?;
    let figures::Figures {
        runs,
        completed,
        failed,
        p50_ms,
        p95_ms,
        cut,
    } = figures;
    let recent = Recent {
        since,
        runs,
        completed,
        failed,
        p50_ms,
        p95_ms,
        cut,
    };
    Ok(Json(ActionDocument { spec, recent }))
}
