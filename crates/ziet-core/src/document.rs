//! The run document: what `--json`, the API and the clients show of a run, always the same.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, Failure, RelatedError, StackFrame, is_zero};
use crate::id::{ActionId, DeploymentId, MemoryId, ProjectId, RunId, WorkerId};
use crate::json::Json;
use crate::memory::Newest;
use crate::run::{Cancelled, Outcome, Status, WaitingOn};
use crate::time::Time;

#[derive(Clone, Debug, Serialize)]
pub struct RunDocument {
    pub id: RunId,
    pub action_id: ActionId,
    pub project_id: ProjectId,
    /// None for a local run: its code is the folder as it stands.
    pub deployment_id: Option<DeploymentId>,
    pub status: Status,
    pub waiting_on: Option<WaitingOn>,
    pub input: Json,
    pub output: Option<Json>,
    pub error: Option<ErrorDocument>,
    pub memory_id: MemoryId,
    pub parent_id: Option<RunId>,
    pub root_id: RunId,
    pub attempts: Vec<AttemptDocument>,
    pub metadata: Option<Json>,
    /// When it is due, or its next attempt is.
    pub run_at: Option<Time>,
    pub retry_of: Option<RunId>,
    pub cancelled: Option<Cancelled>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    /// Only of a local run, whose memory is gone with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Newest>,
}

#[derive(Clone, Debug, Serialize)]
pub struct AttemptDocument {
    pub number: u32,
    pub outcome: Outcome,
    pub error: Option<ErrorDocument>,
    pub started_at: Time,
    pub finished_at: Time,
    pub cpu_ms: Option<u64>,
    pub peak_memory_bytes: Option<u64>,
    pub worker: WorkerId,
}

/// A run as lists show it: the document without what can be large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    pub id: RunId,
    pub action_id: ActionId,
    pub project_id: ProjectId,
    pub deployment_id: Option<DeploymentId>,
    pub status: Status,
    pub waiting_on: Option<WaitingOn>,
    pub error: Option<ErrorSummary>,
    pub memory_id: MemoryId,
    pub parent_id: Option<RunId>,
    pub root_id: RunId,
    /// Attempts begun so far.
    pub attempt_count: u32,
    pub metadata: Option<Json>,
    /// When it is due, or its next attempt is.
    pub run_at: Option<Time>,
    pub retry_of: Option<RunId>,
    pub cancelled: Option<Cancelled>,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

/// A failure without its stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorSummary {
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
    pub code: ErrorCode,
}

/// A failure as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorDocument {
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
    pub traceback: Option<String>,
    pub code: ErrorCode,
    pub frames: Vec<StackFrame>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<RelatedError>,
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

impl From<Failure> for ErrorDocument {
    fn from(failure: Failure) -> Self {
        let Failure {
            kind,
            message,
            traceback,
            code,
            retryable: _,
            frames,
            notes,
            related,
            left_out,
        } = failure;
        Self {
            kind,
            message,
            traceback,
            code,
            frames,
            notes,
            related,
            left_out,
        }
    }
}
