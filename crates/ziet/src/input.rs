//! The input of a run, from what was typed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;
use ziet_core::action::{ActionSpec, Text};
use ziet_core::{Json, limits};

use crate::error::CliError;
use crate::output::{one_line, quoted};

/// Characters that are shown before and after the place where text is no JSON.
const SHOWN_BEFORE: usize = 50;
const SHOWN_AFTER: usize = 20;

const EXAMPLE: &str = "'{\"amount\": 10}'";

/// With the words of JSON that mean the same.
const WORDS_OF_PYTHON: &[(&str, &str)] = &[("True", "true"), ("False", "false"), ("None", "null")];

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
        let wrong = |what| {
            CliError::usage(format!("-p {param}: {what}"))
                .hint("give a parameter as `-p key=value`")
        };
        let (key, value) = param
            .split_once('=')
            .ok_or_else(|| wrong("there is no ="))?;
        if key.is_empty() {
            return Err(wrong("there is no name before the ="));
        }
        object.insert(key.to_owned(), param_value(spec, key, value)?);
    }
    let text = serde_json::to_vec(&object).map_err(|error| CliError::failed("the input", error))?;
    checked(Json::trusted(text)).map(Some)
}

/// An object that is given as an option.
pub(crate) fn object(text: &str) -> Result<Json, String> {
    let json = Json::parse(text).map_err(|error| error.to_string())?;
    if json.as_bytes().first() == Some(&b'{') {
        Ok(json)
    } else {
        Err("expected a JSON object, such as {\"order\": \"A-17\"}".to_owned())
    }
}

fn read_input(input: &str) -> Result<Json, CliError> {
    let text = match input.strip_prefix('@') {
        Some(file) => {
            let bytes =
                fs_err::read(file).map_err(|error| CliError::usage(format!("--input: {error}")))?;
            as_text(bytes, file)?
        }
        None if input == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|error| CliError::usage(format!("--input: standard input: {error}")))?;
            as_text(bytes, "standard input")?
        }
        None => input.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(
            CliError::usage("--input is empty").hint(format!("give an object such as {EXAMPLE}"))
        );
    }
    let json = Json::parse(&text).map_err(|error| not_json(input, &text, &error))?;
    if json.as_bytes().first() != Some(&b'{') {
        return Err(not_an_object());
    }
    checked(json)
}

/// Without the mark that some editors and shells begin a file with.
fn as_text(bytes: Vec<u8>, source: &str) -> Result<String, CliError> {
    let text = String::from_utf8(bytes).map_err(|_| {
        CliError::usage(format!("--input: {source} is not UTF-8"))
            .hint("save it as UTF-8; PowerShell writes UTF-16 unless it is told otherwise")
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// Shows the place, and says what is wrong with the mistakes that people make.
fn not_json(input: &str, text: &str, error: &serde_json::Error) -> CliError {
    let line = text.lines().nth(error.line().saturating_sub(1));
    let line = line.unwrap_or_default();
    let column = error.column().saturating_sub(1);
    let is_before = |(at, _): &(usize, char)| *at < column;
    let before = line.char_indices().filter(is_before).count();
    let place: String = line.chars().skip(before).collect();
    let hint = if Path::new(input).is_file() {
        format!(
            "to read this file: --input {}",
            quoted(&format!("@{input}"))
        )
    } else if text.contains('\'') && !text.contains('"') {
        format!("JSON has double quotes: {EXAMPLE}")
    } else if WORDS_OF_PYTHON
        .iter()
        .any(|(word, _)| place.starts_with(word))
    {
        "JSON has true, false and null".to_owned()
    } else if error.to_string().starts_with("key must be a string") {
        format!("names have double quotes, which a shell keeps only within single ones: {EXAMPLE}")
    } else {
        format!("give an object such as {EXAMPLE}")
    };
    let from = before.saturating_sub(SHOWN_BEFORE);
    let shown =
        |from: usize, count| one_line(&line.chars().skip(from).take(count).collect::<String>());
    let (left, right) = (shown(from, before - from), shown(before, SHOWN_AFTER));
    let mark = " ".repeat(left.chars().count());
    CliError::usage(format!(
        "--input is not JSON: {error}\n  {left}{right}\n  {mark}^"
    ))
    .hint(hint)
}

fn checked(input: Json) -> Result<Json, CliError> {
    match limits::excess(input.as_bytes().len(), limits::JSON_BYTES) {
        Some(excess) => Err(CliError::usage(format!("an input of {excess}"))),
        None => Ok(input),
    }
}

fn not_an_object() -> CliError {
    CliError::usage("--input is not a JSON object")
        .hint(format!("give the parameters by name: {EXAMPLE}"))
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
        return as_text_value(value);
    }
    if let Ok(json) = RawValue::from_string(value.to_owned()) {
        return Ok(json);
    }
    let hint = parameter.map_or("", |parameter| &parameter.hint);
    match advice(hint, value) {
        Some((say, json)) => {
            let message = format!("-p {key}={value}: the value is not JSON (its hint is `{hint}`)");
            let param = quoted(&format!("{key}={json}"));
            Err(CliError::usage(message).hint(format!("{say}: -p {param}")))
        }
        // It may be text that the hint takes, such as a date. If not, or if there is no such parameter, the action's own
        // check tells so, together with all else that is wrong.
        None => as_text_value(value),
    }
}

fn as_text_value(value: &str) -> Result<Box<RawValue>, CliError> {
    serde_json::value::to_raw_value(value).map_err(|error| CliError::failed("a parameter", error))
}

/// What to do about a value that is no JSON and cannot be meant as text, and what to write instead.
fn advice(hint: &str, value: &str) -> Option<(&'static str, String)> {
    let words = WORDS_OF_PYTHON.iter();
    let mut fitting = words.filter(|(_, json)| match *json {
        "null" => hint.contains("None"),
        _ => hint.contains("bool"),
    });
    if let Some((_, json)) = fitting.find(|(word, _)| *word == value) {
        return Some(("JSON has other words than Python", (*json).to_owned()));
    }
    match hint.split('[').next() {
        Some("Any") => Some(("a text needs its quotes", as_json(value))),
        Some("dict") => Some(("give an object", r#"{"key": "value"}"#.to_owned())),
        Some("list" | "set" | "frozenset" | "tuple") => {
            let items = value.trim_matches(['[', ']', '(', ')']).split(',');
            let items: Vec<String> = items.map(str::trim).map(as_json).collect();
            Some(("give a list", format!("[{}]", items.join(", "))))
        }
        _ => None,
    }
}

/// The JSON that it is, else the text.
fn as_json(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => text.to_owned(),
        Err(_) => Value::from(text.trim_matches(['"', '\''])).to_string(),
    }
}
