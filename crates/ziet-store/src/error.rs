//! What can go wrong in the store, as an enum to decide with.
//!
//! Databases name the same trouble differently; here it has one name. Nothing above this module sees a driver's error.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi;
use ziet_core::{MemoryId, RunId};

/// Why a verb did nothing. Whatever it had written is undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The run has gone on without the writer: another attempt began, or it has finished.
    #[error("run {0} has gone on without this attempt")]
    Fenced(RunId),
    /// No such memory in this project.
    #[error("no memory {0}")]
    NoMemory(MemoryId),
    /// A search whose filter is not a JSON object.
    #[error("{0}")]
    BadFilter(String),
    /// A request that means nothing.
    #[error("{0}")]
    Invalid(String),
    /// A row with this key is there already.
    #[error("it is stored already: {0}")]
    Duplicate(String),
    /// The tables refuse such a row.
    #[error("the database refuses it: {0}")]
    Constraint(String),
    /// No space is left on the disk, or in the database's limit.
    #[error("the database is full: no space is left for it")]
    Full,
    /// Somebody else was writing for longer than is waited; trying again can help.
    #[error("the database is busy: another process is writing to it")]
    Busy,
    /// The file, its folder or the transaction may not be written to.
    #[error("the database is read-only")]
    ReadOnly,
    /// The file is not a database, or is damaged.
    #[error("the database is damaged or not a database: {0}")]
    Corrupt(String),
    /// The file is a database, but not one that Ziet has made.
    #[error("the database is not one of ziet: {0}")]
    Foreign(String),
    /// Another process uses the folder of the state.
    #[error(
        "{} is used by another ziet{}: only one server at a time can have a folder of state",
        folder.display(),
        holder.map(|process| format!(" (process {process})")).unwrap_or_default()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other's process id, where it can be told.
        holder: Option<u32>,
    },
    /// The file cannot be opened, read or written.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// A newer Ziet wrote it.
    #[error(
        "the database has schema {found}, this version of ziet knows {known} at most: upgrade ziet"
    )]
    NewerSchema {
        /// The version that it has.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// A migration is not the one that made these tables.
    #[error("migration {0} of the database is not the one that this version of ziet knows")]
    ForeignSchema(u32),
    /// A stored row does not make sense.
    #[error("a stored row makes no sense: {0}")]
    Unreadable(String),
    /// A statement after one that failed, or an answer that hides that one did.
    #[error("an earlier statement of this transaction failed")]
    Aborted,
    /// A verb waited for something other than the database.
    #[error("a verb of the store waited for something that is not the database")]
    Awaited,
    /// A verb panicked.
    #[error("a verb of the store panicked: {0}")]
    Panicked(String),
    /// The store's thread has ended.
    #[error("the store is closed")]
    Closed,
    /// Anything else that the database said.
    #[error("the database failed: {0}")]
    Database(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, message) = error else {
            return Self::Database(text);
        };
        let text = message.unwrap_or(text);
        match failure.code {
            ErrorCode::ConstraintViolation if is_duplicate(failure) => Self::Duplicate(text),
            ErrorCode::ConstraintViolation => Self::Constraint(text),
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::ReadOnly => Self::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(text),
            ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory => Self::Unavailable(text),
            _ => Self::Database(text),
        }
    }
}

fn is_duplicate(failure: ffi::Error) -> bool {
    matches!(
        failure.extended_code,
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
    )
}
