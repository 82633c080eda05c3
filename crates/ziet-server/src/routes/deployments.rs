//! Versions of a project's code: deploying them, looking at them, and making one the active one.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::limits::ID_CHARS;
use ziet_core::{ActionId, DeploymentId, KeyId, ProjectId, Time};
use ziet_store::Tx;
use ziet_store::deployments::{self, DeploymentRecord};

use crate::auth::{Allowed, Caller, Deploy, Read};
use crate::deploy::{LogTail, Taken};
use crate::page::Page;
use crate::params::{Named, Params};
use crate::platform::Platform;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::routes::Paging;
use crate::schema;
use crate::share::Taken as Room;
use crate::sse::{self, News, Source};

/// Characters of a version that are enough to name it.
const PREFIX: usize = 4;

/// What a bundle is sent as.
const BUNDLE: &str = "application/zstd";

/// A version of a project's code.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeploymentDocument {
    #[schema(value_type = schema::Id)]
    id: DeploymentId,
    /// By which people know it: how its digest begins, or `folder` for one that is served as it stands.
    version: String,
    /// Of what was deployed: SHA-256 over names, modes and contents; null for a folder.
    #[schema(required)]
    digest: Option<String>,
    #[schema(value_type = String)]
    project_id: ProjectId,
    #[schema(value_type = schema::DeploymentStatus)]
    status: DeploymentStatus,
    /// Whether new runs are its.
    active: bool,
    /// Why it failed; null unless it has.
    #[schema(required)]
    error: Option<DeploymentFault>,
    /// The ids of its actions, in their order.
    #[schema(value_type = Vec<String>)]
    actions: Vec<ActionId>,
    #[schema(value_type = schema::Timestamp)]
    created_at: Time,
    /// The key that it was deployed with; null for a folder.
    #[schema(required, value_type = Option<schema::Id>)]
    created_by: Option<KeyId>,
    /// When it became the active one last; null if it never was.
    #[schema(required, value_type = Option<schema::Timestamp>)]
    active_since: Option<Time>,
}

/// Why a deployment failed.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeploymentFault {
    message: String,
    /// The last lines of its log.
    log_tail: String,
}

/// Deploy a version of a project
///
/// The body is a bundle: a tar archive of the project's files in zstd, as `ziet deploy` makes it. It is checked before this answers; then
/// its Python environment is built and its actions are imported, and when that has succeeded it becomes the active
/// version. What is there already is only made the active version. A project that does not exist comes into being with its first
/// deployment that succeeds.
#[utoipa::path(post, path = "/v1/deployments", tag = "deployments", operation_id = "deploy",
    request_body(content = String, content_type = BUNDLE, description = "The bundle."),
    responses(
        (status = 200, description = "It was there already, and is the active version.", body = DeploymentDocument),
        (status = 202, description = "It is being built.", body = DeploymentDocument),
        (status = "default", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("api_key" = ["deploy"])))]
pub(crate) async fn create(
    caller: Allowed<Deploy>,
    State(platform): State<Arc<Platform>>,
    params: Params,
    request: Request,
) -> Result<(StatusCode, Json<DeploymentDocument>), Problem> {
    params.end()?;
    if platform.is_draining() {
        return Err(Problem::new(Code::Draining, "the server is stopping"));
    }
    let project = caller.project_id()?.clone();
    check_name(&project)?;
    platform.deployed_project(&project)?;
    let (parts, body) = request.into_parts();
    check_type(&parts.headers)?;
    let received = platform.receive(body).await?;
    let (status, record) = match platform.take(&project, received, caller.key.id).await? {
        Taken::New(record) => {
            platform.build_later(project.clone(), record.id);
            (StatusCode::ACCEPTED, record)
        }
        Taken::Building(record) => (StatusCode::ACCEPTED, record),
        Taken::Ready(record) => match platform.deployed_project(&project)? {
            Some(served) => {
                let record = platform.activate(&served, record.id).await?;
                (StatusCode::OK, record)
            }
            None => (StatusCode::OK, record),
        },
    };
    Ok((
        status,
        Json(document(&caller, &platform, project, record).await?),
    ))
}

