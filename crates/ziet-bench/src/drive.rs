//! A worker without an engine: what executors do by themselves, and what the engine adds.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::{Events, Poll};
use ziet_core::action::Isolation;
use ziet_core::wire::{Finished, FromExecutor, Start};
use ziet_core::{ActionId, Json, MemoryId, RunId};
use ziet_worker::{Demand, ExecutorId, Worker, WorkerEvent, WorkerSettings};

use crate::clock;
use crate::processes::Supervisors;

/// More than any benchmark uses.
const MEMORY: u64 = 10 << 30;

pub(crate) struct Drive {
    poll: Poll,
    events: Events,
    pub(crate) worker: Worker,
    pub(crate) supervisors: Supervisors,
}

impl Drive {
    /// Starts Python and waits until the project is imported.
    pub(crate) fn start(settings: WorkerSettings) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let worker = Worker::start(settings, 0, poll.registry().try_clone()?, clock::instant())?;
        let mut drive = Self {
            poll,
            events: Events::with_capacity(256),
            worker,
            supervisors: Supervisors::default(),
        };
        while !matches!(drive.event()?, WorkerEvent::Loaded(_)) {}
        drive.supervisors = Supervisors::new()?;
        Ok(drive)
    }

    /// The next thing that happens.
    pub(crate) fn event(&mut self) -> anyhow::Result<WorkerEvent> {
        loop {
            match self.worker.next_event() {
                Some(WorkerEvent::ImportFailed(error) | WorkerEvent::Gone(error)) => {
                    return Err(error.into());
                }
                Some(event) => return Ok(event),
                None => self.turn()?,
            }
        }
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let timer = self.worker.next_timer();
        let wait = if self.worker.is_busy() {
            Some(Duration::ZERO)
        } else {
            timer.map(|at| at.saturating_duration_since(clock::instant()))
        };
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        let now = clock::instant();
        self.worker.begin_turn(now);
        for event in &self.events {
            self.worker.on_ready(event.token());
        }
        self.worker.on_time(now);
        Ok(())
    }

    /// An executor for an attempt, as soon as there is one.
    pub(crate) fn executor(&mut self, isolation: Isolation) -> anyhow::Result<ExecutorId> {
        let fresh = usize::from(isolation == Isolation::Attempt);
        loop {
            if let Some(executor) = self.worker.take(isolation) {
                return Ok(executor);
            }
            self.worker.expect(Demand { waiting: 1, fresh })?;
            while !matches!(self.event()?, WorkerEvent::Ready) {}
        }
    }

    pub(crate) fn begin(
        &mut self,
        executor: ExecutorId,
        action: &str,
        input: &Json,
    ) -> anyhow::Result<()> {
        let now = clock::time();
        let start = Start {
            run_id: RunId::new(now),
            attempt: 1,
            action_id: ActionId::new(action),
            input: input.clone(),
            memory_id: MemoryId::new(now),
            first_call: 0,
            environment: Vec::new(),
            secrets: Vec::new(),
            mocked: true,
            locals: false,
            memory_limit: None,
        };
        Ok(self.worker.begin(executor, start, MEMORY)?)
    }

    /// Waits until an attempt completes, and gives its executor back.
    pub(crate) fn finished(&mut self) -> anyhow::Result<(ExecutorId, Json)> {
        loop {
            match self.event()? {
                WorkerEvent::Message(executor, FromExecutor::Finished(mut finished)) => {
                    self.worker.release(executor, &mut finished);
                    return Ok((executor, output(*finished)?));
                }
                WorkerEvent::Ended(ended) => bail!("an executor has ended: {ended:?}"),
                _ => {}
            }
        }
    }

    /// Executes one attempt, and gives what it returned.
    pub(crate) fn execute(&mut self, isolation: Isolation, action: &str) -> anyhow::Result<Json> {
        let executor = self.executor(isolation)?;
        self.begin(executor, action, &Json::empty_object())?;
        Ok(self.finished()?.1)
    }
}

fn output(finished: Finished) -> anyhow::Result<Json> {
    if let Some(failure) = finished.failure {
        bail!("an attempt has failed: {}", failure.headline());
    }
    finished.output.context("an attempt has no output")
}

/// The moment that an attempt returned: what `time.monotonic_ns` said.
pub(crate) fn moment(output: &Json) -> anyhow::Result<Duration> {
    let text = output.as_str().context("not text")?;
    Ok(Duration::from_nanos(text.parse()?))
}
