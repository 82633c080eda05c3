//! The engine as others hold it: a thread, and the messages that reach it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use mio::Waker;
use ziet_core::document::RunDocument;
use ziet_core::memory::Entry;
use ziet_core::run::Cancelled;
use ziet_core::{ActionId, Catalogue, DeploymentId, Failure, Json, MemoryId, ProjectId, RunId};
use ziet_store::{Store, memory, runs};
use ziet_worker::WorkerSettings;

use crate::answer::{Accepted, Cancelling, Done, Figures, Refusal, Seen, Until, Watch};
use crate::deployments::Imported;
use crate::notice::{Notice, Watcher};
use crate::settings::{Deployed, EngineError, EngineSettings};
use crate::submit::{Asked, Submission};
use crate::turn::{Scheduler, Work};

/// Sends messages to the thread and wakes it.
#[derive(Clone)]
pub(crate) struct Mailbox {
    messages: Sender<Message>,
    waker: Arc<Waker>,
    /// Whether the thread is being woken, and has not begun to look at its messages since.
    waking: Arc<AtomicBool>,
}

pub(crate) enum Message {
    MakeInput {
        action: ActionId,
        given: Json,
    },
    Submit(Asked),
    Invoke {
        run: RunId,
        done: Done<Result<(), Refusal>>,
    },
    Cancel {
        run: RunId,
        cancelled: Cancelled,
        done: Done<Result<Cancelling, Refusal>>,
    },
    WhenFinished {
        run: RunId,
        done: Seen,
    },
    Drain {
        grace: Duration,
        done: Done<()>,
    },
    Deploy {
        deployed: Box<Deployed>,
        done: Imported,
    },
    Replace {
        deployment: DeploymentId,
        worker: Box<WorkerSettings>,
        done: Imported,
    },
    Activate {
        deployment: DeploymentId,
        done: Done<Result<bool, Refusal>>,
    },
    Forget {
        deployment: DeploymentId,
    },
    /// The store has answered: to be done on the engine's thread.
    Then(Work),
    ShutDown,
}

impl Mailbox {
    pub(crate) fn send(&self, message: Message) {
        // The thread is gone only when everything has ended; then nobody waits for what this would have done.
        if self.messages.send(message).is_ok() && !self.waking.swap(true, Ordering::AcqRel) {
            let _ = self.waker.wake();
        }
    }

    /// To be called before messages are taken: those that are sent from here on wake the thread again.
    pub(crate) fn woken(&self) {
        self.waking.swap(false, Ordering::AcqRel);
    }
}

/// What the thread shows to everybody, as it was at the end of its last turn.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) active: Option<DeploymentId>,
    pub(crate) catalogue: Option<Arc<Catalogue>>,
    pub(crate) figures: Figures,
}

/// A running engine. Dropping it ends everything that it started; what it executes is then `lost` to the next engine on
/// the same store, unless it was drained before.
///
/// Nothing here waits, but for what says so. Each `done` is called once, on the engine's thread, after the commit that
/// holds what it tells; it must only pass that on, for which it may call the engine again. When the engine stops, those
/// that are left are dropped.
pub struct Engine {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
    shown: Arc<Mutex<Shown>>,
    store: Store,
    project: ProjectId,
}

