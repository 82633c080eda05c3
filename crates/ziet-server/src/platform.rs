//! What the routes have at hand: the store, the projects with their engines, and who may ask.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use ziet_core::{Catalogue, ProjectId, RunId};
use ziet_engine::{Clock, Engine};
use ziet_store::{Store, StoreError, Tx, keys};
use ziet_worker::WorkerSettings;

use crate::asking::Wait;
use crate::checks::{Checks, Compiled};
use crate::deploy::Deploys;
use crate::hints::Hints;
use crate::keys::{Key, Keys};
use crate::problem::{Code, Problem};
use crate::share::Taken;

/// Everything that a server serves.
pub struct Platform {
    pub(crate) store: Store,
    projects: RwLock<BTreeMap<ProjectId, Arc<Project>>>,
    /// None where nothing can be deployed.
    pub(crate) deploys: Option<Deploys>,
    pub(crate) hints: Hints,
    pub(crate) keys: Keys,
    pub(crate) settings: ServerSettings,
    /// Another server is to have those who connect from now on.
    pub(crate) leaving: CancellationToken,
    /// Who is connected is let go of with the next answer, or at once where none is under way.
    pub(crate) left: CancellationToken,
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
    /// What executes the folder that it is served from; None where it is deployed.
    pub(crate) folder: Option<WorkerSettings>,
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

/// A look at one run.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) room: &'a Taken,
    pub(crate) project: &'a ProjectId,
    pub(crate) run: RunId,
}

impl Look<'_> {
    /// What the store answers to a verb that reads of the run, and finds None where it is not there.
    pub(crate) async fn read<T, F>(self, verb: F) -> Result<T, Problem>
    where
        F: AsyncFn(&mut Tx<'_>, &ProjectId, RunId) -> ziet_store::Result<Option<T>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        let (project, run) = (self.project.clone(), self.run);
        let verb = async move |tx: &mut Tx<'_>| verb(tx, &project, run).await;
        let found = self.platform.read(self.room, verb).await?;
        found.ok_or_else(|| Problem::run_not_found(run))
    }
}

/// After how long to ask again while a project is imported.
const IMPORT: Duration = Duration::from_secs(1);

