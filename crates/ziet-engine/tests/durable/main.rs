//! What an engine promises: to whoever asks it for something, and to whoever starts the next one on the same file.
//!
//! Python is that of the active environment.

mod asking;
mod recovery;
mod stage;
mod trouble;
