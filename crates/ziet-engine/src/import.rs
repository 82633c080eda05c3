//! What the imports of the project find, and what becomes of the runs that wait when one fails.
//!
//! The first import is waited for by whoever started the engine. The project is imported again after its zygote has ended: what
//! fails then may pass, so a server, whose runs outlive it, has them wait for that; a local run has nobody to wait for.

use std::sync::Arc;
use std::time::Duration;

use ziet_core::action::ModuleProblem;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::{Catalogue, Time};
use ziet_worker::WorkerError;

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
    pub(crate) fn on_loaded(&mut self, catalogue: Catalogue) {
        let again = self.catalogue.is_some() && self.keeps_runs();
        if let Some(problem) = catalogue.problems.first().filter(|_| again) {
            let failure = problem_failure(problem);
            self.worker.unload();
            return self.import_failed(failure);
        }
        let shared = Arc::new(catalogue.clone());
        self.show(|shown| shown.catalogue = Some(Arc::clone(&shared)));
        self.catalogue = Some(shared);
        self.tell(Notice::Loaded(catalogue));
    }

    /// While the first import goes on no run waits yet, and whoever started the engine is told.
    pub(crate) fn on_import_failed(&mut self, error: WorkerError) {
        if self.catalogue.is_none() {
            return self.break_down(error.into());
        }
        let text = error.to_string();
        let (message, said) = text.split_once(":\n").unwrap_or((&text, ""));
        let mut failure = import_failure(message.to_owned());
        if !said.is_empty() {
            failure.traceback = Some(said.to_owned());
        }
        self.import_failed(failure);
    }

    fn import_failed(&mut self, failure: Failure) {
        let pause = match &self.import_failure {
            _ if !self.keeps_runs() => LOCAL_PAUSE,
            None => FIRST_PAUSE,
            Some(earlier) => (earlier.pause * 2).min(LONGEST_PAUSE),
        };
        let until = Some(self.clock.now().plus(pause));
        self.import_failure = Some(ImportFailure {
            failure: failure.clone(),
            pause,
            until,
        });
        // Who is told may look at the figures at once.
        self.show_figures();
        self.tell(Notice::ImportFailed { failure, pause });
    }

    /// Whether executors can be made, or the project imported to make some. Where that has just failed, runs wait for the next
    /// try, or, in a local run, fail with the same, unless an attempt is executed that may leave its executor to them. An
    /// executor that is there, or was `taken`, says that it works.
    pub(crate) fn import_allowed(&mut self, taken: bool) -> bool {
        let (now, keeps_runs) = (self.clock.now(), self.keeps_runs());
        let Some(known) = &mut self.import_failure else {
            return true;
        };
        known.until = known.until.filter(|until| now < *until);
        if known.until.is_none() {
            if taken || self.worker.has_idle() {
                self.import_failure = None;
            }
            return true;
        }
        if !keeps_runs && self.executing == 0 {
            let failure = known.failure.clone();
            while let Some(run) = self.queue.get(0) {
                self.queue.remove(0);
                self.fail_queued(run, failure.clone());
            }
        }
        false
    }

    /// Whether the import is to be tried again even though no run may wait.
    pub(crate) fn tries_import(&self) -> bool {
        self.import_failure.is_some() && self.keeps_runs() && self.drain.is_none()
    }

    /// How long it is not tried again; None when nothing has failed.
    pub(crate) fn import_pause(&self) -> Option<Duration> {
        let until = self.import_failure.as_ref()?.until?;
        Some(until.since(self.clock.now()))
    }

    /// Whether runs outlive the engine, as those of a server do.
    fn keeps_runs(&self) -> bool {
        self.settings.deployment.is_some()
    }
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
