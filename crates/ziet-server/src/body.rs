//! Reading the body of a request: so much and no more, so long and no longer, and only from somebody with a key.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use crate::keys::Key;
use crate::platform::Platform;
use crate::problem::{Code, Problem};
use crate::share::Taken;

const MB: usize = 1024 * 1024;

/// Of a request about one thing: room for an input of 6 MB and all that may stand beside it.
pub(crate) const ONE: usize = 8 * MB;

/// Of a request about many runs.
pub(crate) const MANY: usize = 64 * MB;

/// How long a body of up to 8 MB may take to arrive; larger ones have as much more.
const TIME: Duration = Duration::from_secs(30);

/// A JSON body of at most `LIMIT` bytes. It takes room of the caller's share while it is held.
pub(crate) struct Payload<const LIMIT: usize> {
    bytes: Bytes,
    _room: Taken,
}

impl<const LIMIT: usize> Payload<LIMIT> {
    /// The body as what the path takes; nothing at all is an empty object.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        if self.bytes.is_empty() {
            return parse("{}");
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|error| {
            Problem::new(
                Code::InvalidJson,
                format!("the body is not UTF-8 from byte {} on", error.valid_up_to()),
            )
        })?;
        parse(text)
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let code = if error.is_data() {
            Code::InvalidRequest
        } else {
            Code::InvalidJson
        };
        Problem::new(code, format!("the body cannot be read: {error}"))
    })
}

impl<const LIMIT: usize> FromRequest<Arc<Platform>> for Payload<LIMIT> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Platform>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // Whoever has no key is not read from: the caller was recognised before.
        let key = parts
            .extensions
            .get::<Arc<Key>>()
            .ok_or_else(|| Problem::internal("a body is read for nobody"))?;
        let hint = body.size_hint();
        if hint.lower() > LIMIT as u64 {
            return Err(too_large(LIMIT));
        }
        let most = hint.upper().and_then(|most| usize::try_from(most).ok());
        if most != Some(0) {
            check_type(&parts.headers)?;
        }
        let most = most.unwrap_or(LIMIT).min(LIMIT);
        let room = key.share.body(most).await?;
        let bytes = timeout(time_for(most), read(body, LIMIT))
            .await
            .map_err(|_| {
                Problem::new(
                    Code::BodyTimeout,
                    "the body of the request did not arrive in time",
                )
            })??;
        Ok(Self { bytes, _room: room })
    }
}

/// How long a body of this size may take to arrive.
fn time_for(bytes: usize) -> Duration {
    TIME * u32::try_from(bytes.div_ceil(ONE).max(1)).unwrap_or(u32::MAX)
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Err(_) => Err(Problem::new(
            Code::InvalidRequest,
            "the body of the request ended early",
        )),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("the body may have {} MB at most", limit / MB),
    )
}

/// A page in somebody's browser can send text and forms to any server, but not JSON.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let essence = given
        .and_then(|given| given.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "send the body with `Content-Type: application/json`",
    ))
}
