//! Shuts a zygote in before any of the project's code runs: other files, processes and privileges are out of its reach.
//!
//! The program executes itself once more, as a small launcher (`launch.rs`) that builds the walls (`inside.rs`) and
//! stays as the guardian of what runs behind them. It knows nothing of runs, and nothing of what travels on the sockets.

use std::num::NonZero;
use std::thread::available_parallelism;

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
pub(crate) use system::{command, command_of, report, scratch};

/// Processes and threads of everything inside, and more for each processor, since executors go by these: room for the
/// executors of many actions with threads of their own, and little enough to be ended in a moment.
const PROCESSES: u32 = 512;
const PROCESSES_PER_PROCESSOR: u32 = 32;

/// The scratch directory of the process that imports the project.
pub(crate) const HOME: &str = "zygote";

/// How many processes and threads there may be in a sandbox.
pub(crate) fn room() -> u32 {
    let processors = available_parallelism().map_or(1, NonZero::get);
    PROCESSES + PROCESSES_PER_PROCESSOR * u32::try_from(processors).unwrap_or(1)
}
