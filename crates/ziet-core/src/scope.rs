//! What an API key may do.

use serde::{Deserialize, Serialize};

/// One right of a key. None includes another; only `Admin` includes all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything, keys included.
    Admin,
    /// Putting another version of the project's code in its place.
    Deploy,
    /// Submitting, starting, cancelling and retrying runs, and changing memories.
    Run,
    /// Looking at everything but keys.
    Read,
}
