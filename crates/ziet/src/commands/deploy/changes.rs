//! How the actions of one version differ from those of another.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::CliError;
use crate::remote::Server;

/// What callers can tell two versions of an action by, and what it is called.
const FIELDS: &[(&str, &str)] = &[
    ("input_schema", "parameters"),
    ("output_schema", "result"),
    ("timeout", "timeout"),
    ("retries", "retries"),
    ("memory", "memory"),
    ("isolation", "isolation"),
    ("on_lost", "on_lost"),
    ("name", "name"),
    ("description", "description"),
];

/// The documents of actions, by their ids.
pub(super) type Actions = BTreeMap<String, Value>;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Changes {
    new: Vec<String>,
    gone: Vec<String>,
    /// With what of them is another.
    changed: BTreeMap<String, Vec<&'static str>>,
}

/// The actions of the active version; none where nothing is deployed yet.
pub(super) fn actions(server: &Server) -> Result<Actions, CliError> {
    let listed = match server.list::<Value>("/v1/actions", &[], usize::MAX) {
        Err(error) if error.has_code("project_not_found") => return Ok(Actions::new()),
        listed => listed?.items,
    };
    let id = |action: &Value| action["id"].as_str().unwrap_or_default().to_owned();
    listed
        .iter()
        .map(|action| {
            let id = id(action);
            let document = server.get(&format!("/v1/actions/{id}"), &[])?;
            Ok((id, document))
        })
        .collect()
}

impl Changes {
    pub(super) fn between(before: &Actions, after: &Actions) -> Self {
        let missing = |of: &Actions, from: &Actions| {
            let ids = of.keys().filter(|id| !from.contains_key(*id));
            ids.cloned().collect()
        };
        let changed = after.iter().filter_map(|(id, action)| {
            let old = before.get(id)?;
            let others = FIELDS
                .iter()
                .filter(|(field, _)| old[field] != action[field]);
            let others: Vec<&str> = others.map(|(_, name)| *name).collect();
            (!others.is_empty()).then(|| (id.clone(), others))
        });
        Self {
            new: missing(after, before),
            gone: missing(before, after),
            changed: changed.collect(),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let new = self.new.iter().map(|id| format!("new      {id}"));
        let changed = self.changed.iter();
        let changed = changed.map(|(id, what)| format!("changed  {id}: {}", what.join(", ")));
        let gone = self.gone.iter().map(|id| format!("gone     {id}"));
        new.chain(changed).chain(gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_what_callers_would_notice() {
        let actions = |list: &[(&str, u32)]| -> Actions {
            let action = |(id, timeout): &(&str, u32)| {
                (
                    (*id).to_owned(),
                    json!({"id": id, "timeout": timeout, "line": timeout}),
                )
            };
            list.iter().map(action).collect()
        };
        let before = actions(&[("a", 1), ("b", 1), ("c", 1)]);
        let after = actions(&[("a", 1), ("b", 2), ("d", 1)]);

        let changes = Changes::between(&before, &after);

        assert_eq!(
            changes.lines(),
            ["new      d", "changed  b: timeout", "gone     c"]
        );
        assert_eq!(Changes::between(&before, &before), Changes::default());
    }
}
