//! The input of a run, from what was typed.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::value::RawValue;
use ziet_core::action::{ActionSpec, Text};
use ziet_core::{Json, limits};

use crate::error::CliError;

/// What `--input` holds; None without it. Read before anything is started: it may come from a person.
pub(crate) fn read(input: Option<&str>) -> Result<Option<Json>, CliError> {
    input.map(read_input).transpose()
}

/// What `--input` and `-p` give together; None when neither is there.
pub(crate) fn combine(
    spec: &ActionSpec,
    given: Option<Json>,
    params: &[String],
) -> Result<Option<Json>, CliError> {
    if params.is_empty() {
        return Ok(given);
    }
    let mut object: BTreeMap<String, Box<RawValue>> = match &given {
        None => BTreeMap::new(),
        Some(given) => serde_json::from_slice(given.as_bytes()).map_err(|_| not_an_object())?,
    };
    for param in params {
        let (key, value) = param
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| {
                CliError::usage(format!("-p {param}: there is no ="))
                    .hint("give a parameter as `-p key=value`")
            })?;
        object.insert(key.to_owned(), param_value(spec, key, value)?);
    }
    let text = serde_json::to_vec(&object).map_err(|error| CliError::failed("the input", error))?;
    checked(Json::trusted(text)).map(Some)
}

fn read_input(input: &str) -> Result<Json, CliError> {
    let text = match input.strip_prefix('@') {
        Some(file) => fs_err::read_to_string(file)
            .map_err(|error| CliError::usage(format!("--input: {error}")))?,
        None if input == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| CliError::usage(format!("--input: standard input: {error}")))?;
            text
        }
        None => input.to_owned(),
    };
    let json = Json::parse(&text).map_err(|error| {
        CliError::usage(format!("--input is not JSON: {error}"))
            .hint("give an object such as '{\"amount\": 10}'")
    })?;
    if json.as_bytes().first() != Some(&b'{') {
        return Err(not_an_object());
    }
    checked(json)
}

fn checked(input: Json) -> Result<Json, CliError> {
    match limits::excess(input.as_bytes().len(), limits::JSON_BYTES) {
        Some(excess) => Err(CliError::usage(format!("an input of {excess}"))),
        None => Ok(input),
    }
}

fn not_an_object() -> CliError {
    CliError::usage("--input is not a JSON object")
        .hint("give the parameters by name: '{\"amount\": 10}'")
}

/// Text where the hint says so, JSON everywhere else. An unknown parameter is told by the action's own check.
fn param_value(spec: &ActionSpec, key: &str, value: &str) -> Result<Box<RawValue>, CliError> {
    let parameter = spec
        .parameters
        .iter()
        .find(|parameter| parameter.name == key);
    let is_text = match parameter.map(|parameter| parameter.text) {
        Some(Text::Always) => true,
        Some(Text::UnlessNull) => value != "null",
        Some(Text::Never) | None => false,
    };
    if is_text {
        return serde_json::value::to_raw_value(value)
            .map_err(|error| CliError::failed("a parameter", error));
    }
    let json = RawValue::from_string(value.to_owned());
    // What is no JSON cannot fit either, but for a hint that takes anything. The action's own check tells so, together
    // with all else that is wrong.
    if json.is_err() && parameter.is_none_or(|parameter| parameter.hint != "Any") {
        return serde_json::value::to_raw_value(value)
            .map_err(|error| CliError::failed("a parameter", error));
    }
    json.map_err(|_| {
        let hint = parameter.map_or(String::new(), |parameter| {
            format!(" (its hint is `{}`)", parameter.hint)
        });
        CliError::usage(format!("-p {key}={value}: the value is not JSON{hint}"))
            .hint(format!("a text needs its quotes: -p '{key}=\"{value}\"'"))
    })
}
