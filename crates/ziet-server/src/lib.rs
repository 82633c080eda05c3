//! The HTTP API of a server: who may ask for what, what is asked of the engines and the store, and how that is answered.
//!
//! It decides nothing about runs and writes none itself: it asks the engine, and reads what the store holds.

mod app;
mod auth;
mod hints;
mod keys;
mod page;
mod params;
mod platform;
mod problem;
mod routes;
mod schema;
mod sse;

pub use app::{openapi, router};
pub use hints::Hints;
pub use keys::NewKey;
pub use platform::Platform;
pub use problem::Code;
