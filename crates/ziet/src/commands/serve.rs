//! `ziet serve`: the store, an engine for each project, and the HTTP API, in one process until it is asked to end.

mod host;
pub(super) mod key;
pub(super) mod log;
mod projects;
pub(super) mod stopping;
mod systemd;

use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info};
use ziet_engine::Clock;
use ziet_server::{Hints, Platform, Server, ServerSettings};
use ziet_store::{Location, Store};

use self::host::{Engines, Hosting};
use self::projects::Projects;
pub(super) use self::projects::{FOLDER, with_variables};
use self::stopping::Stop;
use super::retention::Retention;
use super::state::{State, real};
use crate::error::CliError;
use crate::settings::{Environment, Flags, LogFormat, OfServer, Serving, Settings, state_folder};

/// How long the server's own work may go on when everything else has ended.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// Threads for the network: the engines, the store and the actions need the processors too.
const NETWORK_THREADS: usize = 2;

/// Serve projects: a durable queue with an HTTP API
///
/// Each project named with --project, else the one in this folder, is imported once and served as it stands. An accepted
/// run outlives the death of every process. SIGTERM or Ctrl-C ends the server when the attempts under way are done, or
/// after --grace, and a second one at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ziet serve                                            the project in this folder, on http://127.0.0.1:7878
  ziet serve --project shop --project billing           two projects
  ziet serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem --host shop.example.com")]
pub(crate) struct Serve {
    /// Make another admin key, into the file `admin.key` of the state, as when all others are lost; those stay valid
    #[arg(long)]
    new_admin_key: bool,

    #[command(flatten)]
    settings: Flags<OfServer>,
}

pub(crate) fn serve(
    args: &Serve,
    flags: &Flags,
    environment: &Environment,
) -> Result<ExitCode, CliError> {
    let serving = Serving::resolve(&args.settings, environment)?;
    let folders = flags.each_project();
    let folders = folders
        .iter()
        .map(|flags| Settings::resolve(flags, environment));
    let folders = folders.collect::<Result<Vec<_>, _>>()?;
    let socket = handed_over(&serving)?;
    let state = state_folder(&args.settings, environment)?;
    let folders = projects::folders(folders, &real(&state));
    projects::check(&folders, &real(&state))?;
    let state = State::hold(&state)?;
    let _lines = log::start(&serving)?;
    state.warn_of_others();
    let runtime = runtime()?;
    let start = Start {
        args,
        serving: &serving,
        flags,
        environment,
        folders: &folders,
        state: &state,
    };
    let done = runtime.block_on(run(&start, socket));
    // What is being built is built by the next server.
    runtime.shutdown_timeout(LAST_STEPS);
    match done {
        // Whoever reads the log as JSON must not meet a line that is none.
        Err(error) if serving.log_format == LogFormat::Json => {
            error!(hint = error.hint, "{}", error.message);
            Ok(error.status())
        }
        done => done,
    }
}

pub(super) fn runtime() -> Result<Runtime, CliError> {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let built = Builder::new_multi_thread()
        .worker_threads(processors.min(NETWORK_THREADS))
        .thread_name("ziet-network")
        .enable_all()
        .build();
    built.map_err(|error| CliError::failed("the server", error))
}

/// The socket to listen on, where whoever starts the server has one for it.
fn handed_over(serving: &Serving) -> Result<Option<std::net::TcpListener>, CliError> {
    let socket = systemd::socket()?;
    if let Some(socket) = &socket {
        let address = socket.local_addr();
        serving.check_address(address.map_err(|error| CliError::failed("the address", error))?)?;
    }
    Ok(socket)
}

/// What a server is started with.
struct Start<'a> {
    args: &'a Serve,
    serving: &'a Serving,
    /// Those of projects, without the folders that they name.
    flags: &'a Flags,
    environment: &'a Environment,
    folders: &'a [Settings],
    state: &'a State,
}

