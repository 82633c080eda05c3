//! Whatever an executor sends, its hello included.
#![no_main]

#[path = "../../crates/ziet-core/tests/feed/mod.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::feed::<ziet_core::wire::FromExecutor>(bytes));
