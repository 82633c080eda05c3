//! The scheduler: takes runs that are due, gives them to executors, applies transitions and writes them down, keeps
//! deadlines and waits.
//!
//! It decides nothing about a run: `ziet_core::transition` does, and the engine carries out the effects. One thread
//! owns everything and sleeps until something happens; the store answers it after the commit, by a message.

mod attempt;
mod clock;
mod dispatch;
mod engine;
mod live;
mod notice;
mod requests;
mod runs;
mod submit;
mod turn;

pub use engine::{Engine, EngineError, EngineSettings};
pub use notice::{Happening, MemoryUse, Notice};
pub use submit::{MadeInput, Refusal, Submission};
