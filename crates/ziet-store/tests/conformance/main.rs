//! What a store must do, wherever it lives: each test runs in memory and on a file.
//!
//! The module `files` is about what only a file can do.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its steps too"
)]

mod commits;
mod deployments;
mod files;
mod idempotency;
mod lists;
mod memories;
mod pages;
mod queue;
mod records;
mod retention;
mod runs;
mod stage;
mod states;
mod throughput;
