//! The variables that were set for a project on the server, and having its deployments executed with them.

use std::sync::Arc;

use tokio::sync::oneshot;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::{Catalogue, DeploymentId, Failure, ProjectId};
use ziet_store::{Tx, deployments, environment};
use ziet_worker::WorkerSettings;

use super::building::shown;
use crate::platform::{Platform, Project};
use crate::problem::Problem;

impl Platform {
    pub(crate) async fn variables(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<(String, String)>, Problem> {
        let project = project.clone();
        self.read_as_server(async move |tx: &mut Tx<'_>| environment::values(tx, &project).await)
            .await
    }

    /// Has the deployments of a project executed with the variables of now. Gives the reason why the active one is not, if it cannot
    /// be imported with them: then it goes on with those that it had.
    pub(crate) async fn apply_variables(
        self: &Arc<Self>,
        project: &ProjectId,
    ) -> Result<Option<String>, Problem> {
        let Some(project) = self.project(Some(project)) else {
            return Ok(None); // Its first deployment will have them.
        };
        // Whoever asked may go away meanwhile.
        let platform = Arc::clone(self);
        let applied = tokio::spawn(async move { platform.apply_now(&project).await });
        applied.await.map_err(Problem::internal)?
    }

    async fn apply_now(&self, project: &Project) -> Result<Option<String>, Problem> {
        let active = project.engine.active();
        if let (Some(folder), Some(active)) = (&project.folder, active) {
            let mut worker = folder.clone();
            let set = self.variables(&project.id).await?;
            worker.environment = with(&worker.environment, set);
            let root = worker.project.root.clone();
            let found = replaced(project, active, worker).await;
            return Ok(found.err().map(|failure| shown(&failure, &root)));
        }
        let of = project.id.clone();
        let ready = async move |tx: &mut Tx<'_>| {
            deployments::with_status(tx, &of, DeploymentStatus::Ready).await
        };
        let mut why = None;
        for record in self.read_as_server(ready).await? {
            if record.built.is_none() {
                continue; // A folder of an earlier start.
            }
            let code = self.code_of(&project.id, &record).await?;
            let found = match self.deploys()?.host.deployed(&code) {
                Ok(deployed) => replaced(project, record.id, deployed.worker)
                    .await
                    .map_err(|failure| shown(&failure, &code.folder)),
                Err(text) => Err(text),
            };
            if let (Err(text), true) = (found, active == Some(record.id)) {
                why = Some(text);
            }
        }
        Ok(why)
    }
}

/// Those that a project brings, beneath those that were set for it.
pub(super) fn with(own: &[(String, String)], set: Vec<(String, String)>) -> Vec<(String, String)> {
    let is_set = |name: &String| set.iter().any(|(other, _)| other == name);
    let mut all: Vec<_> = own
        .iter()
        .filter(|(name, _)| !is_set(name))
        .cloned()
        .collect();
    all.extend(set);
    all
}

async fn replaced(
    project: &Project,
    id: DeploymentId,
    worker: WorkerSettings,
) -> Result<Catalogue, Box<Failure>> {
    let (tell, replaced) = oneshot::channel();
    let engine = &project.engine;
    engine.replace(id, worker, move |found| drop(tell.send(found)));
    match replaced.await {
        Ok(found) => found.map_err(Box::new),
        // The server ends, so nothing is executed any more.
        Err(_) => Ok(Catalogue::default()),
    }
}
