//! Runs that wait for an executor, as far as they are in memory: a capped window of those in the store.
//!
//! Runs that were called come first: an attempt waits for each of them, and holds a process while it does. Each deployment has
//! a lane of its own, so that runs of one that cannot be executed now hold up nobody.

use std::collections::VecDeque;

use ziet_core::{DeploymentId, RunId};
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
    lanes: Vec<Lane>,
    /// Runs that nobody called, in all lanes, and the bytes of their inputs.
    roots: usize,
    bytes: u64,
    /// Whether only runs that attempts wait for are to be executed.
    pub(crate) closed: bool,
    stored: Stored,
}

/// The runs of one deployment.
struct Lane {
    deployment: DeploymentId,
    /// Runs that attempts wait for.
    called: VecDeque<RunId>,
    /// All others, each with the bytes of its input.
    roots: VecDeque<(RunId, u64)>,
    /// Whether the others stay in the store: they cannot be executed now, and would take the room of those that can.
    blocked: bool,
    /// The first of those that do.
    left: Option<RunId>,
    round: Round,
}

/// What has become of a lane since executors were given out last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Round {
    /// Runs that were passed over: none of the idle executors is for them.
    pub(crate) passed: usize,
    /// Whether one was given out.
    pub(crate) taken: bool,
    /// Whether there is none for this lane.
    over: bool,
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

impl Lane {
    fn new(deployment: DeploymentId) -> Self {
        Self {
            deployment,
            called: VecDeque::new(),
            roots: VecDeque::new(),
            blocked: false,
            left: None,
            round: Round::default(),
        }
    }

    fn get(&self, place: usize, closed: bool) -> Option<RunId> {
        let called = self.called.get(place).copied();
        called.or_else(|| {
            let root = self.roots.get(place - self.called.len());
            root.filter(|_| !closed).map(|(run, _)| *run)
        })
    }

    fn leave(&mut self, run: RunId) {
        self.left = Some(self.left.map_or(run, |left| left.min(run)));
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

    fn find(&self, deployment: DeploymentId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.deployment == deployment)
    }

    fn lane(&mut self, deployment: DeploymentId) -> &mut Lane {
        let found = self
            .lanes
            .iter()
            .position(|lane| lane.deployment == deployment);
        let place = found.unwrap_or_else(|| {
            self.lanes.push(Lane::new(deployment));
            self.lanes.len() - 1
        });
        &mut self.lanes[place]
    }

    pub(crate) fn push_called(&mut self, deployment: DeploymentId, run: RunId) {
        self.lane(deployment).called.push_back(run);
    }

    /// False when it is to be left in the store: there is no room for it, it could not be executed, or others that wait for
    /// longer are there.
    pub(crate) fn push(&mut self, deployment: DeploymentId, run: RunId, bytes: u64) -> bool {
        if self.is_blocked(deployment) {
            self.lane(deployment).leave(run);
            return false;
        }
        let room = self.roots == 0 || self.roots < CAP.runs && self.bytes + bytes <= CAP.bytes;
        let fits = !self.stored.more && !self.stored.reading && room;
        if fits {
            self.add(deployment, run, bytes);
        } else {
            self.leave(run);
        }
        fits
    }

    /// It is in the store, to be read when there is room.
    pub(crate) fn leave(&mut self, run: RunId) {
        self.stored.more = true;
        let lowest = self.stored.lowest.map_or(run, |lowest| lowest.min(run));
        self.stored.lowest = Some(lowest);
    }

    /// After which run to read those that are in the store alone, when there is room for them. They are to be read after everything that was written before.
    pub(crate) fn begin_reading(&mut self) -> Option<RunId> {
        let stored = &mut self.stored;
        let room = self.roots + LUMP.runs <= CAP.runs && self.bytes + LUMP.bytes <= CAP.bytes;
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
        runs: impl IntoIterator<Item = (DeploymentId, RunId, u64)>,
    ) {
        self.stored.reading = false;
        self.stored.more |= more;
        self.stored.after = last.unwrap_or(self.stored.after);
        for (deployment, run, bytes) in runs {
            self.add(deployment, run, bytes);
        }
    }

