//! The domain of Ziet, without I/O: what an action is, the life of a run as a state machine, retries, limits, errors
//! and the messages that Rust and Python exchange.
//!
//! Nothing here knows a runtime, SQL, HTTP or a clock: `now` is always a parameter, so every decision can be tested
//! with random histories and no waiting.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod action;
pub mod call;
pub mod deployment;
pub mod document;
pub mod error;
pub mod frame;
pub mod id;
pub mod json;
pub mod limits;
pub mod memory;
pub mod nearest;
pub mod retry;
pub mod run;
pub mod scope;
pub mod time;
pub mod wire;

pub use action::{ActionSpec, Catalogue};
pub use error::{ErrorCode, Failure, StackFrame};
pub use id::{ActionId, DeploymentId, EntryId, KeyId, MemoryId, ProjectId, RunId, WorkerId};
pub use json::Json;
pub use nearest::nearest;
pub use run::{Event, Run, RunState, transition};
pub use scope::Scope;
pub use time::Time;
