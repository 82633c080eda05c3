//! Shuts a zygote in before any of the project's code runs: other files, processes and privileges are out of its reach.
//!
//! The program executes itself once more, as a small launcher (`launch.rs`) that builds the walls (`inside.rs`) and
//! stays as the guardian of what runs behind them. It knows nothing of runs, and nothing of what travels on the sockets.

#[cfg(all(target_os = "linux", not(ziet_other_os)))]
mod linux;
mod mechanisms;
#[cfg(any(not(target_os = "linux"), ziet_other_os))]
mod other;

#[cfg(all(target_os = "linux", not(ziet_other_os)))]
use linux as system;
pub use mechanisms::{Layers, Mechanisms, Namespaces};
#[cfg(any(not(target_os = "linux"), ziet_other_os))]
use other as system;
pub use system::launch_if_asked;
pub(crate) use system::{command, report, scratch};
