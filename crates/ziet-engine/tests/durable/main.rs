//! What an engine promises: to whoever asks it for something, and to whoever starts the next one on the same file.
//!
//! Python is that of the active environment.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails where something is not as it must be"
)]

mod asking;
mod clock;
mod deployments;
mod recovery;
mod stage;
mod trouble;
