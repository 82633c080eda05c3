//! Who from outside waits for the ends of runs, until that comes or nobody waits any more.

use std::collections::HashMap;

use ziet_core::RunId;

use crate::answer::Seen;

/// Those that are kept without a look at who has gone.
const FEW: usize = 1000;

#[derive(Default)]
pub(crate) struct Waiters {
    of: HashMap<RunId, Vec<Seen>>,
    count: usize,
    /// When there are so many, those that have gone are forgotten: twice as many as were left the last time.
    most: usize,
}

impl Waiters {
    pub(crate) fn add(&mut self, run: RunId, seen: Seen) {
        if self.count >= self.most {
            self.of.retain(|_, all| {
                all.retain(|one| !one.is_gone());
                !all.is_empty()
            });
            self.count = self.of.values().map(Vec::len).sum();
            self.most = FEW.max(2 * self.count);
        }
        self.of.entry(run).or_default().push(seen);
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, run: RunId) -> Vec<Seen> {
        let all = self.of.remove(&run).unwrap_or_default();
        self.count -= all.len();
        all
    }

    pub(crate) fn contains_key(&self, run: &RunId) -> bool {
        self.of.contains_key(run)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ziet_core::Time;
    use ziet_core::document::RunDocument;

    use super::*;
    use crate::answer::Watch;

    /// Looks for as long as the test holds the other half.
    struct Look(Arc<()>);

    impl Watch for Look {
        fn see(self: Box<Self>, _: Option<Arc<RunDocument>>) {}

        fn is_gone(&self) -> bool {
            Arc::strong_count(&self.0) == 1
        }
    }

    #[test]
    fn who_has_gone_is_forgotten_whatever_they_waited_for() {
        let mut waiters = Waiters::default();
        let looks = Arc::new(());
        let run = || RunId::new(Time::from_millis(1));
        let one = run();
        waiters.add(one, Box::new(Look(Arc::clone(&looks))));
        for _ in 0..10 * FEW {
            waiters.add(one, Box::new(Look(Arc::new(()))));
            waiters.add(run(), Box::new(Look(Arc::new(()))));
            let kept: usize = waiters.of.values().map(Vec::len).sum();
            assert_eq!(kept, waiters.count);
            assert!(kept <= FEW && waiters.of.len() <= FEW);
        }
        let all = waiters.remove(one);
        assert_eq!(all.iter().filter(|look| !look.is_gone()).count(), 1);
    }
}
