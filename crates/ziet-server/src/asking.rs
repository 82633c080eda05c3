//! Asking an engine from a request: its answers come on its own thread, and are only passed on from there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use ziet_core::RunId;
use ziet_core::document::RunDocument;
use ziet_core::run::Cancelled;
use ziet_engine::{Accepted, Refusal, Submission, Until, Watch};

use crate::platform::Project;
use crate::problem::{Code, Problem};

impl Project {
    /// Accepts runs, all or none of them.
    pub(crate) async fn submit(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Accepted>, Problem> {
        asked(|done| self.engine.submit(submissions, done)).await
    }

    /// Starts a run that was only created.
    pub(crate) async fn invoke(&self, run: RunId) -> Result<(), Problem> {
        asked(|done| self.engine.invoke(run, done)).await
    }

    /// Cancels a run and the tree below it; one that is cancelled already stays as it is.
    pub(crate) async fn cancel(&self, run: RunId, cancelled: Cancelled) -> Result<(), Problem> {
        asked(|done| self.engine.cancel(run, cancelled, done)).await?;
        Ok(())
    }

    /// Accepts one run, and calls `accepted` when that is durable. With the document: of the run as it was accepted when
    /// `wait` is zero, else when it has finished in that time; none where it is to be read.
    ///
    /// Whoever asks is woken once, not a first time for the acceptance.
    pub(crate) async fn run(
        &self,
        submission: Submission,
        wait: Wait<'_>,
        accepted: impl FnOnce(RunId) + Send + 'static,
    ) -> Result<(Accepted, Shown), Problem> {
        let until = if wait.at_most.is_zero() {
            Until::Accepted
        } else {
            Until::Finished
        };
        let (show, shown) = oneshot::channel();
        let (tell, answer) = oneshot::channel();
        let done = move |result: Result<Vec<Accepted>, Refusal>| {
            if let Some(first) = result.iter().flatten().next() {
                accepted(first.run);
            }
            drop(tell.send(result));
        };
        self.engine
            .submit_and_watch(submission, until, done, Show(show));
        let shown = match until {
            Until::Accepted => shown.await.ok().flatten(),
            Until::Finished => wait.for_it(shown).await,
        };
        let first = received(answer).await?.into_iter().next();
        let accepted = first.ok_or_else(|| Problem::internal("the engine accepted nothing"))?;
        Ok((accepted, shown))
    }

    /// Waits until the run has finished, or the time is over; with its document where that need not be read.
    pub(crate) async fn finished(&self, run: RunId, wait: Wait<'_>) -> Shown {
        if wait.at_most.is_zero() {
            return None;
        }
        let (show, shown) = oneshot::channel();
        self.engine.when_finished(run, Show(show));
        wait.for_it(shown).await
    }
}

/// Shows a run to a request, for as long as that waits.
struct Show(oneshot::Sender<Shown>);

impl Watch for Show {
    fn see(self: Box<Self>, document: Shown) {
        // A request that has gone looks no more.
        let _ = self.0.send(document);
    }

    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// A run as it was last written.
pub(crate) type Shown = Option<Arc<RunDocument>>;

/// For how long a request waits for its run.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'a> {
    pub(crate) at_most: Duration,
    /// Ends it earlier.
    pub(crate) stop: &'a CancellationToken,
}

impl Wait<'_> {
    /// Nothing also when whoever should have answered is gone.
    async fn for_it(self, shown: oneshot::Receiver<Shown>) -> Shown {
        tokio::select! {
            shown = timeout(self.at_most, shown) => shown.ok()?.ok()?,
            () = self.stop.cancelled() => None,
        }
    }
}

type Answer<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

async fn asked<T: Send + 'static>(ask: impl FnOnce(Answer<T>)) -> Result<T, Problem> {
    let (done, answer) = oneshot::channel();
    ask(Box::new(move |result| drop(done.send(result))));
    received(answer).await
}

async fn received<T>(answer: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Problem> {
    match answer.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Problem::new(Code::Draining, "the server is stopping")),
    }
}
