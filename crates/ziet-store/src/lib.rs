//! Durable state: runs, attempts, memories and events, written in verbs that share commits.
//!
//! A verb is an `async fn` over [`Tx`]: SQL that every database understands, and structs. It knows no clock and decides
//! nothing; core does. Whoever asked is answered only after the commit that holds the answer.

mod error;
mod file;
mod job;
mod migrate;
#[cfg(test)]
mod plans;
mod sqlite;
mod state;
mod store;
mod tx;
mod value;
mod word;

pub mod changes;
pub mod deployments;
pub mod environment;
pub mod events;
pub mod figures;
pub mod keys;
pub mod logs;
pub mod memory;
pub mod retention;
pub mod runs;
pub mod sessions;

pub use changes::{AttemptRecord, Change, Idempotency, NewRun, Parent, StateChange};
pub use error::StoreError;
pub use events::EventRecord;
pub use file::{StateLock, backup, lock, restore};
pub use memory::Added;
pub use runs::LoadedRun;
pub use store::{Durability, Location, Store};
pub use tx::Tx;
pub use value::{Column, Row, Value};

/// Bytes after which a page of a list ends, and a search for it. It takes no more than that and one row.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What a verb gives back.
pub type Result<T> = std::result::Result<T, StoreError>;
