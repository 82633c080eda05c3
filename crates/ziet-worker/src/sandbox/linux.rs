//! Linux: Landlock, namespaces, another user, and limits of resources, one behind the other.

mod allowed;
mod inside;
mod landlock;
mod launch;
mod limits;
mod mounts;
mod plan;
mod user;

pub use launch::launch_if_asked;
pub(crate) use plan::{command, command_of, probe, report, scratch};
