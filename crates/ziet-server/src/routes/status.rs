//! How a server is: its version, what there is to do in each project, and its disk.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use walkdir::WalkDir;
use ziet_core::{DeploymentId, ProjectId};
use ziet_store::Tx;
use ziet_store::deployments;

use crate::auth::{Allowed, Read};
use crate::params::Params;
use crate::platform::{Platform, Project};
use crate::problem::Problem;
use crate::schema;

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServerStatus {
    version: &'static str,
    /// Since it was started.
    #[schema(minimum = 0)]
    uptime_seconds: u64,
    /// Whether it is stopping.
    draining: bool,
    /// Whether its state cannot be written now.
    store_down: bool,
    projects: Vec<ProjectStatus>,
    /// Null where the state is not on a disk.
    #[schema(required)]
    disk: Option<Disk>,
}

/// What there is to do in a project.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProjectStatus {
    #[schema(value_type = String)]
    project_id: ProjectId,
    /// The active version; null where there is none yet.
    #[schema(required)]
    deployment: Option<ActiveDeployment>,
    /// Runs that wait for an executor.
    queued: u64,
    /// Attempts that use the machine.
    executing: usize,
    /// Attempts that wait for runs that they called.
    waiting: usize,
    /// Runs that have not finished.
    live: u64,
    /// Processes that are there for attempts.
    executors: usize,
    /// Whether the active version cannot be imported again, so that its runs wait.
    import_failing: bool,
}

/// The active version of a project.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActiveDeployment {
    #[schema(value_type = schema::Id)]
    id: DeploymentId,
    version: String,
}

/// The disk that the state is on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Disk {
    /// What the state takes, with code and environments.
    state_bytes: u64,
    /// What is left for the server's user.
    free_bytes: u64,
}

/// See how the server is
///
/// A key of one project sees that one, a key of all sees all.
#[utoipa::path(get, path = "/v1/status", tag = "health", operation_id = "get_status",
    responses((status = 200, description = "How it is.", body = ServerStatus)),
    security(("api_key" = ["read"])))]
pub(crate) async fn get(
    caller: Allowed<Read>,
    State(platform): State<Arc<Platform>>,
    params: Params,
) -> Result<Json<ServerStatus>, Problem> {
    params.end()?;
    let own = caller.key.project.as_ref();
    let served = platform.projects();
    let store_down = served
        .iter()
        .any(|project| project.engine.figures().store_down);
    let seen = served
        .into_iter()
        .filter(|project| own.is_none_or(|own| *own == project.id));
    let mut projects = Vec::new();
    for project in seen {
        projects.push(of_project(&caller, &platform, &project).await?);
    }
    let state = platform
        .deploys
        .as_ref()
        .map(|deploys| deploys.state().to_owned());
    let disk = spawn_blocking(move || disk(&state?));
    Ok(Json(ServerStatus {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: platform.settings.clock.elapsed().as_secs(),
        draining: platform.is_draining(),
        store_down,
        projects,
        disk: disk.await.map_err(Problem::internal)?,
    }))
}

async fn of_project(
    caller: &Allowed<Read>,
    platform: &Platform,
    project: &Project,
) -> Result<ProjectStatus, Problem> {
    let figures = project.engine.figures();
    let of = project.id.clone();
    let verb = async move |tx: &mut Tx<'_>| deployments::active(tx, &of).await;
    let active = platform.read(&caller.room().await?, verb).await?;
    Ok(ProjectStatus {
        project_id: project.id.clone(),
        deployment: active.map(|active| ActiveDeployment {
            id: active.id,
            version: active.version,
        }),
        queued: figures.queued,
        executing: figures.executing,
        waiting: figures.waiting,
        live: figures.live,
        executors: figures.executors,
        import_failing: figures.import_failing,
    })
}

/// None where the system does not tell.
fn disk(state: &Path) -> Option<Disk> {
    let files = WalkDir::new(state).into_iter().flatten();
    let sizes = files.filter_map(|file| {
        Some(
            file.metadata()
                .ok()
                .filter(std::fs::Metadata::is_file)?
                .len(),
        )
    });
    let about = rustix::fs::statvfs(state).ok()?;
    Some(Disk {
        state_bytes: sizes.sum(),
        free_bytes: about.f_bavail.saturating_mul(about.f_frsize),
    })
}
