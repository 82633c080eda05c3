//! User values: JSON text that travels through the platform as opaque bytes.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

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

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
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
    fn what_is_not_json_is_refused() {
        assert!(Json::parse("{x: 1}").is_err());
        assert!(Json::parse("NaN").is_err());
        assert!(Json::parse("1 2").is_err());
    }
}
