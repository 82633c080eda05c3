//! The one place that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ziet_core::Time;

/// The time of day as it was at the start, and the monotonic time since: what it says never jumps, whatever is done to
/// the computer's clock, so waits and deadlines are as long as they should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Time,
    since: Instant,
}

impl Clock {
    /// A clock that is so many seconds ahead of the computer's.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub(crate) fn new(offset: i64) -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            start: Time::from_millis(offset.saturating_mul(1000)).plus(since_epoch),
            since: Instant::now(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    #[expect(clippy::unused_self, reason = "who reads the time says of which clock")]
    pub(crate) fn instant(&self) -> Instant {
        Instant::now()
    }

    pub(crate) fn now(&self) -> Time {
        self.start.plus(self.instant().duration_since(self.since))
    }
}
