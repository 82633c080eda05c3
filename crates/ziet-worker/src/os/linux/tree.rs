//! Processes and what they started, wherever it went: seen through `/proc`, and held by descriptors while it is killed.
//!
//! Whatever a process starts stays below it, or below a subreaper among its ancestors: executors, zygotes and this
//! program are subreapers. What comes out of sight of [`kill_tree`] is therefore found by who adopted it: the zygote
//! ends what its executors leave behind, and [`Strays`] what comes to this program.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitpid,
};

use super::super::kill;

/// Descendants that are held at the same time, each by a descriptor.
const HELD: usize = 64;

/// Descendants that one call kills: a fork bomb must not keep the caller for long. Its rest is ended by who adopts it.
const MOST: usize = 4096;

/// How long a process may take to die of SIGKILL on a busy machine.
const DYING: Duration = Duration::from_secs(1);

/// How often [`Strays::end_all`] looks for what the last look made orphans of.
const ROUNDS: usize = 100;

/// Sends SIGKILL to a process, its group and everything that it started. The caller holds the id: the process has not
/// been reaped.
///
/// Descendants are held before the process dies, since then they get another parent. One that was sent SIGKILL can
/// start nothing more, and what it has started is listed below it until it is dead; so a second look finds what was
/// started during the first. What is started between the two by a process that is dead before the second has come to
/// who adopts it. A process that has no child at the first look has nothing to be looked for again.
pub(crate) fn kill_tree(root: u32) {
    let mut held: Vec<Held> = Held::below(root).collect();
    let mut next = 0;
    while next < held.len() && held.len() < HELD {
        let below = Held::below(held[next].pid);
        held.extend(below);
        next += 1;
    }
    kill(root);
    held.iter().for_each(Held::kill);
    let mut killed: HashSet<u32> = held.iter().map(|held| held.pid).collect();
    // The process itself is looked at last: what others leave behind while they die comes to it.
    let mut parents: Vec<u32> = held.iter().map(|held| held.pid).collect();
    if !parents.is_empty() {
        parents.insert(0, root);
    }
    drop(held);
    while let Some(parent) = parents.pop() {
        for child in Held::below(parent) {
            if killed.len() >= MOST {
                return;
            }
            if killed.insert(child.pid) {
                child.kill();
                parents.push(child.pid);
            }
        }
    }
}

/// A process whose id cannot come to mean another one.
struct Held {
    pid: u32,
    /// None where there are no more descriptors: then the id has to do, for the moment between two system calls.
    process: Option<OwnedFd>,
}

impl Held {
    /// The living children of a process.
    fn below(parent: u32) -> impl Iterator<Item = Self> {
        children(parent)
            .into_iter()
            .filter_map(move |pid| Self::child(pid, parent))
    }

    /// None when the process is gone, or is not, or not any more, a child of `parent`. It is asked after it is held: if
    /// the id then still means the held process, the answer is about that one; if not, the held one is gone, and a
    /// signal to it reaches nobody.
    fn child(pid: u32, parent: u32) -> Option<Self> {
        let process = match pidfd_open(as_pid(pid)?, PidfdFlags::empty()) {
            Ok(process) => Some(process),
            Err(Errno::SRCH) => return None,
            Err(_) => None,
        };
        (parent_of(pid)? == parent).then_some(Self { pid, process })
    }

    fn kill(&self) {
        // It may be gone already, which is what was wanted.
        let _ = match (&self.process, as_pid(self.pid)) {
            (Some(process), _) => pidfd_send_signal(process, Signal::KILL),
            (None, Some(pid)) => kill_process(pid, Signal::KILL),
            (None, None) => Ok(()),
        };
    }
}

/// What this program adopts: executors of a zygote that has died, and whatever these have left behind.
pub(crate) struct Strays {
    /// Children that were there before: whoever called `exec` to become this program left them.
    strangers: HashSet<u32>,
}

impl Strays {
    /// Makes this program the parent of descendants whose own parent dies, so that none of them gets out of sight.
    pub(crate) fn adopt() -> Self {
        // It cannot fail for the process itself; without it only orphans of a killed zygote would stay.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        Self {
            strangers: adopted().into_iter().collect(),
        }
    }

    /// Sends SIGKILL to every stray and what it started, but for the `known` children, and reaps those that are dead.
    /// Does not wait: returns whether there was any, and is to be called again until there is none, since what a stray
    /// has left behind comes when it is dead.
    pub(crate) fn end(&self, known: &HashSet<u32>) -> bool {
        !self.killed(known).is_empty()
    }

    /// Ends all strays and waits for them. What forks faster than it dies is given up after some rounds.
    pub(crate) fn end_all(&self) {
        let known = HashSet::new();
        for _ in 0..ROUNDS {
            let killed = self.killed(&known);
            if killed.is_empty() {
                return;
            }
            for pid in killed {
                ends_within(pid, DYING);
            }
        }
    }

    /// The strays that were there, each of which was sent SIGKILL, or was dead and has been reaped.
    fn killed(&self, known: &HashSet<u32>) -> Vec<u32> {
        let mut strays = adopted();
        strays.retain(|pid| !known.contains(pid) && !self.strangers.contains(pid));
        strays.truncate(MOST);
        for pid in &strays {
            let ended = as_pid(*pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
            if matches!(ended, Some(Ok(None))) {
                kill_tree(*pid);
            }
        }
        strays
    }
}

/// The children that the kernel gave to this process: it gives them to the first living thread, which is the main one.
/// A child that another thread has started is that thread's as long as the thread lives, and is not among them.
fn adopted() -> Vec<u32> {
    let own = std::process::id();
    children_of_thread(own, &own.to_string())
}

