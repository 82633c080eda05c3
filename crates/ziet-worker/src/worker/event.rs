//! What a worker tells its owner, and how it can fail.

use std::time::Duration;

use ziet_core::frame::FrameError;
use ziet_core::limits::IMPORT_TIME;
use ziet_core::wire::{FromExecutor, Level, OLDEST_PROTOCOL, PROTOCOL};
use ziet_core::{Catalogue, Json};

use super::EXECUTOR_BITS;
use crate::os::{Ending, Usage};
use crate::python::{Python, SDK_COMES_FROM};
use crate::sandbox::Mechanisms;
use crate::stack::Stack;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutorId(pub(crate) u64);

impl ExecutorId {
    /// The number of its worker.
    pub fn worker(self) -> u32 {
        u32::try_from(self.0 >> EXECUTOR_BITS).unwrap_or(u32::MAX)
    }
}

#[derive(Debug)]
pub enum WorkerEvent {
    /// The project is imported.
    Loaded(Catalogue),
    /// What holds the project's code, and ends it.
    Supervised(Mechanisms),
    InputMade {
        input: Json,
        made: Vec<String>,
        error: Option<String>,
    },
    /// The project printed something while it was imported.
    Printed {
        level: Level,
        text: String,
    },
    /// The project could not be imported, or no process of it comes to life: trying again at once would not help.
    ImportFailed(WorkerError),
    /// A process could not be made. It is tried again when `pause` is over.
    NotForked {
        error: String,
        pause: Duration,
    },
    /// There is an idle executor, or more can be made: attempts that wait may take one.
    Ready,
    Message(ExecutorId, FromExecutor),
    /// A stopped executor has been sent SIGKILL; with its stack, if that was asked for.
    Stopped {
        executor: ExecutorId,
        stack: Stack,
        usage: Option<Usage>,
    },
    /// An executor was ended, with what it started, because its attempt used more than it may.
    Exceeded {
        executor: ExecutorId,
        excess: Excess,
        usage: Option<Usage>,
    },
    /// An executor that was taken, and that nobody stopped, has ended.
    Ended(Ended),
    /// The zygote is gone, and every executor with it.
    Gone(WorkerError),
}

/// What an attempt has used too much of, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    Memory {
        used: u64,
        limit: u64,
    },
    /// Files in the directory that executors have to themselves.
    Scratch {
        used: u64,
    },
    /// Files beside those directories, which any attempt of the project can have written.
    Beside {
        used: u64,
    },
    /// Of the memory that the system had left, and so the kernel ended it.
    System {
        used: u64,
    },
}

/// The end of an executor in an attempt.
#[derive(Debug)]
pub struct Ended {
    pub executor: ExecutorId,
    pub ending: Ending,
    /// What it did that no executor does, if that is why it was killed.
    pub fault: Option<String>,
    /// Where it was when a signal killed it, if it could still say so.
    pub stack: Stack,
    /// The last lines that the attempt wrote to standard error.
    pub stderr: Option<String>,
    pub usage: Option<Usage>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("{path} does not start", path = .python.path.display())]
    Start {
        python: Python,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} ended ({ending}) while it imported the project{said}", path = .python.path.display())]
    Import {
        python: Python,
        ending: String,
        said: String,
    },
    #[error("importing the project took longer than {} s{said}\n{stack}", IMPORT_TIME.as_secs())]
    ImportTime { said: String, stack: String },
    #[error("{path} has the package ziet {sdk}, which speaks protocol {theirs}, while this program speaks {} and {}: {}", OLDEST_PROTOCOL, PROTOCOL, SDK_COMES_FROM, path = .python.path.display())]
    Protocol {
        python: Python,
        sdk: String,
        theirs: u32,
    },
    #[error("{0}")]
    Sandbox(String),
    #[error("the process that imported the project ended ({ending}){said}")]
    Zygote { ending: String, said: String },
    #[error("the process that imported the project does not answer{said}")]
    Stuck { said: String },
    #[error("the processes of actions end before they can be used ({ending}){said}")]
    Arrival { ending: String, said: String },
    #[error("no folder for the sockets of executors")]
    Folder(#[source] std::io::Error),
    #[error("a message of the process that imported the project is not understood")]
    Frame(#[from] FrameError),
}
