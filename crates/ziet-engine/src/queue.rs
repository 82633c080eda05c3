//! Runs that wait for an executor, as far as they are in memory: a capped window of those in the store.
//!
//! Runs that were called come first: an attempt waits for each of them, and holds a process while it does.

use std::collections::VecDeque;

use ziet_core::RunId;
use ziet_store::runs::Most;

/// Runs that nobody called which are kept in memory.
const CAP: Most = Most {
    runs: 20_000,
    bytes: 64 * 1024 * 1024,
};

/// Runs that are read back at once.
pub(crate) const LUMP: Most = Most {
    runs: 2_000,
    bytes: 16 * 1024 * 1024,
};

#[derive(Default)]
pub(crate) struct Queue {
    /// Runs that attempts wait for.
    called: VecDeque<RunId>,
    /// All others, each with the bytes of its input.
    roots: VecDeque<(RunId, u64)>,
    /// The bytes of all of these.
    bytes: u64,
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
    pub(crate) fn push(&mut self, run: RunId, bytes: u64) -> bool {
        let room =
            self.roots.is_empty() || self.roots.len() < CAP.runs && self.bytes + bytes <= CAP.bytes;
        let fits = !self.stored.more && !self.stored.reading && room;
        if fits {
            self.add(run, bytes);
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
        let room = self.roots.len() + LUMP.runs <= CAP.runs && self.bytes + LUMP.bytes <= CAP.bytes;
        if self.closed || !stored.more || stored.reading || !room {
            return None;
        }
        let lowest = stored.lowest.take().map(before);
        let after = lowest.map_or(stored.after, |lowest| lowest.min(stored.after));
        stored.more = false;
        stored.reading = true;
        Some(after)
    }

    /// What was read up to `last`, of which those that are not in memory yet are pushed.
    pub(crate) fn end_reading(
        &mut self,
        last: Option<RunId>,
        more: bool,
        runs: impl IntoIterator<Item = (RunId, u64)>,
    ) {
        self.stored.reading = false;
        self.stored.more |= more;
        self.stored.after = last.unwrap_or(self.stored.after);
        for (run, bytes) in runs {
            self.add(run, bytes);
        }
    }

    fn add(&mut self, run: RunId, bytes: u64) {
        self.roots.push_back((run, bytes));
        self.bytes += bytes;
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
        let called = self.called.get(place).copied();
        called.or_else(|| {
            self.roots
                .get(place - self.called.len())
                .map(|(run, _)| *run)
        })
    }

    pub(crate) fn remove(&mut self, place: usize) {
        if place < self.called.len() {
            self.called.remove(place);
        } else if let Some((_, bytes)) = self.roots.remove(place - self.called.len()) {
            self.bytes -= bytes;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RunId> {
        let roots = self.roots.iter().map(|(run, _)| run);
        self.called.iter().chain(roots).take(self.len()).copied()
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
        assert!(queue.push(id(1), 2));
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
        let cap = CAP.runs as u128;
        for number in 1..=cap {
            assert!(queue.push(id(number), 2));
        }
        let left = id(cap + 1);
        assert!(!queue.push(left, 2));
        assert_eq!(queue.begin_reading(), None, "there is no room yet");
        for _ in 0..LUMP.runs {
            queue.remove(0);
        }
        assert!(!queue.push(id(cap + 2), 2), "others wait for longer");
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        queue.end_reading(Some(id(cap + 2)), false, [(left, 2)]);
        assert!(queue.push(id(cap + 3), 2));
    }

    #[test]
    fn large_inputs_take_the_room_of_many() {
        let mut queue = Queue::default();
        let half = CAP.bytes / 2;
        assert!(queue.push(id(1), half));
        assert!(queue.push(id(2), half));
        assert!(!queue.push(id(3), 1));
        assert_eq!(queue.begin_reading(), None, "there is no room yet");
        queue.remove(0);
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        queue.end_reading(Some(id(3)), false, [(id(3), 1)]);
        assert!(!queue.push(id(4), half));
        let mut empty = Queue::default();
        assert!(empty.push(id(1), 2 * CAP.bytes), "one is always taken");
        empty.remove(0);
        assert!(empty.push(id(2), half));
    }

    #[test]
    fn one_that_is_older_than_what_was_read_is_not_missed() {
        let mut queue = Queue::unread();
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        assert!(!queue.push(id(5), 2), "it may be among those that are read");
        queue.end_reading(Some(id(9)), true, [(id(9), 2)]);
        assert_eq!(queue.begin_reading(), Some(id(4)));
        queue.end_reading(Some(id(12)), false, []);
        assert!(queue.push(id(3), 2));
    }

    #[test]
    fn what_could_not_be_read_is_read_again() {
        let mut queue = Queue::unread();
        let after = queue.begin_reading().unwrap();
        queue.fail_reading(after);
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
    }
}
