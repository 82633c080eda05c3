//! Control groups (version 2) of executors: ended as a whole, and limited as a whole where the controllers are there.
//!
//! They are made below the group that this program is in, in a folder that it has locked: one that is not locked was
//! left by a program that has died. Nobody else's group is changed.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use rustix::process::{PidfdFlags, pidfd_open};

use super::super::{Ability, Shortage};
use super::tree::{as_pid, has_ended};

/// What the folders of workers begin with.
const FOLDER: &str = "ziet-worker-";

/// Where this program itself is while limits are set.
const SELF: &str = "self";

/// How often a folder is made that others, who start at the same time, take for a left one before it is locked.
const TRIES: usize = 8;

const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The groups that a worker makes.
pub(crate) struct Groups {
    /// The group that this program was started in.
    home: PathBuf,
    folder: PathBuf,
    controllers: Vec<&'static str>,
    /// Whether this program has moved into its folder, because a group with processes of its own limits none below it.
    moved: bool,
    moves: mpsc::Sender<Move>,
    /// Groups in which something has not died yet.
    dying: Vec<Group>,
    _lock: File,
}

impl Groups {
    /// None where a group can be made only by others, or cannot be killed as a whole (before Linux 5.14).
    pub(crate) fn find(without: &[Ability]) -> Option<Self> {
        if without.contains(&Ability::Cgroup) {
            return None;
        }
        Self::make(own_group()?).ok()
    }

    fn make(home: PathBuf) -> std::io::Result<Self> {
        // Whoever may not write here may not move a process out of it, either.
        File::options()
            .write(true)
            .open(home.join("cgroup.procs"))?;
        remove_left_over(&home)?;
        let (folder, lock) = locked_folder(&home)?;
        let mut groups = Self {
            moves: start_mover()?,
            home,
            folder,
            controllers: Vec::new(),
            moved: false,
            dying: Vec::new(),
            _lock: lock,
        };
        if !groups.folder.join("cgroup.kill").exists() {
            return Err(ErrorKind::Unsupported.into());
        }
        groups.enable(&CONTROLLERS);
        Ok(groups)
    }

    /// What is limited: `memory`, `pids`, both or nothing.
    pub(crate) fn controllers(&self) -> &[&'static str] {
        &self.controllers
    }

    /// Has the groups limited by those of `wanted` that there are. Where they must be switched on first, that is done
    /// only if this program is alone in its group.
    fn enable(&mut self, wanted: &[&'static str]) {
        let mut there = words(&self.home.join("cgroup.controllers"));
        there.retain(|name| wanted.contains(&name.as_str()));
        let given = words(&self.home.join("cgroup.subtree_control"));
        if !there.iter().all(|name| given.contains(name)) {
            let own = std::process::id().to_string();
            if words(&self.home.join("cgroup.procs")) == [own.as_str()] {
                let inner = self.folder.join(SELF);
                self.moved = fs_err::create_dir(&inner).is_ok() && join(&inner, &own).is_ok();
            }
            if !self.moved || switch(&self.home, '+', &there).is_err() {
                there.retain(|name| given.contains(name));
            }
        }
        if switch(&self.folder, '+', &there).is_ok() {
            let is_there = |name: &&&str| there.iter().any(|there| there == **name);
            self.controllers = wanted.iter().filter(is_there).copied().collect();
        }
    }

    /// Makes a group of this name, with no more than `processes` in it, threads included, where that can be limited.
    pub(crate) fn make_one(&self, name: &str, processes: Option<u32>) -> std::io::Result<Group> {
        let group = Group {
            folder: self.folder.join(name),
            moves: self.moves.clone(),
            limits_memory: self.controllers.contains(&"memory"),
        };
        fs_err::create_dir(&group.folder)?;
        if let Some(most) = processes.filter(|_| self.controllers.contains(&"pids")) {
            fs_err::write(group.folder.join("pids.max"), most.to_string())?;
        }
        if group.limits_memory {
            // All of it or nothing: an executor whose child the kernel has picked would go on without it.
            fs_err::write(group.folder.join("memory.oom.group"), "1")?;
        }
        Ok(group)
    }

    /// Removes a group, now or with one of the next: what was sent SIGKILL may take a while to die.
    pub(crate) fn remove(&mut self, group: Group) {
        self.dying.push(group);
        self.dying.retain(|group| {
            fs_err::remove_dir(&group.folder)
                .is_err_and(|error| error.kind() != ErrorKind::NotFound)
        });
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        if self.moved {
            let all: Vec<String> = words(&self.home.join("cgroup.subtree_control"));
            let _ = switch(&self.folder, '-', &all);
            let _ = switch(&self.home, '-', &all);
            let _ = join(&self.home, &std::process::id().to_string());
        }
        // What still dies keeps it; the next worker removes it then.
        let _ = remove(&self.folder);
    }
}

/// A process that is to be in a group.
struct Move {
    group: PathBuf,
    pid: u32,
    process: OwnedFd,
}

/// The thread ends when nobody can ask it any more.
fn start_mover() -> std::io::Result<mpsc::Sender<Move>> {
    let (moves, next) = mpsc::channel::<Move>();
    let carry_out = move || {
        while let Ok(Move {
            group,
            pid,
            process,
        }) = next.recv()
        {
            // The id is still its own, and cannot be another's soon: the kernel gives ids out in a circle.
            if !has_ended(&process) {
                // It may be ending, and its group be gone.
                let _ = join(&group, &pid.to_string());
            }
        }
    };
    std::thread::Builder::new()
        .name("ziet-groups".to_owned())
        .spawn(carry_out)?;
    Ok(moves)
}

/// One group. To be given to [`Groups::remove`].
pub(crate) struct Group {
    folder: PathBuf,
    moves: mpsc::Sender<Move>,
    limits_memory: bool,
}

impl Group {
    /// What a process may be made in by whoever has this open.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has a process, which nobody has reaped, moved there soon: another thread does that, since it takes the kernel up
    /// to 10 ms. What the process started before stays where it is.
    pub(crate) fn join(&self, pid: u32) -> std::io::Result<()> {
        let process = pidfd_open(
            as_pid(pid).ok_or(ErrorKind::InvalidInput)?,
            PidfdFlags::empty(),
        )?;
        // The thread ends only after this.
        let _ = self.moves.send(Move {
            group: self.folder.clone(),
            pid,
            process,
        });
        Ok(())
    }