    fn add(&mut self, deployment: DeploymentId, run: RunId, bytes: u64) {
        self.lane(deployment).roots.push_back((run, bytes));
        self.roots += 1;
        self.bytes += bytes;
    }

    /// It could not be read.
    pub(crate) fn fail_reading(&mut self, after: RunId) {
        self.stored.reading = false;
        self.stored.more = true;
        self.stored.after = after;
    }

    /// From now on the runs of this deployment stay in the store, but for those that attempts wait for. Gives those that were in
    /// memory.
    pub(crate) fn block(&mut self, deployment: DeploymentId) -> Vec<RunId> {
        let lane = self.lane(deployment);
        lane.blocked = true;
        let roots = std::mem::take(&mut lane.roots);
        for (run, _) in &roots {
            lane.leave(*run);
        }
        self.roots -= roots.len();
        self.bytes -= roots.iter().map(|(_, bytes)| bytes).sum::<u64>();
        roots.into_iter().map(|(run, _)| run).collect()
    }

    /// Its runs are read again.
    pub(crate) fn unblock(&mut self, deployment: DeploymentId) {
        let mut lanes = self.lanes.iter_mut();
        let lane = lanes.find(|lane| lane.deployment == deployment && lane.blocked);
        if let Some(lane) = lane {
            lane.blocked = false;
            if let Some(left) = lane.left.take() {
                self.leave(left);
            }
        }
    }

    pub(crate) fn is_blocked(&self, deployment: DeploymentId) -> bool {
        self.find(deployment).is_some_and(|lane| lane.blocked)
    }

    /// Whether runs of this deployment stay in the store until it is not blocked any more.
    pub(crate) fn is_left(&self, deployment: DeploymentId) -> bool {
        self.find(deployment)
            .is_some_and(|lane| lane.left.is_some())
    }

    /// A run that was read, of a deployment that is blocked.
    pub(crate) fn leave_blocked(&mut self, deployment: DeploymentId, run: RunId) {
        self.lane(deployment).leave(run);
    }

    /// How many runs of this deployment may be executed now.
    pub(crate) fn len(&self, deployment: DeploymentId) -> usize {
        let len = |lane: &Lane| {
            let roots = if self.closed { 0 } else { lane.roots.len() };
            lane.called.len() + roots
        };
        self.find(deployment).map_or(0, len)
    }

