//! The projects of a server, each with an engine of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use ziet_core::deployment::DeploymentStatus;
use ziet_core::wire::Level;
use ziet_core::{ActionSpec, Catalogue, DeploymentId, ProjectId};
use ziet_engine::{Clock, Deployed, Engine, EngineError, EngineSettings, Notice};
use ziet_server::Hints;
use ziet_store::Store;
use ziet_store::deployments::{self, DeploymentRecord};

use crate::error::CliError;
use crate::output::counted;
use crate::settings::{HIDDEN, Serving, Settings};

/// The version of a folder that is served as it stands.
pub(in crate::commands) const FOLDER: &str = "folder";

pub(super) struct Projects {
    store: Store,
    served: BTreeMap<ProjectId, Served>,
    told: UnboundedReceiver<(ProjectId, Told)>,
}

struct Served {
    engine: Arc<Engine>,
    deployment: DeploymentRecord,
    folder: String,
    python: String,
}

/// What an engine tells that the server acts on.
enum Told {
    Loaded(Catalogue),
    Broken(EngineError),
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
        if state.starts_with(root) && !state.starts_with(root.join(HIDDEN)) {
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
        serving: &Serving,
        store: &Store,
        hints: &Hints,
        clock: &Clock,
    ) -> Result<Self, CliError> {
        let (tell, told) = unbounded_channel();
        let start = |settings: &Settings| {
            let worker = settings.served_worker()?;
            let id = worker.project.id.clone();
            let (folder, python) = (
                worker.project.root.display().to_string(),
                worker.python.path.display().to_string(),
            );
            // Each start may find other code in the folder.
            let now = clock.now();
            let deployment = DeploymentRecord {
                id: DeploymentId::new(now),
                version: FOLDER.to_owned(),
                digest: None,
                status: DeploymentStatus::Building,
                source: folder.clone(),
                built: None,
                error: None,
                created_by: None,
                created_at: now,
                active_since: None,
            };
            let deployed = Deployed {
                backoff: settings.backoff(),
                locals: settings.locals(),
                ..Deployed::new(deployment.id, worker, settings.concurrency())
            };
            let engine_settings = EngineSettings {
                max_queued: serving.max_queued,
                max_queued_bytes: serving.max_queued_bytes,
                clock: clock.clone(),
                tells_lines: false,
                ..EngineSettings::new(id.clone(), vec![deployed])
            };
            let notify = listener(id.clone(), tell.clone(), hints.clone());
            let engine = Engine::start(engine_settings, store.clone(), notify)?;
            let served = Served {
                engine: Arc::new(engine),
                deployment,
                folder,
                python,
            };
            Ok((id, served))
        };
        let served = folders.iter().map(start).collect::<Result<_, CliError>>()?;
        Ok(Self {
            store: store.clone(),
            served,
            told,
        })
    }

    pub(super) fn engines(&self) -> BTreeMap<ProjectId, Arc<Engine>> {
        let engines = self.served.iter();
        engines
            .map(|(id, served)| (id.clone(), Arc::clone(&served.engine)))
            .collect()
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
        let Served { folder, python, .. } = &self.served[id];
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
        info!(project = %id, folder, python, "project {id}: {actions}");
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

    /// Lets attempts end, for at most `grace`; what is left is for the next server.
    pub(super) fn drain(&self, grace: Duration) -> impl Future<Output = ()> + use<> {
        let drained: Vec<_> = self
            .served
            .values()
            .map(|served| {
                let (tell, drained) = oneshot::channel();
                served.engine.drain(grace, move || {
                    // The server has ended already if nobody listens.
                    let _ = tell.send(());
                });
                drained
            })
            .collect();
        async move {
            for drained in drained {
                // An engine that is gone has nothing to drain.
                let _ = drained.await;
            }
        }
    }
}

/// What is called on the thread of an engine with all that it tells.
fn listener(
    id: ProjectId,
    tell: UnboundedSender<(ProjectId, Told)>,
    hints: Hints,
) -> impl FnMut(Notice) + Send + 'static {
    move |notice| {
        hints.on_notice(&notice);
        let told = match notice {
            Notice::Loaded(catalogue) => Told::Loaded(catalogue),
            Notice::Broken(error) => Told::Broken(error),
            Notice::Supervised(mechanisms) => {
                if mechanisms.sandbox.is_some() {
                    info!(project = %id, "sandbox of {id}: {mechanisms}");
                } else {
                    warn!(project = %id, "no sandbox for {id}: its code can read the keys and the state of this server; {mechanisms}");
                }
                return;
            }
            Notice::Printed { level, text } => {
                match level {
                    Level::Info => info!(project = %id, "{id}: {text}"),
                    Level::Warn => warn!(project = %id, "{id}: {text}"),
                    Level::Error => error!(project = %id, "{id}: {text}"),
                }
                return;
            }
            Notice::ImportFailed { failure, pause, .. } => {
                let (pause, why) = (pause.as_secs(), failure.headline());
                let traceback = failure.traceback.unwrap_or_default();
                error!(project = %id, pause, "{id} cannot be imported again, and its runs wait; trying in {pause} s: {why}\n{traceback}");
                return;
            }
            Notice::Run { .. } | Notice::Written(_) | Notice::InputMade(_) => return,
        };
        // Nobody listens any more when the server ends.
        let _ = tell.send((id.clone(), told));
    }
}