    /// Sends SIGKILL to all that is in it; also to what is being forked meanwhile.
    pub(crate) fn kill(&self) {
        // It can fail only if the group is gone, and then nothing is in it.
        let _ = fs_err::write(self.folder.join("cgroup.kill"), "1");
    }

    /// Limits the memory that all in it take together, where that is possible. What a process takes by itself is seen
    /// before by others, who can say more about it; so a sixteenth is added for what only the kernel counts: its own
    /// tables. Swap is none, since it is no memory.
    pub(crate) fn limit_memory(&self, bytes: u64) {
        if self.limits_memory {
            // The first is missing where the kernel does not count swap; both, when all in the group has ended.
            let _ = fs_err::write(self.folder.join("memory.swap.max"), "0");
            let most = bytes.saturating_add(bytes / 16);
            let _ = fs_err::write(self.folder.join("memory.max"), most.to_string());
        }
    }

    /// Why the kernel has ended something in it for want of memory, if it has, where it counts that. `oom` counts how
    /// often the group itself could not have more than it may, `oom_kill` who was ended whatever for.
    pub(crate) fn ran_out_of_memory(&self) -> Option<Shortage> {
        let events = words(&self.folder.join("memory.events"));
        let happened = |name| {
            let mut pairs = events.chunks_exact(2);
            pairs.any(|pair| pair[0] == name && pair[1] != "0")
        };
        if !happened("oom_kill") {
            return None;
        }
        let most = words(&self.folder.join("memory.max"));
        let most = most.first().and_then(|most| most.parse().ok());
        let own = most.filter(|_| happened("oom"));
        Some(own.map_or(Shortage::System, |most| Shortage::Limit { most }))
    }
}

/// The group of version 2 that this program is in; None where that is not mounted.
pub(super) fn own_group() -> Option<PathBuf> {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (about, kind) = line.split_once(" - ")?;
        let point = about.split(' ').nth(4)?;
        kind.starts_with("cgroup2 ").then_some(point)
    })?;
    let groups = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own).components().collect())
}

fn join(group: &Path, pid: &str) -> std::io::Result<()> {
    fs_err::write(group.join("cgroup.procs"), pid)
}

/// Has what is below a group limited by these controllers, or not any more.
fn switch(group: &Path, sign: char, controllers: &[String]) -> std::io::Result<()> {
    let changes: Vec<String> = controllers
        .iter()
        .map(|name| format!("{sign}{name}"))
        .collect();
    fs_err::write(group.join("cgroup.subtree_control"), changes.join(" "))
}

