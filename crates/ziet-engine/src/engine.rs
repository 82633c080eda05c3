//! The engine as others hold it: a thread, and the messages that reach it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use mio::Waker;
use ziet_core::document::RunDocument;
use ziet_core::memory::Entry;
use ziet_core::retry::Backoff;
use ziet_core::run::Cancelled;
use ziet_core::{ActionId, Json, MemoryId, ProjectId, RunId};
use ziet_store::{Durability, Location, Store, StoreError, memory, runs};
use ziet_worker::{WorkerError, WorkerSettings};

use crate::notice::{Notice, Watcher};
use crate::submit::{Refusal, Submission};
use crate::turn::{Scheduler, Work};

#[derive(Clone, Debug)]
pub struct EngineSettings {
    pub worker: WorkerSettings,
    pub store: Location,
    pub backoff: Backoff,
    /// Whether integrations answer with made-up data.
    pub mocked: bool,
    /// Whether failures tell the local variables of the project's frames.
    pub locals: bool,
    /// Attempts that execute at the same time; those that wait do not count.
    pub concurrency: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the event loop does not work")]
    Poll(#[from] std::io::Error),
    #[error("the engine has stopped")]
    Stopped,
}

/// Sends messages to the thread and wakes it.
#[derive(Clone)]
pub(crate) struct Mailbox {
    messages: Sender<Message>,
    waker: Arc<Waker>,
}

pub(crate) enum Message {
    MakeInput {
        action: ActionId,
        given: Json,
    },
    Submit {
        submission: Submission,
        reply: Sender<Result<RunId, Refusal>>,
    },
    Cancel {
        run: RunId,
        cancelled: Cancelled,
    },
    /// The store has answered: to be done on the engine's thread.
    Then(Work),
    ShutDown,
}

impl Mailbox {
    pub(crate) fn send(&self, message: Message) {
        // The thread is gone only when everything has ended; then nobody waits for what this would have done.
        if self.messages.send(message).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// A running engine. Dropping it ends everything that it started.
pub struct Engine {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
    store: Store,
    project: ProjectId,
}

impl Engine {
    /// Starts the engine and the import of the project. `notify` is called on the engine's thread and must not wait.
    pub fn start(
        settings: EngineSettings,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<Self, EngineError> {
        let store = Store::open(&settings.store, Durability::Full)?;
        let project = settings.worker.project.id.clone();
        let (started, starting) = sync_channel(1);
        let (messages, received) = channel();
        let for_thread = store.clone();
        // The worker is started on the thread that will live as long as it: the kernel ends a zygote with that thread.
        let thread = Builder::new()
            .name("ziet-engine".to_owned())
            .spawn(move || {
                let watcher = Watcher::new(notify);
                match prepare(settings, for_thread, messages, watcher) {
                    Ok((scheduler, poll, mailbox)) => {
                        let _ = started.send(Ok(mailbox));
                        scheduler.run(poll, &received);
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            })?;
        let mailbox = starting.recv().map_err(|_| EngineError::Stopped)??;
        Ok(Self {
            mailbox,
            thread: Some(thread),
            store,
            project,
        })
    }

    /// Asks for test data for an action, of which the object `given` has some; [`Notice::InputMade`] has all of it.
    pub fn make_input(&self, action: ActionId, given: Json) {
        self.mailbox.send(Message::MakeInput { action, given });
    }

    /// Accepts a run; answered after the commit that holds it.
    pub fn submit(&self, submission: Submission) -> Result<Result<RunId, Refusal>, EngineError> {
        let (reply, answer) = channel();
        self.ask(Message::Submit { submission, reply }, &answer)
    }

    /// Cancels a run and the tree below it; one that has finished stays as it is.
    pub fn cancel(&self, run: RunId, cancelled: Cancelled) {
        self.mailbox.send(Message::Cancel { run, cancelled });
    }

    pub fn document(&self, run: RunId) -> Result<Option<RunDocument>, EngineError> {
        let project = self.project.clone();
        Ok(self
            .store
            .read_now(async move |tx| runs::document(tx, &project, run).await)?)
    }

    /// The entries of a memory, the oldest first.
    pub fn memory(&self, memory: MemoryId) -> Result<Vec<Entry>, EngineError> {
        let project = self.project.clone();
        Ok(self
            .store
            .read_now(async move |tx| memory::entries(tx, &project, memory).await)?)
    }

    fn ask<T>(&self, message: Message, answer: &Receiver<T>) -> Result<T, EngineError> {
        self.mailbox.send(message);
        answer.recv().map_err(|_| EngineError::Stopped)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.mailbox.send(Message::ShutDown);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Prepared = (Scheduler, mio::Poll, Mailbox);

fn prepare(
    settings: EngineSettings,
    store: Store,
    messages: Sender<Message>,
    watcher: Watcher,
) -> Result<Prepared, EngineError> {
    let poll = mio::Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), Scheduler::WAKER)?);
    let mailbox = Mailbox { messages, waker };
    let scheduler = Scheduler::new(settings, store, mailbox.clone(), poll.registry(), watcher)?;
    Ok((scheduler, poll, mailbox))
}
