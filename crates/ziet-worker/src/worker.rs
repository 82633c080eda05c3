//! The worker: one zygote and its executors, driven by the events of its owner's loop.
//!
//! What happens is queued as [`WorkerEvent`]s for the owner to take. An executor that was stopped, or has ended, sends
//! nothing any more: that is what makes settling an attempt before killing it safe.

mod control;
mod end;
mod event;
mod groups;
mod serve;
mod supply;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::UnixListener;
use mio::{Interest, Registry, Token};
use ziet_core::frame::FrameError;
use ziet_core::limits::MEMORY_BYTES;
use ziet_core::wire::{Level, StartMethod, ToExecutor, ToZygote};
use ziet_core::{ActionId, Json};

pub use self::event::{Ended, Excess, ExecutorId, WorkerError, WorkerEvent};
use self::groups::OwnGroups;
use self::usage::Watch;
use crate::executor::{self, Arrival, Executor, Part};
use crate::os::{self, Ability};
use crate::pool::{Pool, PoolSettings};
use crate::private::{PrivateFolder, SOCKET, sweep};
use crate::project::Project;
use crate::python::Python;
use crate::sandbox;
use crate::zygote::{Farewell, Place, Tokens, Zygote};

/// How long nothing is asked for that the system has just refused: a process, a descriptor.
const PAUSE: Duration = Duration::from_secs(1);

/// Bytes that an executor may leave unread: two answers as large as all that a memory may hold, and more.
const UNSENT_BYTES: usize = 5 * MEMORY_BYTES / 2;

const CONTROL: Token = Token(0);
const ZYGOTE_OUT: Token = Token(1);
const ZYGOTE_ERR: Token = Token(2);
const LISTENER: Token = Token(3);
const WATCH: Token = Token(4);
/// Above every executor's.
const ARRIVALS: usize = 1 << (RANGE_BITS - 1);

/// The workers of one loop have a range of tokens each: the bits above these are a worker's number.
const RANGE_BITS: u32 = usize::BITS / 8 * 5;

/// An executor has four tokens, so its id is in the same range as these.
const EXECUTOR_BITS: u32 = RANGE_BITS - 2;

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    pub python: Python,
    /// The folder that holds the package `ziet`, when it is not the one that Python finds by itself.
    pub sdk: Option<PathBuf>,
    pub project: Project,
    /// Whether actions are described in full, with schemas and documentation, which takes time to make.
    pub describe: bool,
    pub start: StartMethod,
    /// Whether the project's code is shut in.
    pub sandbox: bool,
    /// What of the system not to use, although it is there.
    pub without: Vec<Ability>,
    pub pool: PoolSettings,
    /// What the project's code finds in its environment besides what it has anyway, from its import on.
    pub environment: Vec<(String, String)>,
}

pub struct Worker {
    settings: WorkerSettings,
    /// The first of its tokens.
    base: usize,
    registry: Registry,
    strays: os::Strays,
    /// When to look for strays again: some were ended that may have left others.
    strays_at: Option<Instant>,
    /// None where no group can be made.
    groups: Option<OwnGroups>,
    home: Option<Home>,
    /// Threads that remove what earlier zygotes, and programs that were killed, have left.
    removals: Vec<JoinHandle<()>>,
    /// Threads that remove scratch directories and what lies beside them, and what each removes.
    scratch_removals: Vec<(Vec<PathBuf>, JoinHandle<()>)>,
    /// Of zygotes that are gone, while something that came from one may still write there.
    old_folders: Vec<PrivateFolder>,
    zygote: Option<Zygote>,
    executors: HashMap<u64, Executor>,
    pool: Pool,
    /// When something is to be done about an executor although it does nothing.
    due: BTreeSet<(Instant, u64)>,
    /// Connections that have not said whose they are, the oldest first.
    arrivals: BTreeMap<usize, Arrival>,
    last_id: u64,
    last_home: u64,
    last_arrival: usize,
    /// Executors in a row that ended before they could be used.
    failed_arrivals: u32,
    /// No executor is asked for before this.
    forks_from: Option<Instant>,
    /// No connection is accepted before this.
    accepts_from: Option<Instant>,
    watch: Watch,
    /// Attempts that were begun in all executors together.
    last_attempt: u64,
    /// Whether test data is being made.
    makes_input: bool,
    /// Whether it is still to be told what holds the project's code.
    tells_mechanisms: bool,
    /// When this turn of the loop began.
    now: Instant,
    events: VecDeque<WorkerEvent>,
    /// Descriptors that had more to read when their turn was over.
    again: VecDeque<Token>,
    buffer: Vec<u8>,
}

