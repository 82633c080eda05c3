//! What the imports of the project find, and what becomes of the runs that wait when one fails.
//!
//! The first import is waited for by whoever started the engine. The project is imported again after its zygote has ended: what
//! fails then may pass, so a server, whose runs outlive it, has them wait for that; a local run has nobody to wait for.

use std::sync::Arc;
use std::time::Duration;

use ziet_core::action::ModuleProblem;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::run::RunState;
use ziet_core::{Catalogue, DeploymentId, Time};
use ziet_worker::WorkerError;

use crate::deployments::Deployment;
use crate::notice::Notice;
use crate::turn::Scheduler;

/// How long every run fails with what is known after an import has failed, before it is tried once more.
const LOCAL_PAUSE: Duration = Duration::from_secs(10);

/// The pauses between two tries while runs wait, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// No executor can be made of the project as it was found last.
pub(crate) struct ImportFailure {
    failure: Failure,
    pause: Duration,
    /// When it is tried again; None while it is.
    pub(crate) until: Option<Time>,
}

impl Scheduler {
    pub(crate) fn on_loaded(&mut self, place: usize, catalogue: Catalogue) {
        let flaw = flaw(&catalogue);
        let Some(id) = self.deployments.serves(place) else {
            return self.tried(place, &flaw.map_or(Ok(catalogue), Err));
        };
        if let Some(failure) = flaw.filter(|_| self.settings.keeps_runs && !self.is_awaited(id)) {
            if let Some(worker) = self.deployments.worker(id) {
                worker.unload();
            }
            return self.import_failed(id, failure);
        }
        let shared = Arc::new(catalogue.clone());
        if let Some(deployment) = self.deployments.get_mut(id) {
            deployment.catalogue = Some(shared);
        }
        if self.deployments.is_active(id) {
            self.show_active();
            self.tell(Notice::Loaded(catalogue));
        }
    }

    /// Of the worker in this place.
    pub(crate) fn on_import_failed(&mut self, place: usize, error: WorkerError) {
        match self.deployments.serves(place) {
            Some(id) => self.cannot_import(id, error),
            None => self.tried(place, &Err(failure_of(&error))),
        }
    }

    pub(crate) fn cannot_import(&mut self, id: DeploymentId, error: WorkerError) {
        if self.is_awaited(id) {
            return self.break_down(error.into());
        }
        self.import_failed(id, failure_of(&error));
    }

    /// Whether whoever started the engine waits for this import. No run waits for it yet.
    fn is_awaited(&self, id: DeploymentId) -> bool {
        let active = self.deployments.active();
        active.is_some_and(|active| active.id == id && active.catalogue.is_none())
    }

    fn import_failed(&mut self, id: DeploymentId, failure: Failure) {
        let (now, keeps_runs) = (self.clock.now(), self.settings.keeps_runs);
        let Some(deployment) = self.deployments.get_mut(id) else {
            return;
        };
        let pause = match &deployment.import_failure {
            _ if !keeps_runs => LOCAL_PAUSE,
            None => FIRST_PAUSE,
            Some(earlier) => (earlier.pause * 2).min(LONGEST_PAUSE),
        };
        deployment.import_failure = Some(ImportFailure {
            failure: failure.clone(),
            pause,
            until: Some(now.plus(pause)),
        });
        if keeps_runs {
            // So that they do not take the room of others.
            for run in self.queue.block(id) {
                self.leave_in_store(run, &RunState::Queued);
            }
        }
        // Who is told may look at the figures at once.
        self.show_figures();
        self.tell(Notice::ImportFailed {
            deployment: id,
            failure,
            pause,
        });
    }

    /// Whether executors can be made, or the deployment imported to make some. Where that has just failed, runs wait for the next
    /// try, or, in a local run, fail with the same, unless an attempt is executed that may leave its executor to them. An
    /// executor that is there, or was `taken`, says that it works.
    pub(crate) fn import_allowed(&mut self, id: DeploymentId, taken: bool) -> bool {
        let now = self.clock.now();
        let Some(known) = self.deployments.failure(id) else {
            return true;
        };
        known.until = known.until.filter(|until| now < *until);
        if known.until.is_none() {
            let worker = self.deployments.worker(id);
            if taken || worker.is_some_and(|worker| worker.has_idle()) {
                self.works_again(id);
            }
            return true;
        }
        if !self.settings.keeps_runs && self.executing == 0 {
            let failure = known.failure.clone();
            while let Some(run) = self.queue.pop(id) {
                self.fail_queued(run, failure.clone());
            }
        }
        false
    }

    fn works_again(&mut self, id: DeploymentId) {
        if let Some(deployment) = self.deployments.get_mut(id) {
            deployment.import_failure = None;
        }
        self.read_again(id);
    }

    /// Runs of the deployment may have been left in the store until now.
    pub(crate) fn read_again(&mut self, id: DeploymentId) {
        self.queue.unblock(id);
        self.read_queue();
    }

    /// Whether the import is to be tried again even though no run may wait: of the active deployment always, of another one
    /// where runs wait in the store.
    pub(crate) fn tries_import(&self, deployment: &Deployment) -> bool {
        let wanted =
            || self.deployments.is_active(deployment.id) || self.queue.is_left(deployment.id);
        deployment.import_failure.is_some()
            && self.settings.keeps_runs
            && self.drain.is_none()
            && wanted()
    }

    /// How long none is tried again; None when nothing has failed.
    pub(crate) fn import_pause(&self) -> Option<Duration> {
        let failures = self
            .deployments
            .all()
            .filter_map(|one| one.import_failure.as_ref());
        let until = failures.filter_map(|failure| failure.until).min()?;
        Some(until.since(self.clock.now()))
    }
}

/// What makes it impossible to use a version, though it could be imported.
fn flaw(catalogue: &Catalogue) -> Option<Failure> {
    let none = || {
        let message = "it has no actions: no module of it has a function with @Action";
        (catalogue.actions().len() == 0).then(|| import_failure(message.to_owned()))
    };
    let problem = catalogue.problems.first();
    problem.map(problem_failure).or_else(none)
}

/// What Python said stands apart.
pub(crate) fn failure_of(error: &WorkerError) -> Failure {
    let text = error.to_string();
    let (message, said) = text.split_once(":\n").unwrap_or((&text, ""));
    let mut failure = import_failure(message.to_owned());
    if !said.is_empty() {
        failure.traceback = Some(said.to_owned());
    }
    failure
}

/// Why the project as it was imported last does not have an action that it once had.
pub(crate) fn missing(catalogue: &Catalogue, action: &str) -> Failure {
    let has = |module: &str| action.starts_with(&format!("{module}."));
    let problem = catalogue.problems.iter().find(|problem| {
        let own = problem.action.as_ref().map(|id| id.as_str() == action);
        own.unwrap_or_else(|| has(&problem.module))
    });
    match problem {
        Some(problem) => problem_failure(problem),
        None => Failure {
            retryable: false,
            ..Failure::new(
                ErrorCode::UnknownAction,
                "UnknownAction",
                format!("the project has no action {action} any more"),
            )
        },
    }
}

fn problem_failure(problem: &ModuleProblem) -> Failure {
    Failure {
        traceback: Some(problem.traceback.clone()),
        ..import_failure(format!("{}: {}", problem.headline(), problem.message))
    }
}

fn import_failure(message: String) -> Failure {
    Failure {
        retryable: false,
        ..Failure::new(ErrorCode::ImportFailed, "ImportFailed", message)
    }
}
