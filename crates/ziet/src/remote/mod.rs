//! The program as a client of a server: which one, with which key, and what it says.
//!
//! Blocking, one request after the other on connections that are kept. A key is sent to the server that it is for and
//! nowhere else: redirects are not followed.

mod address;
pub(crate) mod documents;
mod fault;
mod request;
mod servers;
mod stream;
mod target;

pub(crate) use address::Address;
pub(crate) use request::{Query, Server};
pub(crate) use servers::{Kept, Servers};
pub(crate) use stream::{Event, Heard};
pub(crate) use target::{Target, folder};
