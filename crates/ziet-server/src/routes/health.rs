//! Whether the server lives, and whether it can be given work. They need no key and tell no more than that.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::platform::Platform;
use crate::problem::{Code, Problem, ProblemDocument};

/// See whether the server lives
///
/// Answers as long as the server does.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "The server answers.", body = str, content_type = "text/plain")))]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// See whether runs are accepted
///
/// They are not while projects are being imported, not while one of them cannot be imported again, and not while the server is stopping.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, description = "Runs are accepted.", body = str, content_type = "text/plain"),
        (status = 503, description = "Not now.", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn ready(
    State(platform): State<Arc<Platform>>,
) -> Result<(StatusCode, &'static str), Problem> {
    if platform.is_draining() {
        return Err(Problem::new(Code::Draining, "the server is stopping"));
    }
    for project in platform.projects() {
        project.imported()?;
        if project.engine.figures().store_down {
            let detail = "the server's state cannot be written now";
            return Err(Problem::new(Code::StoreUnavailable, detail));
        }
    }
    Ok((StatusCode::OK, "ok\n"))
}
