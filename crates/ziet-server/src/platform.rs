//! What the routes have at hand: the store, the projects with their engines, and who may ask.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use ziet_core::{Catalogue, ProjectId};
use ziet_engine::{Clock, Engine};
use ziet_store::{Store, StoreError, Tx, keys};

use crate::asking::Wait;
use crate::checks::{Checks, Compiled};
use crate::hints::Hints;
use crate::keys::{Key, Keys};
use crate::problem::{Code, Problem};

/// Everything that a server serves.
pub struct Platform {
    pub(crate) store: Store,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    pub(crate) hints: Hints,
    pub(crate) keys: Keys,
    pub(crate) settings: ServerSettings,
    draining: AtomicBool,
}

/// What a server is told when it is started.
#[derive(Clone, Debug, Default)]
pub struct ServerSettings {
    /// The names by which clients may call it, besides localhost and addresses.
    pub hosts: Vec<String>,
    /// Whether `/metrics` and `/docs` need no key.
    pub public_metrics: bool,
    /// Encrypts connections with this; None leaves them as they are.
    pub tls: Option<TlsFiles>,
    /// The time of day, the same as of the engines.
    pub clock: Clock,
}

/// A certificate and its key, in the form PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// One project and what executes its runs.
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    pub(crate) engine: Arc<Engine>,
    checks: Checks,
}

impl Project {
    /// The actions and their schemas, as the last import found them.
    pub(crate) fn actions(&self) -> Result<Arc<Compiled>, Problem> {
        Ok(self.checks.of(self.catalogue()?))
    }

    /// Whether runs are executed: they are not before the first import, and not while a later one fails.
    pub(crate) fn imported(&self) -> Result<(), Problem> {
        self.catalogue()?;
        if !self.engine.figures().import_failing {
            return Ok(());
        }
        // What it says may be for nobody else than who runs the server.
        let detail = format!(
            "the project {} cannot be imported again: its runs wait, and the server's log says why",
            self.id
        );
        Err(Problem::new(Code::NotReady, detail).retry_after(IMPORT))
    }

    fn catalogue(&self) -> Result<Arc<Catalogue>, Problem> {
        self.engine.catalogue().ok_or_else(|| {
            Problem::new(
                Code::NotReady,
                format!("the project {} is still being imported", self.id),
            )
            .retry_after(IMPORT)
        })
    }
}

/// After how long to ask again while a project is imported.
const IMPORT: Duration = Duration::from_secs(1);

impl Platform {
    /// `hints` is what the engines tell their notices to.
    pub fn new(
        store: Store,
        engines: BTreeMap<ProjectId, Arc<Engine>>,
        hints: Hints,
        settings: ServerSettings,
    ) -> Arc<Self> {
        let projects = engines.into_iter().map(|(id, engine)| {
            let project = Project {
                id: id.clone(),
                engine,
                checks: Checks::default(),
            };
            (id, project)
        });
        Arc::new(Self {
            store,
            projects: projects.collect(),
            hints,
            keys: Keys::default(),
            settings,
            draining: AtomicBool::new(false),
        })
    }

    /// Takes in the keys that are stored. Nobody has one before.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load_keys(&self) -> Result<(), StoreError> {
        let stored = self
            .asked_to_read(async |tx| keys::list(tx, None).await)
            .await?;
        let valid = stored.iter().filter(|record| record.revoked_at.is_none());
        valid.for_each(|record| self.keys.add(Key::from(record)));
        Ok(())
    }

    /// Waiting ends when the server is to stop.
    pub(crate) fn wait(&self, at_most: Duration) -> Wait<'_> {
        Wait {
            at_most,
            stop: self.hints.closed(),
        }
    }

    /// Has the use of a key written down now and then; nobody waits for it.
    pub(crate) fn note_use(&self, key: &Key) {
        let now = self.settings.clock.now();
        if key.is_news(now) {
            let id = key.id;
            self.store.write(
                async move |tx| keys::touch(tx, id, now).await,
                |noted| {
                    if let Err(error) = noted {
                        tracing::warn!("the use of a key is not written down: {error}");
                    }
                },
            );
        }
    }

    /// What the store answers to a verb that reads.
    pub(crate) async fn read<T, F>(&self, verb: F) -> Result<T, Problem>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.asked_to_read(verb).await?)
    }

    async fn asked_to_read<T, F>(&self, verb: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        // Who has gone away meanwhile is not told.
        self.store.read(verb, |result| drop(done.send(result)));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// What the store answers to a verb that writes, after the commit.
    pub(crate) async fn write<T, F>(&self, verb: F) -> Result<T, Problem>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        self.store.write(verb, |result| drop(done.send(result)));
        Ok(answer.await.unwrap_or(Err(StoreError::Closed))?)
    }

    /// From now on `/readyz` says that the server is stopping; what it answers besides does not change.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
