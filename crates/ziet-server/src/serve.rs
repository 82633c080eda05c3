//! Listening: who connects is served until the server is to stop, and then until what was asked is answered.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ziet_store::StoreError;

use crate::app::router;
use crate::connection::serve_connection;
use crate::metrics;
use crate::platform::Platform;
use crate::problem::{Code, Problem};
use crate::tls::{Tls, TlsError};

/// Connections at a time, where the system allows so many open files.
const CONNECTIONS: u64 = 20_000;

/// Open files that are left to the store and the engines.
const OTHER_FILES: u64 = 2_000;

/// How long a client may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long those who are connected may take to ask for something when they are to connect anew: with the answer they are told so,
/// while a connection that is just closed may be one that they are about to use.
const LINGER: Duration = Duration::from_secs(1);

/// How long answers may take that are under way when the server is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What who connects is told when there is no room. It is short enough for the buffer of a new socket. No request was read that
/// could have an id.
static NO_ROOM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let detail = "the server has as many connections as it may: close some, or come back later";
    let body = Problem::new(Code::TooManyConnections, detail).document("none");
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
});

/// Why a server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that has what it needs and lets nobody in yet.
pub struct Server {
    platform: Arc<Platform>,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Reads the keys and the certificate.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub async fn open(platform: Arc<Platform>) -> Result<Self, ServeError> {
        metrics::start();
        platform.store.on_commit(metrics::committed);
        platform.load_keys().await?;
        let tls = platform.settings.tls.clone().map(Tls::open).transpose()?;
        let tls = tls.map(Arc::new);
        Ok(Self { platform, tls })
    }

    /// Answers requests until `stop` is cancelled, and then until those that are under way are answered and live streams
    /// ended. After [`Platform::hand_over`] nobody is let in any more.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let Self { platform, tls } = self;
        let door = Door {
            tls,
            router: router(Arc::clone(&platform)),
            room: Arc::new(Semaphore::new(room())),
            stop: platform.left.clone(),
            open: TaskTracker::new(),
        };
        tokio::select! {
            never = door.accept_all(&listener) => match never {},
            () = platform.leaving.cancelled() => {}
            () = stop.cancelled() => {}
        }
        drop(listener);
        door.open.close();
        tokio::select! {
            _ = timeout(LINGER, door.open.wait()) => {}
            () = stop.cancelled() => {}
        }
        platform.left.cancel();
        stop.cancelled().await;
        platform.hints.close();
        if timeout(LAST_ANSWERS, door.open.wait()).await.is_err() {
            tracing::warn!(
                "{} connections were cut off: their answers took too long",
                door.open.len()
            );
        }
    }
}

/// Lets clients in.
struct Door {
    tls: Option<Arc<Tls>>,
    router: Router,
    room: Arc<Semaphore>,
    stop: CancellationToken,
    open: TaskTracker,
}

impl Door {
    async fn accept_all(&self, listener: &TcpListener) -> std::convert::Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.accept(stream),
                Err(error) => refused(&error).await,
            }
        }
    }

    fn accept(&self, stream: TcpStream) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            metrics::refused();
            // Nobody waits for who does not read it, or agrees on encryption with who is not let in.
            if self.tls.is_none() {
                let _ = stream.try_write(&NO_ROOM);
            }
            return;
        };
        // Answers are small, and each is waited for.
        let _ = stream.set_nodelay(true);
        let (router, stop) = (self.router.clone(), self.stop.clone());
        match self.tls.clone() {
            None => drop(
                self.open
                    .spawn(within(room, serve_connection(stream, router, stop))),
            ),
            Some(tls) => drop(self.open.spawn(within(room, async move {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                    serve_connection(stream, router, stop).await;
                }
            }))),
        }
    }
}

/// Counts a connection for as long as it is open.
async fn within(_room: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    let _counted = metrics::Connection::open();
    connection.await;
}

/// A client that was gone before it was let in is nothing; out of files, the next one would find the same at once.
async fn refused(error: &io::Error) {
    let is_of_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !is_of_client {
        tracing::warn!("a connection cannot be accepted: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// For how many connections there is room: as many open files as this process may have, but for those that others need.
fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = (CONNECTIONS + OTHER_FILES).min(limit.maximum.unwrap_or(u64::MAX));
    let raised = Rlimit {
        current: Some(wanted),
        ..limit
    };
    let has = limit.current.unwrap_or(u64::MAX);
    let has = if has < wanted && setrlimit(Resource::Nofile, raised).is_ok() {
        wanted
    } else {
        has
    };
    let room = has
        .saturating_sub(OTHER_FILES)
        .max(has / 2)
        .min(CONNECTIONS);
    usize::try_from(room).unwrap_or(usize::MAX)
}
