//! The query of a request: each parameter is taken by its name, and one that nobody took is an error.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use ziet_core::RunId;

use crate::problem::{Code, Problem};

/// The most that one page of a list holds.
pub(crate) const MOST: usize = 100;

/// What a page of a list holds where nobody says.
const USUAL: usize = 20;

/// The parameters that nobody has taken yet, in their order.
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(Code::InvalidRequest, error.body_text()))?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// Every value of a parameter that may be given several times, or once with commas.
    pub(crate) fn many(&mut self, name: &str) -> Vec<String> {
        self.0
            .extract_if(.., |(given, _)| given == name)
            .flat_map(|(_, values)| values.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// The value of a parameter, as it stands.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.0.extract_if(.., |(given, _)| given == name);
        let value = values.next().map(|(_, value)| value);
        if values.next().is_some() {
            return Err(wrong(name, "is given more than once"));
        }
        Ok(value)
    }

    /// The value of a parameter; `what` says which values there are.
    pub(crate) fn value<T: FromStr>(
        &mut self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let value = text.parse();
        value
            .map(Some)
            .map_err(|_| wrong(name, format_args!("is {what}, not {text:?}")))
    }

    /// The value of a parameter that is one of some words.
    pub(crate) fn word<T>(&mut self, name: &str, what: &str) -> Result<Option<T>, Problem>
    where
        T: for<'de> Deserialize<'de>,
    {
        let value = self.text(name)?;
        value.map(|text| word(name, what, &text)).transpose()
    }

    /// How many the page may hold.
    pub(crate) fn limit(&mut self) -> Result<usize, Problem> {
        let limit = self.value("limit", "a whole number")?.unwrap_or(USUAL);
        if (1..=MOST).contains(&limit) {
            Ok(limit)
        } else {
            Err(wrong(
                "limit",
                format_args!("is from 1 to {MOST}, not {limit}"),
            ))
        }
    }

    /// Where the page before ended; `name` is `cursor`, but for logs and events.
    pub(crate) fn cursor<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        place(name, &text).map(Some)
    }

    /// Refuses what nobody took.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(wrong(name, "is not one that this path takes")),
        }
    }
}

/// The one name in a path, whatever its characters.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Code::NotFound, error.body_text()))?;
        Ok(Self(name))
    }
}

impl Named {
    /// As the id of a run.
    pub(crate) fn run(&self) -> Result<RunId, Problem> {
        self.id(Code::RunNotFound)
    }

    /// As an id; what is none is the id of nothing.
    pub(crate) fn id<T: FromStr>(&self, code: Code) -> Result<T, Problem> {
        let missing = |_| {
            Problem::new(
                code,
                format!("{:?} is not an id, so nothing has it", self.0),
            )
        };
        self.0.parse().map_err(missing)
    }
}

/// One of some words.
pub(crate) fn word<T>(name: &str, what: &str, text: &str) -> Result<T, Problem>
where
    T: for<'de> Deserialize<'de>,
{
    T::deserialize(StrDeserializer::<Error>::new(text))
        .map_err(|_| wrong(name, format_args!("is {what}, not {text:?}")))
}

/// A place in a list, as the server wrote it before.
pub(crate) fn place<T: FromStr>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| {
        let detail = format!("`{name}` takes what an earlier answer gave, not {text:?}");
        Problem::new(Code::InvalidCursor, detail)
    })
}

pub(crate) fn wrong(name: &str, fault: impl Display) -> Problem {
    Problem::new(
        Code::InvalidRequest,
        format!("the parameter `{name}` {fault}"),
    )
}
