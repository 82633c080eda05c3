//! The launcher: what the program is when it was executed again to shut a zygote in.
//!
//! It has one thread and runs nobody's code. After the walls stand, it is the parent and the guardian of what is inside:
//! it ends all of it with the worker, however that ends, and else ends as the zygote did.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use libc::{CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getegid, geteuid, getppid,
    kill_process, pidfd_open, set_dumpable_behavior, waitpid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::set_name;

use super::allowed::is_root;
use super::inside::{Walls, Word, become_zygote, tell};
use super::limits;
use super::plan::{LAUNCHER, Plan};
use crate::os::{self, Ability};
use crate::sandbox::Layers;
use crate::sandbox::Namespaces;

/// The exit status when nothing was started.
const NOT_STARTED: u8 = 125;

/// Does the launcher's work if this process is one, and says with which status it is to end. A program that uses a
/// sandbox must call this before anything else, with its own arguments.
pub fn launch_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.next()? != LAUNCHER {
        return None;
    }
    let text = arguments.next()?;
    let plan = text
        .to_str()
        .and_then(|text| serde_json::from_str::<Plan>(text).ok());
    let failed = Some(ExitCode::from(NOT_STARTED));
    let Some(plan) = plan else { return failed };
    let strays = os::Strays::adopt();
    let (child, worker) = match start(&plan) {
        Ok(started) => started,
        Err(error) => {
            // Without a report the worker knows that much, too.
            let _ = plan.report(&Err(error));
            return failed;
        }
    };
    let status = guard(child, &worker, &strays, &plan);
    Some(status.map_or(ExitCode::from(NOT_STARTED), end_likewise))
}

/// The first walls that can be built, with Python behind them, and the worker.
fn start(plan: &Plan) -> Result<(Pid, OwnedFd), String> {
    let text = |error: io::Error| error.to_string();
    close_inherited().map_err(|error| {
        format!("closing what was inherited: {error}; it takes Linux 5.9 or later")
    })?;
    set_name(c"ziet-launcher").map_err(|error| text(error.into()))?;
    let worker = Pid::from_raw(plan.worker).ok_or("no worker")?;
    let watched = pidfd_open(worker, PidfdFlags::empty()).map_err(|error| error.to_string())?;
    if getppid() != Some(worker) {
        return Err("the worker is gone".to_owned());
    }
    if is_root(&plan.project) {
        let error = "a project in / cannot be shut in, since all files would be its own: it needs a folder to itself";
        return Err(error.to_owned());
    }
    let mut refusals = Vec::new();
    for walls in possible(plan) {
        match attempt(plan, walls).map_err(text)? {
            Ok(child) => return Ok((child, watched)),
            Err(Word::NotThese(why)) => refusals.push(why),
            Err(Word::Refused(why)) => return Err(why),
            Err(Word::Shut(_)) => return Err("the process died while it was shut in".to_owned()),
        }
    }
    Err(impossible(&refusals))
}

fn impossible(refusals: &[String]) -> String {
    if refusals.is_empty() {
        return "no sandbox is possible without both Landlock and namespaces: take one out of ZIET_WITHOUT".to_owned();
    }
    format!(
        "no sandbox is possible here ({}): it takes Linux 5.13 or later with landlock among its security modules, or \
         the permission to make namespaces; `--sandbox off` does without",
        refusals.join("; ")
    )
}

/// From the best to what is just enough.
fn possible(plan: &Plan) -> Vec<Walls> {
    let mut found = Vec::new();
    if !plan.without.contains(&Ability::Namespaces) {
        let root = geteuid().is_root();
        let of_users = (!root).then(|| (geteuid().as_raw(), getegid().as_raw()));
        let processes = limits::processes(plan.user, of_users.is_some());
        found.extend(
            [Namespaces::MountsAndProcesses, Namespaces::Mounts].map(|namespaces| Walls {
                namespaces: Some(namespaces),
                of_users,
                processes,
            }),
        );
    }
    if !plan.without.contains(&Ability::Landlock) {
        found.push(Walls {
            namespaces: None,
            of_users: None,
            processes: limits::processes(plan.user, false),
        });
    }
    found
}

