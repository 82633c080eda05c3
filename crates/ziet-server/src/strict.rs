//! JSON of a user's value, read as strictly as executors need it: not nested without end, no name twice in an object.
//!
//! Readers differ about a name that comes twice, so a value that has one would mean one thing here and another there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may lie in each other.
pub(crate) const DEPTH: usize = 64;

/// Reads one JSON document.
///
/// # Errors
/// When it is not JSON, is nested more deeply than [`DEPTH`], has a name twice in one object, or a number that no float holds.
pub(crate) fn value(text: &str) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Level(DEPTH).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads a value in which this many levels may still be opened.
struct Level(usize);

impl Level {
    fn below<E: Error>(&self) -> Result<Self, E> {
        let too_deep = || E::custom(format!("it is nested more than {DEPTH} levels deep"));
        self.0.checked_sub(1).map(Self).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self.below()?)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self.below()?)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!(
                    "the name {name:?} comes twice in one object"
                )));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_json_has() {
        let text = r#"{"a": [null, true, -1, 18446744073709551615, 1.5, "\u00e9"], "b": {}}"#;
        assert_eq!(
            value(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn refuses_what_readers_disagree_about_or_cannot_hold() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(value(&nested(DEPTH)).is_ok());
        let refused = [
            nested(DEPTH + 1),
            nested(1_000_000),
            r#"{"a": 1, "b": [{"c": 1, "c": 2}]}"#.to_owned(),
            "1e400".to_owned(),
            r#""\ud800""#.to_owned(),
            "NaN".to_owned(),
            "1 2".to_owned(),
        ];
        for text in refused {
            assert!(value(&text).is_err(), "{text:.40}");
        }
        let twice = value(r#"{"c": 1, "c": 2}"#).unwrap_err().to_string();
        assert_eq!(
            twice,
            r#"the name "c" comes twice in one object at line 1 column 16"#
        );
    }
}
