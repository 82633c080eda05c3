//! What the documents of core look like, for the `OpenAPI` document: core serialises them and knows no HTTP.
//!
//! Nothing here is ever made. A test holds real documents against these declarations, in both directions: what is
//! answered fits, and no field is left out.
#![expect(dead_code, reason = "they are only described")]
#![expect(
    clippy::struct_field_names,
    reason = "core gave the fields their names"
)]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// A UUID. Those of runs, memories, entries and keys are of version 7, so that newer ones sort after older ones.
#[derive(ToSchema)]
#[schema(value_type = String, format = "uuid", examples("0198f2c1-7a3e-7b10-8c55-3f9d2a6e1b04"))]
pub(crate) struct Id(String);

/// A point in time: RFC 3339 in UTC, with milliseconds.
#[derive(ToSchema)]
#[schema(value_type = String, format = "date-time", examples("2026-01-15T09:30:00.250Z"))]
pub(crate) struct Timestamp(String);

/// One request to execute an action, and what became of it.
#[derive(ToSchema)]
pub(crate) struct Run {
    id: Id,
    action_id: String,
    project_id: String,
    /// The version of the code; null for a local run.
    #[schema(required)]
    deployment_id: Option<Id>,
    status: Status,
    /// Set only while the status is `waiting`.
    #[schema(required)]
    waiting_on: Option<WaitingOn>,
    /// The arguments: a JSON object.
    input: Value,
    /// What the action returned; null unless the run is `completed`, and also where the action returned nothing.
    output: Value,
    /// Why it failed; null unless the run is `failed`.
    #[schema(required)]
    error: Option<Error>,
    /// The memory that its whole tree of runs shares.
    memory_id: Id,
    /// The run that called it; null for a root run.
    #[schema(required)]
    parent_id: Option<Id>,
    /// The run at the root of its tree; itself for a root run.
    root_id: Id,
    /// The attempts that have ended, the first one first.
    attempts: Vec<Attempt>,
    /// What the caller wants to find on it again; any JSON.
    metadata: Value,
    /// When it is due, or its next attempt is; null while there is no such time.
    #[schema(required)]
    run_at: Option<Timestamp>,
    /// The run that it repeats.
    #[schema(required)]
    retry_of: Option<Id>,
    /// Who cancelled it; null unless the run is `cancelled`.
    #[schema(required)]
    cancelled: Option<Cancelled>,
    created_at: Timestamp,
    /// When its first attempt began.
    #[schema(required)]
    started_at: Option<Timestamp>,
    #[schema(required)]
    finished_at: Option<Timestamp>,
}

/// A run as lists show it: without input, output and attempts.
#[derive(ToSchema)]
pub(crate) struct RunSummary {
    id: Id,
    action_id: String,
    project_id: String,
    /// The version of the code; null for a local run.
    #[schema(required)]
    deployment_id: Option<Id>,
    status: Status,
    /// Set only while the status is `waiting`.
    #[schema(required)]
    waiting_on: Option<WaitingOn>,
    /// Why it failed; null unless the run is `failed`.
    #[schema(required)]
    error: Option<ErrorSummary>,
    /// The memory that its whole tree of runs shares.
    memory_id: Id,
    /// The run that called it; null for a root run.
    #[schema(required)]
    parent_id: Option<Id>,
    /// The run at the root of its tree; itself for a root run.
    root_id: Id,
    /// The attempts begun so far.
    #[schema(minimum = 0)]
    attempt_count: u32,
    /// What the caller wants to find on it again; any JSON.
    metadata: Value,
    /// When it is due, or its next attempt is; null while there is no such time.
    #[schema(required)]
    run_at: Option<Timestamp>,
    /// The run that it repeats.
    #[schema(required)]
    retry_of: Option<Id>,
    /// Who cancelled it; null unless the run is `cancelled`.
    #[schema(required)]
    cancelled: Option<Cancelled>,
    created_at: Timestamp,
    /// When its first attempt began.
    #[schema(required)]
    started_at: Option<Timestamp>,
    #[schema(required)]
    finished_at: Option<Timestamp>,
}

/// How a run stands. `completed`, `failed` and `cancelled` are final.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Status {
    Created,
    Scheduled,
    Queued,
    Running,
    Retrying,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

/// What a waiting run waits for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum WaitingOn {
    Children,
    Approval,
    Memory,
    Time,
}

/// Who cancelled a run, and why.
#[derive(ToSchema)]
pub(crate) struct Cancelled {
    by: String,
    #[schema(required)]
    reason: Option<String>,
}

/// One execution of a run, once it has ended.
#[derive(ToSchema)]
pub(crate) struct Attempt {
    /// From 1.
    #[schema(minimum = 1)]
    number: u32,
    outcome: Outcome,
    #[schema(required)]
    error: Option<Error>,
    started_at: Timestamp,
    finished_at: Timestamp,
    /// Processor time, where it is known.
    #[schema(required)]
    cpu_ms: Option<u64>,
    /// The most memory that it had, where it is known.
    #[schema(required)]
    peak_memory_bytes: Option<u64>,
    /// Who executed it.
    worker: Id,
}

/// What became of one attempt.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Completed,
    Failed,
    TimedOut,
    OutOfMemory,
    Crashed,
    Lost,
    Cancelled,
}

