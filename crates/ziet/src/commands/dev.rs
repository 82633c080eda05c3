//! `ziet dev`: a server of the project in one folder, with its state in that folder, that follows what is saved there.

mod reload;
mod shown;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use ziet_core::error::Failure;
use ziet_core::{Catalogue, DeploymentId};
use ziet_engine::{Clock, Engine, EngineError, EngineSettings, Notice};
use ziet_server::{Hints, Platform, Server};
use ziet_store::{Location, Store};

use self::reload::{Folder, Reload};
use self::shown::Runs;
use super::Resolve;
use super::serve::stopping::Stop;
use super::serve::{address, bind, ended_early, key, log, runtime, served};
use super::state::State;
use crate::error::CliError;
use crate::output::{Printer, counted, output};
use crate::saves;
use crate::settings::{Announced, DevServer, Environment, Flags, HIDDEN, OfDev, Serving, Settings};

/// How many addresses are tried where the usual one is taken.
const ADDRESSES: u16 = 100;

/// Serve the project in this folder while you work on it
///
/// Everything works as on a server, but the code is taken as it is saved: what runs ends as it began, new runs execute the new code,
/// and a save that cannot be imported is told and changes nothing. Runs are shown as they happen, integrations are mocked, and there
/// is no sandbox unless --sandbox on asks for one. The state is in the folder `.ziet` of the project. `ziet run action NAME`, and
/// the other commands that ask a server, find this one from within the project. Ctrl-C ends it when the attempts under way are done, a second
/// one at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ziet dev                              the project in this folder, on http://127.0.0.1:7878 or the next free port
  ziet dev shop --listen 127.0.0.1:9000
  ziet run action charge -p amount=10   in another terminal, in the same folder")]
pub(crate) struct Dev {
    /// The project's folder; without it the current one
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<String>,

    #[command(flatten)]
    settings: Flags<OfDev>,
}

/// What the server hears from its own parts.
enum Told {
    Notice(Notice),
    /// Source code was saved.
    Saved(PathBuf),
    /// What the import with this number has found.
    Imported(u64, Result<Catalogue, Failure>),
    /// New runs execute what that import has found, or why not.
    Live(u64, Result<(), String>),
}

pub(crate) fn dev(
    args: &Dev,
    flags: &Flags,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let flags = match &args.folder {
        Some(_) if flags.is_given("project") => {
            return Err(CliError::usage("the project's folder is given twice")
                .hint("name it once: `ziet dev DIR`"));
        }
        Some(folder) => flags.in_folder(folder),
        None => flags.clone(),
    };
    let resolve = || Settings::resolve(&flags, environment);
    let (serving, is_given) = Serving::of_dev(&args.settings, environment)?;
    let settings = resolve()?;
    let state = State::hold_in_project(&settings.root().join(HIDDEN))?;
    let _lines = log::start(&serving)?;
    let made = Made {
        serving: &serving,
        settings: &settings,
        resolve: &resolve,
        state: &state,
    };
    runtime()?.block_on(async {
        let stop = Stop::listen()?;
        let listener = listen(serving.listen, is_given).await?;
        made.run(listener, stop, printer).await
    })
}

/// The address that was asked for; where nobody has, the next one that is free.
async fn listen(address: SocketAddr, is_given: bool) -> Result<TcpListener, CliError> {
    if !is_given {
        let ports = (0..ADDRESSES).filter_map(|more| address.port().checked_add(more));
        for port in ports {
            if let Ok(listener) = TcpListener::bind((address.ip(), port)).await {
                return Ok(listener);
            }
        }
    }
    bind(address).await
}

/// What a server is made of.
struct Made<'a> {
    serving: &'a Serving,
    settings: &'a Settings,
    resolve: &'a Resolve<'a>,
    state: &'a State,
}

impl<'a> Made<'a> {
    async fn run(
        self,
        listener: TcpListener,
        stop: Stop,
        printer: &mut Printer,
    ) -> Result<ExitCode, CliError> {
        let url = address(self.serving, &listener)?;
        let (tell, told) = unbounded_channel();
        let mut running = self.start(listener, stop, (&tell, told)).await?;
        let _announced = self.announce(&url)?;
        let _watching = saves::watch(self.settings.root(), move |saved| {
            if saved.is_source {
                let _ = tell.send(Told::Saved(saved.file));
            }
        })?;
        self.greet(&url, printer);
        running.reload.begin(printer);
        running.follow(printer).await?;
        running.end(self.serving.grace, printer).await?;
        Ok(ExitCode::SUCCESS)
    }

