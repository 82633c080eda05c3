//! The API as a client meets it: requests and answers of the whole router over a real engine.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its steps too"
)]

mod callers;
mod listening;
mod live;
mod reading;
mod requests;
mod runs;
mod served;
