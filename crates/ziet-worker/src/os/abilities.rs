//! What this machine lets a worker do, found out by trying. Nothing here decides what that means.

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// How many times a disk is made to flush.
const FLUSHES: usize = 32;

/// What a system may have or lack, and what can be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ability {
    Landlock,
    /// Those of processes and of mounts, and where needed of users.
    Namespaces,
    Cgroup,
}

impl Ability {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "landlock" => Some(Self::Landlock),
            "namespaces" => Some(Self::Namespaces),
            "cgroup" => Some(Self::Cgroup),
            _ => None,
        }
    }
}

/// What the machine allows. What an operating system does not have is None or false.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// `Linux 6.1.0`
    pub system: String,
    /// The version of Landlock's interface.
    pub landlock: Option<u32>,
    pub no_new_privileges: bool,
    pub cgroup: Option<Cgroup>,
    pub root: bool,
    pub pidfd: bool,
    pub processors: usize,
    pub memory_bytes: Option<u64>,
    /// None where there is no limit.
    pub open_files: Option<u64>,
    /// None where there is no limit.
    pub processes: Option<u64>,
}

/// This process's group in the hierarchy of version 2.
#[derive(Clone, Debug)]
pub struct Cgroup {
    pub folder: PathBuf,
    /// What can be limited there.
    pub controllers: Vec<String>,
    /// Whether a group below it could be made, and if so, whether that can be killed as a whole.
    pub leaf: Result<bool, String>,
}

impl Abilities {
    pub fn probe() -> Self {
        let about = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self {
            system: format!("{} {}", text(about.sysname()), text(about.release())),
            landlock: super::landlock(),
            no_new_privileges: super::no_new_privileges(),
            cgroup: super::cgroup(),
            root: rustix::process::geteuid().is_root(),
            pidfd: super::pidfd(),
            processors: available_parallelism().map_or(1, NonZero::get),
            memory_bytes: super::memory_bytes(),
            open_files: getrlimit(Resource::Nofile).current,
            processes: getrlimit(Resource::Nproc).current,
        }
    }
}

/// How long the disk of a folder takes to hold 4096 bytes for good: the median of some tries.
pub fn flush_time(folder: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.write_all(&[1; 4096])?;
        #[expect(clippy::disallowed_methods, reason = "this measures a duration")]
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[FLUSHES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &str) -> String {
        let mut shell = std::process::Command::new("/bin/sh");
        let said = shell.args(["-c", script]).output().unwrap().stdout;
        String::from_utf8(said).unwrap().trim().to_owned()
    }

    #[test]
    fn what_is_found_is_what_others_find() {
        let found = Abilities::probe();
        assert_eq!(found.system, said("uname -sr"));
        assert_eq!(found.root, said("id -u") == "0");
        let files = found.open_files.map(|limit| limit.to_string());
        assert_eq!(files.unwrap_or("unlimited".to_owned()), said("ulimit -n"));
    }

    #[test]
    fn probing_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        flush_time(folder.path()).unwrap();
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
        assert!(flush_time(&folder.path().join("none")).is_err());
        if let Some(Cgroup { folder, .. }) = Abilities::probe().cgroup {
            let below = fs_err::read_dir(folder).unwrap().flatten();
            let mut names = below.map(|entry| entry.file_name());
            assert!(names.all(|name| !name.to_string_lossy().starts_with("ziet-probe-")));
        }
    }
}
