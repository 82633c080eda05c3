//! Shuts a zygote in before any of the project's code runs: other files, processes and privileges are out of its reach.
//!
//! The program executes itself once more, as a small launcher (`launch.rs`) that builds the walls, becomes nothing else,
//! and stays as the guardian of what runs inside. It knows nothing of runs, and nothing of what travels on the sockets.

#[cfg(target_os = "linux")]
mod allowed;
#[cfg(target_os = "linux")]
mod inside;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod launch;
#[cfg(target_os = "linux")]
mod limits;
mod mechanisms;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod user;

#[cfg(target_os = "linux")]
pub use launch::launch_if_asked;
pub use mechanisms::{Layers, Mechanisms};
#[cfg(target_os = "linux")]
pub use plan::probe;
#[cfg(target_os = "linux")]
pub(crate) use plan::{command, report};
