//! Measures what attempts use, in a thread of its own: reading `/proc` and walking folders takes too long for the loop.
//!
//! It answers each [`Watcher::look`] with one set of [`Reading`]s and wakes the loop. In between it sleeps. It knows
//! nothing of limits being exceeded: what a reading means is for its owner to say.

use std::collections::HashMap;
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

/// A scratch directory is walked at most so often.
const WALK_EVERY: Duration = Duration::from_secs(1);

/// Entries of scratch directories that one look goes through, of all attempts together: what they have in memory must
/// not wait for that.
const ENTRIES: usize = 5000;

/// What a file or folder counts for at least, although it may be empty: it takes a place in the file system, too.
const ENTRY_BYTES: u64 = 4096;

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
    pub(crate) scratch: Option<PathBuf>,
}

/// What an attempt uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) executor: u64,
    pub(crate) attempt: u64,
    /// Bytes that the executor and its descendants have resident, without what it had before.
    pub(crate) memory: u64,
    /// Bytes in its scratch directory; not counted on when they are more than such a directory may hold.
    pub(crate) scratch: u64,
}

struct Look {
    watched: Vec<Watched>,
    now: Instant,
}

/// The thread, seen from the loop; it ends when this is dropped.
pub(crate) struct Watcher {
    looks: mpsc::Sender<Look>,
    readings: mpsc::Receiver<Vec<Reading>>,
    woken: pipe::Receiver,
}

impl Watcher {
    /// Starts the thread; `token` gets ready when there are readings.
    pub(crate) fn start(registry: &Registry, token: Token) -> std::io::Result<Self> {
        let (mut wake, mut woken) = pipe::new()?;
        registry.register(&mut woken, token, Interest::READABLE)?;
        let (looks, asked) = mpsc::channel::<Look>();
        let (answer, readings) = mpsc::channel();
        std::thread::Builder::new()
            .name("ziet-watch".to_owned())
            .spawn(move || {
                let mut walks = Walks::default();
                while let Ok(look) = asked.recv() {
                    if answer.send(walks.look(&look)).is_err() {
                        return;
                    }
                    // It is full only if the loop has not yet taken an earlier wake-up.
                    let _ = wake.write(&[1]);
                }
            })?;
        Ok(Self {
            looks,
            readings,
            woken,
        })
    }

    /// Asks for a reading of each. Answered in order; so the next is asked for when the last has been answered.
    pub(crate) fn look(&self, watched: Vec<Watched>, now: Instant) {
        // The thread ends only after this.
        let _ = self.looks.send(Look { watched, now });
    }

    /// What has come since the last call. None when no look has been answered; a look at nothing is answered with
    /// nothing. One whose process is gone has no reading.
    pub(crate) fn readings(&mut self) -> Option<Vec<Reading>> {
        // Emptied before the answers are taken: one that comes later wakes again.
        while self.woken.read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
        self.readings.try_iter().last()
    }
}

/// The walks through the scratch directories of attempts.
#[derive(Default)]
struct Walks(HashMap<u64, Walk>);

impl Walks {
    fn look(&mut self, look: &Look) -> Vec<Reading> {
        let mut walks = HashMap::new();
        let walkers = look.watched.iter().filter(|one| one.scratch.is_some());
        let entries = (ENTRIES / walkers.count().max(1)).max(1);
        let read = |watched: &Watched| {
            let memory = memory(watched)?;
            let scratch = watched.scratch.as_deref().map_or(0, |folder| {
                let last = self.0.remove(&watched.attempt);
                let mut walk = last.unwrap_or_else(|| Walk::begin(folder, look.now));
                if walk.rest.is_none()
                    && look.now.saturating_duration_since(walk.since) >= WALK_EVERY
                {
                    walk = Walk {
                        found: walk.found,
                        ..Walk::begin(folder, look.now)
                    };
                }
                walk.go_on(entries);
                let size = walk.found.max(walk.sum);
                walks.insert(watched.attempt, walk);
                size
            });
            Some(Reading {
                executor: watched.executor,
                attempt: watched.attempt,
                memory,
                scratch,
            })
        };
        let readings = look.watched.iter().filter_map(read).collect();
        self.0 = walks;
        readings
    }
}

/// One walk, which goes on from look to look.
struct Walk {
    since: Instant,
    /// None when it is over.
    rest: Option<walkdir::IntoIter>,
    /// Bytes that it has come across.
    sum: u64,
    /// Bytes that the last one that was over has come across.
    found: u64,
}

impl Walk {
    /// Follows no links, not even one in the folder's place.
    fn begin(folder: &Path, now: Instant) -> Self {
        let entries = WalkDir::new(folder).min_depth(1).same_file_system(true);
        Self {
            since: now,
            rest: Some(entries.follow_root_links(false).into_iter()),
            sum: 0,
            found: 0,
        }
    }