/// A project's name stands in URLs and headers, and is that of a folder.
fn check_name(project: &ProjectId) -> Result<(), Problem> {
    let name = project.as_str();
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    if !name.is_empty()
        && name.len() <= ID_CHARS
        && name.chars().all(fits)
        && !name.starts_with('.')
    {
        return Ok(());
    }
    let detail = format!(
        "a project is called with up to {ID_CHARS} letters, digits, `.`, `_` and `-`, and does not begin with a dot"
    );
    Err(Problem::new(Code::InvalidRequest, detail))
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if given.is_some_and(|given| given.trim().eq_ignore_ascii_case(BUNDLE)) {
        return Ok(());
    }
    let detail = "send the bundle with `Content-Type: application/zstd`";
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// List deployments
///
/// The newest first.
#[utoipa::path(get, path = "/v1/deployments", tag = "deployments", operation_id = "list_deployments", params(Paging),
    responses((status = 200, description = "A page of deployments.", body = Page<DeploymentDocument>)),
    security(("api_key" = ["read"])))]
pub(crate) async fn list(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    mut params: Params,
) -> Result<Response, Problem> {
    let limit = params.limit()?;
    let before: Option<DeploymentId> = params.cursor("cursor")?;
    params.end()?;
    let project = caller.project_id()?.clone();
    let of = project.clone();
    let verb = async move |tx: &mut Tx<'_>| {
        let mut known = Vec::new();
        let active = deployments::active(tx, &of).await?.map(|active| active.id);
        for record in deployments::page(tx, &of, before, limit + 1).await? {
            let actions = deployments::action_ids(tx, &of, record.id).await?;
            known.push((record, actions));
        }
        Ok((active, known))
    };
    let room = caller.room().await?;
    let (active, known) = platform.read(&room, verb).await?;
    let documents = known.into_iter().map(|(record, actions)| {
        let is_active = active == Some(record.id);
        shown(project.clone(), record, is_active, actions)
    });
    room.answer(&Page::cut(documents, limit, |one| one.id))
}

/// Get a deployment
#[utoipa::path(get, path = "/v1/deployments/{version}", tag = "deployments", operation_id = "get_deployment",
    params(("version" = String, Path, description = "Its version, the beginning of that, or its id.")),
    responses((status = 200, description = "The deployment.", body = DeploymentDocument)),
    security(("api_key" = ["read"])))]
pub(crate) async fn get(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    Named(version): Named,
    params: Params,
) -> Result<Json<DeploymentDocument>, Problem> {
    params.end()?;
    let record = found(&caller, &platform, &version).await?;
    let project = caller.project_id()?.clone();
    Ok(Json(document(&caller, &platform, project, record).await?))
}

/// Make a deployment the active version
///
/// It is imported again for that, with the variables of now. Runs that were accepted before stay with their versions.
#[utoipa::path(post, path = "/v1/deployments/{version}/activate", tag = "deployments", operation_id = "activate_deployment",
    params(("version" = String, Path, description = "Its version, the beginning of that, or its id.")),
    responses((status = 200, description = "It is the active version.", body = DeploymentDocument),
        (status = 409, description = "It is not ready, or the project is served from a folder.", body = ProblemDocument, content_type = "application/problem+json")),
    security(("api_key" = ["deploy"])))]
pub(crate) async fn activate(
    caller: Allowed<Deploy>,
    State(platform): State<Arc<Platform>>,
    Named(version): Named,
    params: Params,
) -> Result<Json<DeploymentDocument>, Problem> {
    params.end()?;
    let id = caller.project_id()?.clone();
    let record = found(&caller, &platform, &version).await?;
    let Some(project) = platform.deployed_project(&id)? else {
        let detail =
            format!("version {version} has not become ready, and the project has no other");
        return Err(Problem::new(Code::DeploymentNotReady, detail));
    };
    let record = platform.activate(&project, record.id).await?;
    Ok(Json(document(&caller, &platform, id, record).await?))
}

