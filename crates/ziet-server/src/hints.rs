//! Wakes whoever follows runs live. A hint says only that a run may have changed; what became of it is read from the
//! store, so that a hint may be lost, or come too often, without anything being wrong.
//!
//! What is kept is bounded: one place for each run that is followed, and the ids of the runs that changed last.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use ziet_core::RunId;
use ziet_engine::Notice;
use ziet_store::Change;

use crate::metrics;

/// How many changes a follower of all runs may be behind before it has to look at them anew.
const REMEMBERED: usize = 4096;

/// Where engines leave hints and live streams wait for them. Clones are the same.
#[derive(Clone, Default)]
pub struct Hints {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How many there are to be woken. Zero lets a hint cost one look at it.
    followers: AtomicUsize,
    followed: Mutex<Followed>,
    closed: CancellationToken,
}

#[derive(Default)]
struct Followed {
    runs: HashMap<RunId, watch::Sender<()>>,
    /// Wakes the followers of all runs.
    changed: watch::Sender<()>,
    /// How many follow all runs.
    lists: usize,
    recent: Option<Recent>,
}

/// The runs that changed last. It outlives its followers for a while, so that they can go on where they were.
struct Recent {
    /// Tells its places from those of others before it.
    epoch: u64,
    runs: VecDeque<RunId>,
    /// How many changes came before the first of them.
    dropped: u64,
}

/// A place in the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    epoch: u64,
    changes: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.epoch, self.changes)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, changes) = text.split_once('.').ok_or(())?;
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(drop)?,
            changes: changes.parse().map_err(drop)?,
        })
    }
}

impl Followed {
    fn wake(&self, run: RunId) {
        if let Some(woken) = self.runs.get(&run) {
            woken.send_replace(());
        }
    }
}

impl Hints {
    /// Takes in what an engine tells. It never waits, and costs next to nothing while nobody follows anything.
    pub fn on_notice(&self, notice: &Notice) {
        match notice {
            Notice::Run { happening, .. } => metrics::happened(happening),
            Notice::Written(changes) => self.written(changes),
            _ => {}
        }
    }

    fn written(&self, changes: &[Change]) {
        if self.shared.followers.load(SeqCst) == 0 {
            return;
        }
        let mut followed = self.followed();
        for change in changes {
            match change {
                Change::Submit(new) => self.changed(&mut followed, new.id),
                Change::State(change) => self.changed(&mut followed, change.id),
                Change::Event(event) => followed.wake(event.run_id),
                Change::Logs { run, .. } => followed.wake(*run),
                // An attempt comes with the transition that ended it, and nobody follows a memory.
                Change::Attempt(_) | Change::Entry { .. } => {}
            }
        }
    }

