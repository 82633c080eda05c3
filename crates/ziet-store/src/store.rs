//! The handle that everybody holds: it queues verbs for the threads that own the connections.
//!
//! It must not know SQL. What is asked first runs first; an answer comes after the commit that holds it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};
use rusqlite::Connection;

use crate::job::{Access, Asked, Job, Jobs};
use crate::{Result, StoreError, Tx, file, sqlite};

/// Where the state lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this process, gone with it.
    Memory,
    /// In a file of SQLite, made when it is missing; its folder must be there.
    File(PathBuf),
}

/// What a crash of the machine can take back. A crash of the program takes back nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was answered: each commit is on the disk before its answers are given.
    #[default]
    Full,
    /// The last commits, some seconds of them, although they were answered; what is left is whole. Commits wait for
    /// no disk.
    Normal,
}

/// Durable state. A handle: clones are the same store, and the last one dropped waits until what is queued is done
/// (unless an answer holds it, on the store's own thread).
#[derive(Clone)]
pub struct Store {
    threads: Arc<Threads>,
}

struct Threads {
    /// The database's file; None in memory.
    path: Option<PathBuf>,
    committed: Arc<OnceLock<Committed>>,
    /// None in memory: there the writer's connection is the only one that sees the data. It is dropped first: the last
    /// connection of a file folds the log into it, and one that only reads cannot.
    readers: Option<Queue>,
    writer: Queue,
}

/// Is told of each commit how long its transaction took, and how many verbs shared it.
pub(crate) type Committed = Box<dyn Fn(Duration, usize) + Send + Sync>;

/// How many reads go on at once: one that takes long must not keep short ones waiting.
const READERS: usize = 3;

/// Threads with a connection each, and what waits for them.
struct Queue {
    jobs: Option<Sender<Box<dyn Job>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Store {
    /// Opens the store, with the newest schema.
    ///
    /// # Errors
    /// When it cannot be opened, or a newer program has migrated it.
    pub fn open(location: &Location, durability: Durability) -> Result<Self> {
        let (connection, readers, path) = match location {
            Location::Memory => (sqlite::open_memory()?, None, None),
            Location::File(path) => {
                // The writer comes first: it makes the file and the tables that a reader looks for.
                let connection = sqlite::open_file(path, durability)?;
                let readers = (0..READERS).map(|_| sqlite::open_for_reading(path));
                let readers = readers.collect::<Result<Vec<_>>>()?;
                (connection, Some(readers), Some(path.clone()))
            }
        };
        let committed = Arc::new(OnceLock::new());
        let writer = {
            let (committed, log) = (Arc::clone(&committed), path.as_deref().map(sqlite::Log::of));
            let work = move |connection, jobs: &Jobs| {
                sqlite::write_all(connection, jobs, log.clone(), &committed);
            };
            Queue::start("ziet-store-writer", vec![connection], work)?
        };
        let readers = readers
            .map(|connections| Queue::start("ziet-store-reader", connections, sqlite::read_all))
            .transpose()?;
        Ok(Self {
            threads: Arc::new(Threads {
                path,
                committed,
                readers,
                writer,
            }),
        })
    }

    /// Runs `verb` in the next transaction, together with what others have asked for meanwhile; its errors undo only
    /// what it wrote itself. `done` is called on the store's thread after the commit, in the order of the calls: it
    /// should only pass the answer on.
    ///
    /// The verb may run more than once, with nothing left of the earlier times, so it must not do anything but ask
    /// the database.
    pub fn write<T, F>(&self, verb: F, done: impl FnOnce(Result<T>) + Send + 'static)
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.threads
            .writer
            .push(Box::new(Asked::new(Access::Write, verb, done)));
    }

    /// Runs `verb` on what is committed; it cannot write. A read sees every write that was answered before; in a file
    /// it does not wait for those that are still queued.
    pub fn read<T, F>(&self, verb: F, done: impl FnOnce(Result<T>) + Send + 'static)
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let queue = self
            .threads
            .readers
            .as_ref()
            .unwrap_or(&self.threads.writer);
        queue.push(Box::new(Asked::new(Access::Read, verb, done)));
    }

    /// [`Store::write`], waited for. Not to be called from a `done`: that would wait for itself.
    ///
    /// # Errors
    /// What the verb or the commit says.
    pub fn write_now<T, F>(&self, verb: F) -> Result<T>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        waited_for(|done| self.write(verb, done))
    }

    /// [`Store::read`], waited for. Not to be called from a `done`: that would wait for itself.
    ///
    /// # Errors
    /// What the verb says.
    pub fn read_now<T, F>(&self, verb: F) -> Result<T>
    where
        F: AsyncFn(&mut Tx<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        waited_for(|done| self.read(verb, done))
    }

    /// Gives a little of the file's unused space back to the disk, if there is much of it. `done` is told whether there
    /// is more to give back.
    pub fn vacuum_some(&self, done: impl FnOnce(Result<bool>) + Send + 'static) {
        self.write(async |tx: &mut Tx<'_>| tx.vacuum_some().await, done);
    }

    /// Says of which file it is that it is damaged or cannot be opened.
    #[must_use]
    pub fn explain(&self, error: StoreError) -> StoreError {
        match &self.threads.path {
            Some(path) => file::explain(path, error),
            None => error,
        }
    }

    /// From now on `tell` is told of each commit, on the store's thread: how long its transaction took, and how many
    /// verbs shared it. Only the first caller is served.
    pub fn on_commit(&self, tell: impl Fn(Duration, usize) + Send + Sync + 'static) {
        let _ = self.threads.committed.set(Box::new(tell));
    }

    /// [`crate::backup`] of this store, on the calling thread.
    ///
    /// # Errors
    /// When there is no file, or what the disk says.
    pub fn backup(&self, to: &Path) -> Result<()> {
        match &self.threads.path {
            Some(path) => file::backup(path, to),
            None => Err(StoreError::Invalid(
                "a store in memory has no file".to_owned(),
            )),
        }
    }
}

fn waited_for<T: Send + 'static>(ask: impl FnOnce(Box<dyn FnOnce(Result<T>) + Send>)) -> Result<T> {
    let (answer, result) = sync_channel(1);
    ask(Box::new(move |done| {
        // Nobody is there to be told when the receiver is gone.
        let _ = answer.send(done);
    }));
    result.recv().unwrap_or(Err(StoreError::Closed))
}

impl Queue {
    fn start(
        name: &str,
        connections: Vec<Connection>,
        work: impl Fn(Connection, &Jobs) + Clone + Send + 'static,
    ) -> Result<Self> {
        let (jobs, receiver) = unbounded();
        let threads = connections.into_iter().map(|connection| {
            let (work, receiver) = (work.clone(), receiver.clone());
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(connection, &receiver))
                .map_err(|error| StoreError::Unavailable(error.to_string()))
        });
        let threads = threads.collect::<Result<_>>()?;
        Ok(Self {
            jobs: Some(jobs),
            threads,
        })
    }

    fn push(&self, job: Box<dyn Job>) {
        let unsent = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
            None => Some(job),
        };
        if let Some(job) = unsent {
            job.answer(Err(StoreError::Closed));
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // An answer can hold the last handle, and then this is the thread itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
