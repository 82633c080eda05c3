//! What the routes have at hand: the store, the projects with their engines, and who may ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use ziet_core::ProjectId;
use ziet_engine::Engine;
use ziet_store::{Store, StoreError, Tx};

use crate::hints::Hints;
use crate::keys::Keys;
use crate::problem::Problem;

/// Everything that a server serves.
pub struct Platform {
    pub(crate) store: Store,
    pub(crate) projects: BTreeMap<ProjectId, Project>,
    pub(crate) hints: Hints,
    pub(crate) keys: Keys,
    draining: AtomicBool,
}

/// One project and what executes its runs.
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    pub(crate) engine: Arc<Engine>,
}

impl Platform {
    /// `hints` is what the engines tell their notices to.
    pub fn new(store: Store, engines: BTreeMap<ProjectId, Arc<Engine>>, hints: Hints) -> Self {
        let projects = engines.into_iter().map(|(id, engine)| {
            let project = Project {
                id: id.clone(),
                engine,
            };
            (id, project)
        });
        Self {
            store,
            projects: projects.collect(),
            hints,
            keys: Keys::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// What the store answers to a verb that reads.
    pub(crate) async fn read<T, F>(&self, verb: F) -> Result<T, Problem>
    where
        F: AsyncFn(&mut Tx<'_>) -> ziet_store::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        // Who has gone away meanwhile is not told.
        self.store.read(verb, |result| drop(done.send(result)));
        Ok(answer.await.unwrap_or(Err(StoreError::Closed))?)
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
