//! The scheduler's thread: it sleeps until a socket is ready, a message has come or a time is up, and handles each in
//! one place.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::ErrorKind;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};
use ziet_core::{Catalogue, Event, ProjectId, RunId, Time, WorkerId};
use ziet_store::{Change, StateChange, Store};
use ziet_worker::{ExecutorId, Worker, WorkerEvent};

use crate::clock::Clock;
use crate::dispatch::ImportFailure;
use crate::engine::{EngineError, EngineSettings, Mailbox, Message};
use crate::live::{Live, Slot};
use crate::notice::{Happening, Notice};
use crate::submit::MadeInput;

/// Something to be done on the engine's thread.
pub(crate) type Work = Box<dyn FnOnce(&mut Scheduler) + Send>;

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
    /// Attempts that use the machine: those that wait do not.
    pub(crate) executing: usize,
    /// Why the project could not be imported again, for as long as that is not tried once more.
    pub(crate) import_failure: Option<ImportFailure>,
    /// What has changed, in order, and what is done once that is durable.
    pub(crate) unwritten: Vec<Change>,
    pub(crate) afterwards: Vec<Work>,
    /// When that is handed to the store at the latest; None when there is nothing.
    pub(crate) write_by: Option<Time>,
    /// Transitions that wait for the next one of their run, and since when the first of them does.
    pub(crate) held: HashMap<RunId, StateChange>,
    pub(crate) held_since: Option<Time>,
    notify: Box<dyn FnMut(Notice) + Send>,
    pub(crate) stopping: bool,
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
            executing: 0,
            import_failure: None,
            unwritten: Vec::new(),
            afterwards: Vec::new(),
            write_by: None,
            held: HashMap::new(),
            held_since: None,
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
            self.worker.begin_turn(self.clock.instant());
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
            self.write_turn();
        }
        self.worker.shut_down();
    }

    /// How long nothing is to be done; None for ever.
    fn sleep(&self) -> Option<Duration> {
        if self.worker.is_busy() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let run = self.timers.first().map(|(at, _)| at.since(now));
        let write = self.write_by.map(|at| at.since(now));
        let worker = self
            .worker
            .next_timer()
            .map(|at| at.saturating_duration_since(self.clock.instant()));
        let held = self.held_for();
        [run, worker, held, write].into_iter().flatten().min()
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
                WorkerEvent::Loaded(catalogue) => self.on_loaded(catalogue),
                WorkerEvent::ImportFailed(error) => self.on_import_failed(error),
                WorkerEvent::InputMade { input, made, error } => {
                    let made = error.map_or(Ok(MadeInput { input, made }), Err);
                    self.tell(Notice::InputMade(made));
                }
                WorkerEvent::Supervised(mechanisms) => self.tell(Notice::Supervised(mechanisms)),
                WorkerEvent::Printed { level, text } => self.tell(Notice::Printed { level, text }),
                WorkerEvent::NotForked { error, pause } => self.on_not_forked(&error, pause),
                // The end of each turn is when attempts are given to executors.
                WorkerEvent::Ready => {}
                WorkerEvent::Message(executor, message) => self.on_executor(executor, message),
                WorkerEvent::Stopped {
                    executor,
                    stack,
                    usage,
                } => self.on_stopped(executor, &stack, usage),
                WorkerEvent::Exceeded {
                    executor,
                    excess,
                    usage,
                } => self.on_exceeded(executor, excess, usage),
                WorkerEvent::Ended(ended) => self.on_ended(ended),
                WorkerEvent::Gone(error) => self.on_zygote_gone(&error),
            }
        }
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
                Some(deadline) if deadline <= now => self.time_out(run, deadline),
                Some(_) => {}
                // Not due after all, or something else by now: whoever changed it has set another timer.
                None => {
                    let _ = self.apply(run, Event::Due);
                }
            }
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
