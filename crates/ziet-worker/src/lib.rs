//! Supervises Python: finds it, starts a zygote that imports a project, has executors forked, speaks with them, and ends
//! them.
//!
//! It does what it is told and says what happened, as [`WorkerEvent`]s; it decides nothing about runs and knows no
//! store. Everything is driven by one event loop that its owner turns; nothing here blocks, sleeps or reads a clock.

mod channel;
mod confined;
mod executor;
mod os;
mod pipe;
mod pool;
mod private;
pub mod project;
pub mod python;
pub mod sandbox;
pub mod scan;
mod stack;
mod tail;
mod watch;
mod worker;
mod zygote;

pub use confined::{Confined, Outcome};
pub use os::{Abilities, Ability, Cgroup, Ending, Usage, ending_text, file_time, flush_time};
pub use pool::{Demand, PoolSettings};
pub use project::Project;
pub use python::{Python, SDK_COMES_FROM};
pub use stack::Stack;
pub use worker::{Ended, Excess, ExecutorId, Worker, WorkerError, WorkerEvent, WorkerSettings};
