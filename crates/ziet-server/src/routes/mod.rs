//! The paths, one file for each resource. A route reads its request, asks, and answers; what it may answer stands in its
//! `#[utoipa::path]`.

mod actions;
mod deployments;
mod environment;
mod events;
mod health;
mod keys;
mod logs;
mod memory;
mod metrics;
mod openapi;
mod run_document;
mod run_list;
mod status;
mod steer;
mod submit;

use std::sync::Arc;

use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::platform::Platform;

/// Which page of a list is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are only described")]
pub(crate) struct Paging {
    /// The most that the page may hold; 20 where it is not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

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
        .routes(routes!(run_list::list))
        .routes(routes!(run_document::get))
        .routes(routes!(logs::list))
        .routes(routes!(events::list))
        .routes(routes!(memory::of_run, memory::add, memory::remove))
        .routes(routes!(
            memory::of_id,
            memory::add_to_id,
            memory::remove_from_id
        ))
        .routes(routes!(deployments::list, deployments::create))
        .routes(routes!(deployments::get))
        .routes(routes!(deployments::activate))
        .routes(routes!(deployments::log))
        .routes(routes!(environment::list))
        .routes(routes!(environment::set, environment::remove))
        .routes(routes!(status::get))
        .routes(routes!(actions::list))
        .routes(routes!(actions::get))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::own))
        .routes(routes!(openapi::document))
        .routes(routes!(openapi::page))
}