/// The ids of the processes whose parent is this one, dead ones included that are not reaped.
///
/// A long list may lack some if others of it die while it is read; so whoever must not miss any looks again.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs_err::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .flat_map(|thread| children_of_thread(pid, &thread.file_name().to_string_lossy()))
        .collect()
}

fn children_of_thread(pid: u32, thread: &str) -> Vec<u32> {
    let listing = fs_err::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
    listing.map_or_else(
        |_| Vec::new(),
        |pids| {
            pids.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect()
        },
    )
}

/// Everything below a process, for measuring: by the time it is used, an id may mean another process.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let mut found = children(root);
    let mut next = 0;
    while next < found.len() && found.len() < MOST {
        let below = children(found[next]);
        found.extend(below);
        next += 1;
    }
    found
}

/// Waits for the end of a process, without reaping it. False when it still lives after `limit`.
pub(crate) fn ends_within(pid: u32, limit: Duration) -> bool {
    let process = match as_pid(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
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

/// What tells a process from a later one with its id. None when it is gone, or there are no more descriptors.
pub(crate) fn hold(pid: u32) -> Option<OwnedFd> {
    pidfd_open(as_pid(pid)?, PidfdFlags::empty()).ok()
}

/// Whether a process that is held has ended, reaped or not.
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    poll(
        &mut [PollFd::new(process, PollFlags::IN)],
        Some(&Timespec::default()),
    )
    .is_ok_and(|ready| ready > 0)
}

fn parent_of(pid: u32) -> Option<u32> {
    let [parent] = super::stat(pid, 4)?;
    u32::try_from(parent).ok()
}

pub(super) fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// An executor that has started a process in its group, one in a session of its own, and a daemon.
    const EXECUTOR: &str = "
import ctypes, os, signal, subprocess
SUBREAPER = 36
ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
os.setsid()
sleep = ['sleep', '1000']
near, apart = subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)
daemon = subprocess.check_output('setsid sleep 1000 >/dev/null & echo $!', shell=True, text=True)
print(os.getpid(), near.pid, apart.pid, daemon.strip(), flush=True)
signal.pause()
";

    /// One that forks on and on, each process in a session of its own. A pipe holds one byte for each of the 1000 that
    /// there can be, and the 51st has the line printed.
    const BOMB: &str = "
import os, signal
more, room = os.pipe()
os.write(room, b'.' * 50 + b'!' + b'.' * 949)
while True:
    if os.read(more, 1) == b'!':
        print(1, flush=True)
    if os.fork() == 0:
        os.setsid()
        signal.alarm(60)
";

    /// Whoever adopts what one test has left behind is seen by the others.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, and gives the numbers of the first line that it prints.
    fn python(script: &str, arguments: &[&str]) -> (Child, Vec<u32>) {
        let mut command = Command::new("python3");
        command.args(["-c", script]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let numbers = line.split_whitespace().map(|word| word.parse().unwrap());
        (child, numbers.collect())
    }

    fn is_alive(pid: u32) -> bool {
        !ends_within(pid, Duration::ZERO)
    }

    fn all_end(pids: &[u32]) -> bool {
        pids.iter().all(|pid| ends_within(*pid, 10 * DYING))
    }

    #[test]
    fn what_a_process_started_ends_with_it_wherever_it_went() {
        let _alone = alone();
        let (mut executor, all) = python(EXECUTOR, &[]);
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|pid| is_alive(*pid)));
        assert_eq!(
            descendants(executor.id())
                .into_iter()
                .collect::<HashSet<_>>(),
            all[1..].iter().copied().collect()
        );

        kill_tree(executor.id());

        assert!(all_end(&all));
        executor.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_a_child_any_more_is_not_held() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let own = std::process::id();
        assert!(Held::child(child.id(), own).is_some());
        assert!(Held::child(child.id(), child.id()).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Held::child(child.id(), own).is_none());
    }

    #[test]
    fn what_a_dead_zygote_leaves_behind_is_ended_and_nothing_else() {
        let _alone = alone();
        let strays = Strays::adopt();
        // In a thread that lives on, as the loop's: what it starts is its own.
        std::thread::scope(|scope| {
            let (started, other) = std::sync::mpsc::channel();
            let (done, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
                started.send(child.id()).unwrap();
                let _ = wait.recv();
                child.kill().unwrap();
                child.wait().unwrap();
            });
            let other = other.recv().unwrap();

            let zygote = format!("import os\nif os.fork(): os.wait()\n{EXECUTOR}");
            let (mut zygote, all) = python(&zygote, &[]);
            zygote.kill().unwrap();
            zygote.wait().unwrap();
            assert!(all.iter().all(|pid| is_alive(*pid)));

            let executor = HashSet::from([all[0]]);
            assert!(!strays.end(&executor), "it is known");
            assert!(all.iter().all(|pid| is_alive(*pid)));

            strays.end_all();
            assert!(all.iter().all(|pid| parent_of(*pid).is_none()), "reaped");
            assert!(is_alive(other));
            drop(done);
        });
    }

    #[test]
    fn a_fork_bomb_is_ended() {
        let _alone = alone();
        let strays = Strays::adopt();
        let mark = uuid::Uuid::new_v4().to_string();
        let (mut bomb, _) = python(BOMB, &[&mark]);

        kill_tree(bomb.id());
        bomb.wait().unwrap();
        strays.end_all();

        let remain = fs_err::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                fs_err::read_to_string(entry.path().join("cmdline"))
                    .is_ok_and(|line| line.contains(&mark))
            });
        assert_eq!(remain.count(), 0);
    }
}
