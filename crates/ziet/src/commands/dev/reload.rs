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
use ziet_core::{ActionSpec, Catalogue, DeploymentId, ProjectId, Time};
use ziet_engine::{Deployed, Engine};
use ziet_server::Platform;
use ziet_store::Store;
use ziet_store::deployments::{self, DeploymentRecord};

use super::Told;
use crate::commands::serve::{FOLDER, with_variables};
use crate::commands::watch::{Resolve, names};
use crate::error::CliError;
use crate::output::{Printer, counted};
use crate::saves;

/// Saves within this time of each other are one: an editor takes several steps, and a checkout changes many files. It is short, since
/// a save that comes later is only one more import.
const ONE_SAVE: Duration = Duration::from_millis(20);

/// The folder as a deployment, whatever stands in it.
pub(super) struct Folder {
    pub(super) project: ProjectId,
    pub(super) deployment: DeploymentId,
    pub(super) since: Time,
}

pub(super) struct Reload<'a> {
    engine: Arc<Engine>,
    platform: Arc<Platform>,
    store: Store,
    folder: Folder,
    resolve: &'a Resolve<'a>,
    tell: UnboundedSender<Told>,
    /// Whether it was imported once.
    is_kept: bool,
    /// The project's.
    root: PathBuf,
    /// Since the last import began, and when that is enough.
    saved: BTreeSet<PathBuf>,
    due: Option<Instant>,
    /// Of the last import; those before it are of no interest any more.
    number: u64,
    /// When the first of the saves was seen that it is of.
    began: Instant,
    actions: usize,
}

impl<'a> Reload<'a> {
    pub(super) fn new(
        (engine, platform): (&Arc<Engine>, &Arc<Platform>),
        store: Store,
        folder: Folder,
        resolve: &'a Resolve<'a>,
        tell: UnboundedSender<Told>,
    ) -> Self {
        Self {
            engine: Arc::clone(engine),
            platform: Arc::clone(platform),
            store,
            folder,
            resolve,
            tell,
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
        if self.saved.is_empty() {
            self.began = Instant::now();
        }
        self.saved.insert(file);
        self.due = Some(Instant::now() + ONE_SAVE);
    }

    /// Imports the project as it stands. What an import that goes on would find is out of date.
    pub(super) fn begin(&mut self, printer: &Printer) {
        self.due = None;
        let saved = mem::take(&mut self.saved);
        for file in &saved {
            saves::forget_compiled(file);
        }
        self.number += 1;
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
        if worker.project.id != self.folder.project {
            let (now, then) = (&worker.project.id, &self.folder.project);
            let message = format!("the project is called {now} now, and was {then}");
            return Err(CliError::usage(message)
                .hint("start `ziet dev` again: its state is that of another project"));
        }
        // What is set on the server is on top of it, also later on.
        let (project, engine) = (self.folder.project.clone(), Arc::clone(&self.engine));
        self.platform.add(project, engine, Some(worker.clone()));
        let deployed = Deployed {
            backoff: settings.backoff(),
            locals: settings.locals(),
            ..Deployed::new(self.folder.deployment, worker, settings.concurrency())
        };
        with_variables(&self.store, deployed)
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
        self.engine.activate(self.folder.deployment, move |active| {
            let live = active.map(drop).map_err(|refusal| refusal.message);
            let _ = tell.send(Told::Live(number, live));
        });
        Ok(())
    }

    /// What was found is what the project consists of.
    fn keep(&mut self, catalogue: &Catalogue) -> Result<(), CliError> {
        let (project, id) = (self.folder.project.clone(), self.folder.deployment);
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
            created_at: self.folder.since,
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
                    "Live after {:.2}s: {actions}",
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
        printer.aside(what);
    }
}

/// In the look of an import that fails in a local run.
pub(super) fn tell(failure: &Failure, printer: &Printer) {
    let traceback = failure.traceback.as_deref().unwrap_or_default();
    let text = format!("{}\n{traceback}", failure.message);
    printer.error(&CliError::broken(text.trim_end()));
}
