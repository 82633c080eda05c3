//! What the engine answers to those who ask it for something.

use std::sync::Arc;
use std::time::Duration;

use ziet_core::document::RunDocument;
use ziet_core::{ErrorCode, Json, RunId};
use ziet_store::StoreError;

/// Called once, with the answer.
pub(crate) type Done<T> = Box<dyn FnOnce(T) + Send>;

/// Is shown a run: any closure, or what can also tell that nobody looks any more.
pub trait Watch: Send {
    /// The run as it stands in the store by now; None where that has to be read.
    fn see(self: Box<Self>, document: Option<Arc<RunDocument>>);

    /// Whether nobody looks any more, so that it need not be kept.
    fn is_gone(&self) -> bool {
        false
    }
}

impl<F: FnOnce(Option<Arc<RunDocument>>) + Send> Watch for F {
    fn see(self: Box<Self>, document: Option<Arc<RunDocument>>) {
        self(document);
    }
}

pub(crate) type Seen = Box<dyn Watch>;

/// How far a run is to come before it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Accepted,
    Finished,
}

/// How long to wait after the store could not write.
pub(crate) const STORE_RETRY: Duration = Duration::from_secs(1);

/// A run that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub run: RunId,
    /// Whether it was there already: the same request with the same idempotency key came before.
    pub existing: bool,
}

/// What cancelling has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelling {
    /// The run is cancelled, with the tree below it.
    Cancelled,
    /// It was cancelled before.
    Already,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    /// When it can be tried again, where waiting helps.
    pub retry_after: Option<Duration>,
    /// What is behind it and only an operator should see, such as the places of files.
    pub cause: Option<String>,
}

/// Test data: the input, and what of it was made up (`amount=10`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeInput {
    pub input: Json,
    pub made: Vec<String>,
}

/// How much there is to do, and is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Runs that have not finished, whatever they wait for.
    pub live: u64,
    /// Bytes of their inputs.
    pub live_bytes: u64,
    /// Runs of those that wait for an executor.
    pub queued: u64,
    /// Attempts that use the machine.
    pub executing: usize,
    /// Attempts that wait for the runs that they called.
    pub waiting: usize,
    /// Processes that are there for attempts.
    pub executors: usize,
    /// Whether nothing is accepted any more.
    pub draining: bool,
    /// Whether the store cannot write at the moment.
    pub store_down: bool,
    /// Whether the active deployment could not be imported again, so that runs wait.
    pub import_failing: bool,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            cause: None,
        }
    }

    pub(crate) fn draining() -> Self {
        Self::new(ErrorCode::Draining, "the server is being stopped")
    }

    pub(crate) fn nothing() -> Self {
        Self::new(ErrorCode::InvalidInput, "no run was asked for")
    }

    pub(crate) fn no_run(run: RunId) -> Self {
        Self::new(ErrorCode::RunNotFound, format!("no run {run}"))
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        let (code, message) = match error {
            StoreError::NoMemory(_) => {
                return Self::new(ErrorCode::MemoryNotFound, error.to_string());
            }
            StoreError::Full => (
                ErrorCode::StorageFull,
                "no space is left for the server's state; what was accepted is safe",
            ),
            _ => (
                ErrorCode::StoreUnavailable,
                "the server's state cannot be read or written now",
            ),
        };
        Self {
            retry_after: Some(STORE_RETRY),
            cause: Some(error.to_string()),
            ..Self::new(code, message)
        }
    }
}
