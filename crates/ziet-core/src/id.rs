//! The ids of what the platform makes (UUIDv7, so they sort by creation), and the names that people give.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::time::Time;

/// Keeps ids of one millisecond in the order in which they were made.
static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A UUIDv7 of one kind of thing; always written as text, in documents and in messages.
pub struct Id<Kind> {
    uuid: Uuid,
    kind: PhantomData<fn() -> Kind>,
}

#[derive(Debug)]
pub enum RunKind {}
#[derive(Debug)]
pub enum MemoryKind {}
#[derive(Debug)]
pub enum EntryKind {}
#[derive(Debug)]
pub enum WorkerKind {}
#[derive(Debug)]
pub enum DeploymentKind {}
#[derive(Debug)]
pub enum KeyKind {}

pub type RunId = Id<RunKind>;
pub type MemoryId = Id<MemoryKind>;
pub type EntryId = Id<EntryKind>;
pub type WorkerId = Id<WorkerKind>;
pub type DeploymentId = Id<DeploymentKind>;
pub type KeyId = Id<KeyKind>;

impl<Kind> Id<Kind> {
    /// A new id whose time part is `now`. Ids made by one process increase strictly while `now` does not go back.
    pub fn new(now: Time) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let nanos = u32::try_from(millis % 1000 * 1_000_000).unwrap_or(0);
        Self::from_uuid(Uuid::new_v7(Timestamp::from_unix(
            &ORDER,
            millis / 1000,
            nanos,
        )))
    }

    /// Not after any id that was made at `time` or later, and after all that were made before.
    pub fn first_of(time: Time) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(0);
        Self::from_uuid(Uuid::from_u128(u128::from(millis) << 80))
    }

    /// The id of nothing.
    pub const NONE: Self = Self::from_uuid(Uuid::nil());

    /// Not before any id.
    pub const LAST: Self = Self::from_uuid(Uuid::max());

    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self {
            uuid,
            kind: PhantomData,
        }
    }

    /// The 16 bytes as the store keeps them; their order is the order of creation.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.uuid.as_bytes()
    }

    /// None unless there are exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self::from_uuid)
    }
}

impl RunId {
    /// The memory that comes into being with this run, unless it is given another one.
    pub fn own_memory(&self) -> MemoryId {
        MemoryId::from_uuid(self.uuid)
    }
}

// Derived impls would ask the same of `Kind`, which is never a value.
impl<Kind> Clone for Id<Kind> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Kind> Copy for Id<Kind> {}
impl<Kind> PartialEq for Id<Kind> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<Kind> Eq for Id<Kind> {}
impl<Kind> PartialOrd for Id<Kind> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<Kind> Ord for Id<Kind> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<Kind> Hash for Id<Kind> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<Kind> fmt::Display for Id<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}
impl<Kind> fmt::Debug for Id<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}
impl<Kind> FromStr for Id<Kind> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from_uuid)
    }
}
impl<Kind> Serialize for Id<Kind> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.uuid)
    }
}
impl<'de, Kind> Deserialize<'de> for Id<Kind> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The id of an action: `[A-Za-z0-9_.:-]{1,128}`, checked where actions are defined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(Arc<str>);

/// The id of a project: the name in its configuration, else that of its folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectId(Arc<str>);

impl ActionId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The memory key under which the failed attempts of this action are recorded.
    pub fn error_key(&self) -> String {
        format!("{}.error", self.0)
    }
}

impl ProjectId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_keep_their_order() {
        let now = Time::from_millis(1_700_000_000_000);
        let ids: Vec<RunId> = (0..10_000).map(|_| RunId::new(now)).collect();
        assert!(ids.is_sorted());
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn the_first_of_a_time_parts_what_was_before_from_what_came_then() {
        let now = Time::from_millis(1_800_000_000_000);
        let id = RunId::new(now);
        assert!(RunId::first_of(now) < id);
        assert!(RunId::first_of(Time::from_millis(1_800_000_000_001)) > id);
    }
}
