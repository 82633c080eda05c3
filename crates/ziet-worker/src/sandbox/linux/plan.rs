//! What the worker prepares for a sandbox, and what it hands to the launcher.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{AtFlags, CWD, Gid, Uid, chown, chownat};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;
use ziet_core::limits::SCRATCH_BYTES;

use super::{allowed, user};
use crate::confined::Confined;
use crate::os::Ability;
use crate::private::{PrivateFolder, SOCKET};
use crate::sandbox::{HOME, Layers};
use crate::worker::WorkerSettings;
use crate::zygote::Place;

/// By this name the program knows that it is to be the launcher.
pub(super) const LAUNCHER: &str = "ziet-launcher";

/// Where the launcher says what it has done, in the worker's private folder.
const REPORT: &str = "sandbox.json";

/// All that is handed on of the supervisor's environment.
const PASSED_ON: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// How the variables that are given to the project are called until it is shut in: the launcher itself must not follow
/// them, and its arguments can be read by everybody.
const GIVEN: &str = "ZIET_GIVEN_";

/// What the launcher is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan {
    /// The process that it follows into death.
    pub(super) worker: i32,
    /// A private folder of the worker's; removed when the worker is gone.
    pub(super) folder: PathBuf,
    /// Of the executors, where there are some.
    pub(super) socket: Option<PathBuf>,
    /// The control group to be in.
    pub(super) group: Option<PathBuf>,
    /// What is executed: Python, or what builds its environment.
    pub(super) program: PathBuf,
    /// What the path to it leads to.
    pub(super) executable: PathBuf,
    pub(super) arguments: Vec<PathBuf>,
    /// The folder of the project, which must be readable for anything to work.
    pub(super) project: PathBuf,
    pub(super) readable: Vec<PathBuf>,
    /// Folders that it may write to, besides the scratch folder.
    pub(super) writable: Vec<PathBuf>,
    pub(super) hidden: PathBuf,
    /// How large a file may become.
    pub(super) file_bytes: u64,
    /// The user to become, if that is another one.
    pub(super) user: Option<u32>,
    pub(super) without: Vec<Ability>,
}

impl Plan {
    pub(super) fn scratch(&self) -> PathBuf {
        scratch(&self.folder)
    }

    /// The one of the process that imports the project.
    pub(super) fn home(&self) -> PathBuf {
        self.scratch().join(HOME)
    }

    /// The folders that may be written to.
    pub(super) fn written(&self) -> impl Iterator<Item = PathBuf> {
        self.writable.iter().cloned().chain([self.scratch()])
    }

    /// Where the new root is put together.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// What is executed inside at last.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for (name, value) in std::env::vars_os() {
            if let Some(own) = name.to_str().and_then(|name| name.strip_prefix(GIVEN)) {
                command.env_remove(&name).env(own, value);
            }
        }
        command
    }

    /// # Errors
    /// When the folder cannot be written to.
    pub(super) fn report(&self, said: &Result<Layers, String>) -> io::Result<()> {
        fs_err::write(self.folder.join(REPORT), serde_json::to_vec(said)?)
    }
}

/// The command that shuts Python in and becomes its guardian: it ends when and as Python does. Makes the folder of
/// the socket ready for whoever will be inside, and this process unreadable for them.
///
/// # Errors
/// When the folder cannot be prepared, or a path is not UTF-8.
pub(crate) fn command<'a>(
    settings: &WorkerSettings,
    place: &Place<'_>,
    arguments: impl Iterator<Item = &'a OsStr>,
) -> io::Result<Command> {
    let python = std::path::absolute(&settings.python.path)?;
    let socket = place.socket;
    let command = launcher(&Plan {
        worker: own_id(),
        folder: socket.parent().unwrap_or(socket).to_owned(),
        socket: Some(socket.to_owned()),
        group: place.group.map(|group| group.folder().to_owned()),
        arguments: arguments.map(PathBuf::from).collect(),
        readable: allowed::readable(&python, settings.sdk.iter().chain([&settings.project.root])),
        writable: Vec::new(),
        hidden: allowed::hidden(&settings.project.root),
        project: settings.project.root.clone(),
        executable: fs_err::canonicalize(&python)?,
        program: python,
        file_bytes: SCRATCH_BYTES,
        user: user::other(),
        without: settings.without.clone(),
    });
    let mut command = command?;
    command
        .envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let given = settings.environment.iter();
    command.envs(given.map(|(name, value)| (format!("{GIVEN}{name}"), value)));
    Ok(command)
}