fn words(file: &Path) -> Vec<String> {
    let text = fs_err::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Makes a folder that nobody takes for a left one. Until it is locked, another worker may do so.
fn locked_folder(home: &Path) -> std::io::Result<(PathBuf, File)> {
    for _ in 0..TRIES {
        let folder = home.join(format!("{FOLDER}{}", uuid::Uuid::new_v4().simple()));
        fs_err::create_dir(&folder)?;
        // Looked for when it is locked: it may have been removed before.
        if let Ok(lock) = File::open(&folder)
            && lock.try_lock().is_ok()
            && folder.exists()
        {
            return Ok((folder, lock));
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

/// Ends and removes what workers that have died have left, but for zygotes: these are clearing up, and end by themselves.
fn remove_left_over(home: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(home)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(FOLDER) {
            continue;
        }
        // Locked until it is removed, so that nobody begins to use it meanwhile.
        let Ok(folder) = File::open(entry.path()) else {
            continue;
        };
        if folder.try_lock().is_ok() {
            for group in fs_err::read_dir(entry.path())?.flatten() {
                if !group.file_name().to_string_lossy().starts_with(ZYGOTE) {
                    let kill = File::options()
                        .write(true)
                        .open(group.path().join("cgroup.kill"));
                    let _ = kill.and_then(|mut kill| kill.write_all(b"1"));
                }
            }
            let _ = remove(&entry.path());
        }
    }
    Ok(())
}

/// How the names that `Worker` gives the groups of zygotes begin.
const ZYGOTE: &str = "zygote-";

/// Removes a worker's folder with the groups in it, if nothing is in them.
fn remove(folder: &Path) -> std::io::Result<()> {
    for entry in fs_err::read_dir(folder)?.flatten() {
        if entry.path().is_dir() {
            fs_err::remove_dir(entry.path())?;
        }
    }
    fs_err::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use super::*;
    use crate::os;

    /// None, with a word about it, where this machine has no group to give. One test at a time: a program that moves
    /// into its group does so for all of them.
    fn groups() -> Option<(Groups, MutexGuard<'static, ()>)> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = Groups::find(&[]);
        let could = os::cgroup().is_some_and(|cgroup| cgroup.leaf == Ok(true));
        assert_eq!(groups.is_some(), could, "it is what doctor says");
        if !could {
            println!("not tested here: there are no groups");
        }
        Some((groups?, alone))
    }

    /// A shell that waits for a line, starts a daemon and says its id.
    fn shell() -> Child {
        let script = "read line; setsid sleep 1000 > /dev/null & echo $!; wait";
        Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Its process is moved there by another thread.
    fn joined(groups: &Groups, name: &str, pid: u32) -> Group {
        let group = groups.make_one(name, Some(20)).unwrap();
        group.join(pid).unwrap();
        let procs = group.folder.join("cgroup.procs");
        let is_there = || words(&procs).contains(&pid.to_string());
        assert!((0..10_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            is_there()
        }));
        group
    }

    /// Has it go on, and gives the daemon's id.
    fn daemon_of(shell: &mut Child) -> u32 {
        drop(shell.stdin.take());
        let mut line = String::new();
        let mut out = BufReader::new(shell.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    #[test]
    fn all_in_a_group_end_together_and_then_it_can_be_removed() {
        let Some((mut groups, _alone)) = groups() else {
            return;
        };
        let mut shell = shell();
        let group = joined(&groups, "7", shell.id());
        let daemon = daemon_of(&mut shell);
        let inside = words(&group.folder.join("cgroup.procs"));
        assert!(inside.contains(&daemon.to_string()));
        assert_eq!(group.ran_out_of_memory(), None);

        group.kill();

        assert!(os::ends_within(daemon, Duration::from_secs(10)));
        assert_eq!(
            os::Ending::from(shell.wait().unwrap()),
            os::Ending::Signal(9)
        );
        let (folder, all) = (group.folder.clone(), groups.folder.clone());
        groups.remove(group);
        assert!(!folder.exists());
        drop(groups);
        assert!(!all.exists());
    }

    #[test]
    fn a_group_that_is_still_in_use_is_removed_later() {
        let Some((mut groups, _alone)) = groups() else {
            return;
        };
        let mut shell = shell();
        let group = joined(&groups, "1", shell.id());
        let folder = group.folder.clone();
        groups.remove(group);
        assert!(folder.exists());
        shell.kill().unwrap();
        shell.wait().unwrap();
        let next = Group {
            folder: folder.join("none"),
            moves: groups.moves.clone(),
            limits_memory: false,
        };
        groups.remove(next);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_dead_worker_left_is_ended_and_what_a_living_one_has_is_not() {
        let Some((living, _alone)) = groups() else {
            return;
        };
        let mut kept = shell();
        joined(&living, "1", kept.id());
        let dead = living.home.join(format!("{FOLDER}dead"));
        let mut left = shell();
        fs_err::create_dir_all(dead.join("1")).unwrap();
        join(&dead.join("1"), &left.id().to_string()).unwrap();

        drop(Groups::make(living.home.clone()).unwrap());

        left.wait().unwrap();
        assert!(kept.try_wait().unwrap().is_none());
        assert!(living.folder.exists());
        kept.kill().unwrap();
        kept.wait().unwrap();
        drop(Groups::make(living.home.clone()).unwrap());
        assert!(!dead.exists());
    }

    #[test]
    fn a_kill_for_the_own_limit_is_told_from_one_for_the_want_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group {
            folder: folder.path().to_owned(),
            moves: mpsc::channel().0,
            limits_memory: true,
        };
        let shortage = |events: &str, max: &str| {
            fs_err::write(folder.path().join("memory.events"), events).unwrap();
            fs_err::write(folder.path().join("memory.max"), max).unwrap();
            group.ran_out_of_memory()
        };
        assert_eq!(group.ran_out_of_memory(), None, "there are no such files");
        assert_eq!(shortage("max 7\noom 1\noom_kill 0\n", "4096\n"), None);
        assert_eq!(
            shortage("max 7\noom 0\noom_kill 2\n", "4096\n"),
            Some(Shortage::System)
        );
        assert_eq!(
            shortage("max 7\noom 1\noom_kill 2\noom_group_kill 1\n", "4096\n"),
            Some(Shortage::Limit { most: 4096 })
        );
        assert_eq!(
            shortage("oom 1\noom_kill 1\n", "max\n"),
            Some(Shortage::System)
        );
    }

    #[test]
    fn what_is_being_made_is_not_taken_for_left_over() {
        let home = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        let is_done = || done.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done() {
                    remove_left_over(home.path()).unwrap();
                }
            });
            let made = (0..2000).all(|_| {
                locked_folder(home.path()).is_ok_and(|(folder, _lock)| {
                    fs_err::create_dir(folder.join("1")).is_ok()
                        && fs_err::remove_dir(folder.join("1")).is_ok()
                })
            });
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(made);
        });
    }

    #[test]
    fn the_switch_turns_them_off() {
        assert!(Groups::find(&[Ability::Cgroup]).is_none());
    }

    const LIMIT: u64 = 64 * 1024 * 1024;

    /// Has Python execute this once it is in a group of its own. Gives the line that it prints, if it does, and how
    /// it ran out of memory, if it did.
    fn limited(groups: &mut Groups, name: &str, script: &str) -> (String, Option<Shortage>) {
        let mut command = Command::new("python3");
        command.args(["-c", &format!("input()\n{script}")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = command.spawn().unwrap();
        let group = joined(groups, name, python.id());
        group.limit_memory(LIMIT);
        python.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(python.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let out_of_memory = group.ran_out_of_memory();
        group.kill();
        python.wait().unwrap();
        groups.remove(group);
        (line, out_of_memory)
    }

    #[test]
    fn what_is_in_a_group_is_limited() {
        const FORKS: &str = "
import os, signal
for count in range(100):
    try:
        if os.fork() == 0: signal.pause()
    except OSError:
        print(count, flush=True)
        signal.pause()
print(100)
";
        const TAKES: &str = "held = b'.' * 30_000_000\nprint(len(held))";
        let Some((mut groups, _alone)) = groups() else {
            return;
        };
        if groups.controllers() != CONTROLLERS {
            println!(
                "not tested here: the controllers are {:?}",
                groups.controllers()
            );
            return;
        }
        let mut limited = |name, script: &str| limited(&mut groups, name, script);
        assert_eq!(limited("1", FORKS), ("19\n".to_owned(), None));
        assert_eq!(limited("2", TAKES), ("30000000\n".to_owned(), None));
        let too_much = TAKES.replace("30", "300");
        let most = LIMIT + LIMIT / 16;
        let exceeded = Some(Shortage::Limit { most });
        assert_eq!(limited("3", &too_much), (String::new(), exceeded));
    }
}
