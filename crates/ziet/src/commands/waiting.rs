//! What a command that waits hears: what threads of its own tell, and a person's Ctrl-C.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::error::CliError;

pub(super) enum Told<T> {
    Item(T),
    /// Ctrl-C, or a request to end.
    Interrupt,
}

/// One for the whole command: interrupts can be caught only once.
pub(super) struct Waiting<T> {
    send: Sender<Told<T>>,
    receive: Receiver<Told<T>>,
}

impl<T: Send + 'static> Waiting<T> {
    pub(super) fn begin() -> Result<Self, CliError> {
        let (send, receive) = channel();
        let interrupt = send.clone();
        ctrlc::set_handler(move || drop(interrupt.send(Told::Interrupt)))
            .map_err(|error| CliError::failed("interrupts cannot be caught", error))?;
        Ok(Self { send, receive })
    }

    /// Has a thread of its own tell all of them. It ends with the program, so that nobody waits for what does not come.
    pub(super) fn hear(&self, items: impl Iterator<Item = T> + Send + 'static) {
        let send = self.send.clone();
        thread::spawn(move || {
            for item in items {
                if send.send(Told::Item(item)).is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn next(&self) -> Told<T> {
        // There is always somebody who could send: this.
        self.receive.recv().unwrap_or(Told::Interrupt)
    }

    /// None when nothing came in this time.
    pub(super) fn next_within(&self, time: Duration) -> Option<Told<T>> {
        match self.receive.recv_timeout(time) {
            Ok(told) => Some(told),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Told::Interrupt),
        }
    }
}
