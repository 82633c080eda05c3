//! A verb that somebody asked for, on its way through the store's threads.
//!
//! A verb is polled once: it awaits nothing but the database, and SQLite never makes it wait. Whatever a verb does,
//! panic included, the thread goes on and whoever asked is answered.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crossbeam_channel::Receiver;

use crate::{Result, StoreError, Tx};

/// What waits for the threads of the store.
pub(crate) type Jobs = Receiver<Box<dyn Job>>;

/// What a verb may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// What a thread of the store needs to know of a verb, whatever its type.
pub(crate) trait Job: Send {
    fn access(&self) -> Access;

    /// Runs the verb and keeps its result. False when nothing of what it wrote may stay. Can be called again.
    fn run(&mut self, tx: Tx<'_>) -> bool;

    /// Tells the result, or why the transaction with it could not be committed.
    fn answer(self: Box<Self>, committed: Result<()>);
}

pub(crate) struct Asked<T, F, D> {
    access: Access,
    verb: F,
    done: D,
    result: Result<T>,
}

impl<T, F, D> Asked<T, F, D> {
    pub(crate) fn new(access: Access, verb: F, done: D) -> Self {
        Self {
            access,
            verb,
            done,
            result: Err(StoreError::Closed),
        }
    }
}

impl<T, F, D> Job for Asked<T, F, D>
where
    F: AsyncFn(&mut Tx<'_>) -> Result<T> + Send,
    D: FnOnce(Result<T>) + Send,
    T: Send,
{
    fn access(&self) -> Access {
        self.access
    }

    fn run(&mut self, mut tx: Tx<'_>) -> bool {
        let polled = catch_unwind(AssertUnwindSafe(|| poll_once((self.verb)(&mut tx))));
        self.result = match polled {
            // A verb that swallowed an error has done only a part of its work.
            Ok(Ok(_)) if tx.has_failed() => Err(StoreError::Aborted),
            Ok(result) => result,
            Err(panic) => Err(StoreError::Panicked(message(panic.as_ref()))),
        };
        self.result.is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Self { done, result, .. } = *self;
        // An answer that panics must not take the store down for everybody.
        let _ = catch_unwind(AssertUnwindSafe(|| done(committed.and(result))));
    }
}

fn poll_once<T>(verb: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(verb).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(StoreError::Awaited),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
