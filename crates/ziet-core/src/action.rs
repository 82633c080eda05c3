//! What is known of an action, and how a name that a person typed finds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::ActionId;
use crate::json::Json;
use crate::limits::ATTEMPT_MEMORY_BYTES;
use crate::nearest::nearest;
use crate::run::OnLost;

/// A decorated function, as its project's import described it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionSpec {
    pub id: ActionId,
    pub name: String,
    pub description: String,
    pub module: String,
    pub function: String,
    pub file: String,
    pub line: u32,
    /// Seconds of an attempt's own time, 1 to 900.
    pub timeout: u32,
    /// Attempts after the first one, 0 to 100.
    pub retries: u32,
    pub parameters: Vec<Parameter>,
    /// Whether the function has `**kwargs`.
    pub accepts_unknown: bool,
    /// JSON Schema 2020-12 of the input. None, as all that follows, where only what it takes to run was asked for.
    #[serde(default)]
    pub input_schema: Option<Json>,
    /// JSON Schema 2020-12 of the output; also None where no schema can describe it.
    #[serde(default)]
    pub output_schema: Option<Json>,
    /// The docstring, without its sections.
    #[serde(default)]
    pub documentation: Option<String>,
    /// What the docstring says that it adds to memory.
    #[serde(default)]
    pub stores: Vec<Stored>,
    /// What the docstring says that it raises.
    #[serde(default)]
    pub raises: Vec<Raised>,
    #[serde(default)]
    pub returns: Option<Returned>,
    /// Bytes of memory that an attempt may use.
    #[serde(default = "default_memory")]
    pub memory: u64,
    #[serde(default)]
    pub isolation: Isolation,
    /// What becomes of a run whose worker vanished.
    #[serde(default)]
    pub on_lost: OnLost,
}

/// Which attempts share a process, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// An executor serves attempts of all actions that share.
    #[default]
    Shared,
    /// Each attempt has a fresh process.
    Attempt,
}

fn default_memory() -> u64 {
    *ATTEMPT_MEMORY_BYTES.end()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub key: String,
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The return annotation as people write it.
    #[serde(rename = "type")]
    pub hint: String,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raised {
    #[serde(rename = "type")]
    pub kind: String,
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    /// The hint as people write it: `list[int]`, `str | None`.
    #[serde(rename = "type")]
    pub hint: String,
    pub required: bool,
    /// None when there is no default or it is not JSON.
    pub default: Option<Json>,
    /// Whether a value given on the command line is text as it stands.
    pub text: Text,
    /// From the docstring or the hint; None as in [`ActionSpec::input_schema`].
    #[serde(default)]
    pub description: Option<String>,
}

/// How `-p key=value` is read for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Text {
    /// The hint is `str`: the value is the text.
    Always,
    /// The hint is `str | None`: the value is the text, except for `null`.
    UnlessNull,
    /// The value is JSON.
    Never,
}

/// A module of the project that could not be imported, whose actions are unknown; or one action in it that is defined
/// wrongly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleProblem {
    pub module: String,
    pub file: String,
    /// The last line of the traceback.
    pub message: String,
    /// As Python prints it, from the project's first frame on.
    pub traceback: String,
    /// The action, if it is only this one that is unknown.
    #[serde(default)]
    pub action: Option<ActionId>,
}

impl ModuleProblem {
    /// What is missing, and why.
    pub fn headline(&self) -> String {
        match &self.action {
            Some(action) => format!("action {action} is defined wrongly, so it is missing"),
            None => format!(
                "module {} does not import, so its actions are missing",
                self.module
            ),
        }
    }
}

/// What importing a project found.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    actions: BTreeMap<ActionId, ActionSpec>,
    pub problems: Vec<ModuleProblem>,
}

/// Why a name did not lead to one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The ids that are nearest, best first; none when nothing is near.
    Unknown {
        nearest: Vec<ActionId>,
    },
    Ambiguous {
        candidates: Vec<ActionId>,
    },
}

impl Catalogue {
    pub fn add(&mut self, spec: ActionSpec) {
        self.actions.insert(spec.id.clone(), spec);
    }

    pub fn get(&self, id: &ActionId) -> Option<&ActionSpec> {
        self.actions.get(id)
    }

    /// In the order of their ids.
    pub fn actions(&self) -> impl ExactSizeIterator<Item = &ActionSpec> {
        self.actions.values()
    }

    /// Finds an action by its id, else by its function's name or `module.function`.
    ///
    /// # Errors
    /// When no action or more than one fits.
    pub fn resolve(&self, name: &str) -> Result<&ActionSpec, Unresolved> {
        if let Some(spec) = self.actions.get(&ActionId::new(name)) {
            return Ok(spec);
        }
        let fits = |spec: &&ActionSpec| {
            spec.function == name || format!("{}.{}", spec.module, spec.function) == name
        };
        let mut fitting = self.actions().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(spec), None) => Ok(spec),
            (None, _) => Err(Unresolved::Unknown {
                nearest: self.nearest(name),
            }),
            (Some(_), Some(_)) => Err(Unresolved::Ambiguous {
                candidates: self
                    .actions()
                    .filter(fits)
                    .map(|spec| spec.id.clone())
                    .collect(),
            }),
        }
    }

    fn nearest(&self, name: &str) -> Vec<ActionId> {
        let named = self
            .actions()
            .flat_map(|spec| [(spec.id.as_str(), &spec.id), (&spec.function, &spec.id)]);
        nearest(name, named).into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(actions: &[(&str, &str, &str)]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (id, module, function) in actions {
            catalogue.add(ActionSpec {
                id: ActionId::new(*id),
                name: String::new(),
                description: String::new(),
                module: (*module).to_owned(),
                function: (*function).to_owned(),
                file: String::new(),
                line: 1,
                timeout: 300,
                retries: 0,
                parameters: Vec::new(),
                accepts_unknown: false,
                input_schema: None,
                output_schema: None,
                documentation: None,
                stores: Vec::new(),
                raises: Vec::new(),
                returns: None,
                memory: default_memory(),
                isolation: Isolation::Shared,
                on_lost: OnLost::default(),
            });
        }
        catalogue
    }

    fn id(found: Result<&ActionSpec, Unresolved>) -> Result<&str, Unresolved> {
        found.map(|spec| spec.id.as_str())
    }

    #[test]
    fn an_id_goes_before_a_function_of_that_name() {
        let catalogue = catalogue(&[("pay", "a", "charge"), ("charge", "b", "other")]);
        assert_eq!(id(catalogue.resolve("charge")), Ok("charge"));
        assert_eq!(id(catalogue.resolve("a.charge")), Ok("pay"));
    }

    #[test]
    fn a_function_name_that_fits_several_names_them() {
        let catalogue = catalogue(&[("a.send", "a", "send"), ("b.send", "b", "send")]);
        let candidates = vec![ActionId::new("a.send"), ActionId::new("b.send")];
        assert_eq!(
            catalogue.resolve("send"),
            Err(Unresolved::Ambiguous { candidates })
        );
        assert_eq!(id(catalogue.resolve("b.send")), Ok("b.send"));
    }

    #[test]
    fn a_typing_mistake_gives_the_nearest_names() {
        let catalogue = catalogue(&[
            ("charge_customer", "a", "charge_customer"),
            ("refund", "a", "refund"),
        ]);
        let nearest = vec![ActionId::new("charge_customer")];
        assert_eq!(
            catalogue.resolve("charge_custmer"),
            Err(Unresolved::Unknown { nearest })
        );
        assert_eq!(
            catalogue.resolve("zzz"),
            Err(Unresolved::Unknown { nearest: vec![] })
        );
    }
}
