//! The one place of the server that reads the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ziet_core::Time;

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn now() -> Time {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Time::from_millis(0).plus(since_epoch)
}
