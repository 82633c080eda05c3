//! The messages between the Rust program, a zygote and its executors. `python/ziet/_wire.py` writes the same ones a
//! second time; `tests/vectors` holds both to the same bytes.
//!
//! Rules: a message is a map with its `type`; new fields have defaults and go last; a field never changes its type;
//! what a newer peer added is ignored. User values are JSON bytes that Rust does not parse.

use serde::{Deserialize, Deserializer, Serialize};

use crate::action::{ActionSpec, ModuleProblem};
use crate::error::{ErrorCode, Failure};
use crate::id::{ActionId, EntryId, MemoryId, RunId};
use crate::json::Json;
use crate::memory::{Entry, Search};

/// The version of these messages; it goes up when an old peer could misunderstand a new one. Then what it was is kept as
/// `tests/vectors/protocol-N`, and what differs is told apart by the version that the SDK says.
pub const PROTOCOL: u32 = 2;

/// The oldest version that is spoken: the one before.
pub const OLDEST_PROTOCOL: u32 = PROTOCOL - 1;

/// Whether this program and an SDK that speaks the versions from `oldest` to `newest` have one in common. One that does not
/// say the oldest speaks the newest alone.
pub fn is_spoken(newest: u32, oldest: Option<u32>) -> bool {
    newest >= OLDEST_PROTOCOL && oldest.unwrap_or(newest) <= PROTOCOL
}

/// What the program tells a zygote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToZygote {
    /// Import the project. Answered by `Action` and `Problem` messages, then `Loaded`.
    Load {
        root: String,
        paths: Vec<String>,
        modules: Vec<String>,
        /// Whether actions are described in full, with schemas and documentation, which takes time to make.
        #[serde(default)]
        describe: bool,
        #[serde(default)]
        start: StartMethod,
    },
    /// Make up test data for an action: `given`, an object with some of the parameters, goes first. Answered by
    /// `InputMade`.
    MakeInput {
        action_id: ActionId,
        #[serde(default = "Json::empty_object")]
        given: Json,
    },
    /// Make an executor that says `token` in its hello. Answered by `Forked`. In a sandbox, `scratch` is the folder that it
    /// makes when it is first used, and that is its current one, its home, and where temporary files go.
    Fork {
        token: String,
        #[serde(default)]
        scratch: Option<String>,
    },
    /// The exit of this executor is known: its process id may be used again.
    Reap { pid: u32 },
    /// End an executor that has not said hello.
    Kill { pid: u32 },
}

/// How executors come into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartMethod {
    /// Forked from the process that has imported the project.
    #[default]
    Fork,
    /// A fresh interpreter that imports the project itself: for what cannot be forked.
    Spawn,
}

/// What a zygote tells the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromZygote {
    /// `protocol` is the newest version that the SDK speaks, `folder` is where it lies: its frames are left out of stacks.
    Hello {
        protocol: u32,
        sdk: String,
        python: String,
        folder: String,
        #[serde(default)]
        oldest: Option<u32>,
    },
    Action {
        spec: Box<ActionSpec>,
    },
    Problem {
        problem: ModuleProblem,
    },
    Loaded {},
    /// `made` tells people what was made up (`amount=10`); `error` is set when it could not be done.
    InputMade {
        input: Json,
        made: Vec<String>,
        error: Option<String>,
    },
    Forked {
        token: String,
        pid: u32,
    },
    /// The system would not make another process.
    ForkFailed {
        token: String,
        error: String,
    },
    /// An executor ended; it stays unreaped until `Reap`, so its id means this process until then. A negative status
    /// is the signal that killed it.
    Exited {
        pid: u32,
        status: i32,
    },
}

/// What the program tells an executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToExecutor {
    Start(Box<Start>),
    MemoryAdded {
        request: u64,
        entry_id: EntryId,
    },
    MemoryValue {
        request: u64,
        value: Option<Json>,
    },
    /// Found entries, the newest first; `more` when another such message follows.
    MemoryEntries {
        request: u64,
        entries: Vec<WireEntry>,
        more: bool,
    },
    MemoryRemoved {
        request: u64,
        count: u64,
    },
    /// A child run ended: with its output, or with the failure that the caller gets.
    CallEnded {
        request: u64,
        run_id: RunId,
        output: Option<Json>,
        failure: Option<Failure>,
    },
    Refused {
        request: u64,
        code: ErrorCode,
        message: String,
    },
    /// What was asked for is done, and there is nothing to say about it.
    Done {
        request: u64,
    },
}

