//! The scheduler's thread: it sleeps until a socket is ready, a message has come or a time is up, and handles each in
//! one place.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};
use ziet_core::wire::Level;
use ziet_core::{Catalogue, Event, ProjectId, RunId, Time, WorkerId};
use ziet_store::Store;
use ziet_worker::{ExecutorId, Stack, Worker, WorkerError, WorkerEvent};

use crate::clock::Clock;
use crate::engine::{EngineError, EngineSettings, Mailbox, Message};
use crate::live::{Live, Slot};
use crate::notice::{Happening, Notice};
use crate::submit::MadeInput;

pub(crate) struct Scheduler {
    pub(crate) settings: EngineSettings,
    pub(crate) project: ProjectId,
    pub(crate) worker_id: WorkerId,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) mailbox: Mailbox,
    pub(crate) worker: Worker,
    /// What the import found; None while it goes on.
    pub(crate) catalogue: Option<Catalogue>,
    pub(crate) runs: HashMap<RunId, Live>,
    pub(crate) queue: VecDeque<RunId>,
    pub(crate) slots: HashMap<ExecutorId, Slot>,
    /// When to look at a run again: it is due, or its attempt's time may be up. Looking too often does no harm.
    pub(crate) timers: BTreeSet<(Time, RunId)>,
    /// No executor is asked for before this.
    pub(crate) forks_from: Option<Time>,
    notify: Box<dyn FnMut(Notice) + Send>,
    stopping: bool,
}

impl Scheduler {
    pub(crate) const WAKER: Token = Token(usize::MAX);

    pub(crate) fn new(
        settings: EngineSettings,
        store: Store,
        mailbox: Mailbox,
        registry: &Registry,
        notify: Box<dyn FnMut(Notice) + Send>,
    ) -> Result<Self, EngineError> {
        let clock = Clock::new();
        let worker = Worker::start(
            settings.worker.clone(),
            registry.try_clone()?,
            clock.instant(),
        )?;
        Ok(Self {
            project: settings.worker.project.id.clone(),
            worker_id: WorkerId::new(clock.now()),
            settings,
            clock,
            store,
            mailbox,
            worker,
            catalogue: None,
            runs: HashMap::new(),
            queue: VecDeque::new(),
            slots: HashMap::new(),
            timers: BTreeSet::new(),
            forks_from: None,
            notify,
            stopping: false,
        })
    }

    /// Turns until it is told to stop, then ends everything that it started.
    pub(crate) fn run(mut self, mut poll: Poll, messages: &Receiver<Message>) {
        let mut events = Events::with_capacity(256);
        while !self.stopping {
            match poll.poll(&mut events, self.sleep()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.break_down(error.into()),
            }
            self.worker.turn_again();
            for event in &events {
                if event.token() != Self::WAKER {
                    self.worker.on_ready(event.token());
                }
            }
            self.worker.on_time(self.clock.instant());
            self.take_worker_events();
            while let Ok(message) = messages.try_recv() {
                self.on_message(message);
            }
            self.fire_timers();
            self.dispatch();
            self.take_worker_events();
        }
        self.worker.shut_down();
    }

