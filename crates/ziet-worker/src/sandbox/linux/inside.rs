//! From the clone to Python: the child builds its walls one after the other, and then becomes the zygote.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::{Signal, chdir, set_parent_process_death_signal};
use rustix::thread::set_no_new_privs;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::{landlock, limits, mounts, user};
use crate::os::Ability;
use crate::sandbox::Layers;
use crate::sandbox::Namespaces;

/// Which walls are tried.
#[derive(Clone, Copy)]
pub(super) struct Walls {
    pub(super) namespaces: Option<Namespaces>,
    /// The user and the group in a namespace of users, whose owner may make the others, if that takes one.
    pub(super) of_users: Option<(u32, u32)>,
    pub(super) processes: u64,
}

/// What the child says to its guardian.
#[derive(Serialize, Deserialize)]
pub(super) enum Word {
    /// All walls stand; Python comes next.
    Shut(Layers),
    /// These walls cannot be built here; others may.
    NotThese(String),
    /// Nothing else would help.
    Refused(String),
}

/// Returns only when it failed, with the reason. Waits for the guardian's consent before it becomes Python.
pub(super) fn become_zygote(plan: &Plan, walls: Walls, guardian: &mut UnixStream) -> Word {
    let layers = match build(plan, walls) {
        Ok(layers) => layers,
        Err(word) => return word,
    };
    if let Err(error) = last_steps(plan) {
        return Word::Refused(error);
    }
    // It ends with its guardian from here on; one that has ended by now says nothing.
    let consent = tell(guardian, &Word::Shut(layers)).and_then(|()| guardian.read_exact(&mut [0]));
    if let Err(error) = consent {
        return Word::Refused(error.to_string());
    }
    let error = plan.command().exec();
    Word::Refused(format!("{}: {error}", plan.program.display()))
}

pub(super) fn tell(mut socket: &UnixStream, word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    socket.write_all(&line)
}

fn build(plan: &Plan, walls: Walls) -> Result<Layers, Word> {
    let own_processes = walls.namespaces == Some(Namespaces::MountsAndProcesses);
    if let Some((user, group)) = walls.of_users {
        hold_one_user(user, group)
            .map_err(|error| Word::NotThese(format!("a namespace of users: {error}")))?;
    }
    if walls.namespaces.is_some() {
        mounts::enter(plan, own_processes).map_err(Word::NotThese)?;
    }
    let refused = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Word::Refused(format!("{what}: {error}"))
    };
    limits::apply(walls.processes, plan.file_bytes).map_err(refused("limits of resources"))?;
    if let Some(id) = plan.user {
        user::become_user(id).map_err(refused(&format!("becoming user {id}")))?;
    }
    user::drop_capabilities().map_err(refused("giving up capabilities"))?;
    set_no_new_privs(true).map_err(|error| refused("no_new_privs")(error.into()))?;
    reachable(plan).map_err(Word::Refused)?;
    let landlock = if plan.without.contains(&Ability::Landlock) {
        None
    } else {
        match landlock::restrict(plan, walls.namespaces) {
            Ok(version) => Some(version),
            // The other walls do alone, too.
            Err(_) if walls.namespaces.is_some() => None,
            Err(error) => return Err(Word::NotThese(error)),
        }
    };
    Ok(Layers {
        landlock,
        namespaces: walls.namespaces,
        user: plan.user,
        processes: walls.processes,
    })
}

/// The namespace of users holds this one user, who stays the same.
fn hold_one_user(user: u32, group: u32) -> io::Result<()> {
    fs_err::write("/proc/self/setgroups", "deny")?;
    fs_err::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs_err::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

fn last_steps(plan: &Plan) -> Result<(), String> {
    let home = plan.home();
    chdir(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    // Of the user that it has become.
    leave_keyring().map_err(|error| format!("a keyring of its own: {error}"))?;
    // After the change of users, which takes it back.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())
}

/// Joins an empty session keyring: whoever is in the supervisor's may read the keys in it.
fn leave_keyring() -> io::Result<()> {
    let nothing = std::ptr::null::<libc::c_char>();
    #[expect(unsafe_code, reason = "rustix does not have the call")]
    // SAFETY: without a name for the keyring, the call touches no memory.
    let joined =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, nothing) };
    if joined >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // There are no keyrings, or a filter keeps them from everybody in the container.
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

/// Says which folder is in the way, of what nothing works without.
fn reachable(plan: &Plan) -> Result<(), String> {
    let needed = [
        (
            "the folder of the project",
            &plan.project,
            Access::READ_OK | Access::EXEC_OK,
        ),
        ("the program", &plan.executable, Access::EXEC_OK),
        (
            "the scratch folder",
            &plan.home(),
            Access::READ_OK | Access::WRITE_OK,
        ),
    ];
    let socket = plan.socket.iter();
    let socket = socket.map(|path| ("the socket of the executors", path, Access::WRITE_OK));
    for (what, path, how) in needed.into_iter().chain(socket) {
        let Err(error) = access(path, how) else {
            continue;
        };
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let closed = above
            .into_iter()
            .find(|folder| access(*folder, Access::EXEC_OK).is_err());
        let place = closed.unwrap_or(path).display();
        let who = plan.user.map_or("this user".to_owned(), |id| {
            format!("user {id}, as which the project's code runs because ziet is run by root")
        });
        return Err(format!(
            "{what}, {}, is out of reach for {who}: {place}: {error}",
            path.display()
        ));
    }
    Ok(())
}