    /// Whether no run may be executed now.
    pub(crate) fn is_empty(&self) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.all(|lane| lane.called.is_empty() && (self.closed || lane.roots.is_empty()))
    }

    /// The runs of this deployment that may be executed now.
    pub(crate) fn iter(&self, deployment: DeploymentId) -> impl Iterator<Item = RunId> {
        let lane = self.find(deployment);
        let called = lane.into_iter().flat_map(|lane| &lane.called).copied();
        let roots = lane.filter(|_| !self.closed).into_iter();
        called.chain(roots.flat_map(|lane| lane.roots.iter().map(|(run, _)| *run)))
    }

    /// Executors are to be given out: every lane has its chance.
    pub(crate) fn begin_round(&mut self) {
        for lane in &mut self.lanes {
            lane.round = Round::default();
        }
    }

    /// Whose turn it is: of what attempts wait for, else of all, the one that was accepted first; with its place among the lanes.
    pub(crate) fn next(&self) -> Option<(usize, RunId)> {
        let lanes = self.lanes.iter().enumerate();
        let heads = lanes.filter(|(_, lane)| !lane.round.over);
        let heads = heads.filter_map(|(place, lane)| {
            let passed = lane.round.passed;
            let run = lane.get(passed, self.closed)?;
            Some((passed >= lane.called.len(), run, place))
        });
        heads.min().map(|(_, run, place)| (place, run))
    }

    /// The deployment of a lane.
    pub(crate) fn deployment(&self, place: usize) -> DeploymentId {
        self.lanes[place].deployment
    }

    /// What this round has brought for a deployment.
    pub(crate) fn round(&self, deployment: DeploymentId) -> Round {
        let lane = self.find(deployment);
        lane.map(|lane| lane.round).unwrap_or_default()
    }

    /// The run whose turn it was in this lane has an executor, or needs none.
    pub(crate) fn remove(&mut self, place: usize, taken: bool) {
        let lane = &mut self.lanes[place];
        lane.round.taken |= taken;
        let next = lane.round.passed;
        if next < lane.called.len() {
            lane.called.remove(next);
        } else if let Some((_, bytes)) = lane.roots.remove(next - lane.called.len()) {
            self.roots -= 1;
            self.bytes -= bytes;
        }
    }

    /// There is no executor for the run whose turn it was in this lane, but there may be one for those behind it, up to `most`.
    pub(crate) fn pass(&mut self, place: usize, most: usize) {
        let round = &mut self.lanes[place].round;
        round.passed += 1;
        round.over = round.passed >= most;
    }

    /// There is no executor for any run of this lane.
    pub(crate) fn hold(&mut self, place: usize) {
        self.lanes[place].round.over = true;
    }

    /// Takes the first run of a deployment out.
    pub(crate) fn pop(&mut self, deployment: DeploymentId) -> Option<RunId> {
        let run = self.iter(deployment).next()?;
        let place = self
            .lanes
            .iter()
            .position(|lane| lane.deployment == deployment)?;
        self.lanes[place].round = Round::default();
        self.remove(place, false);
        Some(run)
    }

    /// A deployment is gone. False when runs of it wait.
    pub(crate) fn remove_lane(&mut self, deployment: DeploymentId) -> bool {
        let waits =
            |lane: &Lane| !lane.called.is_empty() || !lane.roots.is_empty() || lane.left.is_some();
        if self.find(deployment).is_some_and(waits) {
            return false;
        }
        self.lanes.retain(|lane| lane.deployment != deployment);
        true
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

    fn one() -> DeploymentId {
        DeploymentId::NONE
    }

    fn two() -> DeploymentId {
        DeploymentId::LAST
    }

    fn all(queue: &Queue) -> Vec<RunId> {
        queue.iter(one()).collect()
    }

    /// Takes runs out as if there were an executor for each.
    fn given(queue: &mut Queue) -> Vec<RunId> {
        let mut given = Vec::new();
        queue.begin_round();
        while let Some((lane, run)) = queue.next() {
            queue.remove(lane, true);
            given.push(run);
        }
        given
    }

    #[test]
    fn what_attempts_wait_for_comes_first_and_is_all_that_a_closed_queue_shows() {
        let mut queue = Queue::default();
        assert!(queue.push(one(), id(1), 2));
        queue.push_called(one(), id(2));
        assert_eq!(all(&queue), [id(2), id(1)]);
        queue.closed = true;
        assert_eq!((all(&queue), queue.len(one())), (vec![id(2)], 1));
        assert_eq!(given(&mut queue), [id(2)]);
        assert!(queue.is_empty());
        queue.closed = false;
        assert_eq!(given(&mut queue), [id(1)]);
    }

    #[test]
    fn lanes_have_their_turns_in_the_order_of_their_runs_and_hold_up_nobody() {
        let mut queue = Queue::default();
        for number in 1..=6 {
            let lane = if number % 2 == 0 { one() } else { two() };
            assert!(queue.push(lane, id(number), 2));
        }
        queue.push_called(two(), id(7));
        queue.begin_round();
        let (lane, run) = queue.next().unwrap();
        assert_eq!((queue.deployment(lane), run), (two(), id(7)));
        queue.remove(lane, true);
        assert_eq!(queue.next(), Some((lane, id(1))));
        queue.hold(lane);
        let (other, run) = queue.next().unwrap();
        assert_eq!((queue.deployment(other), run), (one(), id(2)));
        queue.pass(other, 2);
        assert_eq!(queue.next(), Some((other, id(4))));
        queue.pass(other, 2);
        assert_eq!(queue.next(), None);
        assert_eq!(
            (queue.round(one()).passed, queue.round(two()).taken),
            (2, true)
        );
        let in_order: Vec<RunId> = (1..=6).map(id).collect();
        assert_eq!(given(&mut queue), in_order);
        assert!(queue.remove_lane(two()) && queue.remove_lane(one()));
    }

    #[test]
    fn runs_of_a_blocked_lane_take_no_room_and_are_read_back_when_it_is_not() {
        let mut queue = Queue::default();
        let cap = CAP.runs as u128;
        for number in 1..=cap {
            assert!(queue.push(one(), id(number), 2));
        }
        queue.push_called(one(), id(cap + 1));
        assert_eq!(queue.block(one()).len(), CAP.runs);
        assert_eq!(all(&queue), [id(cap + 1)], "an attempt waits for it");
        assert!(!queue.push(one(), id(cap + 2), 2));
        assert!(
            queue.push(two(), id(cap + 3), 2),
            "there is room for others"
        );
        assert_eq!(queue.begin_reading(), None);
        assert!(queue.is_left(one()) && !queue.remove_lane(one()));
        queue.unblock(one());
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        queue.end_reading(Some(id(1)), false, [(one(), id(1), 2)]);
        assert_eq!(given(&mut queue), [id(cap + 1), id(1), id(cap + 3)]);
    }

    #[test]
    fn what_does_not_fit_is_read_back_in_its_order() {
        let mut queue = Queue::default();
        let cap = CAP.runs as u128;
        for number in 1..=cap {
            assert!(queue.push(one(), id(number), 2));
        }
        let left = id(cap + 1);
        assert!(!queue.push(one(), left, 2));
        assert_eq!(queue.begin_reading(), None, "there is no room yet");
        for _ in 0..LUMP.runs {
            queue.pop(one());
        }
        assert!(!queue.push(two(), id(cap + 2), 2), "others wait for longer");
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        queue.end_reading(Some(id(cap + 2)), false, [(one(), left, 2)]);
        assert!(queue.push(one(), id(cap + 3), 2));
    }

    #[test]
    fn large_inputs_take_the_room_of_many() {
        let mut queue = Queue::default();
        let half = CAP.bytes / 2;
        assert!(queue.push(one(), id(1), half));
        assert!(queue.push(two(), id(2), half));
        assert!(!queue.push(one(), id(3), 1));
        assert_eq!(queue.begin_reading(), None, "there is no room yet");
        queue.pop(one());
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        queue.end_reading(Some(id(3)), false, [(one(), id(3), 1)]);
        assert!(!queue.push(one(), id(4), half));
        let mut empty = Queue::default();
        assert!(
            empty.push(one(), id(1), 2 * CAP.bytes),
            "one is always taken"
        );
        empty.pop(one());
        assert!(empty.push(one(), id(2), half));
    }

    #[test]
    fn one_that_is_older_than_what_was_read_is_not_missed() {
        let mut queue = Queue::unread();
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
        assert!(
            !queue.push(one(), id(5), 2),
            "it may be among those that are read"
        );
        queue.end_reading(Some(id(9)), true, [(one(), id(9), 2)]);
        assert_eq!(queue.begin_reading(), Some(id(4)));
        queue.end_reading(Some(id(12)), false, []);
        assert!(queue.push(one(), id(3), 2));
    }

    #[test]
    fn what_could_not_be_read_is_read_again() {
        let mut queue = Queue::unread();
        let after = queue.begin_reading().unwrap();
        queue.fail_reading(after);
        assert_eq!(queue.begin_reading(), Some(RunId::NONE));
    }
}
