//! Values on their way to and from the database: four kinds that every database has.
//!
//! A type of the domain needs one `From` to be written and one `Column` to be read, and nothing per database.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use ziet_core::id::Id;
use ziet_core::{ActionId, Json, ProjectId, Time};

use crate::word::Word;
use crate::{Result, StoreError};

/// An argument of a statement, or what a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A number, a time in milliseconds, a count.
    Int(i64),
    /// Text without NUL characters; PostgreSQL takes no others.
    Text(&'a str),
    /// An id, a user's JSON, and text that may hold anything.
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u64> for Value<'_> {
    /// The databases' integers end at 2^63 - 1; sizes and durations beyond it are as good as that.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<Time> for Value<'_> {
    fn from(value: Time) -> Self {
        Self::Int(value.as_millis())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a ProjectId> for Value<'a> {
    fn from(value: &'a ProjectId) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'a> From<&'a ActionId> for Value<'a> {
    fn from(value: &'a ActionId) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'a, Kind> From<&'a Id<Kind>> for Value<'a> {
    fn from(value: &'a Id<Kind>) -> Self {
        Self::Bytes(value.as_bytes())
    }
}

impl<'a> From<&'a Json> for Value<'a> {
    fn from(value: &'a Json) -> Self {
        Self::Bytes(value.as_bytes())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

/// One row of an answer, for as long as it is looked at.
pub enum Row<'r> {
    /// A row of SQLite.
    Sqlite(&'r rusqlite::Row<'r>),
}

impl Row<'_> {
    /// The column at `index`, counted from zero.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it holds something else.
    pub fn get<T: Column>(&self, index: usize) -> Result<T> {
        T::from_value(self.value(index)?).ok_or_else(|| {
            StoreError::Unreadable(format!("its column {index} holds something else"))
        })
    }

    /// Reads the columns one after the other.
    pub fn columns(&self) -> Columns<'_> {
        Columns { row: self, next: 0 }
    }

    fn value(&self, index: usize) -> Result<Value<'_>> {
        match self {
            Self::Sqlite(row) => Ok(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Blob(value) => Value::Bytes(value),
                ValueRef::Text(value) => match std::str::from_utf8(value) {
                    Ok(text) => Value::Text(text),
                    Err(_) => Value::Bytes(value),
                },
                ValueRef::Real(_) => {
                    return Err(StoreError::Unreadable("it holds a fraction".to_owned()));
                }
            }),
        }
    }
}

/// The columns of a row in the order in which the statement names them.
pub struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl Columns<'_> {
    /// The next column.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it holds something else.
    pub fn next<T: Column>(&mut self) -> Result<T> {
        let index = self.next;
        self.next += 1;
        self.row.get(index)
    }

    /// Leaves the next column out.
    pub fn skip(&mut self) {
        self.next += 1;
    }
}

/// What a column can be read as.
pub trait Column: Sized {
    /// None when the column holds something else.
    fn from_value(value: Value<'_>) -> Option<Self>;
}

impl Column for i64 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Int(value) => Some(value),
            Value::Null | Value::Text(_) | Value::Bytes(_) => None,
        }
    }
}

impl Column for u32 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl Column for u64 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl Column for usize {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl Column for Time {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value).map(Self::from_millis)
    }
}

impl Column for String {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.to_owned()),
            Value::Null | Value::Int(_) | Value::Bytes(_) => None,
        }
    }
}

impl Column for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        bytes(value).map(<[u8]>::to_vec)
    }
}

impl<const N: usize> Column for [u8; N] {
    fn from_value(value: Value<'_>) -> Option<Self> {
        bytes(value)?.try_into().ok()
    }
}

impl Column for Json {
    fn from_value(value: Value<'_>) -> Option<Self> {
        bytes(value).map(Self::trusted)
    }
}

impl Column for ActionId {
    fn from_value(value: Value<'_>) -> Option<Self> {
        String::from_value(value).map(Self::new)
    }
}

impl Column for ProjectId {
    fn from_value(value: Value<'_>) -> Option<Self> {
        String::from_value(value).map(Self::new)
    }
}

impl<Kind> Column for Id<Kind> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        Self::from_slice(bytes(value)?)
    }
}

impl<W: Word> Column for W {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => W::from_word(text),
            Value::Null | Value::Int(_) | Value::Bytes(_) => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            Value::Int(_) | Value::Text(_) | Value::Bytes(_) => T::from_value(value).map(Some),
        }
    }
}

fn bytes(value: Value<'_>) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Null | Value::Int(_) | Value::Text(_) => None,
    }
}
