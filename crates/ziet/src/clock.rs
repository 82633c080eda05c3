//! The one place where the program itself reads the clock; the engines have one of their own.

use std::time::{SystemTime, UNIX_EPOCH};

use ziet_core::Time;

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