/// Where the executors of one zygote connect. The next zygote has another: one that ends by itself removes its own.
struct Home {
    folder: PrivateFolder,
    listener: UnixListener,
    /// Whether there is a namespace of processes for what is in it.
    own_processes: bool,
    /// Of the zygote, and of what comes from it until it has a group of its own.
    group: Option<os::Group>,
}

impl Home {
    fn new(registry: &Registry, token: Token) -> std::io::Result<Self> {
        let folder = PrivateFolder::make()?;
        let mut listener = UnixListener::bind(folder.path().join(SOCKET))?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            folder,
            listener,
            own_processes: false,
            group: None,
        })
    }

    /// Where the directories are that executors have to themselves.
    fn scratch(&self) -> PathBuf {
        sandbox::scratch(self.folder.path())
    }
}

impl Worker {
    /// Starts Python and the import of the project; [`WorkerEvent::Loaded`] tells when it is done. The calling thread
    /// must be the one that turns the loop, to its end. No other worker of that loop ever has the same `number`.
    ///
    /// # Errors
    /// When Python does not start, or the system lacks what it takes to supervise it.
    pub fn start(
        settings: WorkerSettings,
        number: u32,
        registry: Registry,
        now: Instant,
    ) -> Result<Self, WorkerError> {
        let base = (number as usize) << RANGE_BITS;
        let mut worker = Self {
            base,
            pool: Pool::new(&settings.pool),
            registry,
            strays: os::Strays::adopt(),
            strays_at: None,
            groups: OwnGroups::find(&settings.without),
            home: None,
            removals: in_thread(sweep).into_iter().collect(),
            scratch_removals: Vec::new(),
            old_folders: Vec::new(),
            zygote: None,
            executors: HashMap::new(),
            due: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            last_id: u64::from(number) << EXECUTOR_BITS,
            last_home: 0,
            last_arrival: base + ARRIVALS,
            failed_arrivals: 0,
            forks_from: None,
            accepts_from: None,
            watch: Watch::default(),
            last_attempt: 0,
            makes_input: false,
            tells_mechanisms: true,
            now,
            events: VecDeque::new(),
            again: VecDeque::new(),
            buffer: vec![0; 64 * 1024],
            settings,
        };
        worker.import()?;
        Ok(worker)
    }

    /// Which worker of a loop a token belongs to, by its number.
    pub fn of(token: Token) -> u32 {
        u32::try_from(token.0 >> RANGE_BITS).unwrap_or(u32::MAX)
    }

    /// By which it is known in its loop.
    pub fn number(&self) -> u32 {
        Self::of(Token(self.base))
    }

    /// One of those that every worker has.
    fn own(&self, token: Token) -> Token {
        Token(self.base + token.0)
    }

