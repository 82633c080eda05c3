//! Whether an input fits the JSON Schema of its action, compiled once for each import of the project.
//!
//! It finds what a schema can say; what only Python can tell fails the run. Nothing is filled in or converted: the input
//! stays the bytes that came.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;
use ziet_core::action::Unresolved;
use ziet_core::{ActionId, ActionSpec, Catalogue, nearest};

use crate::problem::{FAULTS, Fault};

/// Formats that are written into schemas for people, and mean something else in Python or nothing: a `date-time` without an
/// offset is one there. Those that stay are checked.
const ONLY_TOLD: &[&str] = &[
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// The schemas of the newest import.
#[derive(Default)]
pub(crate) struct Checks(RwLock<Option<Arc<Compiled>>>);

/// The schemas of one import.
pub(crate) struct Compiled {
    catalogue: Arc<Catalogue>,
    validators: HashMap<ActionId, Validator>,
}

impl Checks {
    /// Those of `catalogue`, compiled unless they are already.
    pub(crate) fn of(&self, catalogue: Arc<Catalogue>) -> Arc<Compiled> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = &*held
            && Arc::ptr_eq(&compiled.catalogue, &catalogue)
        {
            return Arc::clone(compiled);
        }
        drop(held);
        let compiled = Arc::new(Compiled::new(catalogue));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&compiled));
        compiled
    }
}

impl Compiled {
    fn new(catalogue: Arc<Catalogue>) -> Self {
        let validators = catalogue
            .actions()
            .filter_map(|spec| Some((spec.id.clone(), compile(spec)?)))
            .collect();
        Self {
            catalogue,
            validators,
        }
    }

    pub(crate) fn action(&self, id: &ActionId) -> Option<&ActionSpec> {
        self.catalogue.get(id)
    }

    /// In the order of their ids.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &ActionSpec> {
        self.catalogue.actions()
    }

    /// What is wrong with an id that no action has.
    pub(crate) fn unknown(&self, id: &ActionId) -> String {
        let what = format!("the project has no action {:?}", id.as_str());
        match self.catalogue.resolve(id.as_str()) {
            Ok(spec) => format!("{what}, but one with the id `{}`", spec.id),
            Err(
                Unresolved::Unknown { nearest: near } | Unresolved::Ambiguous { candidates: near },
            ) => match near.first() {
                Some(near) => format!("{what}, did you mean `{near}`?"),
                None => what,
            },
        }
    }

    /// What is wrong in `input`, which lies at `place` in the request: one fault for each parameter. Empty when nothing is.
    pub(crate) fn faults(&self, spec: &ActionSpec, input: &Value, place: &str) -> Vec<Fault> {
        let Some(validator) = self.validators.get(&spec.id) else {
            return Vec::new();
        };
        if validator.is_valid(input) {
            return Vec::new();
        }
        let mut faults: Vec<Fault> = Vec::new();
        for (path, message) in validator
            .iter_errors(input)
            .flat_map(|error| told(&error, spec))
        {
            let pointer = format!("{place}{path}");
            let parameter = parameter(&path);
            if !faults
                .iter()
                .any(|fault| self::parameter(&fault.pointer[place.len()..]) == parameter)
            {
                faults.push(Fault { pointer, message });
            }
            if faults.len() == FAULTS {
                break;
            }
        }
        faults
    }
}

/// None, with a line in the log, where Rust cannot check what Python can: a pattern that looks behind, say.
fn compile(spec: &ActionSpec) -> Option<Validator> {
    let schema = spec.input_schema.as_ref()?;
    let built = serde_json::from_slice(schema.as_bytes())
        .map_err(|error| error.to_string())
        .and_then(|schema: Value| {
            let options = jsonschema::options().should_validate_formats(true);
            let options = ONLY_TOLD.iter().fold(options, |options, format| {
                options.with_format(*format, |_: &str| true)
            });
            options.build(&schema).map_err(|error| error.to_string())
        });
    built
        .inspect_err(|error| {
            tracing::warn!(
                "inputs of {} are checked only when its runs execute: {error}",
                spec.id
            );
        })
        .ok()
}

/// The pointer's first step: the parameter that it is about.
fn parameter(path: &str) -> Option<&str> {
    path.split('/').nth(1)
}

/// Where it is, and what is wrong there.
fn told(error: &ValidationError<'_>, spec: &ActionSpec) -> Vec<(String, String)> {
    let path = error.instance_path().as_str();
    match error.kind() {
        Kind::Required { property } if path.is_empty() => {
            let name = property.as_str().unwrap_or_default();
            vec![(step(name), format!("it is missing{}", hint(spec, name)))]
        }
        Kind::AdditionalProperties { unexpected } if path.is_empty() => unexpected
            .iter()
            .map(|name| (step(name), unknown(spec, name)))
            .collect(),
        _ => {
            let name = parameter(path).map(unescaped).unwrap_or_default();
            let what = match error.kind() {
                Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
                    "it is none of what is allowed".to_owned()
                }
                // The value itself may be large, and the caller has it.
                _ => error.masked_with("it").to_string(),
            };
            vec![(path.to_owned(), format!("{what}{}", hint(spec, &name)))]
        }
    }
}

fn unknown(spec: &ActionSpec, name: &str) -> String {
    let known = spec
        .parameters
        .iter()
        .map(|known| (known.name.as_str(), &known.name));
    match nearest(name, known).first() {
        Some(near) => format!("{} has no such parameter, did you mean `{near}`?", spec.id),
        None => format!("{} has no such parameter", spec.id),
    }
}

fn hint(spec: &ActionSpec, name: &str) -> String {
    let known = spec.parameters.iter().find(|known| known.name == name);
    known.map_or_else(String::new, |known| {
        format!(": `{name}` is `{}`", known.hint)
    })
}

/// A name as a step of a JSON pointer.
fn step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}