async fn run(
    start: &Start<'_>,
    socket: Option<std::net::TcpListener>,
) -> Result<ExitCode, CliError> {
    let Start { serving, state, .. } = start;
    let stop = Stop::listen()?;
    let is_handed_over = socket.is_some();
    // An address that is taken is told before anything is imported.
    let listener = match socket {
        Some(socket) => systemd::listen(socket)?,
        None => bind(serving.listen).await?,
    };
    let store = Store::open(&Location::File(state.database()), serving.durability())
        .map_err(|error| CliError::failed("the state cannot be used", error))?;
    let clock = Clock::ahead_by(serving.clock_offset);
    key::make(&store, &state.key_file(), &clock, start.args.new_admin_key)?;
    let (platform, projects) = platform(start, &store, &clock).await?;
    let server = Server::open(Arc::clone(&platform)).await;
    let server =
        server.map_err(|error| CliError::failed("the HTTP API cannot be served", error))?;
    let address = address(serving, &listener)?;
    let mut running = Running::new(server, listener, platform, projects, stop);
    // What there is can be read while the projects are imported, which may take long. Where clients can wait for the whole of it
    // they are to wait, as they do while there is no server.
    if !is_handed_over {
        running.open.cancel();
    }
    if !running.is_loaded().await? {
        info!("ended while the projects were imported");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(keep) = serving.retention {
        running.platform.clean_regularly(keep);
    }
    let keep = serving
        .retention
        .map(|keep| Retention::start(store, keep, clock));
    let _retention = keep.transpose()?;
    running.open.cancel();
    tell(&address, state);
    if !running.platform.serves_something() {
        info!(
            "nothing is deployed yet: `ziet login {address}` and `ziet deploy` in a project's folder do that"
        );
    }
    systemd::ready();
    // To its end: draining may take longer than systemd waits to hear of it.
    let _lives = AbortOnDropHandle::new(tokio::spawn(systemd::live(Arc::clone(&running.platform))));
    running.until_asked_to_end().await?;
    systemd::stopping();
    if is_handed_over {
        running.hand_over().await?;
    }
    running.end(serving.grace).await?;
    info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// What is served: folders, and what is deployed.
async fn platform(
    start: &Start<'_>,
    store: &Store,
    clock: &Clock,
) -> Result<(Arc<Platform>, Projects), CliError> {
    let serving = start.serving;
    let hints = Hints::default();
    let (teller, told) = unbounded_channel();
    let engines = Engines {
        store: store.clone(),
        hints: hints.clone(),
        clock: clock.clone(),
        max_queued: serving.max_queued,
        max_queued_bytes: serving.max_queued_bytes,
        tell: teller,
    };
    let projects = Projects::start(start.folders, &engines, told)?;
    let deploys = Hosting::deploys(start, &engines)?;
    let platform = Platform::new(store.clone(), hints, served(serving, clock), deploys);
    projects.add_to(&platform);
    let deployed = platform.start_deployed().await;
    deployed
        .map_err(|error| CliError::broken(format!("what is deployed cannot be served: {error}")))?;
    Ok((platform, projects))
}

/// A server, and what ends it.
struct Running {
    platform: Arc<Platform>,
    projects: Projects,
    server: JoinHandle<()>,
    /// Clients are let in once this is cancelled.
    open: CancellationToken,
    closed: CancellationToken,
    stop: Stop,
}

impl Running {
    fn new(
        server: Server,
        listener: TcpListener,
        platform: Arc<Platform>,
        projects: Projects,
        stop: Stop,
    ) -> Self {
        let (open, closed) = (CancellationToken::new(), CancellationToken::new());
        let (opened, end) = (open.clone(), closed.clone());
        let server = tokio::spawn(async move {
            opened.cancelled().await;
            server.serve(listener, end).await;
        });
        Self {
            platform,
            projects,
            server,
            open,
            closed,
            stop,
        }
    }

    /// Waits until the projects are imported; false when somebody asks it to end before.
    async fn is_loaded(&mut self) -> Result<bool, CliError> {
        tokio::select! {
            loaded = self.projects.loaded() => loaded.map(|()| true),
            () = self.stop.asked() => Ok(false),
        }
    }

    async fn until_asked_to_end(&mut self) -> Result<(), CliError> {
        tokio::select! {
            () = self.stop.asked() => Ok(()),
            broken = self.projects.broken() => Err(broken),
            ended = &mut self.server => Err(ended_early(ended)),
        }
    }

    /// Leaves those who connect to the next server on the same socket.
    async fn hand_over(&mut self) -> Result<(), CliError> {
        tokio::select! {
            () = self.platform.hand_over() => Ok(()),
            () = self.stop.asked() => Err(CliError::interrupted()),
            ended = &mut self.server => Err(ended_early(ended)),
        }
    }

    /// Lets the attempts that execute end, and answers those who wait for something.
    async fn end(mut self, grace: Duration) -> Result<(), CliError> {
        self.platform.drain();
        let seconds = grace.as_secs();
        info!(
            grace = seconds,
            "draining: attempts have {seconds} s to end, and no run is accepted; ask again to end at once"
        );
        tokio::select! {
            () = self.platform.end_attempts(grace) => {}
            () = self.stop.asked() => return Err(CliError::interrupted()),
            broken = self.projects.broken() => return Err(broken),
            ended = &mut self.server => return Err(ended_early(ended)),
        }
        self.closed.cancel();
        tokio::select! {
            _ = &mut self.server => Ok(()),
            () = self.stop.asked() => Err(CliError::interrupted()),
        }
    }
}

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| {
        CliError::failed(&format!("cannot listen on {address}"), error)
            .hint("name another address with --listen; with port 0 the system chooses one")
    })
}

/// What the HTTP API needs to know.
pub(super) fn served(serving: &Serving, clock: &Clock) -> ServerSettings {
    ServerSettings {
        hosts: serving.hosts.clone(),
        public_metrics: serving.public_metrics,
        tls: serving.tls(),
        clock: clock.clone(),
    }
}

/// Where clients find it.
pub(super) fn address(serving: &Serving, listener: &TcpListener) -> Result<String, CliError> {
    let bound = listener
        .local_addr()
        .map_err(|error| CliError::failed("the address", error))?;
    let scheme = if serving.tls().is_some() {
        "https"
    } else {
        "http"
    };
    Ok(format!("{scheme}://{bound}"))
}

/// The line that whoever started the server waits for: it can be used.
fn tell(address: &str, state: &State) {
    let (version, state) = (env!("CARGO_PKG_VERSION"), state.folder.display());
    info!(address, %state, "ziet {version} listens on {address}");
}

/// It serves until it is told to end, so whatever came of it before that is wrong.
pub(super) fn ended_early(ended: Result<(), JoinError>) -> CliError {
    const WHAT: &str = "the HTTP API cannot go on";
    match ended {
        Ok(()) => CliError::broken(WHAT),
        Err(error) => CliError::failed(WHAT, error),
    }
}
