//! Runs one command that executes somebody else's code to its end, shut in as actions are: what builds an environment
//! also runs whatever the packages in it bring for that.
//!
//! It knows nothing of packages. When the command has ended, or its time is up, everything that it started is ended too.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::os::{self, Ability, Ending};
use crate::private::PrivateFolder;
use crate::sandbox;

/// A command, and what it may reach.
#[derive(Clone, Debug)]
pub struct Confined {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// All that it has, besides a home and a folder for temporary files.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder of the project that it is about, which it may read.
    pub project: PathBuf,
    /// An interpreter whose installation it may read.
    pub python: PathBuf,
    /// What else it may read.
    pub readable: Vec<PathBuf>,
    /// Folders that are there, without links in their paths, that it may write to. Where the code is another user's, they
    /// become that user's, with all that is in them.
    pub writable: Vec<PathBuf>,
    /// How large a file may become.
    pub file_bytes: u64,
    pub time: Duration,
    /// Without, it may do whatever this program may.
    pub sandbox: bool,
    pub without: Vec<Ability>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ended(Ending),
    /// It was ended, because its time was up.
    TimedOut,
}

impl Confined {
    /// Waits for its end. `output` gets what it and all that it started write to standard output and standard error.
    ///
    /// # Errors
    /// When it cannot be started, or cannot be shut in.
    pub fn run(&self, output: &mut dyn FnMut(&[u8])) -> io::Result<Outcome> {
        let strays = os::Strays::adopt();
        let folder = PrivateFolder::make()?;
        let (mut reader, writer) = io::pipe()?;
        let mut command = self.command(folder.path())?;
        os::in_own_session(&mut command, !self.sandbox)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = command.spawn()?;
        // It holds the writing end.
        drop(command);
        let outcome = thread::scope(|scope| {
            let watch = scope.spawn(|| watch(&mut child, self.time, &strays));
            // The end comes when nobody is left who could write.
            let read = pass_on(&mut reader, output);
            let outcome = watch
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("its watcher died")));
            read.and(outcome)
        })?;
        match sandbox::report(folder.path()) {
            Some(Err(why)) if self.sandbox => Err(io::Error::other(why)),
            None if self.sandbox => Err(io::Error::other("its sandbox was not built")),
            _ => Ok(outcome),
        }
    }

    fn command(&self, folder: &Path) -> io::Result<Command> {
        if self.sandbox {
            return sandbox::command_of(self, folder);
        }
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(folder)
            .env_clear()
            .envs([("HOME", folder), ("TMPDIR", folder)])
            .envs(self.environment.iter().cloned());
        Ok(command)
    }
}

/// Waits until the command ends or its time is up, and ends all that is left of it.
fn watch(child: &mut Child, time: Duration, strays: &os::Strays) -> io::Result<Outcome> {
    let in_time = os::ends_within(child.id(), time);
    // Not reaped yet, so the id is its own.
    os::kill_tree(child.id());
    let status = child.wait()?;
    strays.end_all();
    Ok(if in_time {
        Outcome::Ended(status.into())
    } else {
        Outcome::TimedOut
    })
}

fn pass_on(reader: &mut PipeReader, output: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => output(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
