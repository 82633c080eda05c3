//! Linux: what `/proc` tells of a process, and what there is for a sandbox.

mod groups;
mod tree;

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, Dir, Mode, OFlags, chmod, openat};
use rustix::net::RecvFlags;
use rustix::path::Arg;
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

use super::{Cgroup, Usage};
pub(crate) use groups::{Group, Groups};
pub(crate) use tree::{Strays, descendants, ends_within, has_ended, hold, kill_tree};

/// Descriptors that are received do not reach programs that are started later.
pub(crate) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// Asks Python for its stack; `_process.py` says why it is this one.
pub(crate) const STACK_SIGNAL: i32 = libc::SIGSTKFLT;

/// Folders in each other that `open_up` goes into.
const LEVELS: u32 = 200;

/// The process at the other end of a Unix socket.
pub(crate) fn peer_pid(socket: impl AsFd) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// What a process is called in the namespace of processes that is `depth` below this program's. One further below may
/// choose its ids there, so these say nothing.
pub(crate) fn inner_pid(pid: u32, depth: usize) -> Option<u32> {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).ok()?;
    nth_id(&status, depth)
}

fn nth_id(status: &str, depth: usize) -> Option<u32> {
    let mut lines = status.lines();
    let ids = lines.find_map(|line| line.strip_prefix("NSpid:"))?;
    ids.split_ascii_whitespace().nth(depth)?.parse().ok()
}

/// Whether a process has begun to end, or has ended: from then on its exit status is fixed.
pub(crate) fn is_exiting(pid: u32) -> bool {
    /// `PF_EXITING` among the flags of a task, which are the ninth field.
    const EXITING: u64 = 0x4;
    let flags = stat(pid, 9).map(|[flags]| flags);
    flags.is_none_or(|flags| flags & EXITING != 0)
}

/// Fields of `/proc/<pid>/stat` that are numbers, from the one with this number on, as its manual page counts them. None
/// when the process is gone.
fn stat<const COUNT: usize>(pid: u32, first: usize) -> Option<[u64; COUNT]> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, the second, may hold spaces and parentheses; what follows its last one does not.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields = after_name.split_ascii_whitespace().skip(first - 3);
    let fields: Vec<u64> = fields
        .map_while(|field| field.parse().ok())
        .take(COUNT)
        .collect();
    fields.try_into().ok()
}

/// Also works for a process that has ended and is not reaped yet, except for its memory.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let [user, system] = stat(pid, 14)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_millis((user + system) * 1000 / per_second);
    Some(Usage {
        cpu,
        peak_memory_bytes: kilobytes(&format!("/proc/{pid}/status"), "VmHWM:"),
    })
}

/// Bytes of memory that a process has resident; None when it is gone.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let sizes = fs_err::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = sizes.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Bytes of its resident memory, where it shares a page only its part of that. Takes as long as it has memory: 1 ms and
/// more. None also where it is not allowed to know.
pub(crate) fn proportional(pid: u32) -> Option<u64> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The number in a line `Name:  123 kB` of a file in `/proc`, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<u64> {
    let text = fs_err::read_to_string(file).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = number.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The version of Landlock's interface; None where the kernel lacks it, or has it switched off.
pub(crate) fn landlock() -> Option<u32> {
    const VERSION: u32 = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: asked for its version, the call takes no attributes and touches no memory.
    #[expect(unsafe_code, reason = "rustix does not have the call")]
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

pub(crate) fn no_new_privileges() -> bool {
    rustix::thread::no_new_privs().is_ok()
}

pub(crate) fn pidfd() -> bool {
    pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).is_ok()
}

/// This process's group of version 2, where that is mounted.
pub(crate) fn cgroup() -> Option<Cgroup> {
    let folder = groups::own_group()?;
    let controllers = fs_err::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let leaf = folder.join(format!("ziet-probe-{}", std::process::id()));
    let made = fs_err::create_dir(&leaf).map_err(|error| error.to_string());
    let leaf = made.map(|()| {
        let can_kill = leaf.join("cgroup.kill").exists();
        // An empty group that nobody uses can always be removed.
        let _ = fs_err::remove_dir(&leaf);
        can_kill
    });
    Some(Cgroup {
        folder,
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        leaf,
    })
}

/// The machine's memory.
pub(crate) fn memory_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemTotal:")
}

/// Gives this user all permissions to a folder and those in it, so that it can be removed. It follows no links, whoever
/// puts some there meanwhile.
pub(crate) fn open_up(folder: &Path) {
    let _ = open_below(CWD, folder, LEVELS);
}

fn open_below(above: impl AsFd, name: impl Arg, levels: u32) -> rustix::io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = openat(above, name, flags | OFlags::PATH, Mode::empty())?;
    chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::RWXU)?;
    let mut entries = Dir::new(openat(&held, ".", flags, Mode::empty())?)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if levels > 0 && ![c".", c".."].contains(&name) {
            // Most are no folders.
            let _ = open_below(entries.fd()?, name, levels - 1);
        }
    }
    Ok(())
}

/// The time that a file gets that is written now: that of a clock which goes on only every few milliseconds.
pub fn file_time() -> SystemTime {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let part = Duration::from_nanos(now.tv_nsec.unsigned_abs());
    UNIX_EPOCH + Duration::from_secs(now.tv_sec.unsigned_abs()) + part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_process_has_used() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.peak_memory_bytes.unwrap() > 100_000);
    }

    #[test]
    fn an_id_is_that_of_the_namespace_that_is_asked_for() {
        let own = std::process::id();
        assert_eq!(inner_pid(own, 0), Some(own));
        let status = "Name:\tx\nNSpid:\t4242\t17\t1\nNSpgid:\t9\n";
        assert_eq!(nth_id(status, 1), Some(17));
        assert_eq!(nth_id(status, 3), None);
    }
}
