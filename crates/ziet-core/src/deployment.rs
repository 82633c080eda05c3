//! Versions of a project's code.

use serde::{Deserialize, Serialize};

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    /// Its environment is made, or it is imported for the first time.
    Building,
    /// Its runs can be executed.
    Ready,
    /// It could not be built or imported, and is never executed.
    Failed,
    /// Its code is deleted, since no run needs it any more.
    Removed,
}
