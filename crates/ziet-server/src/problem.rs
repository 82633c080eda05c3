//! Every answer that is not a success: RFC 9457 problems with stable codes.
//!
//! This is the only place that turns errors of the store and the engine into statuses. What a person can do stands in
//! `detail`; what only an operator should see goes to the log.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use ziet_core::{ActionId, ErrorCode, RunId};
use ziet_engine::Refusal;
use ziet_store::StoreError;

/// How many things that are wrong are told at most.
pub(crate) const FAULTS: usize = 100;

/// Characters of a text about a fault.
const TEXT: usize = 500;

/// After how long a store that cannot be used may be asked again.
const RETRY_STORE: Duration = Duration::from_secs(5);

/// Makes the enum and what is told of each code: its status, its name in documents and its title.
macro_rules! codes {
    ($(#[doc = $meaning:literal] $code:ident = $status:ident $name:literal $title:literal,)+) => {
        /// The stable list of what a request can be refused with. Programs decide on these; texts may change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
        #[schema(rename_all = "snake_case")]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $name)] $code,)+
        }

        impl Code {
            /// Every code with what it means.
            pub(crate) const ALL: &[(Self, &str)] = &[$((Self::$code, $meaning),)+];

            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)+
                }
            }

            /// As it stands in documents.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// What has this code, in a few words that are always the same.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$code => $title,)+
                }
            }
        }
    };
}

codes! {
    /// The request brings no API key.
    KeyMissing = UNAUTHORIZED "key_missing" "API key missing",
    /// No such API key, or it is revoked.
    KeyInvalid = UNAUTHORIZED "key_invalid" "API key not valid",
    /// The key lacks the scope that the request needs.
    ScopeMissing = FORBIDDEN "scope_missing" "Scope missing",
    /// The key belongs to another project.
    WrongProject = FORBIDDEN "wrong_project" "Key of another project",
    /// The key may act for several projects and the request names none.
    ProjectRequired = BAD_REQUEST "project_required" "Project required",
    /// The server has no such project.
    ProjectNotFound = NOT_FOUND "project_not_found" "Project not found",
    /// The server does not answer to the name in the Host header.
    HostNotAllowed = MISDIRECTED_REQUEST "host_not_allowed" "Host not allowed",
    /// No such path.
    NotFound = NOT_FOUND "not_found" "Not found",
    /// The path exists, but not for this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed" "Method not allowed",
    /// The body is not `application/json`.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "Media type not supported",
    /// The body is larger than the path takes.
    BodyTooLarge = PAYLOAD_TOO_LARGE "body_too_large" "Body too large",
    /// The body did not arrive in time.
    BodyTimeout = REQUEST_TIMEOUT "body_timeout" "Body did not arrive in time",
    /// The body is not JSON, or has a field twice.
    InvalidJson = BAD_REQUEST "invalid_json" "Not valid JSON",
    /// The request is not one that the path takes: a field or parameter is unknown, missing or wrong.
    InvalidRequest = UNPROCESSABLE_ENTITY "invalid_request" "Request not valid",
    /// The input does not fit the action's parameters.
    InvalidInput = UNPROCESSABLE_ENTITY "invalid_input" "Input does not fit the action",
    /// The cursor is not one that the server gave.
    InvalidCursor = BAD_REQUEST "invalid_cursor" "Cursor not valid",
    /// No such run in the project.
    RunNotFound = NOT_FOUND "run_not_found" "Run not found",
    /// No such action in the project.
    ActionNotFound = NOT_FOUND "action_not_found" "Action not found",
    /// No such memory in the project.
    MemoryNotFound = NOT_FOUND "memory_not_found" "Memory not found",
    /// No such entry in the memory.
    EntryNotFound = NOT_FOUND "entry_not_found" "Entry not found",
    /// No such key.
    KeyNotFound = NOT_FOUND "key_not_found" "Key not found",
    /// No such deployment in the project.
    DeploymentNotFound = NOT_FOUND "deployment_not_found" "Deployment not found",
    /// The deployment is being built, has failed or was removed, so it cannot be activated.
    DeploymentNotReady = CONFLICT "deployment_not_ready" "Deployment not ready",
    /// The project is served from a folder of the server, so nothing can be deployed.
    ServedFromFolder = CONFLICT "served_from_folder" "Project served from a folder",
    /// The bundle is not one that a server takes.
    InvalidBundle = UNPROCESSABLE_ENTITY "invalid_bundle" "Bundle not valid",
    /// No variable of this name is set.
    VariableNotFound = NOT_FOUND "variable_not_found" "Variable not found",
    /// The run has finished, so it cannot be changed any more.
    RunFinished = CONFLICT "run_finished" "Run has finished",
    /// The run has not finished yet.
    RunNotFinished = CONFLICT "run_not_finished" "Run has not finished",
    /// The run was started already.
    NotCreated = CONFLICT "not_created" "Run was started already",
    /// The idempotency key was used for another input or action.
    IdempotencyMismatch = CONFLICT "idempotency_mismatch" "Idempotency key used for something else",
    /// The memory or the entry cannot take this.
    InvalidMemory = UNPROCESSABLE_ENTITY "invalid_memory" "Memory cannot hold this",
    /// The memory holds as much as it may.
    MemoryFull = CONFLICT "memory_full" "Memory full",
    /// The key has more requests in work than it may.
    TooManyRequests = TOO_MANY_REQUESTS "too_many_requests" "Too many requests",
    /// The server has as many open connections as it may.
    TooManyConnections = SERVICE_UNAVAILABLE "too_many_connections" "Too many connections",
    /// The project has as many unfinished runs as it may.
    TooManyRuns = TOO_MANY_REQUESTS "too_many_runs" "Too many unfinished runs",
    /// The server is stopping and takes no runs.
    Draining = SERVICE_UNAVAILABLE "draining" "Server is stopping",
    /// The project is not imported yet, or its import failed.
    NotReady = SERVICE_UNAVAILABLE "not_ready" "Project not ready",
    /// The disk is full, so nothing can be accepted.
    StorageFull = INSUFFICIENT_STORAGE "storage_full" "Storage full",
    /// The store cannot be written or read now.
    StoreUnavailable = SERVICE_UNAVAILABLE "store_unavailable" "Store not available",
    /// A defect of the server.
    Internal = INTERNAL_SERVER_ERROR "internal" "Internal error",
}

