//! The one place for what differs by operating system. Linux is what Ziet is for; elsewhere the functions do what is
//! possible and say None where nothing is.

mod abilities;
// `make lint` sets `ziet_other_os`, so that the other side of the seam is compiled on Linux, too.
#[cfg(all(target_os = "linux", not(ziet_other_os)))]
mod linux;
#[cfg(any(not(target_os = "linux"), ziet_other_os))]
mod other;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::write;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, setsid};

pub use abilities::{Abilities, Ability, Cgroup, flush_time};
#[cfg(all(target_os = "linux", not(ziet_other_os)))]
use linux as system;
#[cfg(any(not(target_os = "linux"), ziet_other_os))]
use other as system;
pub use system::file_time;
pub(crate) use system::{
    Group, Groups, RECEIVE, STACK_SIGNAL, Strays, cgroup, descendants, ends_within, has_ended,
    hold, inner_pid, is_exiting, kill_tree, landlock, memory_bytes, no_new_privileges, open_up,
    peer_pid, pidfd, proportional, resident, usage,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exit(i32),
    Signal(i32),
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        status
            .signal()
            .map_or_else(|| Self::Exit(status.code().unwrap_or(0)), Self::Signal)
    }
}

/// Why the kernel ended something in a group for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    any(not(target_os = "linux"), ziet_other_os),
    expect(dead_code, reason = "only groups tell of it")
)]
pub(crate) enum Shortage {
    /// The group may not have more than so many bytes.
    Limit { most: u64 },
    /// The system, or a group above, had none left.
    System,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    pub peak_memory_bytes: Option<u64>,
}

/// Has the command run in a session of its own, away from the terminal's Ctrl-C, which is for the program to handle.
///
/// On a desktop and in many virtual machines, Linux shares processors among sessions (autogroups), and a nice value counts
/// only within one. So all that executes actions is in this one session, which as a whole is as nice as they are: with
/// one for each executor, 200 of them that compute had deadlines kept a second late on two processors, with this 20 ms.
///
/// With `ends_with_caller`, where the system can do that, the kernel ends it with the thread that has started it, until it
/// asks for something else.
pub(crate) fn in_own_session(command: &mut Command, ends_with_caller: bool) -> &mut Command {
    #[cfg(not(target_os = "linux"))]
    let _ = ends_with_caller;
    let enter = move || {
        setsid()?;
        #[cfg(target_os = "linux")]
        if ends_with_caller {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        }
        // Elsewhere there is no such file, and control groups or nice values alone do it.
        if let Ok(file) = open(c"/proc/self/autogroup", OFlags::WRONLY, Mode::empty()) {
            let _ = write(file, b"10");
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "the standard library's own has not been made stable yet"
    )]
    // SAFETY: between fork and exec it makes five system calls, which allocate nothing and take no lock.
    unsafe {
        command.pre_exec(enter)
    }
}

/// Kills a process and its group, and nothing else that it started. The caller holds the id: the process has not been reaped.
pub(crate) fn kill(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // Either may be gone already, which is what was wanted.
    let _ = kill_process(pid, Signal::KILL);
    let _ = kill_process_group(pid, Signal::KILL);
}

/// Sends the signal with this number, if there is one.
pub(crate) fn send_signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        let _ = kill_process(pid, signal);
    }
}

/// As people know it: `SIGSEGV`, or `exit status 3`.
pub fn ending_text(ending: Ending) -> String {
    match ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => {
            signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    let name = match Signal::from_named_raw(signal)? {
        Signal::HUP => "SIGHUP",
        Signal::INT => "SIGINT",
        Signal::QUIT => "SIGQUIT",
        Signal::ILL => "SIGILL",
        Signal::TRAP => "SIGTRAP",
        Signal::ABORT => "SIGABRT",
        Signal::BUS => "SIGBUS",
        Signal::FPE => "SIGFPE",
        Signal::KILL => "SIGKILL",
        Signal::USR1 => "SIGUSR1",
        Signal::SEGV => "SIGSEGV",
        Signal::USR2 => "SIGUSR2",
        Signal::PIPE => "SIGPIPE",
        Signal::ALARM => "SIGALRM",
        Signal::TERM => "SIGTERM",
        Signal::XCPU => "SIGXCPU",
        Signal::XFSZ => "SIGXFSZ",
        Signal::VTALARM => "SIGVTALRM",
        Signal::PROF => "SIGPROF",
        Signal::SYS => "SIGSYS",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_have_names() {
        assert_eq!(ending_text(Ending::Signal(11)), "SIGSEGV");
        assert_eq!(ending_text(Ending::Signal(44)), "signal 44");
        assert_eq!(ending_text(Ending::Exit(3)), "exit status 3");
    }
}
