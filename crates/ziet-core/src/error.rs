//! What can go wrong with a run, as a stable code to decide on and a failure to show.

use serde::{Deserialize, Serialize};

/// The stable list of codes: what a run, or a request that code makes of the platform, can fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The action's own code raised an exception.
    Exception,
    /// The input does not fit the action's parameters.
    InvalidInput,
    /// The returned value is not JSON or is too large.
    InvalidOutput,
    /// The attempt used up its time.
    TimedOut,
    /// The attempt used up its memory.
    OutOfMemory,
    /// The process of the attempt died.
    Crashed,
    /// The attempt's files took up more than they may.
    ScratchFull,
    /// The worker of the attempt vanished.
    Lost,
    /// The project, or the action's module, could not be imported again.
    ImportFailed,
    /// Somebody cancelled the run.
    Cancelled,
    /// No action has this name.
    UnknownAction,
    /// A memory value or key that cannot be stored.
    InvalidMemory,
    /// The memory holds as much as it may.
    MemoryFull,
    /// Runs call each other too deeply.
    CallDepth,
    /// The store could not do it.
    StoreUnavailable,
    /// No space is left for what is asked for.
    StorageFull,
    /// As many runs as may be have not finished.
    TooManyRuns,
    /// No run has this id.
    RunNotFound,
    /// The run has finished already.
    RunFinished,
    /// The run was started before.
    NotCreated,
    /// No memory has this id.
    MemoryNotFound,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// The server is being stopped.
    Draining,
}

/// Why an attempt or a run did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exception's type: its name for builtins, else with its module (`requests.exceptions.HTTPError`).
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
    /// As Python prints it, without the frames of Ziet itself. None when the process could not tell.
    pub traceback: Option<String>,
    pub code: ErrorCode,
    /// Whether another attempt could get better.
    pub retryable: bool,
    pub frames: Vec<StackFrame>,
    /// What `add_note` added to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The errors that it came from, and the members of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<RelatedError>,
    /// How many errors more it came from or holds that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

/// An error that another one came from, or holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelatedError {
    pub relation: Relation,
    #[serde(rename = "type")]
    pub kind: String,
    pub message: String,
    pub frames: Vec<StackFrame>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<RelatedError>,
    /// How many errors more it came from or holds that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

/// What an error is to the one that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It was named as the cause: `raise … from error`.
    Cause,
    /// It was being handled when the other was raised.
    Context,
    /// It is in the exception group.
    Member,
    /// It failed the child run that was called; its frames are those of that run.
    Child,
}

/// One level of the stack, the outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFrame {
    pub file: String,
    pub line: u32,
    /// Empty for the place at which code could not be compiled.
    pub function: String,
    /// The source line, where it could be read; under one that could not be compiled stands a line with carets.
    pub source: Option<String>,
    /// Whether the file belongs to the project rather than to a library.
    pub user: bool,
    /// The local variables of a frame of the project, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locals: Vec<Local>,
    /// How many calls follow this one that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
    /// Of how many calls up to this one those are repetitions; 0 where they are others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cycle: u32,
}

/// A local variable and its value as `repr` shows it, cut where it is long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    pub name: String,
    pub value: String,
}

impl Failure {
    /// A failure that the platform found, without a stack.
    pub fn new(code: ErrorCode, kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
            traceback: None,
            code,
            retryable: true,
            frames: Vec::new(),
            notes: Vec::new(),
            related: Vec::new(),
            left_out: 0,
        }
    }

    /// The last line of a traceback: `ValueError: Invalid data`.
    pub fn headline(&self) -> String {
        if self.message.is_empty() {
            self.kind.clone()
        } else {
            format!("{}: {}", self.kind, self.message)
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}
