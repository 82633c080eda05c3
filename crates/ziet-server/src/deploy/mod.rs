//! Deployments from their upload until they are the active ones: received, checked, built, imported, activated.
//!
//! How somebody's code is executed is the program's to know, by [`Host`]; what becomes of runs is the engine's. One deployment of a
//! project is built at a time, in the order in which they came.

mod building;
mod cleaning;
mod log;
mod receive;
mod start;
mod variables;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore, watch};
use ziet_core::{DeploymentId, ProjectId};
use ziet_engine::{Deployed, Engine, EngineError};
use ziet_store::deployments::Built;

pub(crate) use self::log::LogTail;
pub(crate) use self::receive::Taken;
use crate::build::Builder;
use crate::platform::{Platform, Project};
use crate::problem::{Code as Problems, Problem};

/// Bundles that are received at the same time.
const UPLOADS: usize = 4;

/// The code of one deployment, and what executes it.
#[derive(Clone, Debug)]
pub struct Code {
    pub project: ProjectId,
    pub id: DeploymentId,
    pub folder: PathBuf,
    pub built: Built,
    /// What was set on the server for its environment.
    pub variables: Vec<(String, String)>,
}

/// How the program has a project's code executed.
pub trait Host: Send + Sync {
    /// How the code is executed, as it says itself and as the settings of the server do.
    ///
    /// # Errors
    /// What is wrong with what it says, for whoever deploys it.
    fn deployed(&self, code: &Code) -> Result<Deployed, String>;

    /// Starts the engine of a project, the first deployment as the active one.
    ///
    /// # Errors
    /// When it cannot be started.
    fn engine(&self, project: ProjectId, deployed: Vec<Deployed>) -> Result<Engine, EngineError>;
}

/// What a server needs so that something can be deployed on it.
pub struct Deploys {
    /// The folder of its state.
    state: PathBuf,
    builder: Builder,
    host: Box<dyn Host>,
    /// Who builds, imports or activates for which project.
    turns: Mutex<BTreeMap<ProjectId, Arc<Turn<()>>>>,
    /// Held while it is decided whether a bundle is new.
    taking: Turn<()>,
    uploads: Semaphore,
    /// Changes when a log has grown, or a deployment has ended.
    news: watch::Sender<u64>,
}

impl Deploys {
    /// Forgets what was being received.
    ///
    /// # Errors
    /// When that cannot be removed.
    pub fn open(state: PathBuf, builder: Builder, host: Box<dyn Host>) -> io::Result<Self> {
        let deploys = Self {
            state,
            builder,
            host,
            turns: Mutex::default(),
            taking: Turn::default(),
            uploads: Semaphore::new(UPLOADS),
            news: watch::Sender::default(),
        };
        let uploads = deploys.uploads_folder();
        if uploads.exists() {
            fs_err::remove_dir_all(&uploads)?;
        }
        Ok(deploys)
    }

    fn uploads_folder(&self) -> PathBuf {
        self.state.join("uploads")
    }

    /// Makes the folder of a version.
    fn make(&self, folder: &Path) -> io::Result<()> {
        private(folder)?;
        if rustix::process::geteuid().is_root() {
            // The code is executed as another user, who gets to it by its path where there are no namespaces of mounts. Nothing
            // else there can be read or listed by others.
            let above = folder
                .ancestors()
                .take_while(|above| above.starts_with(&self.state));
            for above in above {
                fs_err::set_permissions(above, Permissions::from_mode(0o711))?;
            }
        }
        Ok(())
    }

    /// Where everything about a version lies.
    fn folder(&self, project: &ProjectId, digest: &str) -> PathBuf {
        let folder = self.state.join("deployments").join(project.as_str());
        folder.join(digest)
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Waits until nothing else is built, imported or activated for the project.
    async fn turn(&self, project: &ProjectId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(project.clone()).or_default())
        };
        turn.lock_owned().await
    }

    fn tell(&self) {
        self.news.send_modify(|number| *number += 1);
    }

    /// Who waits for the next change of a log.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// Makes a folder for its owner alone.
fn private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

impl Platform {
    /// What deploying needs.
    pub(crate) fn deploys(&self) -> Result<&Deploys, Problem> {
        self.deploys.as_ref().ok_or_else(|| {
            let detail = "this server serves folders as they stand: nothing can be deployed on it";
            Problem::new(Problems::ServedFromFolder, detail)
        })
    }

    /// The project, unless it is served from a folder.
    pub(crate) fn deployed_project(&self, id: &ProjectId) -> Result<Option<Arc<Project>>, Problem> {
        self.deploys()?;
        let project = self.project(Some(id));
        match project.as_ref().and_then(|project| project.folder.as_ref()) {
            None => Ok(project),
            Some(worker) => {
                let folder = worker.project.root.display();
                let detail = format!(
                    "the project {id} is served from {folder} on the server: start that without --project to deploy it"
                );
                Err(Problem::new(Problems::ServedFromFolder, detail))
            }
        }
    }
}
