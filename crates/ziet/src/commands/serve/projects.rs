//! The projects that a server serves from folders as they stand, each with an engine of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tracing::info;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::{ActionSpec, Catalogue, DeploymentId, ProjectId};
use ziet_engine::{Deployed, Engine, EngineError};
use ziet_server::Platform;
use ziet_store::deployments::{self, DeploymentRecord};
use ziet_store::{Store, environment};
use ziet_worker::WorkerSettings;

use super::host::{Engines, Told, deployed};
use crate::error::CliError;
use crate::output::counted;
use crate::settings::{HIDDEN, Settings};

/// The version of a folder that is served as it stands.
pub(in crate::commands) const FOLDER: &str = "folder";

pub(super) struct Projects {
    store: Store,
    served: BTreeMap<ProjectId, Served>,
    told: UnboundedReceiver<(ProjectId, Told)>,
}

/// A project that is served from a folder as it stands.
struct Served {
    engine: Arc<Engine>,
    worker: WorkerSettings,
    deployment: DeploymentRecord,
}

/// The folders to serve: those that are named, else the current one, if it is a project and the state is not among its code.
pub(super) fn folders(all: Vec<Settings>, state: &Path) -> Vec<Settings> {
    let is_served = |settings: &Settings| {
        settings.is_named() || settings.is_project() && !holds(settings.root(), state)
    };
    all.into_iter().filter(is_served).collect()
}

/// Whether the state lies where the code of a project could read it.
fn holds(root: &Path, state: &Path) -> bool {
    state.starts_with(root) && !state.starts_with(root.join(HIDDEN))
}

/// Refuses what must not be served together, or from there.
pub(super) fn check(folders: &[Settings], state: &Path) -> Result<(), CliError> {
    let mut seen: BTreeMap<ProjectId, &Path> = BTreeMap::new();
    for settings in folders {
        let (id, root) = (settings.project()?.id, settings.root());
        if let Some(other) = seen.insert(id.clone(), root) {
            if other == root {
                let message = format!("{} is named twice", root.display());
                return Err(CliError::usage(message).hint("name each project once"));
            }
            let message = format!(
                "two projects have the id `{id}`: {} and {}",
                other.display(),
                root.display()
            );
            return Err(CliError::usage(message)
                .hint("name one of them with `name = \"…\"` in its ziet.toml"));
        }
        if holds(root, state) {
            let message = format!(
                "the state folder {} lies in the project {id}, whose code could read it",
                state.display()
            );
            return Err(CliError::usage(message).hint(format!(
                "name another one with --state, or one in {}",
                root.join(HIDDEN).display()
            )));
        }
    }
    Ok(())
}

impl Projects {
    /// Starts the engines, which begin to import.
    pub(super) fn start(
        folders: &[Settings],
        engines: &Engines,
        told: UnboundedReceiver<(ProjectId, Told)>,
    ) -> Result<Self, CliError> {
        let start = |settings: &Settings| {
            // Each start may find other code in the folder.
            let now = engines.clock.now();
            let deployed = deployed(settings, DeploymentId::new(now))?;
            let worker = deployed.worker.clone();
            let id = worker.project.id.clone();
            let deployment = DeploymentRecord {
                id: deployed.id,
                version: FOLDER.to_owned(),
                digest: None,
                status: DeploymentStatus::Building,
                source: worker.project.root.display().to_string(),
                built: None,
                error: None,
                created_by: None,
                created_at: now,
                active_since: None,
            };
            let first = with_variables(&engines.store, deployed)?;
            let served = Served {
                engine: Arc::new(engines.start(id.clone(), vec![first])?),
                worker,
                deployment,
            };
            Ok((id, served))
        };
        let served = folders.iter().map(start).collect::<Result<_, CliError>>()?;
        Ok(Self {
            store: engines.store.clone(),
            served,
            told,
        })
    }

    /// Has them served.
    pub(super) fn add_to(&self, platform: &Platform) {
        for (id, served) in &self.served {
            let worker = Some(served.worker.clone());
            platform.add(id.clone(), Arc::clone(&served.engine), worker);
        }
    }

