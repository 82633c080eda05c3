//! What an engine is told when it is started, and why it may not start.

use ziet_core::DeploymentId;
use ziet_core::retry::Backoff;
use ziet_store::StoreError;
use ziet_worker::{WorkerError, WorkerSettings};

use crate::clock::Clock;

#[derive(Clone, Debug)]
pub struct EngineSettings {
    pub worker: WorkerSettings,
    pub backoff: Backoff,
    /// Whether integrations answer with made-up data.
    pub mocked: bool,
    /// Whether failures tell the local variables of the project's frames.
    pub locals: bool,
    /// Attempts that execute at the same time; those that wait do not count.
    pub concurrency: usize,
    /// Runs that may be there without having finished; more are refused.
    pub max_queued: u64,
    /// Bytes of their inputs.
    pub max_queued_bytes: u64,
    /// Whether lines are told as they come. They can be read from the store a moment later.
    pub tells_lines: bool,
    /// The version of the code that runs are accepted for; None for a local run, whose runs end with the engine.
    pub deployment: Option<DeploymentId>,
    /// The time of day, the same for all that a process does.
    pub clock: Clock,
}

impl EngineSettings {
    /// Runs without a bound of their own.
    pub const MAX_QUEUED: u64 = 1_000_000;
    /// Bytes of their inputs, 10 GB.
    pub const MAX_QUEUED_BYTES: u64 = 10 * 1024 * 1024 * 1024;

    /// What is not set otherwise.
    pub fn new(worker: WorkerSettings, concurrency: usize) -> Self {
        Self {
            worker,
            backoff: Backoff::Exponential,
            mocked: false,
            locals: false,
            concurrency,
            max_queued: Self::MAX_QUEUED,
            max_queued_bytes: Self::MAX_QUEUED_BYTES,
            tells_lines: true,
            deployment: None,
            clock: Clock::default(),
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
