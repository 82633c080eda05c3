//! The signals that ask a server to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// SIGTERM, Ctrl-C, and the end of the terminal.
pub(in crate::commands) struct Stop {
    signals: [Signal; 3],
}

impl Stop {
    /// From now on these signals do not end the process by themselves.
    pub(in crate::commands) fn listen() -> Result<Self, CliError> {
        let caught = |kind| {
            signal(kind).map_err(|error| CliError::failed("signals cannot be caught", error))
        };
        Ok(Self {
            signals: [
                caught(SignalKind::terminate())?,
                caught(SignalKind::interrupt())?,
                caught(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for the next one of them.
    pub(in crate::commands) async fn asked(&mut self) {
        let [terminate, interrupt, hang_up] = &mut self.signals;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