/// Everything that an attempt needs to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub run_id: RunId,
    pub attempt: u32,
    pub action_id: ActionId,
    pub input: Json,
    pub memory_id: MemoryId,
    /// The number of the first call that this attempt makes; they count up from it.
    pub first_call: u64,
    /// Variables of the process while the attempt runs, on top of those of the worker.
    pub environment: Vec<(String, String)>,
    pub secrets: Vec<(String, String)>,
    /// Whether integrations answer with made-up data.
    pub mocked: bool,
    /// Whether a failure is to tell the local variables of the project's frames.
    #[serde(default)]
    pub locals: bool,
    /// Bytes that the process may add to what it has; None where it stays as it was with the last attempt.
    #[serde(default)]
    pub memory_limit: Option<u64>,
}

/// What an executor tells the program. Requests are numbered by the executor and answered by that number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromExecutor {
    /// The first message, with three file descriptors: what comes from standard output, standard error and the stack. `protocol` is
    /// what the zygote has said.
    Hello {
        protocol: u32,
        token: String,
        stack_signal: i32,
    },
    MemoryAdd {
        request: u64,
        key: String,
        value: Json,
        metadata: Option<Json>,
    },
    MemoryGet {
        request: u64,
        key: String,
    },
    MemorySearch {
        request: u64,
        search: Search,
    },
    MemoryRemove {
        request: u64,
        entry_id: Option<String>,
        key: Option<String>,
    },
    Call {
        request: u64,
        action_id: ActionId,
        input: Json,
    },
    /// `call` is how it reads in code: `google.search("ziet", num_results=3)`. Answered by `Done`.
    IntegrationCalled {
        request: u64,
        call: String,
    },
    /// What the code printed or logged.
    Output {
        level: Level,
        text: String,
    },
    Finished(Box<Finished>),
    /// Pass on what the pipes hold before anything else; answered by `Done`. It keeps what C code and child processes
    /// wrote in its place between what Python printed.
    Drain {
        request: u64,
    },
    /// Nobody waits for this call any more: its child run is cancelled, and not answered.
    Abandon {
        request: u64,
    },
}

/// How an attempt ended that came to its end by itself: either `output` or `failure`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    pub output: Option<Json>,
    pub failure: Option<Failure>,
    /// Of the process and of those children that it has waited for. No process has used more than [`MOST_CPU_MS`].
    #[serde(deserialize_with = "at_most_cpu_ms")]
    pub cpu_ms: u64,
    pub peak_memory_bytes: u64,
    /// Threads and child processes that go on after the return, in people's words: `thread sender`,
    /// `process 4242 (sleep 60)`. They are ended, and so is the executor.
    #[serde(default)]
    pub left: Vec<String>,
    /// Whether the executor cannot be used for another attempt, for another reason than those.
    #[serde(default)]
    pub spent: bool,
}

/// A thousand processors for a thousand years: what is said to be more is not true, and sums of less never overflow.
pub const MOST_CPU_MS: u64 = 1000 * 1000 * 366 * 24 * 3600 * 1000;

fn at_most_cpu_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(u64::deserialize(deserializer)?.min(MOST_CPU_MS))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// A memory entry as it travels; `created_at` is milliseconds UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireEntry {
    pub entry_id: EntryId,
    pub key: String,
    pub value: Json,
    pub metadata: Option<Json>,
    pub created_at: i64,
    pub run_id: Option<RunId>,
    pub attempt: Option<u32>,
}

impl From<Entry> for WireEntry {
    fn from(entry: Entry) -> Self {
        let Entry {
            entry_id,
            key,
            value,
            metadata,
            created_at,
            run_id,
            attempt,
        } = entry;
        Self {
            entry_id,
            key,
            value,
            metadata,
            created_at: created_at.as_millis(),
            run_id,
            attempt,
        }
    }
}
