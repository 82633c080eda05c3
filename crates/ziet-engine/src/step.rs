//! What becomes of the engine's waits when the computer's clock is set, or the machine was asleep.
//!
//! The time of day is another one then, and what is scheduled is due by it. What was to last so long still does: attempts,
//! the waits before retries, and whatever the engine itself puts off.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use ziet_core::run::RunState;
use ziet_store::runs;

use crate::clock::Step;
use crate::turn::Scheduler;

/// How often to look at the clock while runs are scheduled, where the system does not tell that it was set.
pub(crate) const LOOK: Duration = Duration::from_secs(60);

/// Becomes readable when the computer's clock was set.
pub(crate) struct ClockSet(OwnedFd);

impl ClockSet {
    pub(crate) const TOKEN: Token = Token(usize::MAX - 1);

    /// # Errors
    /// When the system has nothing that tells it.
    #[cfg(target_os = "linux")]
    pub(crate) fn watch(registry: &Registry) -> io::Result<Self> {
        use rustix::time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
            timerfd_settime,
        };
        const NOT: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A timer that never fires, but is cancelled whenever the clock is set.
        let never = Itimerspec {
            it_interval: NOT,
            it_value: Timespec {
                tv_sec: i64::MAX,
                ..NOT
            },
        };
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &never)?;
        let mut source = SourceFd(&timer.as_raw_fd());
        registry.register(&mut source, Self::TOKEN, Interest::READABLE)?;
        Ok(Self(timer))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn watch(_: &Registry) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// From here on it waits for the next time.
    fn seen(&self) {
        // What it says is an error, that it was cancelled; what happened, the clock itself tells.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

impl Scheduler {
    pub(crate) fn on_clock_set(&self) {
        if let Some(set) = &self.clock_set {
            set.seen();
        }
    }

    /// Has the engine's clock say what the computer's does. To be called between two turns.
    pub(crate) fn follow_clock(&mut self) {
        let Some(step) = self.clock.follow() else {
            return;
        };
        for live in self.runs.values_mut() {
            if let RunState::Running { clock, .. } = &mut live.run.state {
                clock.since = step.moved(clock.since);
            }
        }
        let timers = std::mem::take(&mut self.timers).into_iter();
        self.timers = timers.map(|(at, run)| (step.moved(at), run)).collect();
        for time_up in self
            .slots
            .values_mut()
            .filter_map(|slot| slot.time_up.as_mut())
        {
            time_up.deadline = step.moved(time_up.deadline);
            time_up.settled = step.moved(time_up.settled);
        }
        let failures = self.deployments.all_mut();
        for failure in failures.filter_map(|one| one.import_failure.as_mut()) {
            failure.until = failure.until.map(|until| step.moved(until));
        }
        if let Some(drain) = &mut self.drain {
            drain.until = step.moved(drain.until);
        }
        self.save_by = self.save_by.map(|by| step.moved(by));
        self.unwritten.follow(step);
        self.move_retries(step);
    }

    /// The store has the times of retries, as of all that is scheduled.
    fn move_retries(&mut self, step: Step) {
        let project = self.project.clone();
        self.read_in_order(
            async move |tx| runs::move_retries(tx, &project, step.0).await,
            |scheduler, moved| match moved {
                Ok(()) => scheduler.alarm.set(scheduler.clock.now()),
                Err(error) => scheduler.store_failed(error),
            },
        );
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_not_set_wakes_nobody() {
        let mut poll = mio::Poll::new().unwrap();
        let set = ClockSet::watch(poll.registry()).unwrap();
        let mut events = mio::Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_millis(50)))
            .unwrap();
        assert!(events.is_empty());
        set.seen();
    }
}
