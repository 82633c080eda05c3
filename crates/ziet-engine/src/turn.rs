//! The scheduler's thread: it sleeps until a socket is ready, a message has come or a time is up, and handles each in
//! one place.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::{Events, Poll, Registry, Token};
use ziet_core::document::RunDocument;
use ziet_core::{ProjectId, RunId, Time, WorkerId};
use ziet_store::Store;
use ziet_worker::{ExecutorId, WorkerEvent};

use crate::answer::{Figures, MadeInput};
use crate::backlog::Backlog;
use crate::call::Callers;
use crate::clock::EngineClock;
use crate::commit::Unwritten;
use crate::deployments::Deployments;
use crate::drain::Drain;
use crate::engine::{Mailbox, Message, Shown};
use crate::live::{Live, Slot};
use crate::notice::{Happening, Notice, Watcher};
use crate::queue::Queue;
use crate::settings::{EngineError, EngineSettings};
use crate::step::{ClockSet, LOOK};
use crate::waiters::Waiters;
use crate::wake::Alarm;

/// How long messages are taken before everything else has its turn.
const LONGEST_TURN: Duration = Duration::from_millis(5);

/// Something to be done on the engine's thread.
pub(crate) type Work = Box<dyn FnOnce(&mut Scheduler) + Send>;

pub(crate) struct Scheduler {
    pub(crate) settings: EngineSettings,
    pub(crate) project: ProjectId,
    pub(crate) worker_id: WorkerId,
    pub(crate) clock: EngineClock,
    /// Tells that the computer's clock was set; None where the system does not.
    pub(crate) clock_set: Option<ClockSet>,
    pub(crate) store: Store,
    pub(crate) mailbox: Mailbox,
    pub(crate) deployments: Deployments,
    /// Whether what the last engine left is settled.
    pub(crate) recovered: bool,
    pub(crate) runs: HashMap<RunId, Live>,
    /// Who waits for which run, in memory or not.
    pub(crate) callers: Callers,
    /// Who from outside waits for the end of which run.
    pub(crate) waiters: Waiters,
    /// Runs that are shown to who submits them.
    pub(crate) shown_at_once: HashSet<RunId>,
    /// What the last commit has made of runs that are to be shown, for the end of its batch.
    pub(crate) documents: HashMap<RunId, Arc<RunDocument>>,
    pub(crate) queue: Queue,
    pub(crate) backlog: Backlog,
    pub(crate) alarm: Alarm,
    pub(crate) slots: HashMap<ExecutorId, Slot>,
    /// When an attempt's time may be up. Looking too often does no harm.
    pub(crate) timers: BTreeSet<(Time, RunId)>,
    /// Attempts that use the machine: those that wait do not.
    pub(crate) executing: usize,
    pub(crate) unwritten: Unwritten,
    /// Runs with lines that are not written yet, and when they are at the latest.
    pub(crate) printing: HashSet<RunId>,
    pub(crate) save_by: Option<Time>,
    pub(crate) drain: Option<Drain>,
    pub(crate) shown: Arc<Mutex<Shown>>,
    watcher: Watcher,
    /// Whether the last turn has left messages to the next one.
    messages_left: bool,
    pub(crate) stopping: bool,
}

impl Scheduler {
    pub(crate) const WAKER: Token = Token(usize::MAX);

    pub(crate) fn new(
        mut settings: EngineSettings,
        store: Store,
        mailbox: Mailbox,
        registry: &Registry,
        watcher: Watcher,
    ) -> Result<Self, EngineError> {
        let clock = EngineClock::new(settings.clock.clone());
        let deployed = std::mem::take(&mut settings.deployed);
        let deployments = Deployments::new(deployed, registry.try_clone()?, &clock)?;
        Ok(Self {
            project: settings.project.clone(),
            worker_id: WorkerId::new(clock.now()),
            settings,
            clock,
            clock_set: ClockSet::watch(registry).ok(),
            store,
            mailbox,
            deployments,
            recovered: false,
            runs: HashMap::new(),
            callers: Callers::default(),
            waiters: Waiters::default(),
            shown_at_once: HashSet::new(),
            documents: HashMap::new(),
            queue: Queue::unread(),
            backlog: Backlog::default(),
            alarm: Alarm::default(),
            slots: HashMap::new(),
            timers: BTreeSet::new(),
            executing: 0,
            unwritten: Unwritten::default(),
            printing: HashSet::new(),
            save_by: None,
            drain: None,
            shown: Arc::default(),
            watcher,
            messages_left: false,
            stopping: false,
        })
    }

    /// Turns until it is told to stop, then ends everything that it started.
    pub(crate) fn run(mut self, mut poll: Poll, messages: &Receiver<Message>) {
        let mut events = Events::with_capacity(256);
        self.recover();
        while !self.stopping {
            match poll.poll(&mut events, self.sleep()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => self.break_down(error.into()),
            }
            self.follow_clock();
            let now = self.clock.instant();
            self.deployments
                .workers()
                .for_each(|worker| worker.begin_turn(now));
            for event in &events {
                match event.token() {
                    Self::WAKER => {}
                    ClockSet::TOKEN => self.on_clock_set(),
                    token => self.deployments.on_ready(token),
                }
            }
            let now = self.clock.instant();
            self.deployments
                .workers()
                .for_each(|worker| worker.on_time(now));
            self.take_worker_events();
            self.take_messages(messages);
            self.fire_timers();
            self.wake();
            self.dispatch();
            self.take_worker_events();
            self.save_all_lines();
            self.part_with_workers();
            self.go_on_draining();
            self.write_turn();
            self.show_figures();
        }
        self.deployments.shut_down();
    }