    /// Waits until every project is imported.
    ///
    /// # Errors
    /// When one of them is not, as a whole: whoever starts a server is there to see it, and half of one helps nobody.
    pub(super) async fn loaded(&mut self) -> Result<(), CliError> {
        let mut missing = self.served.len();
        while missing > 0 {
            let Some((id, told)) = self.told.recv().await else {
                return Err(EngineError::Stopped.into());
            };
            match told {
                Told::Loaded(catalogue) => {
                    self.check_loaded(&id, &catalogue)?;
                    self.activate(&id, &catalogue)?;
                    missing -= 1;
                }
                Told::Broken(error) => return Err(self.broken_by(&id, "cannot be served", error)),
            }
        }
        Ok(())
    }

    fn check_loaded(&self, id: &ProjectId, catalogue: &Catalogue) -> Result<(), CliError> {
        let worker = &self.served[id].worker;
        let (folder, python) = (worker.project.root.display(), worker.python.path.display());
        let problems = catalogue.problems.iter();
        let problems: Vec<String> = problems
            .map(|problem| format!("{}\n{}", problem.headline(), problem.traceback))
            .collect();
        if !problems.is_empty() {
            let message = format!("project {id}: {}", problems.join("\n"));
            return Err(CliError::broken(message)
                .hint("a server serves a project as a whole, or not at all"));
        }
        let actions = catalogue.actions().len();
        if actions == 0 {
            return Err(
                CliError::usage(format!("project {id}: no actions in {folder}"))
                    .hint("`ziet actions` in that folder says where was looked"),
            );
        }
        let actions = counted(actions, "action");
        info!(project = %id, %folder, %python, "project {id}: {actions}");
        Ok(())
    }

    /// Keeps what was found in the folder as what the project consists of.
    fn activate(&self, id: &ProjectId, catalogue: &Catalogue) -> Result<(), CliError> {
        let (of, deployment) = (id.clone(), self.served[id].deployment.clone());
        let actions: Vec<ActionSpec> = catalogue.actions().cloned().collect();
        let now = deployment.created_at;
        let kept = self.store.write_now(async move |tx| {
            deployments::insert(tx, &of, &deployment).await?;
            deployments::set_ready(tx, &of, deployment.id, &actions).await?;
            deployments::activate(tx, &of, deployment.id, now).await
        });
        let kept = kept.map(drop);
        kept.map_err(|error| CliError::failed(&format!("project {id} is not kept"), error))
    }

    /// Waits until an engine cannot go on.
    pub(super) async fn broken(&mut self) -> CliError {
        const WHAT: &str = "has no engine any more";
        loop {
            match self.told.recv().await {
                Some((id, Told::Broken(error))) => return self.broken_by(&id, WHAT, error),
                // After a pause without work, or after the process that had imported it has died.
                Some((id, Told::Loaded(_))) => info!(project = %id, "{id} is imported again"),
                None => return EngineError::Stopped.into(),
            }
        }
    }

    /// A state that cannot be used is not the project's fault.
    fn broken_by(&self, id: &ProjectId, what: &str, error: EngineError) -> CliError {
        match error {
            EngineError::Store(error) => {
                CliError::failed("the state cannot be used", self.store.explain(error))
            }
            error => CliError::failed(&format!("project {id} {what}"), error),
        }
    }
}

/// With what was set for the project on the server.
pub(in crate::commands) fn with_variables(
    store: &Store,
    mut deployed: Deployed,
) -> Result<Deployed, CliError> {
    let project = deployed.worker.project.id.clone();
    let set = store.read_now(async move |tx| environment::values(tx, &project).await);
    let set = set.map_err(|error| CliError::failed("the variables of a project", error))?;
    let own = &mut deployed.worker.environment;
    own.retain(|(name, _)| set.iter().all(|(other, _)| other != name));
    own.extend(set);
    Ok(deployed)
}
