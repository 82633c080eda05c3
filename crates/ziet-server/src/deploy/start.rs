//! What a server finds in its state when it is started: projects that are deployed, and deployments that were being built.

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info, warn};
use ziet_core::ProjectId;
use ziet_core::deployment::DeploymentStatus;
use ziet_engine::Deployed;
use ziet_store::Tx;
use ziet_store::deployments::{self, DeploymentError, DeploymentRecord};

use crate::platform::Platform;
use crate::problem::Problem;

impl Platform {
    /// Serves what is deployed, and goes on building what was being built. To be called when all folders are added.
    ///
    /// # Errors
    /// With what the store, or an engine, says.
    pub async fn start_deployed(self: &Arc<Self>) -> Result<(), String> {
        let told = |problem: Problem| problem.said().to_owned();
        let projects = async |tx: &mut Tx<'_>| deployments::projects(tx).await;
        for project in self.read_as_server(projects).await.map_err(told)? {
            if self.project(Some(&project)).is_none() {
                self.start_project(project).await.map_err(told)?;
            }
        }
        let building = async |tx: &mut Tx<'_>| deployments::building(tx).await;
        for (project, id) in self.read_as_server(building).await.map_err(told)? {
            let record = self.deployment(&project, id).await.map_err(told)?;
            let whole = record.is_some_and(|record| Path::new(&record.source).is_dir());
            if whole && self.deployed_project(&project).is_ok() {
                self.build_later(project, id);
                continue;
            }
            let error = DeploymentError {
                message: "the server was ended before it was built: deploy it again".to_owned(),
                log_tail: String::new(),
            };
            self.write(async move |tx| deployments::set_failed(tx, &project, id, &error).await)
                .await
                .map_err(told)?;
        }
        Ok(())
    }

    async fn start_project(&self, project: ProjectId) -> Result<(), Problem> {
        let of = project.clone();
        let known = async move |tx: &mut Tx<'_>| {
            let active = deployments::active(tx, &of).await?;
            let ready = deployments::with_status(tx, &of, DeploymentStatus::Ready).await?;
            let actions = match &active {
                Some(active) => deployments::actions(tx, &of, active.id).await?,
                None => ziet_core::Catalogue::default(),
            };
            Ok((active, ready, actions))
        };
        let (active, ready, actions) = self.read_as_server(known).await?;
        let Some(active) = active.filter(|active| active.built.is_some()) else {
            warn!(%project, "{project} was served from a folder, which is not named now: it is not served");
            return Ok(());
        };
        let version = &active.version;
        let Some(mut first) = self.deployed(&project, &active).await? else {
            return Ok(());
        };
        first.catalogue = Some(actions);
        let mut deployed = vec![first];
        for record in ready
            .iter()
            .filter(|one| one.built.is_some() && one.id != active.id)
        {
            deployed.extend(self.deployed(&project, record).await?);
        }
        let engine = self.deploys()?.host.engine(project.clone(), deployed);
        info!(%project, version, "project {project}: version {version}");
        self.add(project, Arc::new(engine.map_err(Problem::internal)?), None);
        Ok(())
    }

    /// What a deployment is executed with. None where it cannot be any more, which is told.
    async fn deployed(
        &self,
        project: &ProjectId,
        record: &DeploymentRecord,
    ) -> Result<Option<Deployed>, Problem> {
        let code = self.code_of(project, record).await?;
        match self.deploys()?.host.deployed(&code) {
            Ok(deployed) => Ok(Some(deployed)),
            Err(text) => {
                let version = &record.version;
                error!(%project, version, "version {version} of {project} cannot be executed any more: {text}");
                Ok(None)
            }
        }
    }
}
