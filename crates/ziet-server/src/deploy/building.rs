//! Building a deployment, importing it beside the active one, and making it that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::{error, info};
use ziet_core::deployment::DeploymentStatus;
use ziet_core::{ActionSpec, Catalogue, DeploymentId, Failure, ProjectId};
use ziet_engine::{Deployed, Engine};
use ziet_store::Tx;
use ziet_store::deployments::{self, Built, DeploymentError, DeploymentRecord};

use super::log::{Log, tail};
use super::{Code, Deploys};
use crate::platform::{Platform, Project};
use crate::problem::{Code as Problems, Problem};

/// Why a deployment did not come to its end.
enum Stopped {
    /// Something is wrong with it, as the text says.
    Failed(String),
    /// The server could not do its part now; the next start tries again.
    Server(Problem),
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Server(problem)
    }
}

/// A deployment that is built.
struct Building {
    project: ProjectId,
    record: DeploymentRecord,
    folder: PathBuf,
    log: Log,
}

impl Platform {
    /// Has a deployment built when it is its turn. Nobody waits for it.
    pub(crate) fn build_later(self: &Arc<Self>, project: ProjectId, id: DeploymentId) {
        let platform = Arc::clone(self);
        tokio::spawn(async move {
            let building = Arc::clone(&platform);
            let of = project.clone();
            let built = tokio::spawn(async move { building.build(&of, id).await });
            match built.await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => {
                    error!(%project, deployment = %id, "a deployment of {project} stays unbuilt until the server is started again: {}", problem.said());
                }
                Err(panicked) => {
                    error!(%project, deployment = %id, "building a deployment of {project} has a defect: {panicked}");
                }
            }
            platform.tell_news();
        });
    }

    fn tell_news(&self) {
        if let Some(deploys) = &self.deploys {
            deploys.tell();
        }
    }

    async fn build(self: &Arc<Self>, project: &ProjectId, id: DeploymentId) -> Result<(), Problem> {
        let deploys = self.deploys()?;
        let _turn = deploys.turn(project).await;
        let record = self.deployment(project, id).await?;
        let Some(record) = record.filter(|one| one.status == DeploymentStatus::Building) else {
            return Ok(());
        };
        let folder = deploys.folder(project, record.digest.as_deref().unwrap_or_default());
        let log = Log::begin(deploys, &folder).map_err(Problem::internal)?;
        let mut building = Building {
            project: project.clone(),
            record,
            folder,
            log,
        };
        match self.build_all(deploys, &mut building).await {
            Ok(()) => Ok(()),
            Err(Stopped::Server(problem)) => Err(problem),
            Err(Stopped::Failed(text)) => self.fail(building, text).await,
        }
    }

    async fn build_all(
        self: &Arc<Self>,
        deploys: &Deploys,
        building: &mut Building,
    ) -> Result<(), Stopped> {
        let (project, id) = (building.project.clone(), building.record.id);
        let built = self.environment_of(deploys, building).await?;
        let (of, kept) = (project.clone(), built.clone());
        self.write(async move |tx| deployments::set_built(tx, &of, id, &kept).await)
            .await?;
        let variables = self.variables(&project).await?;
        let code = Code {
            project: project.clone(),
            id,
            folder: building.folder.join("code"),
            built,
            variables: variables.clone(),
        };
        let deployed = deploys.host.deployed(&code).map_err(Stopped::Failed)?;
        building.log.line("importing it");
        let served = self.project(Some(&project));
        let engine = if let Some(served) = &served {
            Arc::clone(&served.engine)
        } else {
            let first = deploys.host.engine(project.clone(), Vec::new());
            Arc::new(first.map_err(Problem::internal)?)
        };
        let imported = self
            .import(&engine, &project, deployed)
            .await
            .map_err(|failure| Stopped::Failed(shown(&failure, &code.folder)));
        if let Err(stopped) = self.finish_import(building, imported).await {
            if served.is_none() {
                // It waits for its thread.
                let _ = spawn_blocking(move || drop(engine)).await;
            }
            return Err(stopped);
        }
        self.put_in_place(&engine, &project, id).await?;
        if served.is_none() {
            self.add(project.clone(), engine, None);
        }
        building.log.line("active");
        let version = &building.record.version;
        info!(%project, version, "{project}: version {version} is active");
        if self.variables(&project).await? != variables {
            // They were changed while it was imported.
            self.apply_variables(&project).await?;
        }
        Ok(())
    }

    async fn finish_import(
        &self,
        building: &mut Building,
        imported: Result<Catalogue, Stopped>,
    ) -> Result<(), Stopped> {
        let catalogue = imported?;
        let (of, id) = (building.project.clone(), building.record.id);
        let actions: Vec<ActionSpec> = catalogue.actions().cloned().collect();
        for action in &actions {
            building.log.line(&format!("action {}", action.id));
        }
        self.write(async move |tx| deployments::set_ready(tx, &of, id, &actions).await)
            .await?;
        Ok(())
    }

    /// Builds what executes it, if that is not there.
    async fn environment_of(
        &self,
        deploys: &Deploys,
        building: &mut Building,
    ) -> Result<Built, Stopped> {
        let builder = deploys.builder.clone();
        let (project, code) = (building.project.clone(), building.folder.join("code"));
        let mut log = building.log.again().map_err(Problem::internal)?;
        let built = spawn_blocking(move || {
            builder.build(project.as_str(), &code, &mut |line| log.line(line))
        });
        let built = built.await.map_err(Problem::internal)?;
        let built = built.map_err(|error| Stopped::Failed(error.to_string()))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Ok(Built {
            python: text(&built.python),
            environment: built.folder.as_deref().map(text),
        })
    }

    /// Imports a deployment beside the active one.
    pub(super) async fn import(
        &self,
        engine: &Engine,
        project: &ProjectId,
        deployed: Deployed,
    ) -> Result<Catalogue, Box<Failure>> {
        let (tell, imported) = oneshot::channel();
        engine.deploy(deployed, move |found| drop(tell.send(found)));
        let gone = || {
            let text = format!("the server is stopping, and with it {project}");
            Box::new(Failure::new(
                ziet_core::ErrorCode::Draining,
                "Draining",
                text,
            ))
        };
        imported.await.map_err(|_| gone())?.map_err(Box::new)
    }

    /// Makes an imported deployment the active one.
    async fn put_in_place(
        &self,
        engine: &Engine,
        project: &ProjectId,
        id: DeploymentId,
    ) -> Result<(), Problem> {
        let (tell, done) = oneshot::channel();
        engine.activate(id, move |done| drop(tell.send(done)));
        let stopping = |_| Problem::new(Problems::Draining, "the server is stopping");
        if done.await.map_err(stopping)?? {
            return Ok(());
        }
        Err(Problem::internal(format_args!(
            "the engine of {project} does not know the deployment {id}"
        )))
    }

    async fn fail(&self, mut building: Building, text: String) -> Result<(), Problem> {
        let Building {
            project,
            record,
            folder,
            log,
        } = &mut building;
        log.line(&text);
        let (version, first) = (&record.version, text.lines().next().unwrap_or_default());
        info!(%project, version, "{project}: version {version} has failed: {first}");
        let error = DeploymentError {
            log_tail: tail(folder),
            message: text,
        };
        let (of, id) = (project.clone(), record.id);
        self.write(async move |tx| deployments::set_failed(tx, &of, id, &error).await)
            .await?;
        let code = folder.join("code");
        // What is left is removed when it is deployed again.
        let _ = spawn_blocking(move || fs_err::remove_dir_all(code)).await;
        Ok(())
    }

    /// Makes a deployment that is ready the active one, imported anew with the variables of now.
    pub(crate) async fn activate(
        self: &Arc<Self>,
        project: &Arc<Project>,
        id: DeploymentId,
    ) -> Result<DeploymentRecord, Problem> {
        // Whoever asked may go away meanwhile.
        let (platform, project) = (Arc::clone(self), Arc::clone(project));
        let activated = tokio::spawn(async move { platform.activate_now(&project, id).await });
        activated.await.map_err(Problem::internal)?
    }

    async fn activate_now(
        &self,
        project: &Project,
        id: DeploymentId,
    ) -> Result<DeploymentRecord, Problem> {
        let deploys = self.deploys()?;
        let _turn = deploys.turn(&project.id).await;
        let record = self.ready_deployment(&project.id, id).await?;
        if project.engine.active() == Some(id) {
            return Ok(record);
        }
        let code = self.code_of(&project.id, &record).await?;
        let not_ready = |text: String| {
            let detail = format!("version {} cannot be used any more: {text}", record.version);
            Problem::new(Problems::DeploymentNotReady, detail)
        };
        let deployed = deploys.host.deployed(&code).map_err(not_ready)?;
        let catalogue = self
            .import(&project.engine, &project.id, deployed)
            .await
            .map_err(|failure| not_ready(shown(&failure, &code.folder)))?;
        let (of, actions) = (
            project.id.clone(),
            catalogue.actions().cloned().collect::<Vec<_>>(),
        );
        self.write(async move |tx| deployments::set_ready(tx, &of, id, &actions).await)
            .await?;
        self.put_in_place(&project.engine, &project.id, id).await?;
        let version = &record.version;
        info!(project = %project.id, version, "{}: version {version} is active again", project.id);
        self.tell_news();
        self.ready_deployment(&project.id, id).await
    }

    async fn ready_deployment(
        &self,
        project: &ProjectId,
        id: DeploymentId,
    ) -> Result<DeploymentRecord, Problem> {
        let record = self.deployment(project, id).await?;
        let record = record.ok_or_else(|| {
            Problem::new(Problems::DeploymentNotFound, "the deployment was deleted")
        })?;
        let detail = match record.status {
            DeploymentStatus::Ready => return Ok(record),
            DeploymentStatus::Building => "is still being built",
            DeploymentStatus::Failed => "has failed, and never becomes active",
            DeploymentStatus::Removed => {
                "was removed since no run needed it any more: deploy it again"
            }
        };
        let detail = format!("version {} {detail}", record.version);
        Err(Problem::new(Problems::DeploymentNotReady, detail))
    }

    /// The code of a deployment that was built, with the variables of now.
    pub(super) async fn code_of(
        &self,
        project: &ProjectId,
        record: &DeploymentRecord,
    ) -> Result<Code, Problem> {
        let unbuilt = || Problem::internal(format_args!("{} is not built", record.id));
        Ok(Code {
            project: project.clone(),
            id: record.id,
            folder: PathBuf::from(&record.source),
            built: record.built.clone().ok_or_else(unbuilt)?,
            variables: self.variables(project).await?,
        })
    }

    /// What is known of a deployment.
    pub(crate) async fn deployment(
        &self,
        project: &ProjectId,
        id: DeploymentId,
    ) -> Result<Option<DeploymentRecord>, Problem> {
        let project = project.clone();
        self.read_as_server(async move |tx: &mut Tx<'_>| deployments::find(tx, &project, id).await)
            .await
    }
}

/// Why an import failed, with places as they are in the project.
pub(super) fn shown(failure: &Failure, code: &Path) -> String {
    let traceback = failure.traceback.as_deref().unwrap_or_default();
    let text = format!("{}\n{}", failure.message, traceback.trim_end());
    text.trim_end().replace(&format!("{}/", code.display()), "")
}