impl Platform {
    /// `hints` is what the engines tell their notices to. Without `deploys` there is nothing but what is added.
    pub fn new(
        store: Store,
        hints: Hints,
        settings: ServerSettings,
        deploys: Option<Deploys>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            projects: RwLock::default(),
            deploys,
            keys: Keys::new(hints.closed().clone()),
            hints,
            settings,
            leaving: CancellationToken::new(),
            left: CancellationToken::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// Serves a project from now on: from a folder, where its worker is given, else what is deployed.
    pub fn add(&self, id: ProjectId, engine: Arc<Engine>, folder: Option<WorkerSettings>) {
        let project = Project {
            id: id.clone(),
            engine,
            folder,
            checks: Checks::default(),
        };
        let mut projects = self
            .projects
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        projects.insert(id, Arc::new(project));
    }

    /// The projects that are served, in the order of their ids.
    pub(crate) fn projects(&self) -> Vec<Arc<Project>> {
        let projects = self.projects.read().unwrap_or_else(PoisonError::into_inner);
        projects.values().cloned().collect()
    }

    /// Whether any project is served.
    pub fn serves_something(&self) -> bool {
        let projects = self.projects.read().unwrap_or_else(PoisonError::into_inner);
        !projects.is_empty()
    }

    /// The project with this id; without one, the only one that there is.
    pub(crate) fn project(&self, id: Option<&ProjectId>) -> Option<Arc<Project>> {
        let projects = self.projects.read().unwrap_or_else(PoisonError::into_inner);
        match id {
            Some(id) => projects.get(id).cloned(),
            None if projects.len() == 1 => projects.values().next().cloned(),
            None => None,
        }
    }

    /// Lets the attempts of all projects end, for at most `grace`; what is left is for the next server.
    pub async fn end_attempts(&self, grace: Duration) {
        let drained: Vec<_> = self
            .projects()
            .into_iter()
            .map(|project| {
                let (tell, drained) = oneshot::channel();
                project.engine.drain(grace, move || {
                    // The server has ended already if nobody listens.
                    let _ = tell.send(());
                });
                drained
            })
            .collect();
        for drained in drained {
            // An engine that is gone has nothing to drain.
            let _ = drained.await;
        }
    }

    /// Takes in the keys that are stored. Nobody has one before.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load_keys(&self) -> Result<(), StoreError> {
        let stored = self.asked_to_read((), async |tx| keys::all(tx).await);
        let stored = stored.await?;
        let valid = stored.iter().filter(|record| record.revoked_at.is_none());
        valid.for_each(|record| self.keys.add(record));
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

    /// What the store answers to a verb that reads. It takes the room until the store is done with it, even when whoever
    /// asked has gone away.
    pub(crate) async fn read<T, F>(&self, room: &Taken, verb: F) -> Result<T, Problem>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.asked_to_read(room.clone(), verb).await?)
    }

    /// The same for the server itself.
    pub(crate) async fn read_as_server<T, F>(&self, verb: F) -> Result<T, Problem>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        Ok(self.asked_to_read((), verb).await?)
    }

    async fn asked_to_read<T, F>(&self, room: impl Send + 'static, verb: F) -> Result<T, StoreError>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        let gone = CancellationToken::new();
        let _asking = gone.clone().drop_guard();
        self.store.read(
            async move |tx: &mut Tx<'_>| {
                // Nobody waits for the answer any more, and others wait for their turn.
                if gone.is_cancelled() {
                    return Err(StoreError::Closed);
                }
                verb(tx).await
            },
            move |result| {
                drop(done.send(result));
                drop(room);
            },
        );
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

    /// Lets nobody in any more, and has those who are connected connect anew, where the next server finds them: for a
    /// listening socket that outlives this process. Until this returns, what they ask for is accepted as ever.
    pub async fn hand_over(&self) {
        self.leaving.cancel();
        self.left.cancelled().await;
    }

    /// Waits until every engine has had a turn: so none of them hangs.
    pub async fn turn(&self) {
        for project in self.projects() {
            let (had, turn) = oneshot::channel();
            project.engine.turn(move || {
                let _ = had.send(());
            });
            // One that has ended has told so in another way.
            let _ = turn.await;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;

    use futures_util::FutureExt;
    use ziet_store::{Durability, Location};

    use super::*;
    use crate::share::Share;

    #[tokio::test]
    async fn who_has_gone_is_not_read_for_and_keeps_its_room_until_then() {
        let store = Store::open(&Location::Memory, Durability::Full).unwrap();
        let (release, gate) = channel::<()>();
        let busy = async move |_: &mut Tx<'_>| {
            let _ = gate.recv();
            Ok(())
        };
        store.read(busy, drop);
        let settings = ServerSettings::default();
        let platform = Platform::new(store, Hints::default(), settings, None);
        let looked = Arc::new(AtomicUsize::new(0));
        let look = || {
            let looked = Arc::clone(&looked);
            async move |_: &mut Tx<'_>| Ok(looked.fetch_add(1, Ordering::Relaxed))
        };
        let [flood, other] = [Share::default(), Share::default()];
        let mut gone = 0;
        while let Some(Ok(room)) = flood.read().now_or_never() {
            assert!(platform.read(&room, look()).now_or_never().is_none());
            gone += 1;
            assert!(gone < 1000, "whoever goes gives its room back at once");
        }
        drop(release);
        let room = other.read().await.unwrap();
        let before = platform.read(&room, look()).await.unwrap();
        assert_eq!(before, 0, "it was read for those who had gone");
        flood.read().now_or_never().unwrap().unwrap();
    }
}
