//! What an engine is told when it is started, and why it may not start.

use ziet_core::retry::Backoff;
use ziet_core::{Catalogue, DeploymentId, ProjectId};
use ziet_store::StoreError;
use ziet_worker::{WorkerError, WorkerSettings};

use crate::clock::Clock;

/// A version of a project's code, and how it is executed.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// By which runs name it; [`DeploymentId::NONE`] in a local run, whose runs name none.
    pub id: DeploymentId,
    pub worker: WorkerSettings,
    /// What is known of it from an earlier import: of the active one, runs are then accepted at once.
    pub catalogue: Option<Catalogue>,
    pub backoff: Backoff,
    /// Whether failures tell the local variables of the project's frames.
    pub locals: bool,
    /// Attempts of the project that execute at the same time while this is the active one; those that wait do not count.
    pub concurrency: usize,
}

impl Deployed {
    /// Of a local run; what is not set otherwise.
    pub fn local(worker: WorkerSettings, concurrency: usize) -> Self {
        Self::new(DeploymentId::NONE, worker, concurrency)
    }

    /// What is not set otherwise.
    pub fn new(id: DeploymentId, worker: WorkerSettings, concurrency: usize) -> Self {
        Self {
            id,
            worker,
            catalogue: None,
            backoff: Backoff::Exponential,
            locals: false,
            concurrency,
        }
    }
}

#[derive(Clone, Debug)]
pub struct EngineSettings {
    pub project: ProjectId,
    /// What there is of the project, the active one first; nothing where the first is still to come.
    pub deployed: Vec<Deployed>,
    /// Whether runs outlive the engine, as those of a server do, or end with it, as those of a local run.
    pub keeps_runs: bool,
    /// Whether integrations answer with made-up data.
    pub mocked: bool,
    /// Runs that may be there without having finished; more are refused.
    pub max_queued: u64,
    /// Bytes of their inputs.
    pub max_queued_bytes: u64,
    /// Whether lines are told as they come. They can be read from the store a moment later.
    pub tells_lines: bool,
    /// The time of day, the same for all that a process does.
    pub clock: Clock,
}

impl EngineSettings {
    /// Runs without a bound of their own.
    pub const MAX_QUEUED: u64 = 1_000_000;
    /// Bytes of their inputs, 10 GB.
    pub const MAX_QUEUED_BYTES: u64 = 10 * 1024 * 1024 * 1024;

    /// What is not set otherwise.
    pub fn new(project: ProjectId, deployed: Vec<Deployed>) -> Self {
        Self {
            project,
            deployed,
            keeps_runs: true,
            mocked: false,
            max_queued: Self::MAX_QUEUED,
            max_queued_bytes: Self::MAX_QUEUED_BYTES,
            tells_lines: true,
            clock: Clock::default(),
        }
    }

    /// Of an engine whose runs end with it.
    pub fn local(deployed: Deployed) -> Self {
        let project = deployed.worker.project.id.clone();
        Self {
            keeps_runs: false,
            ..Self::new(project, vec![deployed])
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the event loop does not work")]
    Poll(#[from] std::io::Error),
    #[error("the engine has stopped")]
    Stopped,
}