    /// Starts a zygote and the import.
    fn import(&mut self) -> Result<(), WorkerError> {
        let tokens = Tokens {
            control: self.own(CONTROL),
            out: self.own(ZYGOTE_OUT),
            err: self.own(ZYGOTE_ERR),
        };
        let mut home =
            Home::new(&self.registry, self.own(LISTENER)).map_err(WorkerError::Folder)?;
        let socket = home.folder.path().join(SOCKET);
        self.last_home += 1;
        home.group = self.group(&format!("zygote-{}", self.last_home));
        let place = Place {
            socket: &socket,
            group: home.group.as_ref(),
        };
        let mut zygote = Zygote::start(&self.settings, &place, &self.registry, &tokens, self.now)
            .map_err(|source| WorkerError::Start {
            python: self.settings.python.clone(),
            source,
        })?;
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let project = &self.settings.project;
        zygote.channel.send(&ToZygote::Load {
            root: text(&project.root),
            paths: project.paths.iter().map(text).collect(),
            modules: project.modules.clone(),
            describe: self.settings.describe,
            start: self.settings.start,
        })?;
        self.home = Some(home);
        self.zygote = Some(zygote);
        Ok(())
    }

    /// Ends the zygote, from which there must be no executors: the next demand has the project imported anew.
    pub fn unload(&mut self) {
        if let Some(zygote) = self.zygote.take() {
            let farewell = Farewell::before(&zygote);
            zygote.end(&self.registry, farewell);
            self.leave_home();
            self.end_strays();
        }
    }

    /// The zygote is gone: so is where its executors connected, and, when the last stray is dead, its folder.
    fn leave_home(&mut self) {
        self.arrivals.clear();
        let Some(home) = self.home.take() else { return };
        self.end_group(home.group);
        self.old_folders.push(home.folder);
    }

    /// What lies in them may be much, so a thread removes it; where there is none for that, it is removed here.
    fn remove_old_folders(&mut self) {
        let folders = std::mem::take(&mut self.old_folders);
        if !folders.is_empty() {
            self.removals.extend(in_thread(move || drop(folders)));
            self.removals.retain(|removal| !removal.is_finished());
        }
    }

    /// How far the zygote's namespace of processes is below this program's.
    fn zygote_depth(&self) -> usize {
        let own = self.home.as_ref().is_some_and(|home| home.own_processes);
        usize::from(own)
    }

    /// A group for a process and what it starts, where there can be one.
    fn group(&self, name: &str) -> Option<os::Group> {
        let processes = self.settings.sandbox.then(sandbox::room);
        self.groups.as_ref()?.make_one(name, processes).ok()
    }

    /// What is left in it is ended.
    fn end_group(&mut self, group: Option<os::Group>) {
        if let (Some(group), Some(groups)) = (group, &self.groups) {
            groups.end(group);
        }
    }

    /// Asks for test data, of which the object `given` has some; answered by [`WorkerEvent::InputMade`].
    ///
    /// # Errors
    /// When there is no process to make it, or `given` is too large.
    pub fn make_input(&mut self, action_id: ActionId, given: Json) -> Result<(), WorkerError> {
        if self.zygote.is_none() {
            self.import()?;
        }
        self.makes_input = true;
        self.tell_zygote(&ToZygote::MakeInput { action_id, given })
    }

    fn tell_zygote(&mut self, message: &ToZygote) -> Result<(), WorkerError> {
        if let Some(zygote) = &mut self.zygote {
            zygote.channel.send(message)?;
        }
        Ok(())
    }

    /// Sends to an executor; one that is gone is passed over, and told by an event of its own.
    ///
    /// # Errors
    /// When the message is larger than a frame may be.
    pub fn send(&mut self, executor: ExecutorId, message: &ToExecutor) -> Result<(), FrameError> {
        let id = executor.0;
        let link = self.executors.get_mut(&id).and_then(|executor| {
            let sound = executor.fault.is_none();
            executor.link.as_mut().filter(|_| sound)
        });
        let Some(link) = link else { return Ok(()) };
        link.channel.send(message)?;
        // A descriptor that cannot be watched shows when it is read.
        let _ = link
            .channel
            .watch(&self.registry, executor::token(id, Part::Channel));
        if link.channel.unsent() > UNSENT_BYTES {
            self.found_out(id, || "it does not read its answers".to_owned());
        }
        Ok(())
    }