/// Python behind these walls, or what the child said before it gave up.
fn attempt(plan: &Plan, walls: Walls) -> io::Result<Result<Pid, Word>> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let group = plan.group.as_ref().map(fs_err::File::open).transpose()?;
    let group = group.map(|folder| OwnedFd::from(folder.into_parts().0));
    let mut made = clone(walls, group.as_ref());
    // A kernel before 5.7, or the filter that containers have, refuses that: then it is moved there.
    let moves = made.is_err() && group.is_some();
    if moves {
        made = clone(walls, None);
    }
    let child = match made {
        Ok(Some(child)) => child,
        Ok(None) => {
            drop(ours);
            let word = become_zygote(plan, walls, &mut theirs);
            let _ = tell(&theirs, &word);
            #[expect(
                clippy::exit,
                clippy::disallowed_methods,
                reason = "nothing of the launcher is this copy's to clear up"
            )]
            std::process::exit(NOT_STARTED.into());
        }
        Err(error) => return Ok(Err(Word::NotThese(format!("clone: {error}")))),
    };
    drop(theirs);
    if let Some(group) = plan.group.as_ref().filter(|_| moves) {
        // Where that is not allowed, processes are ended and limited in other ways.
        let pid = child.as_raw_nonzero().to_string();
        let _ = fs_err::write(group.join("cgroup.procs"), pid);
    }
    let mut words = BufReader::new(&ours);
    let mut hear = || -> io::Result<Option<Word>> {
        let mut line = String::new();
        words.read_line(&mut line)?;
        Ok(serde_json::from_str(&line).ok())
    };
    let refused = |word: Option<Word>| {
        let word = word
            .unwrap_or_else(|| Word::Refused("the process died while it was shut in".to_owned()));
        reap(child).map(|_| Err(word))
    };
    match hear()? {
        Some(Word::Shut(layers)) => {
            consent(plan, layers, &ours)?;
            match hear()? {
                // The socket closed as Python was executed.
                None => Ok(Ok(child)),
                word => refused(word),
            }
        }
        word => refused(word),
    }
}

/// Before any of the project's code runs, it is written down what holds it, and nothing of this process is in reach.
fn consent(plan: &Plan, layers: Layers, mut child: &UnixStream) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    plan.report(&Ok(layers))?;
    child.write_all(&[1])
}

/// None in the child, which is in its control group from the start: to move there later would take longer.
fn clone(walls: Walls, group: Option<&OwnedFd>) -> io::Result<Option<Pid>> {
    let mut flags = match walls.namespaces {
        Some(Namespaces::MountsAndProcesses) => CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID,
        Some(Namespaces::Mounts) => CLONE_NEWNS | CLONE_NEWIPC,
        None => 0,
    };
    if walls.of_users.is_some() {
        flags |= CLONE_NEWUSER;
    }
    let nothing = std::ptr::null::<libc::c_void>();
    let made = match group {
        None => {
            let flags = flags | libc::SIGCHLD;
            #[expect(unsafe_code, reason = "no library has a fork that makes namespaces")]
            // SAFETY: this process has one thread, and the child gets a copy of its memory, as with fork.
            unsafe {
                libc::syscall(libc::SYS_clone, flags, nothing, nothing, nothing, nothing)
            }
        }
        Some(group) => {
            let arguments = CloneArguments {
                flags: CLONE_INTO_CGROUP | u64::from(flags.unsigned_abs()),
                exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
                cgroup: u64::from(group.as_raw_fd().unsigned_abs()),
                ..CloneArguments::default()
            };
            #[expect(unsafe_code, reason = "no library has a fork into a control group")]
            // SAFETY: as above; the kernel only reads the arguments, of which it is given the size.
            unsafe {
                libc::syscall(
                    libc::SYS_clone3,
                    &raw const arguments,
                    size_of_val(&arguments),
                )
            }
        }
    };
    match i32::try_from(made) {
        Ok(made) if made >= 0 => Ok(Pid::from_raw(made)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What `clone3` takes, by the order of its fields.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    /// Descriptors, thread ids, a stack and so on: not wanted.
    unused: [u64; 3],
    exit_signal: u64,
    unused_too: [u64; 5],
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Whatever else the program's own parent left open is not for anybody inside.
fn close_inherited() -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "no library has it for descriptors that nobody owns"
    )]
    // SAFETY: nothing in this process has been given a descriptor yet, but for the three that stay.
    let status = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for the end of the zygote, or of the worker, and ends all that is left.
fn guard(child: Pid, worker: &OwnedFd, strays: &os::Strays, plan: &Plan) -> io::Result<WaitStatus> {
    let zygote = pidfd_open(child, PidfdFlags::empty())?;
    // Whoever reads what the zygote writes must see the end of it.
    let null = fs_err::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    let mut ends = [
        PollFd::new(worker, PollFlags::IN),
        PollFd::new(&zygote, PollFlags::IN),
    ];
    retry_on_intr(|| poll(&mut ends, None))?;
    let worker_gone = !ends[0].revents().is_empty();
    if worker_gone {
        // It may just have ended by itself.
        let _ = kill_process(child, Signal::KILL);
    }
    let status = reap(child)?;
    strays.end_all();
    if worker_gone {
        // The worker would have done that.
        let _ = fs_err::remove_dir_all(&plan.folder);
    }
    Ok(status)
}

fn reap(child: Pid) -> io::Result<WaitStatus> {
    let ended = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()))?;
    ended.map_or(Err(Errno::CHILD.into()), |(_, status)| Ok(status))
}

/// With the same exit status, or of the same signal.
fn end_likewise(status: WaitStatus) -> ExitCode {
    if let Some(signal) = status.terminating_signal() {
        #[expect(
            unsafe_code,
            reason = "the standard library has handlers that no safe function takes back"
        )]
        // SAFETY: neither call touches memory, and nothing in this process counts on a handler any more.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    let status = status
        .exit_status()
        .and_then(|status| u8::try_from(status).ok());
    ExitCode::from(status.unwrap_or(NOT_STARTED))
}
