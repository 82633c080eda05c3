//! Linux: what `/proc` tells of processes, and the child subreaper.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Usage, kill};

/// Descriptors that are received do not reach programs that are started later.
pub(crate) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// How long a process may take to die of SIGKILL on a busy machine.
const DYING: Duration = Duration::from_secs(1);

/// Waits for the end of a child of this process, without reaping it. False when it still lives after `limit`.
pub(crate) fn ends_within(child: u32, limit: Duration) -> bool {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    let process = match pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(process)) => process,
        // Out of descriptors, say: then it is not known.
        Some(Err(error)) => return error == Errno::SRCH,
        None => return true,
    };
    let Ok(limit) = Timespec::try_from(limit) else {
        return false;
    };
    poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// Makes this process the parent of descendants whose own parent dies, so that none of them gets out of sight.
pub(crate) fn adopt_orphans() {
    // It cannot fail for the process itself; without it only orphans of a killed zygote would stay.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// The process at the other end of a Unix socket.
pub(crate) fn peer_pid(socket: impl AsFd) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Whether a process has begun to end, or has ended: from then on its exit status is fixed.
pub(crate) fn is_exiting(pid: u32) -> bool {
    /// `PF_EXITING` among the flags of a task, which are the ninth field.
    const EXITING: u64 = 0x4;
    let Ok(stat) = fs_err::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let flags = stat
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_ascii_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_none_or(|flags| flags & EXITING != 0)
}

/// Also works for a process that has ended and is not reaped yet, except for its memory.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows its last one does not. Fields 14 and 15 are clock ticks.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_ascii_whitespace().skip(11);
    let ticks: u64 = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_millis(ticks * 1000 / per_second);
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    Some(Usage {
        cpu,
        peak_memory_bytes: peak.map(|kilobytes| kilobytes * 1024),
    })
}

/// Ends what this process and its children started, wherever it went, but for the children in `spared`.
pub(crate) fn end_descendants(spared: &HashSet<u32>) {
    let own = std::process::id();
    // Each round ends what the last one made orphans of; what forks faster than that is given up.
    for _ in 0..100 {
        let living: Vec<u32> = children(own)
            .into_iter()
            .filter(|pid| !spared.contains(pid) && !is_zombie(*pid))
            .collect();
        if living.is_empty() {
            return;
        }
        living.iter().copied().for_each(kill);
        for pid in living {
            ends_within(pid, DYING);
        }
    }
}

/// The processes whose parent this one is.
pub(crate) fn own_children() -> HashSet<u32> {
    children(std::process::id()).into_iter().collect()
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs_err::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let listings = threads
        .flatten()
        .filter_map(|thread| fs_err::read_to_string(thread.path().join("children")).ok());
    listings
        .flat_map(|pids| {
            pids.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_zombie(pid: u32) -> bool {
    let Ok(stat) = fs_err::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    stat.rsplit_once(')')
        .is_some_and(|(_, state)| state.trim_start().starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_process_has_used() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.peak_memory_bytes.unwrap() > 100_000);
    }
}
