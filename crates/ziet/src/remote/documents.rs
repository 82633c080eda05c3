//! What is read of a server's documents. Fields that are not named here are passed over, and words that a newer server
//! has stay text.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use ziet_core::error::Failure;
use ziet_core::run::Cancelled;
use ziet_core::wire::Level;
use ziet_core::{ActionSpec, Json, Time};

use crate::error::CliError;

/// A run: as lists show it, or in full.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) action_id: String,
    pub(crate) status: String,
    pub(crate) waiting_on: Option<String>,
    pub(crate) error: Option<Value>,
    pub(crate) memory_id: String,
    pub(crate) parent_id: Option<String>,
    #[serde(default)]
    pub(crate) deployment_id: Option<String>,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) input: Option<Box<RawValue>>,
    pub(crate) output: Option<Box<RawValue>>,
    pub(crate) metadata: Option<Box<RawValue>>,
    /// When it is due, or its next attempt is.
    #[serde(rename = "run_at", deserialize_with = "maybe_time")]
    pub(crate) due: Option<Time>,
    pub(crate) retry_of: Option<String>,
    pub(crate) cancelled: Option<Cancelled>,
    #[serde(deserialize_with = "time")]
    pub(crate) created_at: Time,
    #[serde(deserialize_with = "maybe_time")]
    pub(crate) started_at: Option<Time>,
    #[serde(deserialize_with = "maybe_time")]
    pub(crate) finished_at: Option<Time>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) outcome: String,
    pub(crate) error: Option<Value>,
    #[serde(deserialize_with = "time")]
    pub(crate) started_at: Time,
    #[serde(deserialize_with = "time")]
    pub(crate) finished_at: Time,
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) peak_memory_bytes: Option<u64>,
}

/// Something that happened to a run.
#[derive(Debug, Deserialize)]
pub(crate) struct RunEvent {
    pub(crate) kind: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) outcome: Option<String>,
    pub(crate) detail: Option<String>,
}

/// A line of a run's log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) seq: u64,
    #[serde(deserialize_with = "time")]
    pub(crate) at: Time,
    pub(crate) attempt: u32,
    level: String,
    pub(crate) text: String,
}

impl LogLine {
    pub(crate) fn level(&self) -> Level {
        match &*self.level {
            "error" => Level::Error,
            "warn" => Level::Warn,
            _ => Level::Info,
        }
    }
}

/// An entry of a memory.
#[derive(Debug, Deserialize)]
pub(crate) struct MemoryEntry {
    pub(crate) entry_id: String,
    pub(crate) key: String,
    pub(crate) value: Box<RawValue>,
    pub(crate) metadata: Option<Box<RawValue>>,
    #[serde(deserialize_with = "time")]
    pub(crate) created_at: Time,
}

impl Run {
    pub(crate) fn is_finished(&self) -> bool {
        matches!(&*self.status, "completed" | "failed" | "cancelled")
    }
}

/// JSON as it was written, in one line: its strings hold no line ends.
pub(crate) fn json(text: &RawValue) -> Json {
    Json::trusted(text.get().replace(['\n', '\r'], " ").into_bytes())
}

/// An error with its stack; with a code that a newer server has, as an exception.
pub(crate) fn failure(error: &Value) -> Result<Failure, CliError> {
    let mut error = error.clone();
    error["retryable"] = true.into();
    let read = serde_json::from_value(error.clone()).or_else(|_| {
        error["code"] = "exception".into();
        serde_json::from_value(error)
    });
    read.map_err(|error| CliError::failed("the run's error", error))
}

/// An action as the server describes it, in a list or in full.
pub(crate) fn action(mut document: Value) -> Result<ActionSpec, CliError> {
    let mut defaults = Vec::new();
    for parameter in document["parameters"].as_array_mut().into_iter().flatten() {
        let default = parameter["default"].take();
        defaults
            .push((!default.is_null()).then(|| Json::trusted(default.to_string().into_bytes())));
    }
    // They are not read here, and as messages have them they are bytes.
    for schema in ["input_schema", "output_schema"] {
        document[schema].take();
    }
    let read = serde_json::from_value::<ActionSpec>(document);
    let mut spec = read.map_err(|error| CliError::failed("an action of the server", error))?;
    for (parameter, default) in spec.parameters.iter_mut().zip(defaults) {
        parameter.default = default;
    }
    Ok(spec)
}

pub(crate) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

pub(crate) fn maybe_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = text.map(|text| text.parse().map_err(D::Error::custom));
    read.transpose()
}
