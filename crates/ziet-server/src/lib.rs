//! The HTTP API of a server: who may ask for what, what is asked of the engines and the store, and how that is answered.
//!
//! It decides nothing about runs and writes nothing itself.
