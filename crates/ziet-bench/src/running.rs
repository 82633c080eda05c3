//! An engine with a store in memory, and what is told of its runs.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::bail;
use ziet_core::retry::Backoff;
use ziet_core::{ActionId, Json, RunId};
use ziet_engine::{Deployed, Engine, EngineSettings, Happening, Notice, Submission};
use ziet_store::{Durability, Location, Store};
use ziet_worker::WorkerSettings;

use crate::clock;
use crate::processes::Supervisors;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) supervisors: Supervisors,
    told: Receiver<Told>,
}

/// That a run has finished: which, when that was told, and with what.
pub(crate) struct Told {
    pub(crate) run: RunId,
    pub(crate) at: Duration,
    pub(crate) happening: Happening,
}

impl Running {
    /// Starts an engine and waits for the import. `passes` says which ends of runs are passed on: being told wakes another
    /// thread, which costs as much as a short run.
    pub(crate) fn start(
        worker: WorkerSettings,
        concurrency: usize,
        mut passes: impl FnMut() -> bool + Send + 'static,
    ) -> anyhow::Result<Self> {
        let deployed = Deployed {
            backoff: Backoff::None,
            ..Deployed::local(worker, concurrency)
        };
        let settings = EngineSettings {
            mocked: true,
            ..EngineSettings::local(deployed)
        };
        let store = Store::open(&Location::Memory, Durability::Normal)?;
        let (tell, told) = channel();
        let (load, loaded) = channel();
        let engine = Engine::start(settings, store, move |notice| match notice {
            Notice::Run { run, happening, .. } => {
                if is_end(&happening) && passes() {
                    let at = clock::monotonic();
                    drop(tell.send(Told { run, at, happening }));
                }
            }
            Notice::Loaded(_) => drop(load.send(Ok(()))),
            Notice::Broken(error) => drop(load.send(Err(error))),
            Notice::InputMade(_)
            | Notice::Printed { .. }
            | Notice::Written(_)
            | Notice::ImportFailed { .. }
            | Notice::Supervised(_) => {}
        })?;
        loaded.recv_timeout(PATIENCE)??;
        Ok(Self {
            engine,
            supervisors: Supervisors::new()?,
            told,
        })
    }

    pub(crate) fn submit(&self, action: &str, input: &Json) -> anyhow::Result<RunId> {
        let submission = Submission::new(ActionId::new(action), input.clone());
        Ok(self.engine.submit_now(submission)??)
    }

    /// The next run that finishes.
    pub(crate) fn told(&self) -> anyhow::Result<Told> {
        Ok(self.told.recv_timeout(PATIENCE)?)
    }

    /// The next run that finishes, which must complete.
    pub(crate) fn completed(&self) -> anyhow::Result<(Duration, Json)> {
        let told = self.told()?;
        match told.happening {
            Happening::Completed { output, .. } => Ok((told.at, output)),
            other => bail!("a run did not complete: {other:?}"),
        }
    }

    /// Has `executors` of them wait in an attempt each, so that they are there and runs can be queued behind them.
    pub(crate) fn hold(&self, executors: usize) -> anyhow::Result<Vec<Gate>> {
        (0..executors)
            .map(|_| {
                let gate = Gate::new()?;
                self.submit("actions.hold", &Json::parse(&gate.input()?)?)?;
                Ok(gate)
            })
            .collect()
    }
}

fn is_end(happening: &Happening) -> bool {
    matches!(
        happening,
        Happening::Completed { .. } | Happening::Failed { .. } | Happening::Cancelled(_)
    )
}

/// A port of this machine that an attempt waits at: a sandbox lets it connect there.
pub(crate) struct Gate(TcpListener);

impl Gate {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    }

    /// What an attempt is given so that it comes here.
    pub(crate) fn input(&self) -> anyhow::Result<String> {
        let port = self.0.local_addr()?.port();
        Ok(format!("{{\"gate\": {port}}}"))
    }

    /// Waits until its attempt has come to it, which goes on when the connection is dropped.
    pub(crate) fn reached(&self) -> anyhow::Result<TcpStream> {
        Ok(self.0.accept()?.0)
    }
}