impl Engine {
    /// Starts the engine on what is in `store`, and the import of the project. `notify` is called on the engine's thread
    /// and must not wait.
    ///
    /// # Errors
    /// When Python or the thread cannot be started.
    pub fn start(
        settings: EngineSettings,
        store: Store,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<Self, EngineError> {
        let project = settings.project.clone();
        let (started, starting) = sync_channel(1);
        let (messages, received) = channel();
        let shown = Arc::new(Mutex::new(Shown::default()));
        let (for_thread, to_show) = (store.clone(), Arc::clone(&shown));
        // The worker is started on the thread that will live as long as it: the kernel ends a zygote with that thread.
        let thread = Builder::new()
            .name("ziet-engine".to_owned())
            .spawn(move || {
                let watcher = Watcher::new(notify);
                match prepare(settings, for_thread, messages, watcher) {
                    Ok((mut scheduler, poll, mailbox)) => {
                        scheduler.shown = to_show;
                        scheduler.show_active();
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
            shown,
            store,
            project,
        })
    }

    /// Asks for test data for an action, of which the object `given` has some; [`Notice::InputMade`] has all of it.
    pub fn make_input(&self, action: ActionId, given: Json) {
        self.mailbox.send(Message::MakeInput { action, given });
    }

    /// Accepts runs, all or none of them.
    pub fn submit(
        &self,
        submissions: Vec<Submission>,
        done: impl FnOnce(Result<Vec<Accepted>, Refusal>) + Send + 'static,
    ) {
        let asked = Asked::new(submissions, Box::new(done), None);
        self.mailbox.send(Message::Submit(asked));
    }

    /// Accepts one run, and shows it when it has come as far as `until`, after `done`. Nothing is shown of a run that is
    /// refused; and nothing as its document where whoever asked has to read that from the store.
    pub fn submit_and_watch(
        &self,
        submission: Submission,
        until: Until,
        done: impl FnOnce(Result<Vec<Accepted>, Refusal>) + Send + 'static,
        seen: impl Watch + 'static,
    ) {
        let watch = Some((until, Box::new(seen) as Seen));
        let asked = Asked::new(vec![submission], Box::new(done), watch);
        self.mailbox.send(Message::Submit(asked));
    }

    /// Accepts one run, waiting for it.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn submit_now(
        &self,
        submission: Submission,
    ) -> Result<Result<RunId, Refusal>, EngineError> {
        let (reply, answer): (_, Receiver<Result<Vec<Accepted>, Refusal>>) = channel();
        self.submit(vec![submission], move |accepted| drop(reply.send(accepted)));
        let accepted = answer.recv().map_err(|_| EngineError::Stopped)?;
        Ok(accepted.and_then(|accepted| {
            accepted
                .first()
                .map(|one| one.run)
                .ok_or_else(Refusal::nothing)
        }))
    }

    /// Starts a run that was only created.
    pub fn invoke(&self, run: RunId, done: impl FnOnce(Result<(), Refusal>) + Send + 'static) {
        let done = Box::new(done);
        self.mailbox.send(Message::Invoke { run, done });
    }

    /// Cancels a run and the tree below it; one that has finished stays as it is.
    pub fn cancel(
        &self,
        run: RunId,
        cancelled: Cancelled,
        done: impl FnOnce(Result<Cancelling, Refusal>) + Send + 'static,
    ) {
        let done = Box::new(done);
        self.mailbox.send(Message::Cancel {
            run,
            cancelled,
            done,
        });
    }

    /// Tells when the run has finished: at once when it has already, or when there is no such run. The document comes with it
    /// where that costs no reading.
    pub fn when_finished(&self, run: RunId, done: impl Watch + 'static) {
        let done = Box::new(done);
        self.mailbox.send(Message::WhenFinished { run, done });
    }

    /// Imports a version beside those that are there, and tells what was found. What cannot be imported, has problems or no actions
    /// leaves everything as it was. Otherwise the deployment is known from then on; new runs are its when it is activated. One
    /// that was known before is executed in the new process from then on, and what it was executing ends in the old one.
    pub fn deploy(
        &self,
        deployed: Deployed,
        done: impl FnOnce(Result<Catalogue, Failure>) + Send + 'static,
    ) {
        self.mailbox.send(Message::Deploy {
            deployed: Box::new(deployed),
            done: Box::new(done),
        });
    }

    /// The same for a deployment that is known, with other settings of its worker, such as changed variables or saved files. One
    /// that is not the active one and has no process is not imported for that: its next process has them.
    pub fn replace(
        &self,
        deployment: DeploymentId,
        worker: WorkerSettings,
        done: impl FnOnce(Result<Catalogue, Failure>) + Send + 'static,
    ) {
        self.mailbox.send(Message::Replace {
            deployment,
            worker: Box::new(worker),
            done: Box::new(done),
        });
    }

    /// Makes a deployment that was imported the active one, in the store and for new runs. False when the engine or the store does
    /// not know such a one.
    pub fn activate(
        &self,
        deployment: DeploymentId,
        done: impl FnOnce(Result<bool, Refusal>) + Send + 'static,
    ) {
        let done = Box::new(done);
        self.mailbox.send(Message::Activate { deployment, done });
    }

    /// Forgets a deployment that no unfinished run needs; the active one is kept.
    pub fn forget(&self, deployment: DeploymentId) {
        self.mailbox.send(Message::Forget { deployment });
    }

    /// The deployment whose runs new ones are; None while there is none.
    pub fn active(&self) -> Option<DeploymentId> {
        self.shown().active
    }

    /// What the last import of the active deployment found; None while the first one goes on.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.shown().catalogue.clone()
    }

    /// How much there is to do, and is done, right now.
    pub fn figures(&self) -> Figures {
        self.shown().figures
    }

    /// Tells when the engine's thread comes to it, which says that it does not hang.
    pub fn turn(&self, done: impl FnOnce() + Send + 'static) {
        self.mailbox.send(Message::Then(Box::new(|_| done())));
    }

    /// Accepts nothing any more, and lets the attempts that execute end, for at most `grace`. Those that are left then are
    /// ended, and their runs handed back: they are queued for the next engine, and it has cost them no retry.
    pub fn drain(&self, grace: Duration, done: impl FnOnce() + Send + 'static) {
        let done = Box::new(move |()| done());
        self.mailbox.send(Message::Drain { grace, done });
    }

    /// The run document, waited for; None when there is no such run.
    ///
    /// # Errors
    /// What the store says.
    pub fn document(&self, run: RunId) -> Result<Option<RunDocument>, EngineError> {
        let project = self.project.clone();
        Ok(self
            .store
            .read_now(async move |tx| runs::document(tx, &project, run).await)?)
    }

    /// The entries of a memory, the oldest first, waited for.
    ///
    /// # Errors
    /// What the store says.
    pub fn memory(&self, memory: MemoryId) -> Result<Vec<Entry>, EngineError> {
        let project = self.project.clone();
        Ok(self
            .store
            .read_now(async move |tx| memory::entries(tx, &project, memory).await)?)
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
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
    let mailbox = Mailbox {
        messages,
        waker,
        waking: Arc::default(),
    };
    let scheduler = Scheduler::new(settings, store, mailbox.clone(), poll.registry(), watcher)?;
    Ok((scheduler, poll, mailbox))
}