/// As [`command`], for something else that is about a project; `folder` is a private one. It gets no environment but
/// that of `confined`.
///
/// # Errors
/// When a folder cannot be prepared, or a path is not UTF-8.
pub(crate) fn command_of(confined: &Confined, folder: &Path) -> io::Result<Command> {
    let shown = confined
        .readable
        .iter()
        .chain([&confined.project, &confined.program]);
    let mut command = launcher(&Plan {
        worker: own_id(),
        folder: folder.to_owned(),
        socket: None,
        group: None,
        arguments: confined.arguments.iter().map(PathBuf::from).collect(),
        readable: allowed::readable(&confined.python, shown),
        writable: confined.writable.clone(),
        hidden: allowed::hidden(&confined.project),
        project: confined.project.clone(),
        executable: fs_err::canonicalize(&confined.program)?,
        program: confined.program.clone(),
        file_bytes: confined.file_bytes,
        user: user::other(),
        without: confined.without.clone(),
    })?;
    command.envs(confined.environment.iter().cloned());
    Ok(command)
}

fn own_id() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// This program as the one that builds the walls.
fn launcher(plan: &Plan) -> io::Result<Command> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    prepare(plan)?;
    let home = plan.home();
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(LAUNCHER)
        .arg(serde_json::to_string(plan)?)
        .env_clear()
        .envs([("HOME", &home), ("TMPDIR", &home)])
        .envs([("USER", "ziet"), ("LOGNAME", "ziet")]);
    Ok(command)
}

fn prepare(plan: &Plan) -> io::Result<()> {
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700);
    folders.create(plan.home())?;
    folders.create(plan.root())?;
    if let Some(id) = plan.user {
        let (user, group) = (Some(Uid::from_raw(id)), Some(Gid::from_raw(id)));
        let scratch = [plan.scratch(), plan.home()];
        for path in scratch.iter().chain(&plan.socket) {
            chown(path, user, group)?;
        }
        plan.writable
            .iter()
            .try_for_each(|folder| give(folder, id))?;
        // Through it, the other user gets to what is its own, and sees nothing else.
        chown(&plan.folder, None, group)?;
        fs_err::set_permissions(&plan.folder, Permissions::from_mode(0o710))?;
    }
    Ok(())
}

/// Makes a folder, and all that an earlier user has left in it, that of a user. No link is followed.
fn give(folder: &Path, id: u32) -> io::Result<()> {
    let (user, group) = (Some(Uid::from_raw(id)), Some(Gid::from_raw(id)));
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        if entry.metadata()?.uid() != id {
            chownat(CWD, entry.path(), user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

/// The folder in a worker's private one in which everything inside may write.
pub(crate) fn scratch(folder: &Path) -> PathBuf {
    folder.join("scratch")
}

/// What the launcher has done by the time that Python runs, or why it does not; None when it did not get that far.
pub(crate) fn report(folder: &Path) -> Option<Result<Layers, String>> {
    let text = fs_err::read(folder.join(REPORT)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Shuts a Python in that does nothing, and says what holds it.
///
/// # Errors
/// With the reason why it cannot be done.
pub(crate) fn probe(settings: &WorkerSettings) -> Result<Layers, String> {
    let (folder, done) = try_out(settings).map_err(|error| error.to_string())?;
    let layers = report(folder.path()).unwrap_or_else(|| Err(done.status.to_string()))?;
    if done.status.success() {
        return Ok(layers);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!("{}: {}", done.status, said.trim_end()))
}

fn try_out(settings: &WorkerSettings) -> io::Result<(PrivateFolder, Output)> {
    let folder = PrivateFolder::make()?;
    let socket = folder.path().join(SOCKET);
    let _listener = UnixListener::bind(&socket)?;
    let nothing = ["-c", ""].map(OsStr::new).into_iter();
    let place = Place {
        socket: &socket,
        group: None,
    };
    let done = command(settings, &place, nothing)?
        .stdin(Stdio::null())
        .output()?;
    Ok((folder, done))
}

fn is_passed_on(name: &OsString) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    name.starts_with("LC_") || PASSED_ON.contains(&name)
}
