//! The limits that the kernel keeps for every process inside, whatever it does.

use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};
use rustix::system::uname;

use crate::sandbox::room;

/// Open files of one process.
const FILES: u64 = 65_536;

/// How many processes and threads there may be. `user` is another one that nobody else has; `own_namespace` is whether
/// everything inside is in a namespace of users of its own.
pub(super) fn processes(user: Option<u32>, own_namespace: bool) -> u64 {
    let room = u64::from(room());
    // The kernel counts by user, and from 5.14 on also by namespace.
    if user.is_some() || own_namespace && kernel() >= (5, 14) {
        room
    } else {
        room + tasks_of(getuid().as_raw())
    }
}

/// Applies to this process and what it becomes and starts.
pub(super) fn apply(processes: u64, file_bytes: u64) -> io::Result<()> {
    for (resource, most) in [
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
        (Resource::Fsize, file_bytes),
        (Resource::Nproc, processes),
    ] {
        let Rlimit { current, maximum } = getrlimit(resource);
        // What is lower already stays.
        let lowered = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        let limits = Rlimit {
            current: lowered(current),
            maximum: lowered(maximum),
        };
        setrlimit(resource, limits)?;
    }
    Ok(())
}

/// The version of Linux, as far as it counts.
fn kernel() -> (u32, u32) {
    let release = uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

/// The processes of a user, with all their threads.
fn tasks_of(user: u32) -> u64 {
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return 0;
    };
    let processes = entries.flatten().filter(|entry| {
        let owner = entry.metadata().map(|about| about.uid());
        owner.is_ok_and(|owner| owner == user) && entry.path().join("task").is_dir()
    });
    let tasks = processes.filter_map(|process| fs_err::read_dir(process.path().join("task")).ok());
    tasks.map(|tasks| tasks.count() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_other_processes_leave_the_same_room() {
        assert!(kernel() >= (5, 10));
        let alone = processes(Some(1), false);
        let among_others = processes(None, false);
        // This process and the threads of the tests, at least.
        assert!(among_others > alone);
        assert_eq!(alone, u64::from(room()));
    }
}