    /// How long nothing is to be done; None for ever.
    fn sleep(&mut self) -> Option<Duration> {
        if self.messages_left || self.deployments.workers().any(|worker| worker.is_busy()) {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let down = self.unwritten.outage().is_some();
        let waits = [
            self.timers.first().map(|(at, _)| *at),
            self.alarm.due().filter(|_| !down),
            self.unwritten.due(),
            self.save_by,
            self.drain_due(),
        ];
        let own = waits.into_iter().flatten().min().map(|at| at.since(now));
        let timers = self.deployments.workers();
        let worker = timers.filter_map(|worker| worker.next_timer()).min();
        let worker = worker.map(|at| at.saturating_duration_since(self.clock.instant()));
        let import = self.import_pause().filter(|_| !down);
        // What is scheduled is due by the computer's clock, so it must be seen when that is set.
        let look = (self.clock_set.is_none() && self.alarm.due().is_some()).then_some(LOOK);
        [own, worker, import, look].into_iter().flatten().min()
    }

    /// Those that have come, but for no longer than a time that is up may wait. The rest follows in the next turn.
    fn take_messages(&mut self, messages: &Receiver<Message>) {
        let until = self.clock.instant() + LONGEST_TURN;
        self.messages_left = false;
        self.mailbox.woken();
        while let Ok(message) = messages.try_recv() {
            self.on_message(message);
            self.messages_left = self.clock.instant() >= until;
            if self.messages_left {
                return;
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::MakeInput { action, given } => self.make_input(action, given),
            Message::Submit(asked) => self.submit(asked),
            Message::Invoke { run, done } => self.invoke(run, done),
            Message::Cancel {
                run,
                cancelled,
                done,
            } => self.cancel(run, cancelled, done),
            Message::WhenFinished { run, done } => self.when_finished(run, done),
            Message::Drain { grace, done } => self.drain(grace, done),
            Message::Deploy { deployed, done } => self.deploy(*deployed, done),
            Message::Replace {
                deployment,
                worker,
                done,
            } => self.replace(deployment, *worker, done),
            Message::Activate { deployment, done } => self.activate(deployment, done),
            Message::Forget { deployment } => self.forget(deployment),
            Message::Then(work) => work(self),
            Message::ShutDown => self.stopping = true,
        }
    }

    /// Until none has anything to tell: what is done about one may have another tell something.
    fn take_worker_events(&mut self) {
        let mut place = 0;
        while place < self.deployments.places() {
            match self.deployments.next_event(place) {
                Some(event) => {
                    self.on_worker(place, event);
                    place = 0;
                }
                None => place += 1,
            }
        }
    }

    fn on_worker(&mut self, place: usize, event: WorkerEvent) {
        match event {
            WorkerEvent::Loaded(catalogue) => self.on_loaded(place, catalogue),
            WorkerEvent::ImportFailed(error) => self.on_import_failed(place, error),
            WorkerEvent::InputMade { input, made, error } => {
                let made = error.map_or(Ok(MadeInput { input, made }), Err);
                self.tell(Notice::InputMade(made));
            }
            WorkerEvent::Supervised(mechanisms) => {
                // The same for all workers.
                if !self.deployments.is_told() {
                    self.tell(Notice::Supervised(mechanisms));
                }
            }
            WorkerEvent::Printed { level, text } => self.tell(Notice::Printed { level, text }),
            WorkerEvent::NotForked { error, pause } => {
                if let Some(id) = self.deployments.serves(place) {
                    self.on_not_forked(id, &error, pause);
                }
            }
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
            WorkerEvent::Gone(error) => {
                if let Some(number) = self.deployments.number(place) {
                    self.on_zygote_gone(number, &error);
                }
            }
        }
    }

    /// Ends workers that are not needed any more.
    fn part_with_workers(&mut self) {
        let slots = &self.slots;
        self.deployments
            .part_with_idle(|number| slots.keys().any(|executor| executor.worker() == number));
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
            // Something else by now: whoever changed it has set another timer.
            if let Some(deadline) = live.run.deadline().filter(|deadline| *deadline <= now) {
                self.time_out(run, deadline);
            }
        }
    }

    pub(crate) fn break_down(&mut self, error: EngineError) {
        self.stopping = true;
        self.tell(Notice::Broken(error));
    }

    pub(crate) fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn show_figures(&self) {
        let active = self.deployments.active();
        let figures = Figures {
            live: self.backlog.runs,
            live_bytes: self.backlog.bytes,
            queued: self.backlog.queued,
            executing: self.executing,
            waiting: self.slots.len() - self.executing,
            executors: self.deployments.executors(),
            draining: self.drain.is_some(),
            store_down: self.unwritten.outage().is_some(),
            import_failing: active.is_some_and(|active| active.import_failure.is_some()),
        };
        self.show(|shown| shown.figures = figures);
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        self.watcher.tell(notice);
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
