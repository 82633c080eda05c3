//! The handle that everybody holds: it queues verbs for the threads that own the connections.
//!
//! It must not know SQL. What is asked first runs first; an answer comes after the commit that holds it.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::job::{Access, Asked, Job};
use crate::{Result, StoreError, Tx, sqlite};

/// Where the state lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this process, gone with it.
    Memory,
    /// In a file of SQLite, made when it is missing; its folder must be there.
    File(PathBuf),
}

/// Durable state. A handle: clones are the same store, and the last one dropped waits until what is queued is done
/// (unless an answer holds it, on the store's own thread).
#[derive(Clone)]
pub struct Store {
    threads: Arc<Threads>,
}

struct Threads {
    /// None in memory: there the writer's connection is the only one that sees the data. It is dropped first: the last
    /// connection of a file folds the log into it, and one that only reads cannot.
    reader: Option<Queue>,
    writer: Queue,
}

/// One thread with a connection of its own, and what waits for it.
struct Queue {
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store, with the newest schema.
    ///
    /// # Errors
    /// When it cannot be opened, or a newer program has migrated it.
    pub fn open(location: &Location) -> Result<Self> {
        let (connection, reader) = match location {
            Location::Memory => (sqlite::open_memory()?, None),
            Location::File(path) => {
                // The writer comes first: it makes the file and the tables that a reader looks for.
                let connection = sqlite::open_file(path)?;
                (connection, Some(sqlite::open_for_reading(path)?))
            }
        };
        let writer = Queue::start("ziet-store-writer", |jobs| {
            sqlite::write_all(connection, &jobs);
        })?;
        let reader = reader
            .map(|connection| {
                Queue::start("ziet-store-reader", |jobs| {
                    sqlite::read_all(connection, &jobs);
                })
            })
            .transpose()?;
        Ok(Self {
            threads: Arc::new(Threads { reader, writer }),
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
        let queue = self.threads.reader.as_ref().unwrap_or(&self.threads.writer);
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
        work: impl FnOnce(Receiver<Box<dyn Job>>) + Send + 'static,
    ) -> Result<Self> {
        let (jobs, receiver) = channel();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(receiver))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Mutex::new(Some(thread)),
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
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // An answer can hold the last handle, and then this is the thread itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        {
            let _ = thread.join();
        }
    }
}
