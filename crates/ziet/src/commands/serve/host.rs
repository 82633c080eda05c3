//! How this program has a project's code executed: what is served from folders and what is deployed alike.

use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};
use ziet_core::wire::Level;
use ziet_core::{Catalogue, DeploymentId, ProjectId};
use ziet_engine::{Clock, Deployed, Engine, EngineError, EngineSettings, Notice};
use ziet_server::build::Builder;
use ziet_server::{DeployedCode, Deploys, Hints, Host};
use ziet_store::Store;
use ziet_worker::Python;

use super::Start;
use crate::error::CliError;
use crate::settings::{Environment, Flags, Settings};

/// What an engine tells that the server acts on.
pub(super) enum Told {
    Loaded(Catalogue),
    Broken(EngineError),
}

/// What engines are started with.
#[derive(Clone)]
pub(super) struct Engines {
    pub(super) store: Store,
    pub(super) hints: Hints,
    pub(super) clock: Clock,
    pub(super) max_queued: u64,
    pub(super) max_queued_bytes: u64,
    pub(super) tell: UnboundedSender<(ProjectId, Told)>,
}

impl Engines {
    pub(super) fn start(
        &self,
        project: ProjectId,
        deployed: Vec<Deployed>,
    ) -> Result<Engine, EngineError> {
        let settings = EngineSettings {
            max_queued: self.max_queued,
            max_queued_bytes: self.max_queued_bytes,
            clock: self.clock.clone(),
            tells_lines: false,
            ..EngineSettings::new(project.clone(), deployed)
        };
        let notify = listener(project, self.tell.clone(), self.hints.clone());
        Engine::start(settings, self.store.clone(), notify)
    }
}

/// How a project is executed, as its settings say.
pub(super) fn deployed(settings: &Settings, id: DeploymentId) -> Result<Deployed, CliError> {
    let worker = settings.served_worker()?;
    Ok(Deployed {
        backoff: settings.backoff(),
        locals: settings.locals(),
        ..Deployed::new(id, worker, settings.concurrency())
    })
}

/// What is deployed is executed as its own file, and the flags and variables of the server, say.
pub(super) struct Hosting {
    flags: Flags,
    environment: Environment,
    engines: Engines,
    /// The server's own interpreter.
    python: Python,
    /// The folder that holds the package `ziet` of this program, when that is not the one which Python finds by itself.
    sdk: Option<PathBuf>,
    /// The same for interpreters that do not find it by themselves.
    found_sdk: OnceLock<Result<PathBuf, String>>,
}

impl Hosting {
    /// What it takes to deploy. None where the server has no interpreter of its own.
    pub(super) fn deploys(
        start: &Start<'_>,
        engines: &Engines,
    ) -> Result<Option<Deploys>, CliError> {
        let Start {
            flags,
            environment,
            state,
            ..
        } = start;
        // Any of them will do: what counts is what the flags and variables say of all.
        let first = flags.each_project().into_iter().next();
        let base = Settings::resolve(first.as_ref().unwrap_or(flags), environment)?;
        let Ok(python) = base.python_of_the_user(environment) else {
            return Ok(None);
        };
        let worker = base.executed_by(python.path.clone());
        let sandbox = worker.shuts_in();
        let find_uv = || {
            let program = std::env::current_exe().unwrap_or_default();
            Builder::find_uv(&program, &python.path, environment.path.as_deref())
        };
        let given = start.serving.uv.as_ref();
        let given = given.and_then(|uv| std::path::absolute(uv).ok());
        let builder = Builder {
            environments: state.folder.join("environments"),
            uv: given.or_else(find_uv),
            python: python.path.clone(),
            variables: Environment::variables(),
            sandbox,
            without: worker.without(),
        };
        let host = Self {
            flags: (*flags).clone(),
            environment: (*environment).clone(),
            engines: engines.clone(),
            python,
            sdk: worker.sdk(),
            found_sdk: OnceLock::new(),
        };
        let opened = Deploys::open(state.folder.clone(), builder, Box::new(host));
        opened
            .map(Some)
            .map_err(|error| CliError::failed("the folders of deployments", error))
    }

    /// The folder with the package `ziet` for an interpreter that does not find it by itself.
    fn sdk(&self) -> Result<PathBuf, String> {
        if let Some(sdk) = &self.sdk {
            return Ok(sdk.clone());
        }
        self.found_sdk.get_or_init(|| self.python.sdk()).clone()
    }
}

impl Host for Hosting {
    fn deployed(&self, code: &DeployedCode) -> Result<Deployed, String> {
        let told = |error: CliError| match error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        };
        let settings = Settings::of_code(&code.folder, &self.flags, &self.environment);
        let settings = settings
            .map_err(told)?
            .executed_by(PathBuf::from(&code.built.python));
        let mut deployed = deployed(&settings, code.id).map_err(told)?;
        let worker = &mut deployed.worker;
        worker.project.id = code.project.clone();
        if code.built.environment.is_some() {
            worker.sdk = Some(self.sdk()?);
        }
        let is_set = |name: &String| code.variables.iter().any(|(set, _)| set == name);
        worker.environment.retain(|(name, _)| !is_set(name));
        worker.environment.extend(code.variables.iter().cloned());
        Ok(deployed)
    }

    fn engine(&self, project: ProjectId, deployed: Vec<Deployed>) -> Result<Engine, EngineError> {
        self.engines.start(project, deployed)
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