    /// Lets clients in; what they submit waits for the first import.
    async fn start(
        &self,
        listener: TcpListener,
        stop: Stop,
        (tell, told): (&UnboundedSender<Told>, UnboundedReceiver<Told>),
    ) -> Result<Running<'a>, CliError> {
        let serving = self.serving;
        let store = Store::open(&Location::File(self.state.database()), serving.durability())
            .map_err(|error| CliError::failed("the state cannot be used", error))?;
        let clock = Clock::ahead_by(serving.clock_offset);
        let has_key = self.state.key_file().is_file();
        key::make(&store, &self.state.key_file(), &clock, !has_key)?;
        let (project, since) = (self.settings.project()?.id, clock.now());
        let settings = EngineSettings {
            mocked: true,
            max_queued: serving.max_queued,
            max_queued_bytes: serving.max_queued_bytes,
            clock: clock.clone(),
            ..EngineSettings::new(project.clone(), Vec::new())
        };
        let (hints, tell_notice) = (Hints::default(), tell.clone());
        let hinted = hints.clone();
        let engine = Engine::start(settings, store.clone(), move |notice| {
            hinted.on_notice(&notice);
            let _ = tell_notice.send(Told::Notice(notice));
        })?;
        let engine = Arc::new(engine);
        let platform = Platform::new(store.clone(), hints, served(serving, &clock), None);
        let server = Server::open(Arc::clone(&platform)).await;
        let server =
            server.map_err(|error| CliError::failed("the HTTP API cannot be served", error))?;
        let closed = CancellationToken::new();
        let folder = Folder {
            project,
            deployment: DeploymentId::new(since),
            since,
        };
        Ok(Running {
            server: tokio::spawn(server.serve(listener, closed.clone())),
            reload: Reload::new(
                (&engine, &platform),
                store,
                folder,
                self.resolve,
                tell.clone(),
            ),
            engine,
            platform,
            closed,
            told,
            runs: Runs::default(),
            stop,
        })
    }

    /// Lets the other commands in this folder find the server.
    fn announce(&self, url: &str) -> Result<Announced, CliError> {
        let file = self.state.key_file();
        let key = fs_err::read_to_string(&file);
        let key = key.map_err(|error| CliError::failed("the key of this server", error))?;
        let server = DevServer {
            url: url.to_owned(),
            key: key.trim().to_owned(),
        };
        let announced = server.announce(&self.state.folder);
        announced.map_err(|error| CliError::failed("other commands cannot find the server", error))
    }

    fn greet(&self, url: &str, printer: &Printer) {
        let project = self.settings.root().display();
        printer.aside(format_args!(
            "Serving {project} on {url}, described at {url}/docs"
        ));
        let sandbox = if self.settings.is_shut_in() {
            "in a sandbox"
        } else {
            "without a sandbox"
        };
        printer.aside(format_args!(
            "Code runs {sandbox}, and integrations are mocked. What is saved is live at once; Ctrl-C ends"
        ));
    }
}

/// A server, and what it shows.
struct Running<'a> {
    engine: Arc<Engine>,
    platform: Arc<Platform>,
    server: JoinHandle<()>,
    closed: CancellationToken,
    told: UnboundedReceiver<Told>,
    reload: Reload<'a>,
    runs: Runs,
    stop: Stop,
}

impl Running<'_> {
    /// Shows what happens until somebody asks the server to end.
    async fn follow(&mut self, printer: &mut Printer) -> Result<(), CliError> {
        loop {
            let due = self.reload.due();
            tokio::select! {
                told = self.told.recv() => self.hear(told, printer)?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.reload.begin(printer),
                () = self.stop.asked() => return Ok(()),
                ended = &mut self.server => return Err(ended_early(ended)),
            }
        }
    }

    /// Lets the attempts that execute end, and answers those who wait for something.
    async fn end(mut self, grace: Duration, printer: &mut Printer) -> Result<(), CliError> {
        self.platform.drain();
        let executing = self.engine.figures().executing;
        if executing > 0 {
            let (attempts, seconds) = (counted(executing, "attempt"), grace.as_secs());
            printer.aside(format_args!(
                "Ending: {attempts} may go on for {seconds} s; Ctrl-C ends at once, and they are made again next time"
            ));
        }
        let (tell, mut drained) = oneshot::channel();
        self.engine.drain(grace, move || {
            let _ = tell.send(());
        });
        loop {
            tokio::select! {
                biased;
                () = self.stop.asked() => return Err(CliError::interrupted()),
                told = self.told.recv() => self.hear(told, printer)?,
                _ = &mut drained => break,
                ended = &mut self.server => return Err(ended_early(ended)),
            }
        }
        self.closed.cancel();
        tokio::select! {
            _ = &mut self.server => Ok(()),
            () = self.stop.asked() => Err(CliError::interrupted()),
        }
    }

    fn hear(&mut self, told: Option<Told>, printer: &mut Printer) -> Result<(), CliError> {
        match told.unwrap_or(Told::Notice(Notice::Broken(EngineError::Stopped))) {
            Told::Saved(file) => self.reload.saved(file),
            Told::Imported(number, found) => self.reload.imported(number, found, printer)?,
            Told::Live(number, live) => self.reload.live(number, live, printer),
            Told::Notice(Notice::Broken(error)) => return Err(error.into()),
            Told::Notice(Notice::Printed { level, text }) => {
                printer.line(output("", level, &text));
            }
            Told::Notice(Notice::ImportFailed { failure, .. }) => reload::tell(&failure, printer),
            Told::Notice(notice) => self.runs.on_notice(notice, printer),
        }
        Ok(())
    }
}
