//! Whether an input fits the JSON Schema of its action, compiled once for each import of the project.
//!
//! It finds what a schema can say; what only Python can tell fails the run. Nothing is filled in or converted: the input
//! stays the bytes that came.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};
use ziet_core::action::Unresolved;
use ziet_core::{ActionId, ActionSpec, Catalogue, nearest};

use crate::problem::{FAULTS, Fault};

/// Bytes of an input in which the exact place of each mistake is looked for. In a larger one it is only told which parameters
/// are wrong: whoever sends millions of mistakes is not to keep the server busy with describing them.
const DETAILED: usize = 16 * 1024;

/// Bytes of a name up to which one that is like it is looked for.
const NAME: usize = 200;

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
    checks: HashMap<ActionId, Check>,
}

/// What tells whether the input of one action fits.
struct Check {
    schema: Value,
    whole: Validator,
    /// For one parameter of the input, without the others; made when the first input does not fit.
    single: OnceLock<Option<Validator>>,
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
        let checks = catalogue
            .actions()
            .filter_map(|spec| Some((spec.id.clone(), Check::new(spec)?)))
            .collect();
        Self { catalogue, checks }
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
        if id.as_str().len() > NAME {
            return "the project has no action with an id as long as this".to_owned();
        }
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

    /// What is wrong in `input`, which has this many bytes and lies at `place` in the request: one fault for each parameter.
    /// Empty when nothing is.
    pub(crate) fn faults(
        &self,
        spec: &ActionSpec,
        input: Value,
        bytes: usize,
        place: impl Display,
    ) -> Vec<Fault> {
        match self.checks.get(&spec.id) {
            Some(check) if !check.whole.is_valid(&input) => check
                .mistakes(spec, input, bytes <= DETAILED)
                .into_iter()
                .map(|(path, message)| Fault::new(format!("{place}{path}"), message))
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl Check {
    /// None, with a line in the log, where Rust cannot check what Python can: a pattern that looks behind, say.
    fn new(spec: &ActionSpec) -> Option<Self> {
        let schema = spec.input_schema.as_ref()?;
        let built = serde_json::from_slice(schema.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|schema: Value| {
                let whole = build(&schema).map_err(|error| error.to_string())?;
                Ok(Self {
                    schema,
                    whole,
                    single: OnceLock::new(),
                })
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

    /// What is wrong in an input that does not fit, as the path to it and what it is: of what is missing, then of what does
    /// not fit, then of what is unknown.
    fn mistakes(&self, spec: &ActionSpec, input: Value, detailed: bool) -> Vec<(String, String)> {
        let Value::Object(given) = input else {
            return vec![(String::new(), "it is not of type \"object\"".to_owned())];
        };
        let required = self.schema["required"].as_array().into_iter().flatten();
        let missing = required
            .filter_map(Value::as_str)
            .filter(|name| !given.contains_key(*name))
            .map(|name| (step(name), format!("it is missing{}", hint(spec, name))))
            .collect::<Vec<_>>();
        let properties = &self.schema["properties"];
        let (known, unknown): (Vec<_>, Vec<_>) = given
            .into_iter()
            .partition(|(name, _)| spec.accepts_unknown || properties.get(name).is_some());
        let wrong = known
            .into_iter()
            .filter_map(|(name, value)| self.mistake(spec, name, value, detailed));
        let unknown = unknown
            .iter()
            .map(|(name, _)| (step(name), self::unknown(spec, name)));
        let mut mistakes: Vec<_> = missing
            .into_iter()
            .chain(wrong)
            .chain(unknown)
            .take(FAULTS)
            .collect();
        if mistakes.is_empty() {
            mistakes.push((String::new(), "it does not fit".to_owned()));
        }
        mistakes
    }

    /// What is wrong with one parameter, which is decided before it is described.
    fn mistake(
        &self,
        spec: &ActionSpec,
        name: String,
        value: Value,
        detailed: bool,
    ) -> Option<(String, String)> {
        let single = self.single.get_or_init(|| {
            let mut schema = self.schema.clone();
            schema.as_object_mut()?.shift_remove("required");
            build(&schema).ok()
        });
        let (single, path) = (single.as_ref()?, step(&name));
        let hint = hint(spec, &name);
        let alone = Value::Object(Map::from_iter([(name, value)]));
        if single.is_valid(&alone) {
            return None;
        }
        if !detailed {
            return Some((path, format!("it does not fit{hint}")));
        }
        let error = single.validate(&alone).err()?;
        Some((
            error.instance_path().as_str().to_owned(),
            format!("{}{hint}", told(&error)),
        ))
    }
}

/// Patterns take time in proportion to the text, whatever they are.
fn build(schema: &Value) -> Result<Validator, ValidationError<'static>> {
    let options = jsonschema::options()
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex());
    let options = ONLY_TOLD.iter().fold(options, |options, format| {
        options.with_format(*format, |_: &str| true)
    });
    options.build(schema)
}

fn told(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            "it is none of what is allowed".to_owned()
        }
        // The value itself may be large, and the caller has it.
        _ => error.masked_with("it").to_string(),
    }
}

fn unknown(spec: &ActionSpec, name: &str) -> String {
    if name.len() > NAME {
        return format!("{} has no such parameter", spec.id);
    }
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
