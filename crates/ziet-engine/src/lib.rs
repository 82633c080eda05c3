//! The scheduler: takes runs that are due, gives them to executors, applies transitions and writes them down, keeps
//! deadlines and waits.
//!
//! It decides nothing about a run: `ziet_core::transition` does, and the engine carries out the effects. One thread
//! owns everything and sleeps until something happens; the store answers it after the commit, by a message.

mod answer;
mod attempt;
mod backlog;
mod call;
mod clock;
mod commit;
mod deployments;
mod dispatch;
mod drain;
mod engine;
mod import;
mod keys;
mod live;
mod logs;
mod notice;
mod outside;
mod queue;
mod recovery;
mod requests;
mod runs;
mod settings;
mod step;
mod submit;
mod turn;
mod waiters;
mod wake;

pub use answer::{Accepted, Cancelling, Figures, MadeInput, Refusal, Until, Watch};
pub use clock::Clock;
pub use engine::Engine;
pub use notice::{Happening, MemoryUse, Notice};
pub use settings::{Deployed, EngineError, EngineSettings};
pub use submit::{Due, Submission};