/// Why a request was not carried out. As a response it has no body yet: the layer that knows the request's id writes it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// What is wrong with this request and what to do about it.
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    retry_after: Option<Duration>,
    /// What only the log is told.
    cause: Option<String>,
    /// The action that there is not, for who can tell where it was.
    pub(crate) action: Option<ActionId>,
}

/// One thing that is wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Where it is, as a JSON pointer into the body.
    pub(crate) pointer: String,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(pointer: String, message: String) -> Self {
        Self {
            pointer: shortened(pointer),
            message: shortened(message),
        }
    }
}

/// What clients send may stand in it, and they need not get all of it back.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The body of every answer that is not a success.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
    /// The id of the request, as in the header `X-Request-Id` and in the server's log.
    request_id: &'a str,
    /// What is wrong, each with its place, where there are several things to name.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            cause: None,
            action: None,
        }
    }

    /// It is about this action, which there is not.
    pub(crate) fn about(mut self, action: &ActionId) -> Self {
        self.action = Some(action.clone());
        self
    }

    /// Says more about it.
    pub(crate) fn adding(mut self, text: &str) -> Self {
        self.detail = format!("{}; {text}", self.detail).into();
        self
    }

    pub(crate) fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// Tells what is wrong with another part of the same request as well; whether there is room for more.
    pub(crate) fn join(&mut self, other: Self) -> bool {
        self.errors.extend(other.errors);
        self.errors.truncate(FAULTS);
        self.errors.len() < FAULTS
    }

    /// When trying again can help.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn run_not_found(run: RunId) -> Self {
        Self::new(
            Code::RunNotFound,
            format!("the project has no run {run}; finished runs are deleted after a while"),
        )
    }

    /// A defect: the cause goes to the log, and the answer names only the request.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(
            Code::Internal,
            "the server failed to answer this; its log has the cause under the request's id",
        )
        .because(cause)
    }

    /// Tells the log, and nobody else, what is behind it.
    fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// What the log is told of it where there is no request.
    pub(crate) fn said(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.detail)
    }

    /// The document, with the id that its request has.
    pub(crate) fn document(&self, request_id: &str) -> Vec<u8> {
        let document = ProblemDocument {
            kind: format!("urn:ziet:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            errors: &self.errors,
        };
        let mut text = serde_json::to_vec(&document).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The answer, with the id that its request has.
    pub(crate) fn into_response_of(self, request_id: &str) -> Response<Body> {
        if let Some(cause) = &self.cause {
            tracing::error!(
                request_id,
                code = self.code.as_str(),
                "a request failed: {cause}"
            );
        }
        let status = self.code.status();
        let mut response = Response::new(Body::from(self.document(request_id)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(wait) = self.retry_after {
            // Whole seconds, and none too few.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Api-Key"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoMemory(memory) => Self::new(
                Code::MemoryNotFound,
                format!("the project has no memory {memory}"),
            ),
            StoreError::BadFilter(text) | StoreError::Invalid(text) => {
                Self::new(Code::InvalidRequest, text)
            }
            StoreError::Full => Self::new(
                Code::StorageFull,
                "no space is left for the server's state; what was accepted is safe",
            )
            .retry_after(RETRY_STORE),
            StoreError::Busy
            | StoreError::ReadOnly
            | StoreError::Unavailable(_)
            | StoreError::Closed => Self::new(
                Code::StoreUnavailable,
                "the server's state cannot be read or written now",
            )
            .retry_after(RETRY_STORE)
            .because(error),
            StoreError::Fenced(_)
            | StoreError::Duplicate(_)
            | StoreError::Constraint(_)
            | StoreError::Corrupt(_)
            | StoreError::Foreign(_)
            | StoreError::Locked { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::ForeignSchema(_)
            | StoreError::Unreadable(_)
            | StoreError::Aborted
            | StoreError::Awaited
            | StoreError::Panicked(_)
            | StoreError::Database(_) => Self::internal(error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            code,
            message,
            retry_after,
            cause,
        } = refusal;
        let code = match code {
            ErrorCode::UnknownAction => Code::ActionNotFound,
            ErrorCode::InvalidInput => Code::InvalidInput,
            ErrorCode::InvalidMemory => Code::InvalidMemory,
            ErrorCode::MemoryFull => Code::MemoryFull,
            ErrorCode::MemoryNotFound => Code::MemoryNotFound,
            ErrorCode::RunNotFound => Code::RunNotFound,
            ErrorCode::RunFinished => Code::RunFinished,
            ErrorCode::NotCreated => Code::NotCreated,
            ErrorCode::IdempotencyMismatch => Code::IdempotencyMismatch,
            ErrorCode::TooManyRuns => Code::TooManyRuns,
            ErrorCode::Draining => Code::Draining,
            ErrorCode::StoreUnavailable => Code::StoreUnavailable,
            ErrorCode::StorageFull => Code::StorageFull,
            ErrorCode::ImportFailed => Code::NotReady,
            // What becomes of runs, not of requests.
            ErrorCode::Exception
            | ErrorCode::InvalidOutput
            | ErrorCode::TimedOut
            | ErrorCode::OutOfMemory
            | ErrorCode::Crashed
            | ErrorCode::ScratchFull
            | ErrorCode::Lost
            | ErrorCode::Cancelled
            | ErrorCode::CallDepth => return Self::internal(message),
        };
        Self {
            retry_after,
            cause,
            ..Self::new(code, message)
        }
    }
}
