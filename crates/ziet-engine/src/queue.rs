//! Runs that wait for an executor, as far as they are in memory: a capped window of those in the store.
//!
//! Runs that were called come first: an attempt waits for each of them, and holds a process while it does.

use std::collections::VecDeque;

use ziet_core::RunId;

/// Runs that nobody called which are kept in memory.
const CAP: usize = 20_000;

/// Runs that are read back at once.
pub(crate) const LUMP: usize = 2_000;

#[derive(Default)]
pub(crate) struct Queue {
    /// Runs that attempts wait for.
    called: VecDeque<RunId>,
    /// All others.
    roots: VecDeque<RunId>,
    /// Whether only runs that attempts wait for are to be executed.
    pub(crate) closed: bool,
    stored: Stored,
}

/// Which queued runs are in the store alone.
struct Stored {
    /// What was read last; they come after it.
    after: RunId,
    /// The first of those that were left there since; it may come before that.
    lowest: Option<RunId>,
    /// Whether there may be some.
    more: bool,
    reading: bool,
}

impl Default for Stored {
    fn default() -> Self {
        Self {
            after: RunId::NONE,
            lowest: None,
            more: false,
            reading: false,
        }
    }
}

impl Queue {
    /// Nothing is in memory of what the store has.
    pub(crate) fn unread() -> Self {
        let stored = Stored {
            more: true,
            ..Stored::default()
        };
        Self {
            stored,
            ..Self::default()
        }
    }

    pub(crate) fn push_called(&mut self, run: RunId) {
        self.called.push_back(run);
    }

    /// False when it is to be left in the store: there is no room for it, or others that wait for longer are there.
    pub(crate) fn push(&mut self, run: RunId) -> bool {
        let fits = !self.stored.more && !self.stored.reading && self.roots.len() < CAP;
        if fits {
            self.roots.push_back(run);
        } else {
            self.stored.more = true;
            let lowest = self.stored.lowest.map_or(run, |lowest| lowest.min(run));
            self.stored.lowest = Some(lowest);
        }
        fits
    }

    /// After which run to read those that are in the store alone, when there is room for them. They are to be read after everything that was written before.
    pub(crate) fn begin_reading(&mut self) -> Option<RunId> {
        let stored = &mut self.stored;
        if self.closed || !stored.more || stored.reading || self.roots.len() + LUMP > CAP {
            return None;
        }
        let lowest = stored.lowest.take().map(before);
        let after = lowest.map_or(stored.after, |lowest| lowest.min(stored.after));
        stored.more = false;
        stored.reading = true;
        Some(after)
    }

    /// What was read up to `last`, of which those that are not in memory yet are pushed.
    pub(crate) fn end_reading(&mut self, last: Option<RunId>, more: bool, runs: Vec<RunId>) {
        self.stored.reading = false;
        self.stored.more |= more;
        self.stored.after = last.unwrap_or(self.stored.after);
        self.roots.extend(runs);
    }

    /// It could not be read.
    pub(crate) fn fail_reading(&mut self, after: RunId) {
        self.stored.reading = false;
        self.stored.more = true;
        self.stored.after = after;
    }

    /// Those that may be executed now.
    pub(crate) fn len(&self) -> usize {
        if self.closed {
            self.called.len()
        } else {
            self.called.len() + self.roots.len()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn get(&self, place: usize) -> Option<RunId> {
        if place >= self.len() {
            return None;
        }
        let root = || self.roots.get(place - self.called.len());
        self.called.get(place).or_else(root).copied()
    }

    pub(crate) fn remove(&mut self, place: usize) {
        if place < self.called.len() {
            self.called.remove(place);
        } else {
            self.roots.remove(place - self.called.len());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RunId> {
        self.called
            .iter()
            .chain(&self.roots)
            .take(self.len())
            .copied()
    }
}

/// The id before that one.
fn before(run: RunId) -> RunId {
    let number = u128::from_be_bytes(*run.as_bytes()).saturating_sub(1);
    RunId::from_slice(&number.to_be_bytes()).unwrap_or(RunId::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> RunId {
        RunId::from_slice(&number.to_be_bytes()).unwrap()
    }

    fn all(queue: &Queue) -> Vec<RunId> {
        queue.iter().collect()
    }

    #[test]
    fn what_attempts_wait_for_comes_first_and_is_all_that_a_closed_queue_shows() {
        let mut queue = Queue::default();
        assert!(queue.push(id(1)));
        queue.push_called(id(2));
        assert_eq!(all(&queue), [id(2), id(1)]);
        assert_eq!(queue.get(1), Some(id(1)));
        queue.closed = true;
        assert_eq!(all(&queue), [id(2)]);
        assert_eq!(queue.get(1), None);
    }

    #[test]
    fn what_does_not_fit_is_read_back_in_its_order() {
        let mut queue = Queue::default();
        for number in 1..=CAP as u128 {
            assert!(queue.push(id(number)));
        }
        let left = id(CAP as u128 + 1);
        assert!(!queue.push(left));
        assert_eq!(queue.begin_reading(), None, "there is no room yet");
        for _ in 0..LUMP {
            queue.remove(0);
        }
        assert!(!queue.push(id(CAP as u128 + 2)), "others wait for longer");
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        queue.end_reading(Some(id(CAP as u128 + 2)), false, vec![left]);
        assert!(queue.push(id(CAP as u128 + 3)));
    }

    #[test]
    fn one_that_is_older_than_what_was_read_is_not_missed() {
        let mut queue = Queue::unread();
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        assert!(!queue.push(id(5)), "it may be among those that are read");
        queue.end_reading(Some(id(9)), true, vec![id(9)]);
        assert_eq!(queue.begin_reading(), Some(id(4)));
        queue.end_reading(Some(id(12)), false, vec![]);
        assert!(queue.push(id(3)));
    }

    #[test]
    fn what_could_not_be_read_is_read_again() {
        let mut queue = Queue::unread();
        let after = queue.begin_reading().unwrap();
        queue.fail_reading(after);
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
    }
}
