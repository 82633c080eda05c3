//! The API as a client meets it: requests and answers of the whole router over a real engine.

mod callers;
mod listening;
mod requests;
mod runs;
mod served;
