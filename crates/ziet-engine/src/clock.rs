//! The one place that reads a clock: the time of day, and the monotonic time that waits are measured with.
//!
//! A process has one [`Clock`], so all of it agrees on the time of day. It goes on evenly, and follows the computer's
//! when that is set or the machine was asleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ziet_core::Time;

/// How far it may be from the computer's clock before it is set as well: what is less is corrected by nobody's hand.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The computer's clock and the monotonic one are read as one moment if no more than this lies between.
const MOMENT: Duration = Duration::from_millis(20);

/// The time of day. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    /// What time of day it was at the start by the computer's clock as it is set now, in milliseconds.
    origin: AtomicI64,
    /// Milliseconds that are added to the computer's clock.
    ahead: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::ahead_by(0)
    }
}

impl Clock {
    /// A clock that is so many seconds ahead of the computer's, or behind it when that is negative. For tests.
    pub fn ahead_by(seconds: i64) -> Self {
        let shared = Shared {
            start: instant(),
            origin: AtomicI64::new(0),
            ahead: AtomicI64::new(0),
        };
        let clock = Self(Arc::new(shared));
        clock.set_ahead(seconds);
        clock
    }

    /// As if the computer's clock had been set, to so many seconds ahead of what it really says. For tests.
    pub fn set_ahead(&self, seconds: i64) {
        self.0.ahead.store(seconds.saturating_mul(1000), Relaxed);
    }

    /// The time of day.
    pub fn now(&self) -> Time {
        self.origin().plus(self.elapsed())
    }

    /// The time of day at which this clock was made, by the computer's clock as it is set now: two of them differ by how far
    /// that was set in between, or the machine asleep.
    pub fn origin(&self) -> Time {
        let own = Time::from_millis(self.0.origin.load(Relaxed));
        let system = self.system();
        if system.since(own).max(own.since(system)) <= TOLERANCE {
            return own;
        }
        self.0.origin.store(system.as_millis(), Relaxed);
        system
    }

    /// How long ago it was made; the time for which the machine was asleep does not count.
    pub fn elapsed(&self) -> Duration {
        instant().duration_since(self.0.start)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    fn system(&self) -> Time {
        loop {
            let elapsed = self.elapsed();
            let since_epoch = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            // A thread that was held up in between would see a clock that was set.
            if self.elapsed().saturating_sub(elapsed) <= MOMENT {
                return Time::from_millis(self.0.ahead.load(Relaxed))
                    .plus(since_epoch)
                    .minus(elapsed);
            }
        }
    }
}

/// A clock as its engine sees it: it is set only when the engine says so, so that nothing jumps in the middle of a turn.
#[derive(Debug)]
pub(crate) struct EngineClock {
    clock: Clock,
    origin: Time,
}

impl EngineClock {
    pub(crate) fn new(clock: Clock) -> Self {
        let origin = clock.origin();
        Self { clock, origin }
    }

    pub(crate) fn now(&self) -> Time {
        self.origin.plus(self.clock.elapsed())
    }

    #[expect(clippy::unused_self, reason = "who reads the time says of which clock")]
    pub(crate) fn instant(&self) -> Instant {
        instant()
    }

    /// Sets it to what the clock says now; how far it was set, if it was.
    pub(crate) fn follow(&mut self) -> Option<Step> {
        let before = std::mem::replace(&mut self.origin, self.clock.origin());
        let millis = self.origin.as_millis().saturating_sub(before.as_millis());
        (millis != 0).then_some(Step(millis))
    }
}

/// By how many milliseconds a clock was set forward, or back when it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step(pub(crate) i64);

impl Step {
    /// A moment of before, as it is called now.
    pub(crate) fn moved(self, time: Time) -> Time {
        Time::from_millis(time.as_millis().saturating_add(self.0))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
fn instant() -> Instant {
    Instant::now()
}
