//! One file for each command: a function that returns its exit status.

mod actions;
mod doctor;
mod limits;
mod run_action;
mod settings;

pub(crate) use actions::actions;
pub(crate) use doctor::{DoctorArgs, doctor};
pub(crate) use limits::{LimitsArgs, limits};
pub(crate) use run_action::run_action;
pub(crate) use settings::{SettingsArgs, settings};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

use ziet_core::Catalogue;
use ziet_core::action::ModuleProblem;
use ziet_core::wire::Level;
use ziet_engine::{Engine, EngineError, EngineSettings, Notice};
use ziet_store::Location;
use ziet_worker::Project;

use crate::error::CliError;
use crate::output::Printer;
use crate::settings::Settings;

/// What a command waits for.
enum Incoming {
    Notice(Notice),
    /// Ctrl-C, or a request to end.
    Interrupt,
}

/// An engine that has imported the project of the current folder.
struct Local {
    engine: Engine,
    incoming: Receiver<Incoming>,
    /// Set at once, while what is incoming may wait behind many lines.
    interrupted: Arc<AtomicBool>,
    project: Project,
    catalogue: Catalogue,
    /// What the project printed while it was imported.
    printed: Vec<(Level, String)>,
}

impl Local {
    fn start(settings: &Settings) -> Result<Self, CliError> {
        let worker = settings.worker()?;
        let project = worker.project.clone();
        let (send, incoming) = channel();
        let interrupted = catch_interrupts(send.clone())?;
        let settings = EngineSettings {
            worker,
            store: Location::Memory,
            backoff: settings.backoff(),
            mocked: true,
            locals: settings.locals(),
            concurrency: settings.concurrency(),
        };
        let engine = Engine::start(settings, move |notice| {
            drop(send.send(Incoming::Notice(notice)));
        })?;
        let mut printed = Vec::new();
        loop {
            match incoming.recv() {
                Ok(Incoming::Notice(Notice::Loaded(catalogue))) => {
                    return Ok(Self {
                        engine,
                        incoming,
                        interrupted,
                        project,
                        catalogue,
                        printed,
                    });
                }
                Ok(Incoming::Notice(Notice::Printed { level, text })) => {
                    printed.push((level, text));
                }
                Ok(Incoming::Notice(Notice::Broken(error))) => return Err(error.into()),
                Ok(Incoming::Notice(Notice::Run { .. } | Notice::InputMade(_))) => {}
                Ok(Incoming::Interrupt) => return Err(CliError::interrupted()),
                Err(_) => return Err(EngineError::Stopped.into()),
            }
        }
    }

    /// Nothing to run at all: says where was looked.
    fn require_actions(&self) -> Result<(), CliError> {
        if self.catalogue.actions().len() > 0 || !self.catalogue.problems.is_empty() {
            return Ok(());
        }
        let root = self.project.root.display();
        Err(CliError::usage(format!("no actions in {root}"))
            .hint("put `from ziet import Action` and `@Action(description=\"…\")` above a function in a .py file there; \
             the project is the nearest folder with a `ziet.toml`, else this one"))
    }
}

fn catch_interrupts(send: Sender<Incoming>) -> Result<Arc<AtomicBool>, CliError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        flag.store(true, Relaxed);
        drop(send.send(Incoming::Interrupt));
    })
    .map_err(|error| CliError::failed("interrupts cannot be caught", error))?;
    Ok(interrupted)
}

/// A module that does not import blocks only its own actions; whoever misses one of them must know.
fn tell_problems(catalogue: &Catalogue, printer: &Printer) {
    for ModuleProblem {
        module, traceback, ..
    } in &catalogue.problems
    {
        printer.warning(format_args!(
            "module {module} does not import, so its actions are missing\n{traceback}"
        ));
    }
}
