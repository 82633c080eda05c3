//! What becomes of saves: the project as it stands is imported beside what is there, and takes its place when that has succeeded.
//! So a save that is broken changes nothing, and what runs ends as it began.

use std::collections::BTreeSet;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::error::Failure;
use ziet_core::{ActionSpec, Catalogue, DeploymentId, ProjectId};
use ziet_engine::{Clock, Deployed, Engine};
use ziet_store::Store;
use ziet_store::deployments::{self, DeploymentRecord};

use super::Told;
use crate::commands::serve::FOLDER;
use crate::commands::watch::{Resolve, names};
use crate::error::CliError;
use crate::output::{Printer, counted};
use crate::saves;

/// Saves within this time of each other are one: an editor takes several steps, and a checkout changes many files. It is short, since
/// a save that comes later is only one more import.
const ONE_SAVE: Duration = Duration::from_millis(20);

pub(super) struct Reload<'a> {
    engine: Arc<Engine>,
    store: Store,
    project: ProjectId,
    resolve: &'a Resolve<'a>,
    tell: UnboundedSender<Told>,
    /// The folder, whatever stands in it. Kept when it is imported for the first time.
    deployment: DeploymentId,
    clock: Clock,
    is_kept: bool,
    /// The project's.
    root: PathBuf,
    /// Since the last import began, and when that is enough.
    saved: BTreeSet<PathBuf>,
    due: Option<Instant>,
    /// Of the last import; those before it are of no interest any more.
    number: u64,
    began: Instant,
    actions: usize,
}

impl<'a> Reload<'a> {
    pub(super) fn new(
        engine: &Arc<Engine>,
        store: Store,
        project: ProjectId,
        resolve: &'a Resolve<'a>,
        tell: UnboundedSender<Told>,
        clock: &Clock,
    ) -> Self {
        Self {
            engine: Arc::clone(engine),
            store,
            project,
            resolve,
            tell,
            deployment: DeploymentId::new(clock.now()),
            clock: clock.clone(),
            is_kept: false,
            root: PathBuf::new(),
            saved: BTreeSet::new(),
            due: None,
            number: 0,
            began: Instant::now(),
            actions: 0,
        }
    }

    /// When to import what was saved.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn saved(&mut self, file: PathBuf) {
        self.saved.insert(file);
        self.due = Some(Instant::now() + ONE_SAVE);
    }

    /// Imports the project as it stands. What an import that goes on would find is out of date.
    pub(super) fn begin(&mut self, printer: &Printer) {
        self.due = None;
        let saved = mem::take(&mut self.saved);
        saved.iter().for_each(|file| saves::forget_compiled(file));
        self.number += 1;
        self.began = Instant::now();
        let deployed = match self.deployed() {
            Ok(deployed) => deployed,
            Err(error) => {
                printer.error(&error);
                return self.tell_what_goes_on(printer);
            }
        };
        if !saved.is_empty() {
            printer.aside(format_args!("Changed: {}", names(&saved, &self.root)));
        }
        let (number, tell) = (self.number, self.tell.clone());
        self.engine.deploy(deployed, move |found| {
            let _ = tell.send(Told::Imported(number, found));
        });
    }

    fn deployed(&mut self) -> Result<Deployed, CliError> {
        let settings = (self.resolve)()?;
        let worker = settings.dev_worker()?;
        settings.root().clone_into(&mut self.root);
        if worker.project.id != self.project {
            let (now, then) = (&worker.project.id, &self.project);
            let message = format!("the project is called {now} now, and was {then}");
            return Err(CliError::usage(message)
                .hint("start `ziet dev` again: its state is that of another project"));
        }
        Ok(Deployed {
            backoff: settings.backoff(),
            locals: settings.locals(),
            ..Deployed::new(self.deployment, worker, settings.concurrency())
        })
    }

    pub(super) fn imported(
        &mut self,
        number: u64,
        found: Result<Catalogue, Failure>,
        printer: &Printer,
    ) -> Result<(), CliError> {
        if number != self.number {
            return Ok(());
        }
        let catalogue = match found {
            Ok(catalogue) => catalogue,
            Err(failure) => {
                tell(&failure, printer);
                self.tell_what_goes_on(printer);
                return Ok(());
            }
        };
        self.keep(&catalogue)?;
        self.actions = catalogue.actions().len();
        let tell = self.tell.clone();
        self.engine.activate(self.deployment, move |active| {
            let live = active.map(drop).map_err(|refusal| refusal.message);
            let _ = tell.send(Told::Live(number, live));
        });
        Ok(())
    }

    /// What was found is what the project consists of.
    fn keep(&mut self, catalogue: &Catalogue) -> Result<(), CliError> {
        let (project, id, now) = (self.project.clone(), self.deployment, self.clock.now());
        let actions: Vec<ActionSpec> = catalogue.actions().cloned().collect();
        let new = (!self.is_kept).then(|| DeploymentRecord {
            id,
            version: FOLDER.to_owned(),
            digest: None,
            status: DeploymentStatus::Building,
            source: self.root.display().to_string(),
            built: None,
            error: None,
            created_by: None,
            created_at: now,
            active_since: None,
        });
        let kept = self.store.write_now(async move |tx| {
            if let Some(new) = &new {
                deployments::insert(tx, &project, new).await?;
            }
            deployments::set_ready(tx, &project, id, &actions).await
        });
        kept.map_err(|error| CliError::failed("what was found is not kept", error))?;
        self.is_kept = true;
        Ok(())
    }

    pub(super) fn live(&self, number: u64, live: Result<(), String>, printer: &Printer) {
        match live {
            Err(why) => printer.error(&CliError::broken(format!("it cannot be executed: {why}"))),
            Ok(()) if number == self.number => {
                let (actions, took) = (counted(self.actions, "action"), self.began.elapsed());
                printer.aside(format_args!(
                    "Live after {:.2}s: {actions}\n",
                    took.as_secs_f64()
                ));
            }
            Ok(()) => {}
        }
    }

    fn tell_what_goes_on(&self, printer: &Printer) {
        let what = if self.is_kept {
            "The version before goes on; a save is tried again"
        } else {
            "Waiting for a save"
        };
        printer.aside(format_args!("{what}\n"));
    }
}

/// In the look of an import that fails in a local run.
pub(super) fn tell(failure: &Failure, printer: &Printer) {
    let traceback = failure.traceback.as_deref().unwrap_or_default();
    let text = format!("{}\n{traceback}", failure.message);
    printer.error(&CliError::broken(text.trim_end()));
}
