//! What the engine tells whoever watches: each notice after the commit that it speaks of.

use std::sync::Arc;
use std::time::Duration;

use ziet_core::error::Failure;
use ziet_core::run::{Cancelled, Outcome};
use ziet_core::wire::Level;
use ziet_core::{ActionId, Catalogue, DeploymentId, Json, RunId, Time};
use ziet_store::Change;
use ziet_worker::sandbox::Mechanisms;

use crate::answer::MadeInput;
use crate::settings::EngineError;

#[derive(Debug)]
pub enum Notice {
    /// The active deployment is imported; runs can be submitted.
    Loaded(Catalogue),
    /// What holds the project's code, and ends it.
    Supervised(Mechanisms),
    /// Test data, or why there is none.
    InputMade(Result<MadeInput, String>),
    /// A deployment could not be imported again, or no process of it comes to life; that is tried again after `pause`. Until then
    /// the runs of a server wait, and others fail with this.
    ImportFailed {
        deployment: DeploymentId,
        failure: Failure,
        pause: Duration,
    },
    /// The project printed something while it was imported.
    Printed { level: Level, text: String },
    Run {
        run: RunId,
        action: ActionId,
        happening: Happening,
    },
    /// These changes are in the store.
    Written(Arc<Vec<Change>>),
    /// The engine cannot go on; nothing more will come.
    Broken(EngineError),
}

/// What happened to a run.
#[derive(Debug)]
pub enum Happening {
    /// Its first attempt has a process.
    Initialized,
    /// An attempt was started.
    Executing,
    /// A line or more that code printed or logged, or that is told beside it: when it came, and of which attempt. What is
    /// told before the first attempt is of number 0. Told only where
    /// [`EngineSettings::tells_lines`](crate::EngineSettings::tells_lines) says so.
    Output {
        at: Time,
        attempt: u32,
        level: Level,
        text: String,
    },
    Memory(MemoryUse),
    /// `call` is how it reads in code.
    IntegrationCalled {
        call: String,
        mocked: bool,
    },
    /// An attempt that did not complete; retried or not.
    AttemptFailed {
        outcome: Outcome,
        failure: Failure,
    },
    /// The number of the attempt that follows, among those that count.
    Retrying {
        wait: Duration,
        attempt: u32,
        max_attempts: u32,
    },
    /// The attempt's worker vanished, and the run is executed again.
    Lost,
    Completed {
        output: Json,
        took: Duration,
    },
    Failed {
        failure: Failure,
    },
    Cancelled(Cancelled),
}

/// What code did with its memory.
#[derive(Debug)]
pub enum MemoryUse {
    Added {
        key: String,
        value: Json,
    },
    Read {
        key: String,
        found: bool,
    },
    Searched {
        query: Option<String>,
        found: usize,
    },
    /// `what` is what was asked for: `key=a` or `entry_id=…`.
    Removed {
        what: String,
        count: u64,
    },
}

/// Whoever watches. When the thread that tells it dies, it hears of that as well: nobody waits for what will not come.
pub(crate) struct Watcher(Box<dyn FnMut(Notice) + Send>);

impl Watcher {
    pub(crate) fn new(notify: impl FnMut(Notice) + Send + 'static) -> Self {
        Self(Box::new(notify))
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        (self.0)(notice);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell(Notice::Broken(EngineError::Stopped));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_death_of_the_thread_that_tells_is_told() {
        let (send, told) = channel();
        let watcher = Watcher::new(move |notice| send.send(notice).unwrap());
        let dies = std::thread::spawn(move || {
            let _watcher = watcher;
            panic!("as a defect would");
        });
        assert!(dies.join().is_err());
        assert!(matches!(
            told.recv(),
            Ok(Notice::Broken(EngineError::Stopped))
        ));
    }

    #[test]
    fn its_usual_end_is_not() {
        let (send, told) = channel();
        drop(Watcher::new(move |notice| send.send(notice).unwrap()));
        assert!(told.recv().is_err());
    }
}
