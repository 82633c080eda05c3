//! Measures what attempts use, in a thread of its own: reading `/proc` and walking folders takes too long for the loop.
//!
//! It answers each [`Watcher::look`] with [`Findings`] and wakes the loop. In between it sleeps. It knows nothing of
//! limits being exceeded, and nothing of whose a folder is: what is found means is for its owner to say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::unix::pipe;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use walkdir::WalkDir;
use ziet_core::limits::SCRATCH_BYTES;

use crate::os;

/// Scratch directories are walked at most so often, unless an attempt has begun since.
const WALK_EVERY: Duration = Duration::from_secs(1);

/// Entries of scratch directories that one look goes through: what attempts have in memory must not wait for that.
const ENTRIES: usize = 5000;

/// What a file or folder counts for at least, although it may be empty: it takes a place in the file system, too.
const ENTRY_BYTES: u64 = 4096;

/// Names side by side, after which a walk ends: so many are too much, however small each is.
const NAMES: usize = (SCRATCH_BYTES / ENTRY_BYTES) as usize + 1;

/// Of whom to look what it uses.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) executor: u64,
    /// A number of its own for each attempt of any executor.
    pub(crate) attempt: u64,
    pub(crate) pid: u32,
    /// Bytes that the executor had resident before the attempt, which are not the attempt's.
    pub(crate) had: u64,
    /// Those of them that it has not from its fork.
    pub(crate) kept: u64,
    /// Bytes of memory beyond which it is worth a closer look.
    pub(crate) limit: u64,
}

/// What an attempt has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) executor: u64,
    pub(crate) attempt: u64,
    /// Bytes that the executor and its descendants have resident, without what it had before.
    pub(crate) memory: u64,
}

/// What a walk has come across so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The folder in which the scratch directories are.
    pub(crate) root: PathBuf,
    /// The number of the last attempt that had begun when the walk began: of later ones it says nothing.
    pub(crate) begun: u64,
    /// By what lies in the folder.
    pub(crate) found: BTreeMap<OsString, Found>,
    pub(crate) is_over: bool,
}

/// One file or folder with all that is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) bytes: u64,
    /// Whether there is anything in it.
    pub(crate) holds: bool,
}

pub(crate) struct Look {
    pub(crate) watched: Vec<Watched>,
    /// The folder in which the scratch directories are, if there are any, and the number of the last attempt that has
    /// begun.
    pub(crate) scratch: Option<(PathBuf, u64)>,
    pub(crate) now: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    /// One whose process is gone has none.
    pub(crate) readings: Vec<Reading>,
    /// None where nothing has been walked at this look.
    pub(crate) walked: Option<Walked>,
}

/// The thread, seen from the loop; it ends when this is dropped.
pub(crate) struct Watcher {
    looks: mpsc::Sender<Look>,
    findings: mpsc::Receiver<Findings>,
    woken: pipe::Receiver,
}

impl Watcher {
    /// Starts the thread; `token` gets ready when there are findings.
    pub(crate) fn start(registry: &Registry, token: Token) -> std::io::Result<Self> {
        let (mut wake, mut woken) = pipe::new()?;
        registry.register(&mut woken, token, Interest::READABLE)?;
        let (looks, asked) = mpsc::channel::<Look>();
        let (answer, findings) = mpsc::channel();
        std::thread::Builder::new()
            .name("ziet-watch".to_owned())
            .spawn(move || {
                let mut walk = None;
                while let Ok(look) = asked.recv() {
                    let found = Findings {
                        readings: look.watched.iter().filter_map(reading).collect(),
                        walked: Walk::look(&mut walk, &look),
                    };
                    if answer.send(found).is_err() {
                        return;
                    }
                    // It is full only if the loop has not yet taken an earlier wake-up.
                    let _ = wake.write(&[1]);
                }
            })?;
        Ok(Self {
            looks,
            findings,
            woken,
        })
    }

    /// Asks for findings. Answered in order; so the next are asked for when the last have been answered.
    pub(crate) fn look(&self, look: Look) {
        // The thread ends only after this.
        let _ = self.looks.send(look);
    }

