//! Shuts a zygote in before any of the project's code runs: other files, processes and privileges are out of its reach.
//!
//! The program executes itself once more, as a small launcher (`launch.rs`) that builds the walls (`inside.rs`) and
//! stays as the guardian of what runs behind them. It knows nothing of runs, and nothing of what travels on the sockets.

mod mechanisms;
#[cfg(not(target_os = "linux"))]
mod other;

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
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod user;

pub use mechanisms::{Layers, Mechanisms, Namespaces};

#[cfg(target_os = "linux")]
pub use {launch::launch_if_asked, plan::probe};
#[cfg(not(target_os = "linux"))]
pub use {other::launch_if_asked, other::probe};

#[cfg(not(target_os = "linux"))]
pub(crate) use other::{command, report, scratch};
#[cfg(target_os = "linux")]
pub(crate) use plan::{command, report, scratch};
