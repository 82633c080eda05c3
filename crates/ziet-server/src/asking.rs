//! Asking an engine from a request: its answers come on its own thread, and are only passed on from there.

use tokio::sync::oneshot;
use ziet_core::RunId;
use ziet_core::run::Cancelled;
use ziet_engine::{Accepted, Refusal, Submission};

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

    /// Until the run has finished. It has also ended when the engine has.
    pub(crate) async fn finished(&self, run: RunId) {
        let (done, finished) = oneshot::channel();
        self.engine.when_finished(run, move || {
            // Whoever waited may have gone.
            let _ = done.send(());
        });
        let _ = finished.await;
    }
}

type Answer<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

async fn asked<T: Send + 'static>(ask: impl FnOnce(Answer<T>)) -> Result<T, Problem> {
    let (done, answer) = oneshot::channel();
    ask(Box::new(move |result| drop(done.send(result))));
    match answer.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Problem::new(Code::Draining, "the server is stopping")),
    }
}