    /// What has come since the last call. None when no look has been answered; a look at nothing is answered with
    /// nothing.
    pub(crate) fn findings(&mut self) -> Option<Findings> {
        // Emptied before the answers are taken: one that comes later wakes again.
        while self.woken.read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
        self.findings.try_iter().last()
    }
}

fn reading(watched: &Watched) -> Option<Reading> {
    Some(Reading {
        executor: watched.executor,
        attempt: watched.attempt,
        memory: memory(watched)?,
    })
}

/// A walk through the scratch directories, which goes on from look to look.
struct Walk {
    since: Instant,
    rest: walkdir::IntoIter,
    walked: Walked,
}

impl Walk {
    /// Goes on with the walk, or begins another where it is time for that.
    fn look(last: &mut Option<Self>, look: &Look) -> Option<Walked> {
        let (root, begun) = look.scratch.as_ref()?;
        let goes_on = |walk: &Self| {
            let rests = walk.walked.begun == *begun
                && look.now.saturating_duration_since(walk.since) < WALK_EVERY;
            walk.walked.root == *root && (!walk.walked.is_over || rests)
        };
        let going = last.take().filter(goes_on);
        let walk = last.insert(going.unwrap_or_else(|| Self::begin(root, *begun, look.now)));
        if walk.walked.is_over {
            return None;
        }
        walk.go_on(ENTRIES);
        Some(walk.walked.clone())
    }

    /// Follows no links.
    fn begin(root: &Path, begun: u64, now: Instant) -> Self {
        let entries = WalkDir::new(root).min_depth(1).same_file_system(true);
        Self {
            since: now,
            rest: entries.follow_root_links(false).into_iter(),
            walked: Walked {
                root: root.to_owned(),
                begun,
                ..Walked::default()
            },
        }
    }

    /// Goes through so many more entries.
    fn go_on(&mut self, entries: usize) {
        for _ in 0..entries {
            let next = self.rest.next().filter(|_| self.walked.found.len() < NAMES);
            let Some(next) = next else {
                self.walked.is_over = true;
                return;
            };
            let path = match &next {
                Ok(entry) => Some(entry.path()),
                Err(error) => error.path(),
            };
            let below = path.and_then(|path| path.strip_prefix(&self.walked.root).ok());
            let mut names = below.into_iter().flatten();
            let Some(name) = names.next() else { continue };
            let found = self.walked.found.entry(name.to_owned()).or_default();
            found.bytes = found.bytes.saturating_add(bytes(&next));
            found.holds |= names.next().is_some();
        }
    }
}

/// Every process that shares a page has it resident; so a process and its forks may seem to have a multiple of what
/// they take. Only if that exceeds the limit are the pages shared out among those that have them, which takes long.
fn memory(watched: &Watched) -> Option<u64> {
    let own = os::resident(watched.pid)?;
    let below = os::descendants(watched.pid);
    let all = || below.iter().copied();
    let resident = own + all().filter_map(os::resident).sum::<u64>();
    let memory = resident.saturating_sub(watched.had);
    if memory <= watched.limit || below.is_empty() {
        return Some(memory);
    }
    // Who may not be looked at is counted in full.
    let shared_out = |pid| os::proportional(pid).or_else(|| os::resident(pid));
    let proportional: u64 = all().chain([watched.pid]).filter_map(shared_out).sum();
    Some(memory.min(proportional.saturating_sub(watched.kept)))
}

/// Bytes that an entry takes on the disk. One that vanishes meanwhile takes none. One that is hidden, by a path longer
/// than there may be or by its mode, may take any number: so many as are too much.
fn bytes(entry: &walkdir::Result<walkdir::DirEntry>) -> u64 {
    let number = |error: &walkdir::Error| error.io_error().and_then(std::io::Error::raw_os_error);
    let hidden = |error: &walkdir::Error| {
        let hides = [Errno::NAMETOOLONG, Errno::ACCESS].map(Errno::raw_os_error);
        number(error).is_some_and(|number| hides.contains(&number))
    };
    let if_failed = |error: &walkdir::Error| if hidden(error) { SCRATCH_BYTES + 1 } else { 0 };
    match entry {
        Ok(entry) => entry
            .metadata()
            .map_or_else(|error| if_failed(&error), |about| disk_bytes(&about)),
        Err(error) => if_failed(error),
    }
}

