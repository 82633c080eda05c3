//! The worker: one zygote and its executors, driven by the events of its owner's loop.
//!
//! What happens is queued as [`WorkerEvent`]s for the owner to take. An executor that was stopped, or has ended, sends
//! nothing any more: that is what makes settling an attempt before killing it safe.

mod control;
mod serve;

use std::collections::{HashMap, VecDeque};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::net::UnixListener;
use mio::{Interest, Registry, Token};
use tempfile::TempDir;
use ziet_core::action::Catalogue;
use ziet_core::frame::FrameError;
use ziet_core::limits::IMPORT_TIME;
use ziet_core::wire::{FromExecutor, Level, StartMethod, ToExecutor, ToZygote};
use ziet_core::{ActionId, Json};

use crate::executor::{self, Arrival, Executor, Phase};
use crate::os::{self, Ability, Ending, Usage};
use crate::project::Project;
use crate::python::Python;
use crate::stack::Stack;
use crate::zygote::{Tokens, Zygote};

/// How long an executor whose time is up may take to show its stack.
const STACK_TIME: Duration = Duration::from_millis(50);

/// Bytes of a folder's path, so that a socket in it has a path of no more than the 103 that every system takes.
const LONGEST_FOLDER: usize = 90;

const CONTROL: Token = Token(0);
const ZYGOTE_OUT: Token = Token(1);
const ZYGOTE_ERR: Token = Token(2);
const LISTENER: Token = Token(3);
/// Above every executor's.
const ARRIVALS: usize = usize::MAX / 2;

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
}

/// How many executors there are, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Idle ones to keep ready while there is traffic.
    pub spare: usize,
    /// One is replaced after so many attempts.
    pub attempts: u32,
    /// One is replaced when it has grown by more than this.
    pub growth_bytes: u64,
    /// One is ended after so long without work, and the zygote after as long without any.
    pub idle: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutorId(u64);

#[derive(Debug)]
pub enum WorkerEvent {
    /// The project is imported.
    Loaded(Catalogue),
    InputMade {
        input: Json,
        made: Vec<String>,
        error: Option<String>,
    },
    /// The project printed something while it was imported.
    Printed {
        level: Level,
        text: String,
    },
    /// The system would not make a process for it.
    NotForked {
        executor: ExecutorId,
        error: String,
    },
    /// It can be sent a start.
    Ready(ExecutorId),
    Message(ExecutorId, FromExecutor),
    /// A stopped executor has been sent SIGKILL; with its stack, if that was asked for.
    Stopped {
        executor: ExecutorId,
        stack: Stack,
        usage: Option<Usage>,
    },
    /// An executor that nobody stopped has ended.
    Ended(Ended),
    /// The zygote is gone, and every executor with it.
    Gone(WorkerError),
}