    /// Ends every live stream, now and from now on.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.shared.closed
    }

    /// Hints about one run from now on: whoever reads the store after this call misses nothing.
    pub(crate) fn follow(&self, run: RunId) -> RunHints {
        let mut followed = self.followed();
        let woken = match followed.runs.entry(run) {
            Entry::Occupied(there) => there.get().subscribe(),
            Entry::Vacant(free) => free.insert(watch::Sender::new(())).subscribe(),
        };
        self.shared.followers.fetch_add(1, SeqCst);
        RunHints {
            hints: self.clone(),
            run,
            woken,
        }
    }

    /// Hints about all runs from now on.
    pub(crate) fn follow_all(&self) -> AllHints {
        let mut followed = self.followed();
        followed.lists += 1;
        if followed.recent.is_none() {
            followed.recent = Some(Recent::new());
            self.shared.followers.fetch_add(1, SeqCst);
        }
        AllHints {
            hints: self.clone(),
            woken: followed.changed.subscribe(),
        }
    }

    /// The run has come, or is in another state: those that follow all runs want to know it, too.
    fn changed(&self, followed: &mut Followed, run: RunId) {
        followed.wake(run);
        let Some(recent) = &mut followed.recent else {
            return;
        };
        if recent.runs.len() == REMEMBERED {
            if followed.lists == 0 {
                followed.recent = None;
                self.shared.followers.fetch_sub(1, SeqCst);
                return;
            }
            recent.runs.pop_front();
            recent.dropped += 1;
        }
        recent.runs.push_back(run);
        followed.changed.send_replace(());
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.shared
            .followed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hints about one run, for as long as it lives.
pub(crate) struct RunHints {
    hints: Hints,
    run: RunId,
    woken: watch::Receiver<()>,
}

impl RunHints {
    /// Until there was a hint since the last call.
    pub(crate) async fn next(&mut self) {
        // The sender lives as long as a receiver does.
        let _ = self.woken.changed().await;
    }
}

impl Drop for RunHints {
    fn drop(&mut self) {
        self.hints.shared.followers.fetch_sub(1, SeqCst);
        let mut followed = self.hints.followed();
        if let Entry::Occupied(there) = followed.runs.entry(self.run)
            // This one is still counted.
            && there.get().receiver_count() == 1
        {
            there.remove();
        }
    }
}

/// Hints about all runs, for as long as it lives.
pub(crate) struct AllHints {
    hints: Hints,
    woken: watch::Receiver<()>,
}

/// What changed since some place in the order of changes.
pub(crate) struct Changed {
    pub(crate) runs: BTreeSet<RunId>,
    /// Where to go on.
    pub(crate) place: Place,
    /// Whether there are more already.
    pub(crate) more: bool,
}

impl AllHints {
    /// Until there was a hint since the last call.
    pub(crate) async fn next(&mut self) {
        let _ = self.woken.changed().await;
    }

    /// The place after all that is known to have changed; None only if nobody follows.
    pub(crate) fn place(&self) -> Option<Place> {
        self.hints.followed().recent.as_ref().map(Recent::place)
    }

    /// At most `limit` changes after `place`; None when some of them are forgotten, or the place is none.
    pub(crate) fn since(&self, place: Place, limit: usize) -> Option<Changed> {
        let followed = self.hints.followed();
        let recent = followed.recent.as_ref()?;
        let last = recent.place();
        if place.epoch != last.epoch || place.changes > last.changes {
            return None;
        }
        let skipped = usize::try_from(place.changes.checked_sub(recent.dropped)?).ok()?;
        let changes = recent.runs.iter().skip(skipped).take(limit);
        let place = Place {
            changes: place.changes + changes.len() as u64,
            ..place
        };
        Some(Changed {
            runs: changes.copied().collect(),
            place,
            more: place != last,
        })
    }
}

impl Drop for AllHints {
    fn drop(&mut self) {
        self.hints.followed().lists -= 1;
    }
}

impl Recent {
    fn new() -> Self {
        Self {
            // Without random numbers a place of a former server could be taken for one of this: then a change is missed.
            epoch: getrandom::u64().unwrap_or_default(),
            runs: VecDeque::new(),
            dropped: 0,
        }
    }

    fn place(&self) -> Place {
        Place {
            epoch: self.epoch,
            changes: self.dropped + self.runs.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ziet_core::retry::{Backoff, RetryPolicy};
    use ziet_core::run::{OnLost, Policy};
    use ziet_core::{Run, Time};
    use ziet_store::StateChange;

    use super::*;

    fn run(number: i64) -> RunId {
        RunId::new(Time::from_millis(number))
    }

    /// The run is in another state.
    fn written(hints: &Hints, id: RunId) {
        let retry = RetryPolicy {
            retries: 0,
            backoff: Backoff::None,
        };
        let policy = Policy {
            timeout: Duration::from_secs(1),
            retry,
            on_lost: OnLost::default(),
        };
        let (run, now) = (Run::created(policy), Time::from_millis(1));
        let change = StateChange {
            id,
            fence: 0,
            run,
            since: now,
            now,
        };
        let changes = vec![Change::State(Box::new(change))];
        hints.on_notice(&Notice::Written(Arc::new(changes)));
    }

    #[tokio::test]
    async fn a_hint_between_two_waits_is_not_lost() {
        let hints = Hints::default();
        let mut hinted = hints.follow(run(1));
        let followed = hinted.run;
        written(&hints, run(2));
        written(&hints, followed);
        written(&hints, followed);
        hinted.next().await;
        // Two hints are one reason to look.
        let waits = tokio::time::timeout(Duration::from_millis(20), hinted.next());
        assert!(waits.await.is_err());
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let hints = Hints::default();
        let (first, second) = (run(1), run(2));
        let followers = [
            hints.follow(first),
            hints.follow(first),
            hints.follow(second),
        ];
        assert_eq!(hints.followed().runs.len(), 2);
        drop(followers);
        assert!(hints.followed().runs.is_empty());
        assert_eq!(hints.shared.followers.load(SeqCst), 0);
    }

    /// The place after so many changes.
    fn at(all: &AllHints, changes: u64) -> Place {
        Place {
            changes,
            ..all.place().unwrap()
        }
    }

    #[test]
    fn who_follows_all_runs_goes_on_where_it_was() {
        let hints = Hints::default();
        let ids: Vec<RunId> = (0..3).map(run).collect();
        let place = {
            let all = hints.follow_all();
            written(&hints, ids[0]);
            all.since(at(&all, 0), 10).unwrap().place
        };
        written(&hints, ids[1]);
        written(&hints, ids[2]);
        written(&hints, ids[1]);
        let all = hints.follow_all();
        let changed = all.since(place, 10).unwrap();
        assert_eq!(changed.runs, BTreeSet::from([ids[1], ids[2]]));
        assert_eq!(changed.place, at(&all, 4));
        assert!(!changed.more);
        assert!(all.since(place, 1).unwrap().more);
        assert!(all.since(at(&all, 5), 1).is_none());
        let elsewhere = Hints::default().follow_all();
        assert!(elsewhere.since(place, 1).is_none());
        assert_eq!(place.to_string().parse(), Ok(place));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_when_nobody_follows() {
        let hints = Hints::default();
        let one = run(1);
        let all = hints.follow_all();
        for _ in 0..=REMEMBERED {
            written(&hints, one);
        }
        assert!(all.since(at(&all, 0), 1).is_none());
        assert!(all.since(at(&all, 1), 1).is_some());
        drop(all);
        written(&hints, one);
        assert!(hints.followed().recent.is_none());
        assert_eq!(hints.shared.followers.load(SeqCst), 0);
    }
}
