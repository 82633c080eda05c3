//! User values: JSON text that travels through the platform as opaque bytes.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use serde_json::value::{RawValue, Value};
use sha2::{Digest, Sha256};

/// A JSON document as the bytes that the user's process wrote. Cheap to clone.
///
/// In messages it is a byte string, never parsed; in documents (`--json`, the API) it stands as the JSON it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<[u8]>);

impl Json {
    /// Takes bytes that are JSON already, as an encoder wrote them or [`Json::parse`] checked them.
    pub fn trusted(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    pub fn empty_object() -> Self {
        Self::trusted(*b"{}")
    }

    /// Checks that `text` is one JSON document.
    ///
    /// # Errors
    /// What `serde_json` says of the first thing that is not JSON, with line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let _: &RawValue = serde_json::from_str(text)?;
        Ok(Self(text.trim().as_bytes().into()))
    }

    /// SHA-256 of what it says: the order of members, spaces and the way in which a number or a character is written
    /// make no difference.
    pub fn digest(&self) -> [u8; 32] {
        // Nested more deeply than the parser goes, it equals only what is written in the same way.
        let Ok(value) = serde_json::from_slice::<Value>(&self.0) else {
            return Sha256::digest(&self.0).into();
        };
        let mut value = value;
        value.sort_all_objects();
        whole(&mut value);
        Sha256::digest(value.to_string()).into()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// Writes numbers such as 1.0 and 1e2 as the whole numbers that they are.
fn whole(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole),
        Value::Object(members) => members.values_mut().for_each(whole),
        Value::Number(number) => {
            let exact = number
                .as_f64()
                .filter(|float| number.is_f64() && float.fract() == 0.0);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is checked to be in range"
            )]
            if let Some(float) = exact.filter(|float| float.abs() < 9_007_199_254_740_992.0) {
                *number = (float as i64).into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let raw: &RawValue = serde_json::from_slice(&self.0).map_err(S::Error::custom)?;
            raw.serialize(serializer)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Documents are only written. In messages it is a byte string, and a tagged message is read through a buffer
        // that does not say which format it came from.
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Ok(Self(bytes.into_vec().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_in_documents_as_it_was_written() {
        let value = Json::parse(" {\"b\": 1.50, \"a\": 2} ").unwrap();
        assert_eq!(
            serde_json::to_string(&[value]).unwrap(),
            r#"[{"b": 1.50, "a": 2}]"#
        );
    }

    #[test]
    fn a_digest_is_of_what_it_says_and_not_of_how() {
        let digest = |text: &str| Json::parse(text).unwrap().digest();
        let one = digest(r#"{"b": [1, {"x": 2, "y": "\u00e9"}], "a": 100}"#);
        assert_eq!(one, digest("{\"a\":1e2,\"b\":[1.0,{\"y\":\"é\",\"x\":2}]}"));
        assert_ne!(one, digest(r#"{"a":100,"b":[1,{"y":"e","x":2}]}"#));
        assert_ne!(digest("[1,2]"), digest("[2,1]"));
        assert_ne!(digest("0.5"), digest("0"));
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert_eq!(
            Json::trusted(deep.as_bytes()).digest(),
            Json::trusted(deep.as_bytes()).digest()
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        assert!(Json::parse("{x: 1}").is_err());
        assert!(Json::parse("NaN").is_err());
        assert!(Json::parse("1 2").is_err());
    }
}
