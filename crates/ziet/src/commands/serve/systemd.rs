//! What systemd hands to a server, and what it is told of it: the socket, that the server can be used, lives, and ends.
//! Where nobody asks for it, as in a terminal, none of this does anything.

use std::net::TcpListener;
use std::sync::Arc;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tracing::warn;
use ziet_server::Platform;

use crate::error::CliError;

/// The socket to listen on, where this process was started with one. To be asked before there are other threads: what says
/// so is taken out of the environment, so that no process that is started later takes it for its own.
///
/// # Errors
/// When what was handed over is no listening socket of TCP, or several.
pub(super) fn socket() -> Result<Option<TcpListener>, CliError> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 1 {
        let message = format!("{} sockets were handed over (LISTEN_FDS)", handed.len());
        return Err(CliError::usage(message)
            .hint("a server listens on one: keep one ListenStream= in the .socket unit"));
    }
    handed.take_tcp_listener(0).map_err(|error| {
        CliError::refused("the socket that was handed over (LISTEN_FDS)", error)
            .hint("ListenStream= in the .socket unit must be an address and a port")
    })
}

/// The same for the network's threads.
pub(super) fn listen(socket: TcpListener) -> Result<tokio::net::TcpListener, CliError> {
    let listening = socket
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(socket));
    listening.map_err(|error| CliError::failed("the socket that was handed over", error))
}

/// The server can be used.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The server ends in good order.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says for ever that the server lives, where and as often as systemd asks for it: each time every engine has had a turn.
pub(super) async fn live(platform: Arc<Platform>) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|time| !time.is_zero()) else {
        return;
    };
    // Half of it, as systemd asks for: a pause that is a little late is no death.
    let mut pause = tokio::time::interval(patience / 2);
    loop {
        pause.tick().await;
        platform.turn().await;
        tell(NotifyState::Watchdog);
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("systemd is not told about this server (NOTIFY_SOCKET): {error}");
    }
}