fn disk_bytes(about: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    /// What `st_blocks` counts in, whatever the file system's own blocks are.
    const BLOCK: u64 = 512;
    (about.blocks() * BLOCK).max(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::{Child, Command, Stdio};

    use mio::{Events, Poll};

    use super::*;

    const WATCHER: Token = Token(5);
    const MB: u64 = 1024 * 1024;

    /// A process that has this many MB, forks as often, and lives until its standard input is closed.
    fn hog(megabytes: usize, forks: usize) -> Child {
        use std::io::{BufRead, BufReader};
        let script = format!(
            "import os, sys\nheld = bytearray(os.urandom(1024) * 1024 * {megabytes})\nparent = os.getpid()\n\
             for _ in range({forks}):\n if os.getpid() == parent: os.fork()\n\
             if os.getpid() == parent: print(1, flush=True)\nsys.stdin.read()"
        );
        let mut command = Command::new("python3");
        command.args(["-c", &script]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        child
    }

    fn watched(pid: u32, limit: u64) -> Watched {
        Watched {
            executor: 3,
            attempt: 8,
            pid,
            had: 0,
            kept: 0,
            limit,
        }
    }

    /// One answer of the thread, by way of the loop.
    fn answer(watcher: &mut Watcher, poll: &mut Poll, all: Vec<Watched>) -> Vec<Reading> {
        assert_eq!(watcher.findings(), None);
        watcher.look(Look {
            watched: all,
            scratch: None,
            now: now(),
        });
        let mut events = Events::with_capacity(4);
        loop {
            poll.poll(&mut events, Some(Duration::from_secs(20)))
                .unwrap();
            assert!(events.iter().all(|event| event.token() == WATCHER));
            assert!(!events.is_empty(), "nobody has woken the loop");
            if let Some(findings) = watcher.findings() {
                assert_eq!(findings.walked, None);
                return findings.readings;
            }
        }
    }

    fn watcher() -> (Watcher, Poll) {
        let poll = Poll::new().unwrap();
        (Watcher::start(poll.registry(), WATCHER).unwrap(), poll)
    }

    #[expect(clippy::disallowed_methods, reason = "a test passes the time in")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_process_is_measured_with_what_it_started_and_one_that_is_gone_is_not() {
        let (mut watcher, mut poll) = watcher();
        let mut hog = hog(50, 0);
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let all = vec![watched(gone.id(), MB), watched(hog.id(), 1024 * MB)];

        let [reading] = answer(&mut watcher, &mut poll, all)[..] else {
            panic!()
        };

        assert_eq!((reading.executor, reading.attempt), (3, 8));
        assert!((50 * MB..80 * MB).contains(&reading.memory), "{reading:?}");
        let own = Watched {
            had: 50 * MB,
            ..watched(hog.id(), 1024 * MB)
        };
        let [less] = answer(&mut watcher, &mut poll, vec![own])[..] else {
            panic!()
        };
        assert!(less.memory < 30 * MB, "{less:?}");
        drop(hog.stdin.take());
        hog.wait().unwrap();
        assert_eq!(answer(&mut watcher, &mut poll, Vec::new()), []);
    }

    #[test]
    fn memory_that_is_shared_with_forks_exceeds_no_limit_by_being_counted_often() {
        let mut hog = hog(50, 4);
        let memory = |limit| memory(&watched(hog.id(), limit)).unwrap();
        let (in_full, shared_out) = (memory(1024 * MB), memory(100 * MB));
        drop(hog.stdin.take());
        hog.wait().unwrap();
        assert!(in_full > 200 * MB, "{in_full}");
        assert!((50 * MB..100 * MB).contains(&shared_out), "{shared_out}");
    }

    /// What is found at so many milliseconds, when so many attempts have begun; None when nothing is walked.
    fn look(walk: &mut Option<Walk>, root: &Path, begun: u64, at: Instant) -> Option<Walked> {
        let look = Look {
            watched: Vec::new(),
            scratch: Some((root.to_owned(), begun)),
            now: at,
        };
        Walk::look(walk, &look)
    }

    #[test]
    fn folders_are_walked_once_in_a_second_and_when_an_attempt_has_begun() {
        let (root, start, mut walk) = (tempfile::tempdir().unwrap(), now(), None);
        let mut walks = |begun, after| {
            let at = start + Duration::from_millis(after);
            let walked = look(&mut walk, root.path(), begun, at);
            walked.map(|walked| {
                assert_eq!((walked.begun, walked.is_over), (begun, true));
                walked.found.values().map(|found| found.bytes).sum::<u64>()
            })
        };
        assert_eq!(walks(1, 0), Some(0));
        fs_err::write(root.path().join("file"), vec![1; 100_000]).unwrap();
        assert_eq!(walks(1, 990), None);
        assert!(walks(2, 990).unwrap() >= 100_000);
        fs_err::remove_file(root.path().join("file")).unwrap();
        assert_eq!(walks(2, 1980), None);
        assert_eq!(walks(2, 1990), Some(0));
    }

    /// What a whole walk finds under this name, three entries at a time.
    fn found(root: &Path, name: &str) -> Found {
        let mut walk = Walk::begin(root, 0, now());
        while !walk.walked.is_over {
            walk.go_on(3);
        }
        let found = walk.walked.found.get(OsStr::new(name));
        found.copied().unwrap_or_default()
    }

    #[test]
    fn a_walk_through_many_files_goes_on_at_the_next_look() {
        const FILES: u64 = ENTRIES as u64 + 10;
        let root = tempfile::tempdir().unwrap();
        for folder in ["a", "b"] {
            fs_err::create_dir(root.path().join(folder)).unwrap();
            for number in 0..FILES {
                fs_err::File::create(root.path().join(folder).join(number.to_string())).unwrap();
            }
        }
        let (mut walk, now) = (None, now());
        let mut next = |begun| look(&mut walk, root.path(), begun, now).unwrap();
        assert_eq!(next(1).found.len(), 1);
        let second = next(2);
        assert_eq!(
            (second.begun, second.found.len(), second.is_over),
            (1, 2, false)
        );
        let third = next(2);
        assert!(third.is_over);
        for found in third.found.values() {
            assert!(found.holds && found.bytes > FILES * ENTRY_BYTES);
        }
        assert_eq!(next(2).begun, 2);
    }

    #[test]
    fn what_is_too_deep_to_be_looked_at_is_too_much() {
        let root = tempfile::tempdir().unwrap();
        let script = "import os\nfor _ in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)";
        let mut python = Command::new("python3");
        python.args(["-c", script]).current_dir(root.path());
        assert!(python.status().unwrap().success());
        assert!(found(root.path(), &"d".repeat(200)).bytes > SCRATCH_BYTES);
    }

    #[test]
    fn a_folder_takes_what_is_in_it_and_not_what_links_point_to() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::write(other.path().join("large"), vec![1; 1_000_000]).unwrap();
        let link =
            |from: &str, to: PathBuf| fs_err::os::unix::fs::symlink(to, root.path().join(from));
        fs_err::create_dir_all(root.path().join("7/inner")).unwrap();
        fs_err::write(root.path().join("7/inner/file"), vec![1; 40_000]).unwrap();
        link("7/folder", other.path().to_owned()).unwrap();
        link("7/link", other.path().join("large")).unwrap();
        link("8", other.path().to_owned()).unwrap();
        let sparse = fs_err::File::create(root.path().join("7/sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();

        // A file system may give a file more than it needs.
        let least = 40_000 + 5 * ENTRY_BYTES;
        let folder = found(root.path(), "7");
        assert!(folder.holds && (least..2 * least).contains(&folder.bytes));
        let link = found(root.path(), "8");
        assert!(!link.holds && link.bytes == ENTRY_BYTES, "{link:?}");
        assert_eq!(found(root.path(), "none"), Found::default());
    }
}