    /// Goes through so many more entries; is over when the sum is more than a scratch directory may hold.
    fn go_on(&mut self, entries: usize) {
        for _ in 0..entries {
            let next = self.rest.as_mut().and_then(Iterator::next);
            self.sum += next.as_ref().map_or(0, bytes);
            if next.is_none() || self.sum > SCRATCH_BYTES {
                self.rest = None;
                self.found = self.sum;
                return;
            }
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

    fn watched(pid: u32, limit: u64, scratch: Option<&Path>) -> Watched {
        Watched {
            executor: 3,
            attempt: 8,
            pid,
            had: 0,
            kept: 0,
            limit,
            scratch: scratch.map(Path::to_owned),
        }
    }

    /// One answer of the thread, by way of the loop.
    fn answer(
        watcher: &mut Watcher,
        poll: &mut Poll,
        all: Vec<Watched>,
        now: Instant,
    ) -> Vec<Reading> {
        assert_eq!(watcher.readings(), None);
        watcher.look(all, now);
        let mut events = Events::with_capacity(4);
        loop {
            poll.poll(&mut events, Some(Duration::from_secs(20)))
                .unwrap();
            assert!(events.iter().all(|event| event.token() == WATCHER));
            assert!(!events.is_empty(), "nobody has woken the loop");
            if let Some(readings) = watcher.readings() {
                return readings;
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
        let all = vec![
            watched(gone.id(), MB, None),
            watched(hog.id(), 1024 * MB, None),
        ];

        let [reading] = answer(&mut watcher, &mut poll, all, now())[..] else {
            panic!()
        };

        assert_eq!(
            (reading.executor, reading.attempt, reading.scratch),
            (3, 8, 0)
        );
        assert!((50 * MB..80 * MB).contains(&reading.memory), "{reading:?}");
        let own = Watched {
            had: 50 * MB,
            ..watched(hog.id(), 1024 * MB, None)
        };
        let [less] = answer(&mut watcher, &mut poll, vec![own], now())[..] else {
            panic!()
        };
        assert!(less.memory < 30 * MB, "{less:?}");
        drop(hog.stdin.take());
        hog.wait().unwrap();
        assert_eq!(answer(&mut watcher, &mut poll, Vec::new(), now()), []);
    }

    #[test]
    fn memory_that_is_shared_with_forks_exceeds_no_limit_by_being_counted_often() {
        let mut hog = hog(50, 4);
        let memory = |limit| memory(&watched(hog.id(), limit, None)).unwrap();
        let (in_full, shared_out) = (memory(1024 * MB), memory(100 * MB));
        drop(hog.stdin.take());
        hog.wait().unwrap();
        assert!(in_full > 200 * MB, "{in_full}");
        assert!((50 * MB..100 * MB).contains(&shared_out), "{shared_out}");
    }

    #[test]
    fn a_scratch_directory_is_walked_once_in_a_second() {
        let (mut watcher, mut poll) = watcher();
        let folder = tempfile::tempdir().unwrap();
        let start = now();
        let mut size = |after: u64, attempt| {
            let own = Watched {
                attempt,
                ..watched(std::process::id(), 1, Some(folder.path()))
            };
            let at = start + Duration::from_millis(after);
            answer(&mut watcher, &mut poll, vec![own], at)[0].scratch
        };
        assert_eq!(size(0, 1), 0);
        fs_err::write(folder.path().join("file"), vec![1; 100_000]).unwrap();
        assert_eq!(size(900, 1), 0);
        assert!(
            size(950, 2) >= 100_000,
            "of another attempt nothing is known"
        );
        fs_err::remove_file(folder.path().join("file")).unwrap();
        assert!(size(1940, 2) >= 100_000);
        assert_eq!(size(1950, 2), 0);
    }

    /// The whole walk, three entries at a time.
    fn size(folder: &Path) -> u64 {
        let mut walk = Walk::begin(folder, now());
        while walk.rest.is_some() {
            walk.go_on(3);
        }
        walk.found
    }

    #[test]
    fn a_walk_through_many_files_goes_on_at_the_next_look() {
        const FILES: u64 = 2 * ENTRIES as u64 + 10;
        let folder = tempfile::tempdir().unwrap();
        for number in 0..FILES {
            fs_err::File::create(folder.path().join(number.to_string())).unwrap();
        }
        let (mut walks, now) = (Walks::default(), now());
        let one = |attempt| Watched {
            attempt,
            ..watched(std::process::id(), 1, Some(folder.path()))
        };
        let mut look = |attempts: &[u64]| {
            let watched = attempts.iter().copied().map(one).collect();
            let readings = walks.look(&Look { watched, now });
            let sizes = readings.iter().map(|reading| reading.scratch);
            sizes.collect::<Vec<_>>()
        };
        let first = ENTRIES as u64 * ENTRY_BYTES;
        assert_eq!(look(&[1]), [first]);
        assert_eq!(look(&[1, 2]), [first * 3 / 2, first / 2]);
        look(&[1]);
        assert_eq!(look(&[1]), [FILES * ENTRY_BYTES]);
    }

    #[test]
    fn what_is_too_deep_to_be_looked_at_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let script = "import os\nfor _ in range(30): os.mkdir('d' * 200); os.chdir('d' * 200)";
        let mut python = Command::new("python3");
        python.args(["-c", script]).current_dir(folder.path());
        assert!(python.status().unwrap().success());
        assert!(size(folder.path()) > SCRATCH_BYTES);
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_not_followed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::write(other.path().join("large"), vec![1; 1_000_000]).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(other.path(), &link).unwrap();
        assert_eq!(size(&link), 0);
    }

    #[test]
    fn a_folder_takes_what_is_in_it_and_not_what_links_point_to() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, other) = (folder.path().join("inner"), tempfile::tempdir().unwrap());
        fs_err::write(other.path().join("large"), vec![1; 1_000_000]).unwrap();
        fs_err::create_dir(&inner).unwrap();
        fs_err::write(inner.join("file"), vec![1; 40_000]).unwrap();
        std::os::unix::fs::symlink(other.path(), inner.join("folder")).unwrap();
        std::os::unix::fs::symlink(other.path().join("large"), inner.join("link")).unwrap();
        fs_err::File::create(inner.join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();

        // A file system may give a file more than it needs.
        let least = 40_000 + 4 * ENTRY_BYTES;
        assert!((least..2 * least).contains(&size(folder.path())));
        assert_eq!(size(&folder.path().join("none")), 0);
    }
}
