//! The paths, one file for each resource. A route reads its request, asks, and answers; what it may answer stands in its
//! `#[utoipa::path]`.

mod health;
mod metrics;
mod steer;
mod submit;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::platform::Platform;

pub(crate) fn all() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(submit::submit))
        .routes(routes!(submit::submit_batch))
        .routes(routes!(steer::invoke))
        .routes(routes!(steer::cancel))
        .routes(routes!(steer::retry))
}
