//! Another user for what is shut in, where the program is root: then the kernel keeps it from everything that is not
//! for everybody.

use std::io;

use rustix::fs::{Gid, Uid};
use rustix::process::{geteuid, getpid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// From here on, ids that systems give to nobody; each worker takes its own, by its process id.
const FIRST: u32 = 1_900_000_000;

/// The one that exists for this everywhere.
const NOBODY: u32 = 65_534;

/// The user and the group to become, with one number. None where the program is not root, or where there is nobody
/// else: in a namespace that holds only root.
pub(super) fn other() -> Option<u32> {
    if !geteuid().is_root() {
        return None;
    }
    let own = FIRST + getpid().as_raw_nonzero().get().unsigned_abs();
    let [users, groups] = ["uid_map", "gid_map"]
        .map(|name| fs_err::read_to_string(format!("/proc/self/{name}")).unwrap_or_default());
    [own, NOBODY]
        .into_iter()
        .find(|id| is_mapped(&users, *id) && is_mapped(&groups, *id))
}

/// Whether a namespace has an id: each line is its first one, the first one outside, and how many there are.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(count))) = (numbers.next(), numbers.nth(1)) else {
            return false;
        };
        (first..first + count).contains(&u64::from(id))
    })
}

/// Becomes that user for good, in no other group. The process must have one thread.
pub(super) fn become_user(id: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// Gives up whatever root, or the owner of a namespace, may do.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    Ok(set_capabilities(None, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_there_if_its_namespace_has_it() {
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        assert!(is_mapped(rootless, NOBODY));
        assert!(!is_mapped(rootless, FIRST));
        assert!(is_mapped("0 0 4294967295\n", FIRST + 4_194_304));
        assert!(!is_mapped("0 1000 1\n", NOBODY));
        assert!(!is_mapped("", 0));
    }
}
