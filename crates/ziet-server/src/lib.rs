//! The HTTP API of a server: who may ask for what, what is asked of the engines and the store, and how that is answered.
//!
//! It decides nothing about runs and writes none itself: it asks the engine, and reads what the store holds.

mod app;
mod asking;
mod auth;
mod body;
pub mod build;
pub mod bundle;
mod checks;
mod connection;
mod deploy;
mod document;
mod hints;
mod keys;
mod metrics;
mod page;
mod params;
mod platform;
mod problem;
mod reference;
mod requests;
mod routes;
mod schema;
mod serve;
mod share;
mod sse;
mod strict;
mod tls;

pub use app::{openapi, router};
pub use deploy::{Code as DeployedCode, Deploys, Host};
pub use hints::Hints;
pub use keys::NewKey;
pub use platform::{Platform, ServerSettings, TlsFiles};
pub use problem::Code;
pub use serve::{ServeError, Server};
