//! Whatever a zygote sends.
#![no_main]

#[path = "../../crates/ziet-core/tests/feed/mod.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::feed::<ziet_core::wire::FromZygote>(bytes));
