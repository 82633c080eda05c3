//! What the routes have at hand: the store, the projects with their engines, and who may ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ziet_core::ProjectId;
use ziet_engine::Engine;
use ziet_store::Store;

use crate::hints::Hints;
use crate::keys::Keys;

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

    /// From now on `/readyz` says that the server is stopping; what it answers besides does not change.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
