//! Reading the body of a request: so much and no more, so long and no longer, and only from somebody with a key.
//!
//! What does not fit the path is told in words for whoever writes JSON, with its place, and not in those of a parser.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::Segment;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ziet_core::nearest;

use crate::keys::Key;
use crate::platform::Platform;
use crate::problem::{Code, Fault, Problem};
use crate::share::Taken;

const MB: usize = 1024 * 1024;

/// Of a request about one thing: room for an input of 6 MB and all that may stand beside it.
pub(crate) const ONE: usize = 8 * MB;

/// Of a request about many runs.
pub(crate) const MANY: usize = 64 * MB;

/// How long a body of up to 8 MB may take to arrive; larger ones have as much more.
const TIME: Duration = Duration::from_secs(30);

/// Bytes of a body that is parsed where it was read. A larger one would hold up whoever else is served on that thread.
const AT_ONCE: usize = 256 * 1024;

/// Bytes of a name up to which a field that is like it is looked for.
const NAME: usize = 200;

/// Turns of those that are parsed aside, which need the processors as well.
static ASIDE: Semaphore = Semaphore::const_new(2);

/// A JSON body of at most `LIMIT` bytes. It takes room of the caller's share while it is held.
pub(crate) struct Payload<const LIMIT: usize> {
    bytes: Bytes,
    _room: Taken,
}

impl<const LIMIT: usize> Payload<LIMIT> {
    /// Makes something of the body, on a thread for it where it is large.
    pub(crate) async fn made<T: Send + 'static>(
        self,
        make: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if self.bytes.len() <= AT_ONCE {
            return make(&self);
        }
        let turn = ASIDE.acquire().await.map_err(Problem::internal)?;
        let done = spawn_blocking(move || {
            let _turn = turn;
            make(&self)
        });
        done.await
            .unwrap_or_else(|error| Err(Problem::internal(error)))
    }

    /// The body as what the path takes; nothing at all is an empty object.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        if self.bytes.is_empty() {
            let empty = "the body is empty: send a JSON object";
            return serde_json::from_str("{}")
                .map_err(|_| Problem::new(Code::InvalidRequest, empty));
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|error| {
            Problem::new(
                Code::InvalidJson,
                format!("the body is not UTF-8 from byte {} on", error.valid_up_to()),
            )
        })?;
        let parsed = serde_json::from_str(text);
        parsed.map(|Object(body)| body).map_err(|error| {
            if error.is_data() {
                unfit::<T>(text)
            } else {
                Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
            }
        })
    }
}

/// A JSON object. Without it an array would do as well, its values taken for the fields in their order.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// What is wrong with JSON that is not what the path takes. It is read a second time, for the place.
fn unfit<'a, T: Deserialize<'a>>(text: &'a str) -> Problem {
    let reader = &mut serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, Object<T>>(reader) else {
        return Problem::new(Code::InvalidJson, "the body is not one JSON document");
    };
    let steps = error.path().iter().filter_map(|step| match step {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(step_to(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    let mut pointer: String = steps.collect();
    let said = error.inner().to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(&*said, |(said, _)| said);
    let (field, what) = in_words(said);
    if let Some(step) = field.map(step_to)
        && !pointer.ends_with(&step)
    {
        pointer += &step;
    }
    let code = if said.starts_with("duplicate") {
        Code::InvalidJson
    } else {
        Code::InvalidRequest
    };
    let fault = Fault::new(pointer, what);
    let place = if fault.pointer.is_empty() {
        String::new()
    } else {
        format!(" at {}", fault.pointer)
    };
    let detail = format!("the body is wrong{place}: {}", fault.message);
    Problem::new(code, detail).with_errors(vec![fault])
}

/// What the parser said, in words for whoever sent it, and the field that it names.
fn in_words(said: &str) -> (Option<&str>, String) {
    let mut quoted = said.split('`').skip(1).step_by(2);
    let Some((kind, _)) = said.split_once([':', '`']) else {
        return (None, said.to_owned());
    };
    match kind {
        "missing field " => (quoted.next(), "it is missing".to_owned()),
        "duplicate field " => (quoted.next(), "it is there twice".to_owned()),
        "unknown field " => {
            let field = quoted.next().unwrap_or_default();
            let known = quoted.filter(|_| field.len() <= NAME);
            let near = nearest(field, known.map(|known| (known, known)));
            let near = near.first().map(|near| format!(", did you mean `{near}`?"));
            let what = format!("there is no such field{}", near.unwrap_or_default());
            (Some(field), what)
        }
        "unknown variant " => {
            let given = quoted.next().unwrap_or_default();
            let known: Vec<String> = quoted.map(|known| format!("`{known}`")).collect();
            (
                None,
                format!("it is one of {}, not {given:?}", known.join(", ")),
            )
        }
        "invalid type" | "invalid value" => {
            let (given, wanted) = said[kind.len() + 2..]
                .rsplit_once(", expected ")
                .unwrap_or((said, "something else"));
            (
                None,
                format!("it is {}, not {}", json_kind(wanted), json_kind(given)),
            )
        }
        _ => (None, format!("it cannot be taken: {said}")),
    }
}

/// What Rust calls by a name of its own, in the words of JSON.
fn json_kind(kind: &str) -> &str {
    match kind {
        "map" => "an object",
        "sequence" | "a sequence" => "an array",
        "f64" => "a number",
        kind if kind.starts_with("struct ") => "an object",
        kind => kind.strip_prefix("floating point ").unwrap_or(kind),
    }
}

fn step_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
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
        let bytes = arrived(body, LIMIT, most).await?;
        Ok(Self { bytes, _room: room })
    }
}

/// The body, unless it takes too long for so many bytes.
async fn arrived(body: Body, limit: usize, most: usize) -> Result<Bytes, Problem> {
    let late = "the body of the request did not arrive in time";
    timeout(time_for(most), read(body, limit))
        .await
        .unwrap_or_else(|_| Err(Problem::new(Code::BodyTimeout, late)))
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

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_byte_by_byte_is_given_up() {
        let bytes = stream::unfold((), async |()| {
            sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let began = Instant::now();
        let given_up = arrived(Body::from_stream(bytes), ONE, 1000).await;
        assert_eq!(given_up.unwrap_err().code, Code::BodyTimeout);
        assert_eq!(began.elapsed(), TIME);
    }
}