/// Read the log of a deployment
///
/// What building and importing it said. With `Accept: text/event-stream` the answer is live: each event `line` brings one line, and
/// `end` the deployment when that has ended.
#[utoipa::path(get, path = "/v1/deployments/{version}/log", tag = "deployments", operation_id = "get_deployment_log",
    params(("version" = String, Path, description = "Its version, the beginning of that, or its id."), sse::Resuming),
    responses((status = 200, description = "The log.", content((String = "text/plain"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(crate) async fn log(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    Named(version): Named,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.end()?;
    let record = found(&caller, &platform, &version).await?;
    let folder = Path::new(&record.source).parent().unwrap_or(Path::new(""));
    let mut tail = LogTail::of(folder);
    if !sse::is_wanted(&headers) {
        let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        return Ok((kind, Body::from(tail.text())).into_response());
    }
    tail.read = sse::last_seen(&headers)?.unwrap_or(0);
    let followed = Followed {
        news: platform.deploys()?.news(),
        project: caller.project_id()?.clone(),
        id: record.id,
        platform: Arc::clone(&platform),
        tail,
    };
    sse::answer(followed, &caller.key).await
}

/// The log of a deployment, followed to its end.
struct Followed {
    platform: Arc<Platform>,
    project: ProjectId,
    id: DeploymentId,
    tail: LogTail,
    news: watch::Receiver<u64>,
}

/// A line of a log.
#[derive(Serialize)]
struct Line {
    text: String,
}

impl Source for Followed {
    async fn read(&mut self, room: &Room) -> Result<News, Problem> {
        self.news.mark_unchanged();
        let (of, id) = (self.project.clone(), self.id);
        let verb = async move |tx: &mut Tx<'_>| {
            let record = deployments::find(tx, &of, id).await?;
            let active = deployments::active(tx, &of).await?;
            let actions = deployments::action_ids(tx, &of, id).await?;
            Ok((record, active, actions))
        };
        // Before the lines, so that none is missing when it has ended.
        let (record, active, actions) = self.platform.read(room, verb).await?;
        let lines = self.tail.lines();
        let events = lines
            .into_iter()
            .map(|(place, text)| sse::event("line", &place, &Line { text }));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let is_active = active.is_some_and(|active| active.id == id);
        let record = record.filter(|record| record.status != DeploymentStatus::Building);
        let more = !events.is_empty();
        let last = record.map(|record| {
            let document = shown(self.project.clone(), record, is_active, actions);
            Event::default().event("end").json_data(document)
        });
        Ok(News {
            events,
            more,
            ended: last.transpose().map_err(Problem::internal)?,
        })
    }

    async fn hint(&mut self) {
        // The sender lives as long as the server.
        let _ = self.news.changed().await;
    }
}

/// The deployment that is meant, of the caller's project.
async fn found(
    caller: &Caller,
    platform: &Platform,
    version: &str,
) -> Result<DeploymentRecord, Problem> {
    let project = caller.project_id()?.clone();
    let missing = || {
        let detail = format!("the project {project} has no deployment {version:?}");
        Problem::new(Code::DeploymentNotFound, detail)
    };
    let room = caller.room().await?;
    let of = project.clone();
    if let Ok(id) = version.parse() {
        let verb = async move |tx: &mut Tx<'_>| deployments::find(tx, &of, id).await;
        return platform.read(&room, verb).await?.ok_or_else(missing);
    }
    let named = version.len() >= PREFIX && version.chars().all(|char| char.is_ascii_alphanumeric());
    if !named {
        return Err(missing().adding(&format!("name it by {PREFIX} characters at least")));
    }
    let prefix = version.to_owned();
    let verb = async move |tx: &mut Tx<'_>| deployments::by_version(tx, &of, &prefix).await;
    let all = platform.read(&room, verb).await?;
    let newest = all.first().ok_or_else(missing)?;
    if all.iter().any(|other| other.version != newest.version) {
        let detail = format!(
            "{version:?} begins several versions of the project {project}: name more of it"
        );
        return Err(Problem::new(Code::DeploymentNotFound, detail));
    }
    // One that can be used counts more than a later try that has failed.
    let ready = all.iter().find(|one| {
        one.status == DeploymentStatus::Ready && newest.status != DeploymentStatus::Building
    });
    Ok(ready.unwrap_or(newest).clone())
}

async fn document(
    caller: &Caller,
    platform: &Platform,
    project: ProjectId,
    record: DeploymentRecord,
) -> Result<DeploymentDocument, Problem> {
    let (of, id) = (project.clone(), record.id);
    let verb = async move |tx: &mut Tx<'_>| {
        let active = deployments::active(tx, &of).await?;
        Ok((active, deployments::action_ids(tx, &of, id).await?))
    };
    let (active, actions) = platform.read(&caller.room().await?, verb).await?;
    let is_active = active.is_some_and(|active| active.id == id);
    Ok(shown(project, record, is_active, actions))
}

fn shown(
    project_id: ProjectId,
    record: DeploymentRecord,
    active: bool,
    actions: Vec<ActionId>,
) -> DeploymentDocument {
    let error = record.error.map(|error| DeploymentFault {
        message: error.message,
        log_tail: error.log_tail,
    });
    DeploymentDocument {
        id: record.id,
        version: record.version,
        digest: record.digest,
        project_id,
        status: record.status,
        active,
        error,
        actions,
        created_at: record.created_at,
        created_by: record.created_by,
        active_since: record.active_since,
    }
}
