//! Where there is no `/proc`: process groups and the zygote's own clearing up have to do.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use rustix::net::RecvFlags;

use super::{Cgroup, Usage};

pub(crate) const RECEIVE: RecvFlags = RecvFlags::empty();

/// There is nothing to wait with: the caller kills it.
pub(crate) fn ends_within(_: u32, _: Duration) -> bool {
    false
}

pub(crate) fn adopt_orphans() {}

pub(crate) fn peer_pid(_: impl AsFd) -> Option<u32> {
    None
}

pub(crate) fn inner_pid(pid: u32) -> Option<u32> {
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

/// Ends what this process and its children started.
pub(crate) fn end_descendants(_: &HashSet<u32>) {}

pub(crate) fn own_children() -> HashSet<u32> {
    HashSet::new()
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

pub(crate) fn peer_pidfd() -> bool {
    false
}

pub(crate) fn memory_bytes() -> Option<u64> {
    None
}

/// The time that a file gets that is written now.
#[expect(
    clippy::disallowed_methods,
    reason = "files have the time of day, and no run is decided by it"
)]
pub fn file_time() -> SystemTime {
    SystemTime::now()
}
