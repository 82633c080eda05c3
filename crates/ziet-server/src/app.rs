//! The router: every path with its document, and what is done for all of them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::document::complete;
use crate::platform::Platform;
use crate::problem::{Code, Problem};
use crate::{requests, routes};

/// What the document says besides the paths.
#[derive(OpenApi)]
#[openapi(info(
    title = "Ziet",
    description = "Durable, isolated, observable runs of Python functions."
))]
struct Document;

/// The service that answers requests.
pub fn router(platform: Arc<Platform>) -> Router {
    let (router, _) = parts();
    router
        .fallback(async || {
            Problem::new(
                Code::NotFound,
                "there is no such path; `/docs` lists those that there are",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                Code::MethodNotAllowed,
                "the path has no such method; `/docs` lists those that there are",
            )
        })
        .layer(from_fn_with_state(Arc::clone(&platform), requests::answer))
        .with_state(platform)
}

/// The `OpenAPI` document of all paths.
pub fn openapi() -> utoipa::openapi::OpenApi {
    complete(parts().1)
}

fn parts() -> (Router<Arc<Platform>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(routes::all())
        .split_for_parts()
}
