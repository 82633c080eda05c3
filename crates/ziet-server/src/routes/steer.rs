//! What becomes of a run that is there: starting one that was only created, cancelling, repeating.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use ziet_core::RunId;
use ziet_core::run::Cancelled;
use ziet_engine::Submission;

use super::submit::{answer, wait};
use crate::auth::{Allowed, Run};
use crate::body::{ONE, Payload};
use crate::params::Params;
use crate::platform::Platform;
use crate::problem::{Code, Problem, ProblemDocument};
use crate::schema;

/// Characters of a reason.
const REASON_CHARS: usize = 1000;

/// Nothing more is to be said.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Why a run is cancelled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancellation {
    /// It stands in the run's document.
    #[serde(default)]
    #[schema(max_length = 1000, required = false)]
    reason: Option<String>,
}
