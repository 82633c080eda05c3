//! An engine on this machine, with a store in memory, that has imported a project.

use std::time::Duration;

use ziet_core::Catalogue;
use ziet_core::wire::Level;
use ziet_engine::{Deployed, Engine, EngineError, EngineSettings, Notice};
use ziet_store::{Durability, Location, Store};
use ziet_worker::Project;

use super::inbox::Sent;
use super::{Inbox, Incoming};
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::Settings;

/// After this time of nothing to see, a person is told what it is that takes long.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Local<'a> {
    pub(super) engine: Engine,
    pub(super) inbox: &'a Inbox,
    pub(super) project: Project,
    pub(super) catalogue: Catalogue,
    /// What the project printed while it was imported.
    pub(super) printed: Vec<(Level, String)>,
}

impl<'a> Local<'a> {
    /// With `describe`, actions are known in full, which takes time.
    pub(super) fn start(
        settings: &Settings,
        describe: bool,
        inbox: &'a Inbox,
        printer: &Printer,
    ) -> Result<Self, CliError> {
        let mut worker = settings.worker()?;
        worker.describe = describe;
        let project = worker.project.clone();
        let deployed = Deployed {
            backoff: settings.backoff(),
            locals: settings.locals(),
            ..Deployed::local(worker, settings.concurrency())
        };
        let settings = EngineSettings {
            mocked: true,
            ..EngineSettings::local(deployed)
        };
        let store =
            Store::open(&Location::Memory, Durability::Normal).map_err(EngineError::from)?;
        let send = inbox.sender();
        let engine = Engine::start(settings, store, move |notice| {
            drop(send.send(Sent::Notice(notice)));
        })?;
        let (catalogue, said) = await_import(inbox, printer)?;
        Ok(Self {
            engine,
            inbox,
            project,
            catalogue,
            printed: said,
        })
    }

    /// What is wrong blocks only the actions that it is about; whoever misses one of them must know.
    pub(super) fn tell_problems(&self, printer: &Printer) {
        for problem in &self.catalogue.problems {
            printer.warning(format_args!(
                "{}\n{}",
                problem.headline(),
                problem.traceback
            ));
        }
    }
}

fn await_import(
    inbox: &Inbox,
    printer: &Printer,
) -> Result<(Catalogue, Vec<(Level, String)>), CliError> {
    let mut lines = Vec::new();
    let mut told = false;
    loop {
        let incoming = if told {
            inbox.next()?
        } else if let Some(incoming) = inbox.next_within(PATIENCE)? {
            incoming
        } else {
            printer.progress("importing the project takes long");
            told = true;
            continue;
        };
        match incoming {
            Incoming::Notice(Notice::Loaded(catalogue)) => return Ok((catalogue, lines)),
            Incoming::Notice(Notice::Printed { level, text }) => lines.push((level, text)),
            Incoming::Notice(Notice::Supervised(mechanisms)) => {
                if mechanisms.sandbox.is_some() {
                    printer.aside(format_args!("Sandbox: {mechanisms}"));
                }
            }
            Incoming::Notice(Notice::Broken(error)) => return Err(error.into()),
            Incoming::Notice(
                Notice::Run { .. }
                | Notice::Written(_)
                | Notice::InputMade(_)
                | Notice::ImportFailed { .. },
            ) => {}
            Incoming::Interrupt | Incoming::Outdated => return Err(CliError::interrupted()),
        }
    }
}