/// The end of an executor that nobody stopped.
#[derive(Debug)]
pub struct Ended {
    pub executor: ExecutorId,
    pub ending: Ending,
    /// What it did that no executor does, if that is why it was killed.
    pub fault: Option<String>,
    /// Where it was when a signal killed it, if it could still say so.
    pub stack: Stack,
    pub usage: Option<Usage>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("{path} does not start", path = .python.path.display())]
    Start {
        python: Python,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} ended ({ending}) while it imported the project{said}", path = .python.path.display())]
    Import {
        python: Python,
        ending: String,
        said: String,
    },
    #[error("importing the project took longer than {} s{said}", IMPORT_TIME.as_secs())]
    ImportTime { said: String },
    #[error("{path} has the package ziet {sdk}, which speaks protocol {theirs}; this program speaks {ours}", path = .python.path.display())]
    Protocol {
        python: Python,
        sdk: String,
        theirs: u32,
        ours: u32,
    },
    #[error("the process that imported the project ended ({ending}){said}")]
    Zygote { ending: String, said: String },
    #[error("no folder for the sockets of executors")]
    Folder(#[source] std::io::Error),
    #[error("a message of the process that imported the project is not understood")]
    Frame(#[from] FrameError),
}

pub struct Worker {
    settings: WorkerSettings,
    registry: Registry,
    folder: TempDir,
    strays: os::Strays,
    listener: UnixListener,
    zygote: Option<Zygote>,
    executors: HashMap<u64, Executor>,
    arrivals: HashMap<usize, Arrival>,
    last_id: u64,
    last_arrival: usize,
    events: VecDeque<WorkerEvent>,
    /// Descriptors that had more to read when their turn was over.
    again: VecDeque<Token>,
    buffer: Vec<u8>,
}

impl Worker {
    /// Starts Python and the import of the project; [`WorkerEvent::Loaded`] tells when it is done. The calling thread
    /// must be the one that turns the loop, to its end.
    pub fn start(
        settings: WorkerSettings,
        registry: Registry,
        now: Instant,
    ) -> Result<Self, WorkerError> {
        let strays = os::Strays::adopt();
        let folder = private_folder().map_err(WorkerError::Folder)?;
        let mut listener =
            UnixListener::bind(folder.path().join("executors")).map_err(WorkerError::Folder)?;
        registry
            .register(&mut listener, LISTENER, Interest::READABLE)
            .map_err(WorkerError::Folder)?;
        let mut worker = Self {
            settings,
            registry,
            folder,
            strays,
            listener,
            zygote: None,
            executors: HashMap::new(),
            arrivals: HashMap::new(),
            last_id: 0,
            last_arrival: ARRIVALS,
            events: VecDeque::new(),
            again: VecDeque::new(),
            buffer: vec![0; 64 * 1024],
        };
        worker.import(now)?;
        Ok(worker)
    }

    /// Starts a zygote and the import; also after the last one is gone.
    pub fn import(&mut self, now: Instant) -> Result<(), WorkerError> {
        let tokens = Tokens {
            control: CONTROL,
            out: ZYGOTE_OUT,
            err: ZYGOTE_ERR,
        };
        let socket = self.folder.path().join("executors");
        let mut zygote = Zygote::start(&self.settings, &socket, &self.registry, &tokens, now)
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
        self.zygote = Some(zygote);
        Ok(())
    }

    /// Asks for test data, of which the object `given` has some; answered by [`WorkerEvent::InputMade`].
    pub fn make_input(&mut self, action_id: ActionId, given: Json) -> Result<(), WorkerError> {
        self.tell_zygote(&ToZygote::MakeInput { action_id, given })
    }

    /// Asks for an executor; [`WorkerEvent::Ready`] tells when it can be used.
    pub fn fork(&mut self) -> Result<ExecutorId, WorkerError> {
        self.last_id += 1;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        self.tell_zygote(&ToZygote::Fork {
            token: secret.clone(),
            scratch: None,
        })?;
        self.executors.insert(self.last_id, Executor::new(secret));
        Ok(ExecutorId(self.last_id))
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
        match self
            .executors
            .get_mut(&executor.0)
            .and_then(|executor| executor.link.as_mut())
        {
            Some(link) => link.channel.send(message),
            None => Ok(()),
        }
    }

    /// Ends an executor and what it started; nothing that it has sent or sends counts from here on. Answered by
    /// [`WorkerEvent::Stopped`] once SIGKILL is sent: at once, or with `stack` when that has come or 50 ms are over.
    pub fn stop(&mut self, executor: ExecutorId, stack: bool, now: Instant) {
        let Some(found) = self.executors.get_mut(&executor.0) else {
            return;
        };
        match (&found.phase, &mut found.link, found.pid) {
            (Phase::Killed | Phase::Dumping { .. }, _, _) => {}
            (Phase::Serving, Some(link), Some(pid)) if stack => {
                link.stack.clear(&mut self.buffer);
                let signal = link.stack_signal;
                found.phase = Phase::Dumping {
                    until: now + STACK_TIME,
                };
                os::send_signal(pid, signal);
            }
            (Phase::Serving | Phase::Arriving, _, _) => self.kill(executor.0),
        }
    }

    /// Sends SIGKILL and says so.
    fn kill(&mut self, id: u64) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        let usage = executor.pid.and_then(os::usage);
        executor.phase = Phase::Killed;
        if let Some(pid) = executor.pid {
            os::kill(pid);
        }
        let stack = self.stack_of(id);
        self.events.push_back(WorkerEvent::Stopped {
            executor: ExecutorId(id),
            stack,
            usage,
        });
    }

    fn stack_of(&mut self, id: u64) -> Stack {
        let link = self
            .executors
            .get_mut(&id)
            .and_then(|executor| executor.link.as_mut());
        let (Some(link), Some(zygote)) = (link, &self.zygote) else {
            return Stack::default();
        };
        let text = String::from_utf8_lossy(link.stack.bytes());
        Stack::parse(
            &text,
            zygote.sdk_folder.as_ref(),
            &self.settings.project.root,
        )
    }

    /// What happened, in order; empty until the next event or timer.
    pub fn next_event(&mut self) -> Option<WorkerEvent> {
        self.events.pop_front()
    }

    /// Whether `turn_again` has something to do without waiting.
    pub fn is_busy(&self) -> bool {
        !self.again.is_empty()
    }

    /// When `on_time` has something to do.
    pub fn next_timer(&self) -> Option<Instant> {
        let stacks = self
            .executors
            .values()
            .filter_map(|executor| match executor.phase {
                Phase::Dumping { until } => Some(until),
                Phase::Arriving | Phase::Serving | Phase::Killed => None,
            });
        let import = self
            .zygote
            .as_ref()
            .and_then(|zygote| zygote.loading.as_ref())
            .map(|loading| loading.until);
        stacks.chain(import).min()
    }

    pub fn on_time(&mut self, now: Instant) {
        let late: Vec<u64> = self
            .executors
            .iter()
            .filter(|(_, executor)| executor.is_late(now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.kill(id);
        }
        if self
            .zygote
            .as_ref()
            .and_then(|zygote| zygote.loading.as_ref())
            .is_some_and(|loading| now >= loading.until)
        {
            self.end_zygote(|_, said| WorkerError::ImportTime { said });
        }
    }

    /// Handles a readiness event.
    pub fn on_ready(&mut self, token: Token) {
        match token {
            CONTROL => self.read_control(),
            ZYGOTE_OUT => self.read_zygote_output(Level::Info),
            ZYGOTE_ERR => self.read_zygote_output(Level::Warn),
            LISTENER => self.accept(),
            Token(arrival) if arrival > ARRIVALS => self.read_arrival(arrival),
            token => {
                if let Some((id, part)) = executor::from_token(token) {
                    self.read_executor(id, part);
                }
            }
        }
    }

    /// Goes on with what had more to read than one turn.
    pub fn turn_again(&mut self) {
        for token in std::mem::take(&mut self.again) {
            self.on_ready(token);
        }
    }

    /// Ends everything that was started, and waits for it.
    pub fn shut_down(mut self) {
        for executor in self.executors.values() {
            if let Some(pid) = executor.pid {
                os::kill(pid);
            }
        }
        if let Some(zygote) = self.zygote.take() {
            zygote.dismiss();
        }
        self.strays.end_all();
    }
}

/// A folder that only this user can enter, for the socket of the executors.
fn private_folder() -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("ziet-")
        .permissions(Permissions::from_mode(0o700));
    let folder = builder.tempdir()?;
    if folder.path().as_os_str().len() <= LONGEST_FOLDER {
        return Ok(folder);
    }
    builder.tempdir_in("/tmp")
}
