//! A project, a folder for the state, and engines on them, one after the other.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tempfile::TempDir;
use ziet_core::document::{RunDocument, RunSummary};
use ziet_core::retry::Backoff;
use ziet_core::run::{Cancelled, Status};
use ziet_core::wire::StartMethod;
use ziet_core::{ActionId, Json, ProjectId, RunId};
use ziet_engine::{
    Accepted, Cancelling, Deployed, Engine, EngineSettings, Figures, Notice, Refusal, Submission,
};
use ziet_store::runs::{self, RunFilter};
use ziet_store::{Durability, Location, Store};
use ziet_worker::python::{Found, Python};
use ziet_worker::{PoolSettings, Project, WorkerSettings};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    folder: TempDir,
    gate: TcpListener,
}

/// An engine, and what it tells.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    notices: Receiver<Notice>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            gate: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("ziet.db")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&Location::File(self.database()), Durability::Full).unwrap()
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(|_| {})
    }

    /// Starts an engine on what the last one has left, and waits for the import.
    pub(crate) fn start_with(&self, change: impl FnOnce(&mut EngineSettings)) -> Running {
        let deployed = Deployed {
            backoff: Backoff::None,
            ..Deployed::local(worker(), 4)
        };
        let mut settings = EngineSettings::local(deployed);
        change(&mut settings);
        let running = self.start_on(settings);
        running.loaded();
        running
    }

    /// Starts an engine on what the last one has left.
    pub(crate) fn start_on(&self, settings: EngineSettings) -> Running {
        let store = self.store();
        let (tell, notices) = channel();
        let engine = Engine::start(settings, store.clone(), move |notice| {
            // The test is over when nobody listens.
            let _ = tell.send(notice);
        })
        .unwrap();
        Running {
            engine,
            store,
            notices,
        }
    }

    /// The input of an action that notes and waits.
    pub(crate) fn held(&self) -> String {
        let port = self.gate.local_addr().unwrap().port();
        let notes = self.notes();
        format!(r#"{{"port": {port}, "file": "{}"}}"#, notes.display())
    }

    pub(crate) fn notes(&self) -> PathBuf {
        self.folder.path().join("notes")
    }

    /// How often an action has noted that it is executed.
    pub(crate) fn executions(&self) -> usize {
        fs_err::read(self.notes()).map_or(0, |notes| notes.len())
    }

    /// Waits until an attempt waits here; it goes on when the connection is dropped.
    pub(crate) fn reached(&self) -> TcpStream {
        self.gate.accept().unwrap().0
    }
}

impl Running {
    /// Waits for the import.
    pub(crate) fn loaded(&self) {
        self.until(|notice| matches!(notice, Notice::Loaded(_)).then_some(()));
    }

    pub(crate) fn submit(&self, action: &str, input: &str) -> RunId {
        self.accept(submission(action, input)).unwrap().run
    }

    pub(crate) fn accept(&self, submission: Submission) -> Result<Accepted, Refusal> {
        self.accept_all(vec![submission]).map(|all| all[0])
    }

    pub(crate) fn accept_all(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, Refusal> {
        answered(|answer| {
            self.engine
                .submit(submissions, move |result| answer.send(result).unwrap());
        })
    }

    pub(crate) fn cancel(&self, run: RunId) -> Result<Cancelling, Refusal> {
        let cancelled = Cancelled {
            by: "a test".to_owned(),
            reason: Some("to see it".to_owned()),
        };
        answered(|answer| {
            self.engine
                .cancel(run, cancelled, move |result| answer.send(result).unwrap());
        })
    }

    pub(crate) fn invoke(&self, run: RunId) -> Result<(), Refusal> {
        answered(|answer| {
            self.engine
                .invoke(run, move |result| answer.send(result).unwrap());
        })
    }

    pub(crate) fn drain(&self, grace: Duration) {
        answered(|answer| self.engine.drain(grace, move || answer.send(()).unwrap()));
    }

    /// Waits for the end of a run.
    pub(crate) fn finished(&self, run: RunId) -> RunDocument {
        answered(|answer| {
            self.engine
                .when_finished(run, move |_| answer.send(()).unwrap());
        });
        self.document(run)
    }

    /// Those of a turn that is over: what was told before is in them.
    pub(crate) fn figures(&self) -> Figures {
        let unknown = RunId::new(ziet_core::Time::from_millis(0));
        answered(|answer| {
            self.engine
                .when_finished(unknown, move |_| answer.send(()).unwrap());
        });
        self.engine.figures()
    }

    pub(crate) fn completed(&self, run: RunId) -> RunDocument {
        let document = self.finished(run);
        assert_eq!(document.status, Status::Completed, "{:?}", document.error);
        document
    }

    pub(crate) fn document(&self, run: RunId) -> RunDocument {
        self.engine.document(run).unwrap().unwrap()
    }

    pub(crate) fn status(&self, run: RunId) -> Status {
        self.document(run).status
    }

    /// The runs that this one called, the oldest first.
    pub(crate) fn children(&self, run: RunId) -> Vec<RunSummary> {
        let filter = RunFilter {
            parent_id: Some(run),
            ..RunFilter::default()
        };
        let project = ProjectId::new("shop");
        let listed = self
            .store
            .read_now(async move |tx| runs::list(tx, &project, &filter, None, 100).await);
        let mut found = listed.unwrap().runs;
        found.reverse();
        found
    }

    /// Waits until something is told that is `wanted`.
    pub(crate) fn until<T>(&self, mut wanted: impl FnMut(Notice) -> Option<T>) -> T {
        loop {
            match self.notices.recv_timeout(PATIENCE).unwrap() {
                Notice::Broken(error) => panic!("{error}"),
                notice => {
                    if let Some(found) = wanted(notice) {
                        return found;
                    }
                }
            }
        }
    }

    /// Whether nothing is told for so long.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        while self.notices.try_recv().is_ok() {}
        matches!(
            self.notices.recv_timeout(time),
            Err(RecvTimeoutError::Timeout)
        )
    }
}

pub(crate) fn submission(action: &str, input: &str) -> Submission {
    let action = ActionId::new(format!("actions.{action}"));
    Submission::new(action, Json::parse(input).unwrap())
}

pub(crate) fn answered<T>(ask: impl FnOnce(Sender<T>)) -> T {
    let (answer, answers) = channel();
    ask(answer);
    answers.recv_timeout(PATIENCE).unwrap()
}

fn worker() -> WorkerSettings {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    worker_in(&fs_err::canonicalize(package.join("tests/project")).unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
pub(crate) fn worker_in(root: &Path) -> WorkerSettings {
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    WorkerSettings {
        python: Python {
            path: environment.map_or("python3".into(), |folder| folder.join("bin/python")),
            found: Found::Setting,
        },
        sdk: Some(fs_err::canonicalize(package.join("../../python")).unwrap()),
        project: Project::new("shop", root, Some(vec!["actions".to_owned()])).unwrap(),
        describe: false,
        start: StartMethod::Fork,
        sandbox: false,
        without: Vec::new(),
        pool: PoolSettings {
            spare: 0,
            attempts: u32::MAX,
            growth_bytes: 1 << 30,
            idle: Duration::from_secs(60),
        },
        environment: Vec::new(),
    }
}