/// Why an attempt or a run did not complete.
#[derive(ToSchema)]
pub(crate) struct Error {
    /// The exception's type: its name for builtins, else with its module.
    #[schema(rename = "type")]
    kind: String,
    message: String,
    /// As Python prints it, without the frames of Ziet itself; null when the process could not tell.
    #[schema(required)]
    traceback: Option<String>,
    /// One of the stable codes of errors, such as `exception` or `timed_out`. New ones may come.
    code: String,
    /// The stack, the outermost call first.
    frames: Vec<StackFrame>,
    /// What `add_note` added to it; absent when nothing did.
    #[schema(required = false)]
    notes: Vec<String>,
    /// The errors that it came from, and the members of a group; absent when there are none.
    #[schema(required = false)]
    related: Vec<RelatedError>,
    /// How many more such errors there were that are not listed; absent when there were none.
    #[schema(required = false, minimum = 1)]
    left_out: u32,
}

/// What lists tell of an error.
#[derive(ToSchema)]
pub(crate) struct ErrorSummary {
    /// The exception's type: its name for builtins, else with its module.
    #[schema(rename = "type")]
    kind: String,
    message: String,
    /// One of the stable codes of errors, such as `exception` or `timed_out`. New ones may come.
    code: String,
}

/// An error that another one came from, or holds.
#[derive(ToSchema)]
pub(crate) struct RelatedError {
    relation: Relation,
    #[schema(rename = "type")]
    kind: String,
    message: String,
    frames: Vec<StackFrame>,
    #[schema(required = false)]
    notes: Vec<String>,
    #[schema(required = false, no_recursion)]
    related: Vec<RelatedError>,
    #[schema(required = false, minimum = 1)]
    left_out: u32,
}

/// What an error is to the one that it belongs to: named as its `cause`, being handled when it was raised (`context`),
/// in its group (`member`), or what failed the run that was called (`child`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Relation {
    Cause,
    Context,
    Member,
    Child,
}

/// One level of the stack.
#[derive(ToSchema)]
pub(crate) struct StackFrame {
    file: String,
    #[schema(minimum = 0)]
    line: u32,
    /// Empty for the place at which code could not be compiled.
    function: String,
    /// The source line, where it could be read.
    #[schema(required)]
    source: Option<String>,
    /// Whether the file belongs to the project rather than to a library.
    user: bool,
    /// The local variables, where they were asked for; absent when there are none.
    #[schema(required = false)]
    locals: Vec<Local>,
    /// How many calls follow this one that are not listed; absent when none are left out.
    #[schema(required = false, minimum = 1)]
    left_out: u32,
    /// Of how many calls up to this one those are repetitions; absent where they are others.
    #[schema(required = false, minimum = 1)]
    cycle: u32,
}

/// A local variable, and its value as `repr` shows it.
#[derive(ToSchema)]
pub(crate) struct Local {
    name: String,
    value: String,
}

/// How serious a line of a log is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// A decorated function, as the import of its project described it.
#[derive(ToSchema)]
pub(crate) struct Action {
    id: String,
    name: String,
    description: String,
    module: String,
    function: String,
    file: String,
    line: u32,
    /// Seconds of an attempt's own time.
    #[schema(minimum = 1, maximum = 900)]
    timeout: u32,
    /// Attempts after the first one.
    #[schema(minimum = 0, maximum = 100)]
    retries: u32,
    parameters: Vec<Parameter>,
    /// Whether the function has `**kwargs`.
    accepts_unknown: bool,
    /// JSON Schema 2020-12 of the input.
    #[schema(required)]
    input_schema: Option<BTreeMap<String, Value>>,
    /// JSON Schema 2020-12 of the output; null where no schema can describe it.
    #[schema(required)]
    output_schema: Option<BTreeMap<String, Value>>,
    /// The docstring, without its sections.
    #[schema(required)]
    documentation: Option<String>,
    /// What the docstring says that it adds to memory.
    stores: Vec<Stored>,
    /// What the docstring says that it raises.
    raises: Vec<Raised>,
    #[schema(required)]
    returns: Option<Returned>,
    /// Bytes of memory that an attempt may use.
    memory: u64,
    isolation: Isolation,
    on_lost: OnLost,
}

/// An argument of an action.
#[derive(ToSchema)]
pub(crate) struct Parameter {
    name: String,
    /// The hint as people write it.
    #[schema(rename = "type", examples("list[int]"))]
    hint: String,
    required: bool,
    /// Null also when there is no default, or it is not JSON.
    default: Value,
    text: Text,
    #[schema(required)]
    description: Option<String>,
}

/// Whether a value that is typed on the command line is text as it stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Text {
    Always,
    UnlessNull,
    Never,
}

/// What an action adds to memory.
#[derive(ToSchema)]
pub(crate) struct Stored {
    key: String,
    description: String,
}

/// What an action raises.
#[derive(ToSchema)]
pub(crate) struct Raised {
    #[schema(rename = "type")]
    kind: String,
    description: String,
}

/// What an action returns.
#[derive(ToSchema)]
pub(crate) struct Returned {
    /// The annotation as people write it.
    #[schema(rename = "type")]
    hint: String,
    #[schema(required)]
    description: Option<String>,
}

/// Which attempts share a process, one after the other: those of all actions that are `shared`, or none (`attempt`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Isolation {
    Shared,
    Attempt,
}

/// What becomes of a run whose worker vanished: it is executed again (`rerun`), or fails (`fail`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum OnLost {
    Rerun,
    Fail,
}

/// How far a version of a project's code is. One that was `removed` has no code any more, since no run needed it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum DeploymentStatus {
    Building,
    Ready,
    Failed,
    Removed,
}

/// What a key may do: everything (`admin`), put another version of the code in place (`deploy`), submit, start, cancel and
/// retry runs and change memories (`run`), or look at everything but keys (`read`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Scope {
    Admin,
    Deploy,
    Run,
    Read,
}
