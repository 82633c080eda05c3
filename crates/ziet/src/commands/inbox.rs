//! What a command waits for: notices of an engine, a person's Ctrl-C, and saved files where it watches them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use ziet_engine::{EngineError, Notice};

use crate::error::CliError;
use crate::saves::Saved;

/// What ends a wait.
pub(super) enum Incoming {
    Notice(Notice),
    /// Ctrl-C, or a request to end.
    Interrupt,
    /// Source code was saved, and what runs is no longer what it says.
    Outdated,
}

/// What is sent, of which saves are kept rather than handed on.
pub(super) enum Sent {
    Notice(Notice),
    Interrupt,
    Saved(Saved),
}

/// One for the whole command: interrupts can be caught only once.
pub(super) struct Inbox {
    send: Sender<Sent>,
    receive: Receiver<Sent>,
    /// Set at once, while what is sent may wait behind many lines.
    interrupted: Arc<AtomicBool>,
    /// Since they were last taken.
    saved: RefCell<BTreeSet<PathBuf>>,
}

impl Inbox {
    pub(super) fn open() -> Result<Self, CliError> {
        let (send, receive) = channel();
        let interrupted = Arc::new(AtomicBool::new(false));
        let (flag, interrupt) = (interrupted.clone(), send.clone());
        ctrlc::set_handler(move || {
            flag.store(true, Relaxed);
            drop(interrupt.send(Sent::Interrupt));
        })
        .map_err(|error| CliError::failed("interrupts cannot be caught", error))?;
        Ok(Self {
            send,
            receive,
            interrupted,
            saved: RefCell::default(),
        })
    }

    pub(super) fn sender(&self) -> Sender<Sent> {
        self.send.clone()
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    pub(super) fn next(&self) -> Result<Incoming, CliError> {
        loop {
            let sent = self.receive.recv().map_err(|_| EngineError::Stopped)?;
            if let Some(incoming) = self.sort(sent) {
                return Ok(incoming);
            }
        }
    }

    /// None when nothing came in this time.
    pub(super) fn next_within(&self, time: Duration) -> Result<Option<Incoming>, CliError> {
        loop {
            match self.receive.recv_timeout(time) {
                Ok(sent) => {
                    if let Some(incoming) = self.sort(sent) {
                        return Ok(Some(incoming));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(EngineError::Stopped.into()),
            }
        }
    }

    /// The files that were saved since this was last asked.
    pub(super) fn take_saved(&self) -> BTreeSet<PathBuf> {
        self.saved.take()
    }

    /// Waits until a file is saved and no more are for `quiet`; false when a person wants to end. What engines said is
    /// dropped, so there must be none.
    pub(super) fn wait_for_saves(&self, quiet: Duration) -> Result<bool, CliError> {
        loop {
            if self.is_interrupted() {
                return Ok(false);
            }
            let idle = self.saved.borrow().is_empty();
            let sent = if idle {
                Some(self.receive.recv().map_err(|_| EngineError::Stopped)?)
            } else {
                self.receive.recv_timeout(quiet).ok()
            };
            match sent {
                Some(sent) => drop(self.sort(sent)),
                None => return Ok(true),
            }
        }
    }

    fn sort(&self, sent: Sent) -> Option<Incoming> {
        match sent {
            Sent::Notice(notice) => Some(Incoming::Notice(notice)),
            Sent::Interrupt => Some(Incoming::Interrupt),
            Sent::Saved(Saved { file, is_source }) => {
                self.saved.borrow_mut().insert(file);
                is_source.then_some(Incoming::Outdated)
            }
        }
    }
}