    /// How long nothing is to be done; None for ever.
    fn sleep(&self) -> Option<Duration> {
        if self.worker.is_busy() {
            return Some(Duration::ZERO);
        }
        let run = self
            .timers
            .first()
            .map(|(at, _)| at.since(self.clock.now()));
        let worker = self
            .worker
            .next_timer()
            .map(|at| at.saturating_duration_since(self.clock.instant()));
        run.into_iter().chain(worker).min()
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::MakeInput { action, given } => self.make_input(action, given),
            Message::Submit { submission, reply } => self.submit(submission, reply),
            Message::Cancel { run, cancelled } => {
                {
                    // One that has finished stays as it is.
                    let _ = self.apply(run, Event::Cancel(cancelled));
                }
            }
            Message::Then(work) => work(self),
            Message::ShutDown => self.stopping = true,
        }
    }

    fn take_worker_events(&mut self) {
        while let Some(event) = self.worker.next_event() {
            match event {
                WorkerEvent::Loaded(catalogue) => {
                    self.catalogue = Some(catalogue.clone());
                    self.tell(Notice::Loaded(catalogue));
                }
                WorkerEvent::InputMade { input, made, error } => {
                    let made = error.map_or(Ok(MadeInput { input, made }), Err);
                    self.tell(Notice::InputMade(made));
                }
                WorkerEvent::Printed { level, text } => self.tell(Notice::Printed { level, text }),
                WorkerEvent::NotForked { executor, error } => self.on_not_forked(executor, &error),
                WorkerEvent::Ready(executor) => self.begin(executor),
                WorkerEvent::Message(executor, message) => self.on_executor(executor, message),
                WorkerEvent::Stopped {
                    executor,
                    stack,
                    usage,
                } => self.on_stopped(executor, &stack, usage),
                WorkerEvent::Ended(ended) => self.on_ended(ended),
                WorkerEvent::Gone(error) => self.on_worker_gone(error),
            }
        }
    }

    /// Gives queued runs an executor each, as long as not too many attempts execute already.
    fn dispatch(&mut self) {
        let paused = self.forks_from.is_some_and(|at| self.clock.now() < at);
        if self.catalogue.is_none() || paused {
            return;
        }
        self.forks_from = None;
        while self.executing() < self.settings.concurrency {
            let Some(run) = self.queue.pop_front() else {
                return;
            };
            if !self.runs.contains_key(&run) {
                continue; // Cancelled while it waited in the queue.
            }
            match self.worker.fork() {
                Ok(executor) => {
                    self.slots.insert(
                        executor,
                        Slot {
                            run,
                            claim: None,
                            timed_out: false,
                        },
                    );
                }
                Err(error) => return self.break_down(error.into()),
            }
        }
    }

    /// Attempts that use the machine: those that wait do not.
    fn executing(&self) -> usize {
        let waits = |slot: &&Slot| {
            let attempt = self
                .runs
                .get(&slot.run)
                .and_then(|live| live.attempt.as_ref());
            attempt.is_some_and(|attempt| {
                Some(attempt.claim) == slot.claim && !attempt.open_calls.is_empty()
            })
        };
        self.slots.len() - self.slots.values().filter(waits).count()
    }

    fn fire_timers(&mut self) {
        let now = self.clock.now();
        while let Some((at, run)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            let Some(live) = self.runs.get(&run) else {
                continue;
            };
            match live.run.deadline() {
                Some(deadline) if deadline <= now => self.time_out(run),
                Some(_) => {}
                // Not due after all, or something else by now: whoever changed it has set another timer.
                None => {
                    let _ = self.apply(run, Event::Due);
                }
            }
        }
    }

    /// The zygote is gone, and so is every attempt that it executed. While it imported there was none, and trying again
    /// would not help; after that it is started anew.
    fn on_worker_gone(&mut self, error: WorkerError) {
        if self.catalogue.take().is_none() {
            return self.break_down(error.into());
        }
        self.tell(Notice::Printed {
            level: Level::Warn,
            text: error.to_string(),
        });
        // One whose time was up is settled as such; the others' ends nobody knows.
        let timed_out = self.slots.iter().filter(|(_, slot)| slot.timed_out);
        for executor in timed_out.map(|(executor, _)| *executor).collect::<Vec<_>>() {
            self.settle_timeout(executor, &Stack::default(), None);
        }
        for (_, slot) in std::mem::take(&mut self.slots) {
            self.lose(&slot);
        }
        if let Err(error) = self.worker.import(self.clock.instant()) {
            self.break_down(error.into());
        }
    }

    pub(crate) fn break_down(&mut self, error: EngineError) {
        self.stopping = true;
        self.tell(Notice::Broken(error));
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        (self.notify)(notice);
    }

    pub(crate) fn tell_of(&mut self, run: RunId, happening: Happening) {
        if let Some(live) = self.runs.get(&run) {
            let action = live.action.clone();
            self.tell(Notice::Run {
                run,
                action,
                happening,
            });
        }
    }

    /// Makes an answer of the store something that is done on this thread.
    pub(crate) fn then<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Self, Result<T, ziet_store::StoreError>) + Send + 'static,
    ) -> impl FnOnce(Result<T, ziet_store::StoreError>) + Send + 'static {
        let mailbox = self.mailbox.clone();
        move |result| {
            mailbox.send(Message::Then(Box::new(move |scheduler| {
                work(scheduler, result);
            })));
        }
    }
}
