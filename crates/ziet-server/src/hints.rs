//! Wakes whoever follows runs live. A hint says only that a run may have changed; what became of it is read from the
//! store, so that a hint may be lost, or come too often, without anything being wrong.
//!
//! What is kept is bounded: one place for each run that is followed, and the ids of the runs that changed last.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use ziet_core::RunId;
use ziet_engine::{Happening, Notice};

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
#[derive(Default)]
struct Recent {
    runs: VecDeque<RunId>,
    /// How many changes came before the first of them.
    dropped: u64,
}

impl Hints {
    /// Takes in what an engine tells. It never waits, and costs next to nothing while nobody follows anything.
    pub fn on_notice(&self, notice: &Notice) {
        if let Notice::Run { run, happening, .. } = notice {
            metrics::happened(happening);
            match happening {
                Happening::Output { .. }
                | Happening::Memory(_)
                | Happening::IntegrationCalled { .. } => self.hint(*run, false),
                _ => self.hint(*run, true),
            }
        }
    }

    /// The run was accepted, or changed by other means than an attempt's.
    pub fn changed(&self, run: RunId) {
        self.hint(run, true);
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
            followed.recent = Some(Recent::default());
            self.shared.followers.fetch_add(1, SeqCst);
        }
        AllHints {
            hints: self.clone(),
            woken: followed.changed.subscribe(),
        }
    }

    fn hint(&self, run: RunId, in_lists: bool) {
        if self.shared.followers.load(SeqCst) == 0 {
            return;
        }
        let mut followed = self.followed();
        if let Some(woken) = followed.runs.get(&run) {
            woken.send_replace(());
        }
        if in_lists {
            self.remember(&mut followed, run);
        }
    }

    fn remember(&self, followed: &mut Followed, run: RunId) {
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
    pub(crate) place: u64,
}

impl AllHints {
    /// Until there was a hint since the last call.
    pub(crate) async fn next(&mut self) {
        let _ = self.woken.changed().await;
    }

    /// The place after all that is known to have changed.
    pub(crate) fn place(&self) -> u64 {
        self.hints
            .followed()
            .recent
            .as_ref()
            .map_or(0, Recent::place)
    }

    /// At most `limit` changes after `place`; None when some of them are forgotten, or the place is none.
    pub(crate) fn since(&self, place: u64, limit: usize) -> Option<Changed> {
        let followed = self.hints.followed();
        let recent = followed.recent.as_ref()?;
        if place > recent.place() {
            return None;
        }
        let skipped = usize::try_from(place.checked_sub(recent.dropped)?).ok()?;
        let changes = recent.runs.iter().skip(skipped).take(limit);
        let count = changes.len() as u64;
        Some(Changed {
            runs: changes.copied().collect(),
            place: place + count,
        })
    }
}

impl Drop for AllHints {
    fn drop(&mut self) {
        self.hints.followed().lists -= 1;
    }
}

impl Recent {
    fn place(&self) -> u64 {
        self.dropped + self.runs.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use ziet_core::Time;

    use super::*;

    fn run(number: i64) -> RunId {
        RunId::new(Time::from_millis(number))
    }

    #[tokio::test]
    async fn a_hint_between_two_waits_is_not_lost() {
        let hints = Hints::default();
        let mut follower = hints.follow(run(1));
        let followed = follower.run;
        hints.changed(run(2));
        hints.changed(followed);
        hints.changed(followed);
        follower.next().await;
        // Two hints are one reason to look.
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), follower.next());
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

    #[test]
    fn who_follows_all_runs_goes_on_where_it_was() {
        let hints = Hints::default();
        let ids: Vec<RunId> = (0..3).map(run).collect();
        let place = {
            let all = hints.follow_all();
            hints.changed(ids[0]);
            all.since(0, 10).unwrap().place
        };
        hints.changed(ids[1]);
        hints.changed(ids[2]);
        hints.changed(ids[1]);
        let all = hints.follow_all();
        let changed = all.since(place, 10).unwrap();
        assert_eq!(changed.runs, BTreeSet::from([ids[1], ids[2]]));
        assert_eq!((changed.place, all.place()), (4, 4));
        assert_eq!(all.since(1, 1).unwrap().place, 2);
        assert!(all.since(5, 1).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_when_nobody_follows() {
        let hints = Hints::default();
        let one = run(1);
        let all = hints.follow_all();
        for _ in 0..=REMEMBERED {
            hints.changed(one);
        }
        assert!(all.since(0, 1).is_none());
        assert!(all.since(1, 1).is_some());
        drop(all);
        hints.changed(one);
        assert!(hints.followed().recent.is_none());
        assert_eq!(hints.shared.followers.load(SeqCst), 0);
    }
}
