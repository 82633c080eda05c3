//! Memory: entries that actions of one run tree share, and the rules by which they are found.

use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::id::{EntryId, RunId};
use crate::json::Json;
use crate::limits;
use crate::time::Time;

/// One value that was added to a memory. Adding a key again makes a new entry; the newest one is its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub entry_id: EntryId,
    pub key: String,
    pub value: Json,
    pub metadata: Option<Json>,
    pub created_at: Time,
    /// Who added it; None for one that came from outside any run.
    pub run_id: Option<RunId>,
    pub attempt: Option<u32>,
}

/// What `memory.search` looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Words that must all occur in the key or the value, whatever their case. None matches everything.
    pub query: Option<String>,
    /// A JSON object; each of its members must stand in the entry's metadata.
    pub filter: Option<Json>,
    /// At most this many entries, the newest first.
    pub limit: u32,
}

/// A search made ready to be held against many entries.
pub struct Matcher {
    words: Vec<String>,
    filter: serde_json::Map<String, Value>,
}

impl Search {
    /// # Errors
    /// When the filter is not a JSON object.
    pub fn matcher(&self) -> Result<Matcher, String> {
        let words = self.query.as_deref().unwrap_or("").to_lowercase();
        let filter = match &self.filter {
            None => serde_json::Map::new(),
            Some(filter) => serde_json::from_slice(filter.as_bytes())
                .map_err(|error| format!("a memory filter is a JSON object: {error}"))?,
        };
        Ok(Matcher {
            words: words.split_whitespace().map(str::to_owned).collect(),
            filter,
        })
    }
}

impl Matcher {
    pub fn matches(&self, key: &str, value: &Json, metadata: Option<&Json>) -> bool {
        self.has_words(key, value) && self.has_metadata(metadata)
    }

    fn has_words(&self, key: &str, value: &Json) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let mut text = key.to_lowercase();
        match serde_json::from_slice(value.as_bytes()) {
            Ok(value) => collect_text(&value, &mut text),
            // Nested more deeply than the parser goes: the JSON itself is searched.
            Err(_) => push_line(&mut text, &String::from_utf8_lossy(value.as_bytes())),
        }
        self.words.iter().all(|word| text.contains(word.as_str()))
    }

    fn has_metadata(&self, metadata: Option<&Json>) -> bool {
        if self.filter.is_empty() {
            return true;
        }
        let Some(Ok(Value::Object(metadata))) =
            metadata.map(|json| serde_json::from_slice(json.as_bytes()))
        else {
            return false;
        };
        self.filter
            .iter()
            .all(|(key, wanted)| metadata.get(key).is_some_and(|found| equal(found, wanted)))
    }
}

/// Everything in a value that a person would search for, in lower case, each part on a line of its own so that a word
/// never matches across two of them.
fn collect_text(value: &Value, text: &mut String) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => push_line(text, &value.to_string()),
        Value::String(string) => push_line(text, string),
        Value::Array(items) => items.iter().for_each(|item| collect_text(item, text)),
        Value::Object(members) => {
            for (key, member) in members {
                push_line(text, key);
                collect_text(member, text);
            }
        }
    }
}

fn push_line(text: &mut String, part: &str) {
    text.push('\n');
    text.push_str(&part.to_lowercase());
}

/// As Python compares them: 1 and 1.0 are equal.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

/// The newest value of each key, in the order in which the keys were first added. As JSON it is an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest(Vec<(String, Json)>);

impl Newest {
    /// Of all entries of a memory, the oldest first.
    pub fn of(entries: Vec<Entry>) -> Self {
        Self::of_values(entries.into_iter().map(|entry| (entry.key, entry.value)))
    }

    /// Of the keys and values of all entries, the oldest first.
    pub fn of_values(entries: impl Iterator<Item = (String, Json)>) -> Self {
        let mut newest: Vec<(String, Json)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (key, value) in entries {
            if let Some(&place) = places.get(&key) {
                newest[place].1 = value;
            } else {
                places.insert(key.clone(), newest.len());
                newest.push((key, value));
            }
        }
        Self(newest)
    }
}

impl Serialize for Newest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Says what is wrong with a key, if anything.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("a memory key is not empty".to_owned());
    }
    if key.contains('\0') {
        return Err("a memory key holds no NUL character".to_owned());
    }
    let chars = key.chars().count();
    if chars > limits::KEY_CHARS {
        return Err(format!(
            "a memory key of {chars} characters, limit {}",
            limits::KEY_CHARS
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, key: &str, value: &str) -> bool {
        let search = Search {
            query: Some(query.to_owned()),
            filter: None,
            limit: 10,
        };
        search
            .matcher()
            .unwrap()
            .matches(key, &Json::parse(value).unwrap(), None)
    }

    #[test]
    fn all_words_must_match_in_key_or_value_whatever_their_case() {
        assert!(found("ADA user", "user_7", r#"{"name": "Ada"}"#));
        assert!(!found("ada admin", "user_7", r#"{"name": "Ada"}"#));
        assert!(found("42", "n", "[1, {\"x\": 42}]"));
        assert!(found("straße", "place", "\"STRASSE, Straße\""));
        assert!(found("", "anything", "null"));
    }

    #[test]
    fn the_filter_asks_for_equal_metadata() {
        let search = Search {
            query: None,
            filter: Some(Json::parse(r#"{"kind": "a", "n": 1}"#).unwrap()),
            limit: 10,
        };
        let matcher = search.matcher().unwrap();
        let metadata = |text| Json::parse(text).unwrap();
        let value = Json::parse("1").unwrap();
        assert!(matcher.matches(
            "k",
            &value,
            Some(&metadata(r#"{"kind": "a", "n": 1.0, "more": true}"#))
        ));
        assert!(!matcher.matches("k", &value, Some(&metadata(r#"{"kind": "a"}"#))));
        assert!(!matcher.matches("k", &value, None));
    }

    #[test]
    fn keys_have_a_length() {
        assert!(check_key("a").is_ok());
        assert!(check_key("").is_err());
        assert!(check_key(&"x".repeat(513)).is_err());
        assert!(check_key("a\0b").is_err());
    }
}
