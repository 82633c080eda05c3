//! Which executors are idle, how many more there should be, and which have been idle for too long.
//!
//! It makes and ends none and knows no process; the worker does what it says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ziet_core::action::Isolation;

/// How many executors there are, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Idle ones to keep ready while there is traffic.
    pub spare: usize,
    /// One is replaced after so many attempts.
    pub attempts: u32,
    /// One is replaced when it has grown by more than this.
    pub growth_bytes: u64,
    /// One is ended after so long without work, and the zygote after as long without any.
    pub idle: Duration,
}

/// How many attempts wait for an executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// All of them.
    pub waiting: usize,
    /// Those among them that take only one that has served none.
    pub fresh: usize,
}

pub(crate) struct Pool {
    idle_time: Duration,
    spare: usize,
    /// Those that have served none stand in front, behind them the others, the last used one last: so those that are
    /// used are few and warm, and the others can go.
    idle: VecDeque<Idle>,
    /// When an attempt took one last.
    taken: Option<Instant>,
    /// Since when there is none at all.
    empty: Option<Instant>,
    /// When to look for those that have been idle for too long.
    look: Option<Instant>,
}

struct Idle {
    id: u64,
    fresh: bool,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        Self {
            idle_time: settings.idle,
            spare: settings.spare,
            idle: VecDeque::new(),
            taken: None,
            empty: None,
            look: None,
        }
    }

    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// An idle one, which is no longer idle.
    pub(crate) fn take(&mut self, isolation: Isolation, now: Instant) -> Option<u64> {
        let taken = match isolation {
            Isolation::Shared => self.idle.pop_back(),
            Isolation::Attempt if self.idle.front()?.fresh => self.idle.pop_front(),
            Isolation::Attempt => None,
        }?;
        self.taken = Some(now);
        Some(taken.id)
    }

    /// One has arrived that has served none.
    pub(crate) fn add_fresh(&mut self, id: u64, now: Instant) {
        let (fresh, since) = (true, now);
        self.idle.push_front(Idle { id, fresh, since });
        self.arm(now);
    }

    pub(crate) fn give_back(&mut self, id: u64, now: Instant) {
        let (fresh, since) = (false, now);
        self.idle.push_back(Idle { id, fresh, since });
        self.arm(now);
    }

    /// One has ended.
    pub(crate) fn remove(&mut self, id: u64) {
        self.idle.retain(|idle| idle.id != id);
    }

    /// There is none any more, idle or not.
    pub(crate) fn emptied(&mut self, now: Instant) {
        self.idle.clear();
        self.empty = Some(now);
        self.arm(now);
    }

    /// From now on at least so many are spare.
    pub(crate) fn keep_spare(&mut self, least: usize) {
        self.spare = self.spare.max(least);
    }

    /// How many to make for `demand`, besides `arriving` ones that are made already.
    pub(crate) fn missing(&self, demand: Demand, arriving: usize, now: Instant) -> usize {
        let fresh = self.idle.iter().take_while(|idle| idle.fresh).count();
        let wanted = demand.waiting + self.spare_at(now);
        let for_all = wanted.saturating_sub(self.idle.len() + arriving);
        for_all.max(demand.fresh.saturating_sub(fresh + arriving))
    }

    /// Spare ones are kept for as long after the last attempt as any other.
    fn spare_at(&self, now: Instant) -> usize {
        let traffic = self.taken.is_some_and(|taken| now < taken + self.idle_time);
        if traffic { self.spare } else { 0 }
    }

    fn arm(&mut self, now: Instant) {
        self.look.get_or_insert(now + self.idle_time);
    }

    /// When `expired` has something to say; looking earlier does no harm.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.look
    }

    /// Takes those that have been idle for too long out of it.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<u64> {
        let keep = self.spare_at(now);
        let mut expired = Vec::new();
        while self.idle.len() > keep {
            let oldest = self
                .idle
                .iter()
                .enumerate()
                .min_by_key(|(_, idle)| idle.since)
                .filter(|(_, idle)| now >= idle.since + self.idle_time)
                .map(|(place, _)| place);
            let Some(gone) = oldest.and_then(|place| self.idle.remove(place)) else {
                break;
            };
            expired.push(gone.id);
        }
        // Those that are kept as spare ones are looked at again when there is no traffic any more.
        let due = self.idle.iter().map(|idle| idle.since);
        let due = due.min().map(|since| match self.taken {
            Some(taken) if keep > 0 => since.max(taken),
            _ => since,
        });
        self.look = due.map(|since| since + self.idle_time);
        expired
    }

    /// Whether there has been none for so long that the zygote can go as well; `alive` are there, idle or not.
    pub(crate) fn is_abandoned(&mut self, alive: usize, now: Instant) -> bool {
        if alive > 0 {
            return false;
        }
        let until = *self.empty.get_or_insert(now) + self.idle_time;
        self.look = (now < until).then_some(until);
        now >= until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn pool(spare: usize) -> Pool {
        Pool::new(&PoolSettings {
            spare,
            attempts: 10,
            growth_bytes: 0,
            idle: IDLE,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn waiting(waiting: usize, fresh: usize) -> Demand {
        Demand { waiting, fresh }
    }

    #[test]
    fn the_last_used_one_is_taken_first() {
        let (mut pool, now) = (pool(0), start());
        pool.give_back(1, now);
        pool.give_back(2, now);
        pool.add_fresh(3, now);
        let all = [(); 4].map(|()| pool.take(Isolation::Shared, now));
        assert_eq!(all, [Some(2), Some(1), Some(3), None]);
    }

    #[test]
    fn an_attempt_of_its_own_takes_one_that_has_served_none() {
        let (mut pool, now) = (pool(0), start());
        pool.give_back(1, now);
        assert_eq!(pool.take(Isolation::Attempt, now), None);
        assert_eq!(pool.missing(waiting(1, 1), 0, now), 1);
        assert_eq!(pool.missing(waiting(1, 1), 1, now), 0);
        pool.add_fresh(2, now);
        assert_eq!(pool.missing(waiting(1, 1), 0, now), 0);
        assert_eq!(pool.take(Isolation::Attempt, now), Some(2));
    }

    #[test]
    fn it_grows_with_what_waits_and_keeps_a_spare_one_while_there_is_traffic() {
        let (mut pool, now) = (pool(1), start());
        assert_eq!(pool.missing(waiting(0, 0), 0, now), 0);
        assert_eq!(pool.missing(waiting(3, 0), 1, now), 2);
        pool.add_fresh(1, now);
        pool.take(Isolation::Shared, now);
        assert_eq!(pool.missing(waiting(0, 0), 0, now), 1);
        assert_eq!(pool.missing(waiting(0, 0), 1, now), 0);
        assert_eq!(pool.missing(waiting(0, 0), 0, now + IDLE), 0);
    }

    #[test]
    fn it_shrinks_one_by_one_and_then_to_nothing() {
        let (mut pool, now) = (pool(0), start());
        let later = now + Duration::from_secs(10);
        pool.give_back(1, now);
        pool.give_back(2, later);
        assert_eq!(pool.next_look(), Some(now + IDLE));
        assert_eq!(pool.expired(now + IDLE), [1]);
        assert_eq!(pool.next_look(), Some(later + IDLE));
        assert_eq!(pool.expired(later + IDLE), [2]);
        assert!(!pool.is_abandoned(1, later + IDLE), "it is still dying");
        let gone = later + IDLE + Duration::from_secs(1);
        pool.emptied(gone);
        assert!(!pool.is_abandoned(0, gone));
        assert_eq!(pool.next_look(), Some(gone + IDLE));
        assert!(pool.is_abandoned(0, gone + IDLE));
        assert_eq!(pool.next_look(), None);
    }

    #[test]
    fn a_spare_one_goes_when_the_traffic_is_over() {
        let (mut pool, now) = (pool(1), start());
        pool.add_fresh(1, now);
        pool.give_back(2, now);
        let busy = now + IDLE / 2;
        assert_eq!(pool.take(Isolation::Shared, busy), Some(2));
        assert!(pool.expired(now + IDLE).is_empty());
        assert_eq!(pool.next_look(), Some(busy + IDLE));
        assert_eq!(pool.expired(busy + IDLE), [1]);
    }
}
