//! Where there is no `/proc`: process groups and the zygote's own clearing up have to do.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::net::RecvFlags;

use super::{Ability, Cgroup, Shortage, Usage};

/// Asks Python for its stack, as in `_process.py`: SIGINFO of macOS, which has no name elsewhere.
pub(crate) const STACK_SIGNAL: i32 = 29;

pub(crate) const RECEIVE: RecvFlags = RecvFlags::empty();

/// There is nothing to wait with: the caller kills it.
pub(crate) fn ends_within(_: u32, _: Duration) -> bool {
    false
}

/// Sends SIGKILL to a process and its group. What has left the group stays, since nothing tells where it is.
pub(crate) fn kill_tree(root: u32) {
    super::kill(root);
}

/// Nothing is adopted here, so there are none.
pub(crate) struct Strays;

impl Strays {
    pub(crate) fn adopt() -> Self {
        Self
    }

    pub(crate) fn end(&self, _: &HashSet<u32>) -> bool {
        false
    }

    pub(crate) fn end_all(&self) {}
}

/// There are no groups here.
pub(crate) enum Groups {}

pub(crate) enum Group {}

impl Groups {
    pub(crate) fn find(_: &[Ability]) -> Option<Self> {
        None
    }

    pub(crate) fn controllers(&self) -> &[&'static str] {
        match *self {}
    }

    pub(crate) fn make_one(&self, _: &str, _: Option<u32>) -> std::io::Result<Group> {
        match *self {}
    }

    pub(crate) fn remove(&mut self, _: Group) {
        match *self {}
    }
}

impl Group {
    pub(crate) fn join(&self, _: u32) -> std::io::Result<()> {
        match *self {}
    }

    pub(crate) fn kill(&self) {
        match *self {}
    }

    pub(crate) fn limit_memory(&self, _: u64) {
        match *self {}
    }

    pub(crate) fn ran_out_of_memory(&self) -> Option<Shortage> {
        match *self {}
    }
}

pub(crate) fn hold(_: u32) -> Option<OwnedFd> {
    None
}

pub(crate) fn has_ended(_: &OwnedFd) -> bool {
    false
}

pub(crate) fn descendants(_: u32) -> Vec<u32> {
    Vec::new()
}

pub(crate) fn proportional(_: u32) -> Option<u64> {
    None
}

pub(crate) fn peer_pid(_: impl AsFd) -> Option<u32> {
    None
}

pub(crate) fn inner_pid(pid: u32, _: usize) -> Option<u32> {
    Some(pid)
}

pub(crate) fn is_exiting(_: u32) -> bool {
    false
}

pub(crate) fn resident(_: u32) -> Option<u64> {
    None
}

pub(crate) fn usage(_: u32) -> Option<Usage> {
    None
}

pub(crate) fn landlock() -> Option<u32> {
    None
}

pub(crate) fn no_new_privileges() -> bool {
    false
}

pub(crate) fn cgroup() -> Option<Cgroup> {
    None
}

pub(crate) fn pidfd() -> bool {
    false
}

pub(crate) fn memory_bytes() -> Option<u64> {
    None
}

/// Nothing is shut in here, so nobody's files have to be removed.
pub(crate) fn open_up(_: &Path) {}

/// The time that a file gets that is written now.
#[expect(
    clippy::disallowed_methods,
    reason = "files have the time of day, and no run is decided by it"
)]
pub fn file_time() -> SystemTime {
    SystemTime::now()
}
