//! The API's own description, for programs and for people.

use std::sync::LazyLock;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};

use crate::app::openapi;
use crate::auth::Onlooker;
use crate::params::Params;
use crate::problem::Problem;
use crate::reference::Reference;

/// The document as it is sent.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default());

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let document = serde_json::from_str(&DOCUMENT).unwrap_or_default();
    Reference::of(&document).html()
});

/// Get this document
///
/// OpenAPI 3.1. Needs no key if the server was started with `--public-metrics`.
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "get_openapi",
    responses((status = 200, description = "The document.", body = Object)), security(("api_key" = ["read"])))]
pub(crate) async fn document(_: Onlooker, params: Params) -> Result<impl IntoResponse, Problem> {
    params.end()?;
    Ok(([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()))
}

/// Read this document
///
/// As a page for people. Needs no key if the server was started with `--public-metrics`.
#[utoipa::path(get, path = "/docs", tag = "health", operation_id = "get_docs",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")), security(("api_key" = ["read"])))]
pub(crate) async fn page(_: Onlooker, params: Params) -> Result<impl IntoResponse, Problem> {
    params.end()?;
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    Ok(([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE.as_str())))
}
