//! Figures for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::auth::Onlooker;
use crate::metrics;
use crate::platform::Platform;
use crate::problem::ProblemDocument;

/// Get figures
///
/// Of requests, runs, queues and executors, in the text format of Prometheus. Needs the scope `read`, unless the server was started with `--public-metrics`.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses(
        (status = 200, description = "The figures.", body = str, content_type = "text/plain"),
        (status = "4XX", description = "Refused.", body = ProblemDocument, content_type = "application/problem+json"),
    ))]
pub(crate) async fn metrics(
    _: Onlooker,
    State(platform): State<Arc<Platform>>,
) -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], metrics::page(&platform))
}
