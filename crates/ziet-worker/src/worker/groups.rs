//! The control groups of this process. All its workers make theirs in one folder: the system may allow only the first who asks
//! to have groups limited, and then for all that is below.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::os::{Ability, Group, Groups};

/// Those that are there as long as any worker uses them.
static MADE: Mutex<Weak<Mutex<Groups>>> = Mutex::new(Weak::new());

/// Workers that were given a part in them.
static WORKERS: AtomicU64 = AtomicU64::new(0);

/// One worker's part in them.
pub(super) struct OwnGroups {
    all: Arc<Mutex<Groups>>,
    /// What the names of its groups end with, so that they are not those of others; nothing those of the first.
    mark: u64,
}

impl OwnGroups {
    /// None where no group can be made.
    pub(super) fn find(without: &[Ability]) -> Option<Self> {
        if without.contains(&Ability::Cgroup) {
            return None;
        }
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let all = made.upgrade().or_else(|| {
            let all = Arc::new(Mutex::new(Groups::find(without)?));
            *made = Arc::downgrade(&all);
            Some(all)
        })?;
        let mark = WORKERS.fetch_add(1, Ordering::Relaxed);
        Some(Self { all, mark })
    }

    pub(super) fn controllers(&self) -> Vec<&'static str> {
        self.all().controllers().to_vec()
    }

    pub(super) fn make_one(&self, name: &str, processes: Option<u32>) -> std::io::Result<Group> {
        if self.mark == 0 {
            return self.all().make_one(name, processes);
        }
        let name = format!("{name}.{}", self.mark);
        self.all().make_one(&name, processes)
    }

    /// What is left in it is ended.
    pub(super) fn end(&self, group: Group) {
        group.kill();
        self.all().remove(group);
    }

    fn all(&self) -> MutexGuard<'_, Groups> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