    /// What happened, in order; empty until the next event or timer.
    pub fn next_event(&mut self) -> Option<WorkerEvent> {
        self.events.pop_front()
    }

    /// The processes that are there for attempts, or are being made.
    pub fn executors(&self) -> usize {
        self.executors.len()
    }

    /// Whether `begin_turn` has something to do without waiting.
    pub fn is_busy(&self) -> bool {
        !self.again.is_empty()
    }

    /// When `on_time` has something to do.
    pub fn next_timer(&self) -> Option<Instant> {
        let executor = self.due.first().map(|(at, _)| *at);
        let others = [
            self.forks_from,
            self.accepts_from,
            self.strays_at,
            self.watch.next_look(),
            self.pool.next_look(),
        ];
        let import = self.loading_until();
        executor
            .into_iter()
            .chain(import)
            .chain(others.into_iter().flatten())
            .min()
    }

    fn loading_until(&self) -> Option<Instant> {
        let loading = self.zygote.as_ref()?.loading.as_ref()?;
        Some(loading.until)
    }

    pub fn on_time(&mut self, now: Instant) {
        while let Some((at, id)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            self.on_late(id);
        }
        if self.loading_until().is_some_and(|until| now >= until) {
            self.on_late_import();
        }
        if self.forks_from.take_if(|at| now >= *at).is_some() {
            self.events.push_back(WorkerEvent::Ready);
        }
        if self.accepts_from.take_if(|at| now >= *at).is_some() {
            self.accept();
        }
        if self.strays_at.take_if(|at| now >= *at).is_some() {
            self.end_strays();
        }
        if self.watch.next_look().is_some_and(|at| now >= at) {
            self.look(now);
        }
        if self.pool.next_look().is_some_and(|at| now >= at) {
            self.shrink(now);
        }
    }

    /// Handles a readiness event.
    pub fn on_ready(&mut self, token: Token) {
        match Token(token.0.wrapping_sub(self.base)) {
            CONTROL => self.read_control(),
            ZYGOTE_OUT => self.read_zygote_output(Level::Info),
            ZYGOTE_ERR => self.read_zygote_output(Level::Warn),
            LISTENER => self.accept(),
            WATCH => self.on_findings(),
            Token(arrival) if arrival > ARRIVALS => self.read_arrival(token.0),
            _ => {
                if let Some((id, part)) = executor::from_token(token) {
                    self.read_executor(id, part);
                }
            }
        }
    }

    /// To be called first in each turn of the loop: goes on with what had more to read than the last one.
    pub fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        for token in std::mem::take(&mut self.again) {
            self.on_ready(token);
        }
    }

    /// Ends everything that was started, whatever it does, and tells nothing of it. It is to be turned until it is gone.
    pub fn dismiss(&mut self) {
        if let Some(zygote) = &self.zygote {
            let farewell = Farewell::before(zygote);
            self.end_zygote(farewell, |ending, said| WorkerError::Zygote {
                ending,
                said,
            });
        }
        self.events.clear();
    }

    /// Whether there is nothing of it, and nothing for it to do before it is asked for something.
    pub fn is_gone(&self) -> bool {
        self.zygote.is_none() && self.strays_at.is_none() && self.events.is_empty()
    }

    /// Ends everything that was started, and waits for it.
    pub fn shut_down(mut self) {
        for id in self.executors.keys().copied().collect::<Vec<_>>() {
            self.end_process(id);
        }
        if let Some(zygote) = self.zygote.take() {
            let farewell = Farewell::before(&zygote);
            zygote.end(&self.registry, farewell);
        }
        self.leave_home();
        self.strays.end_all();
        self.remove_old_folders();
        for removal in self.removals {
            let _ = removal.join();
        }
    }
}

/// Removing may take long. None where the system is out of threads.
fn in_thread(removal: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let thread = Builder::new().name("ziet-remove".to_owned());
    thread.spawn(removal).ok()
}
