//! What is done for every request, whatever its path: an id, a line in the log, figures, and an answer even to a panic.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use tokio::time::Instant;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::metrics;
use crate::platform::Platform;
use crate::problem::{Code, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a client gives.
const ID_CHARS: usize = 128;

/// Answers one request through the rest of the router.
pub(crate) async fn answer(
    State(platform): State<Arc<Platform>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let began = Instant::now();
    let id = request_id(&request);
    let method = known(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let has_body = !request.body().is_end_stream();
    let mut response = if is_named_well(&request, &platform.settings.hosts) {
        caught(next.run(request)).await
    } else {
        not_named_well().into_response()
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.into_response_of(text(&id));
        // What the router adds of itself, such as the methods that a path has.
        for (name, value) in headers {
            if let Some(name) = name.filter(|name| *name != CONTENT_LENGTH) {
                response.headers_mut().append(name, value);
            }
        }
    }
    // The connection cannot go on behind a body that nobody has read, and need not where the next one leads to another server.
    if has_body && is_told_unread(response.status()) || platform.leaving.is_cancelled() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let path = path.as_ref().map_or("none", MatchedPath::as_str);
    noted(method, path, &response, began.elapsed(), &id);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether requests are refused so before their body is read.
fn is_told_unread(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
    )
}

/// The line in the access log and the figures. Neither has anything in it that a client chose but the id.
fn noted(
    method: &'static str,
    path: &str,
    response: &Response<Body>,
    took: Duration,
    id: &HeaderValue,
) {
    let status = response.status();
    metrics::request(method, path, status, took);
    let (status, took_us, request_id) = (status.as_u16(), took.as_micros(), text(id));
    // Probes ask all the time.
    if matches!(path, "/healthz" | "/readyz" | "/metrics") {
        tracing::debug!(
            method,
            path,
            status,
            took_us,
            request_id,
            "answered {method} {path}: {status}"
        );
    } else {
        tracing::info!(
            method,
            path,
            status,
            took_us,
            request_id,
            "answered {method} {path}: {status}"
        );
    }
}

/// A client can make up methods.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// A panic is answered like any other defect, and ends nothing but its request.
async fn caught(answer: impl Future<Output = Response<Body>>) -> Response<Body> {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        // What it said is on standard error, where panics go.
        Err(_) => Problem::internal("it panicked").into_response(),
    }
}

/// The id that the client gives, if it is one that can stand in a log, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let fits = |id: &&HeaderValue| {
        (1..=ID_CHARS).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
    };
    given.filter(fits).cloned().unwrap_or_else(|| {
        let mut text = [0; Hyphenated::LENGTH];
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"))
    })
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

/// Whether the client calls the server by a name that is its own. A web page can make its own name lead here, and would be
/// allowed by the browser to read what the server answers under that name; an address it cannot.
fn is_named_well(request: &Request, hosts: &[String]) -> bool {
    let is_own = |authority: &Authority| {
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok()
            || hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    };
    let named = request.headers().get_all(HOST).iter();
    let mut named = named.map(|host| host.to_str().ok().and_then(|host| host.parse().ok()));
    request.uri().authority().is_none_or(is_own)
        && named.all(|host: Option<Authority>| host.as_ref().is_some_and(is_own))
}

fn not_named_well() -> Problem {
    Problem::new(
        Code::HostNotAllowed,
        "the server does not answer to the name in the header `Host`; start it with `--host NAME` if that is its name",
    )
}
