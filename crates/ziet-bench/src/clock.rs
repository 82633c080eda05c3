//! The clocks: the one that `time.monotonic_ns` reads in Python, and the one of documents.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use ziet_core::Time;

/// What Python's `time.monotonic_ns` says at this moment.
pub(crate) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// The time since `moment`, which was [`monotonic`] then.
pub(crate) fn since(moment: Duration) -> Duration {
    monotonic().saturating_sub(moment)
}

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn time() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_millis(0).plus(since.unwrap_or_default())
}
