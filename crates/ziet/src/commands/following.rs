//! A run on a server as it is followed: its events and the lines of its log, which come on two connections, put in order
//! and told as those of a local run are.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use ziet_core::action::ActionSpec;
use ziet_core::run::{Cancelled, Outcome};
use ziet_core::{ErrorCode, RunId};
use ziet_engine::Happening;

use crate::error::CliError;
use crate::output::RunLines;
use crate::remote::documents::{self, Attempt, LogLine, Run, RunEvent, failure};
use crate::remote::{Event, Heard, Server};

/// What came, and on which connection.
pub(super) enum News {
    Event(Result<Heard, CliError>),
    Line(Result<Heard, CliError>),
}

pub(super) struct Following<'a> {
    pub(super) server: &'a Server,
    pub(super) run: String,
    pub(super) lines: RunLines<'a>,
    /// Whether a person has cancelled it from here.
    pub(super) interrupted: bool,
    spec: &'a ActionSpec,
    /// The number of the last line that was shown.
    shown: u64,
    /// The attempt whose lines are shown.
    attempt: u32,
    /// Lines of attempts whose beginning was not told yet.
    held: VecDeque<LogLine>,
    /// Whether the lines above say why it failed.
    explained: bool,
}

impl<'a> Following<'a> {
    pub(super) fn new(
        server: &'a Server,
        run: &str,
        spec: &'a ActionSpec,
        lines: RunLines<'a>,
    ) -> Self {
        Self {
            server,
            run: run.to_owned(),
            lines,
            interrupted: false,
            spec,
            shown: 0,
            attempt: 0,
            held: VecDeque::new(),
            explained: false,
        }
    }

    /// Whether that was the last of it.
    pub(super) fn take(&mut self, news: News) -> Result<bool, CliError> {
        match news {
            News::Line(heard) => {
                if let Heard::Event(Event { name, data, .. }) = heard?
                    && name == "log"
                {
                    self.line(read(&data)?);
                }
                Ok(false)
            }
            News::Event(heard) => match heard? {
                Heard::Event(Event { name, .. }) if name == "end" => Ok(true),
                Heard::Event(Event { data, .. }) => self.event(&read(&data)?).map(|()| false),
                // Both connections are to the same server: one of them tells.
                Heard::Lost(error) => {
                    let printer = &self.lines.printer;
                    printer.note(format_args!(
                        "{}; the run goes on, and this waits for the server",
                        error.message
                    ));
                    Ok(false)
                }
                Heard::Back => {
                    self.lines.printer.note("the server is there again");
                    Ok(false)
                }
            },
        }
    }

    /// Ends the run, unless it has ended.
    pub(super) fn cancel(&mut self) -> Result<(), CliError> {
        self.interrupted = true;
        let path = format!("/v1/runs/{}/cancel", self.run);
        match self.server.post_once::<Value>(&path, &json!({})) {
            Err(error) if !error.has_code("run_finished") => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn line(&mut self, line: LogLine) {
        if line.seq <= self.shown {
            return;
        }
        if line.attempt > self.attempt {
            self.held.push_back(line);
            return;
        }
        self.shown = line.seq;
        self.lines.output(line.level(), &line.text);
    }

    fn event(&mut self, event: &RunEvent) -> Result<(), CliError> {
        let attempt = event.attempt.unwrap_or_default();
        match &*event.kind {
            "attempt_started" => {
                self.attempt = attempt;
                if attempt == 1 {
                    self.tell(&Happening::Initialized);
                }
                self.tell(&Happening::Executing);
                for line in std::mem::take(&mut self.held) {
                    self.line(line);
                }
            }
            "integration_called" => {
                let call = event.detail.clone().unwrap_or_default();
                self.tell(&Happening::IntegrationCalled {
                    call,
                    mocked: false,
                });
            }
            "attempt_finished" => {
                self.catch_up()?;
                match event.outcome.as_deref() {
                    Some("completed" | "cancelled") => {}
                    Some("lost") => self.tell(&Happening::Lost),
                    _ => self.attempt_failed(attempt)?,
                }
            }
            "completed" | "failed" | "cancelled" => {
                self.catch_up()?;
                self.ended()?;
            }
            // What a newer server tells beyond that.
            _ => {}
        }
        Ok(())
    }

    /// Shows the lines that were stored before what comes now, but have not come yet.
    fn catch_up(&mut self) -> Result<(), CliError> {
        let (path, after) = (
            format!("/v1/runs/{}/logs", self.run),
            self.shown.to_string(),
        );
        let query = [("after", &*after)];
        let stored = self
            .server
            .list_after::<LogLine>(&path, &query, "after", usize::MAX)?;
        for line in stored.items {
            self.line(line);
        }
        let shown = self.shown;
        self.held.retain(|line| line.seq > shown);
        Ok(())
    }

    fn document(&self) -> Result<Run, CliError> {
        self.server.get(&format!("/v1/runs/{}", self.run), &[])
    }

    fn attempt_failed(&mut self, number: u32) -> Result<(), CliError> {
        let run = self.document()?;
        let Some(attempt) = run.attempts.iter().find(|attempt| attempt.number == number) else {
            return Ok(());
        };
        let failure = attempt.error.as_ref().map(failure).transpose()?;
        let Some(failure) = failure else {
            return Ok(());
        };
        self.explained = true;
        let outcome = match &*attempt.outcome {
            "timed_out" => Outcome::TimedOut,
            "out_of_memory" => Outcome::OutOfMemory,
            "crashed" => Outcome::Crashed,
            _ => Outcome::Failed,
        };
        self.tell(&Happening::AttemptFailed { outcome, failure });
        let (finished, next) = (attempt.finished_at, number + 1);
        let next = run.attempts.iter().find(|attempt| attempt.number == next);
        if next.is_some() || !run.is_finished() {
            let counted =
                |attempt: &&Attempt| attempt.number <= number && attempt.outcome != "lost";
            let before = run.attempts.iter().filter(counted).count();
            let due = next.map(|next| next.started_at).or(run.due);
            // As the engine decided it, which knows whole seconds.
            let wait = due.map_or(0.0, |due| due.since(finished).as_secs_f64().round());
            self.tell(&Happening::Retrying {
                wait: Duration::from_secs_f64(wait),
                attempt: u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1),
                max_attempts: self.spec.retries + 1,
            });
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<(), CliError> {
        let run = self.document()?;
        match (&*run.status, &run.error) {
            ("completed", _) => {
                let finished = run.finished_at.unwrap_or(run.created_at);
                let took = finished.since(run.started_at.unwrap_or(finished));
                let output = run.output.as_deref().map(documents::json);
                let output = output.unwrap_or_else(|| ziet_core::Json::trusted(*b"null"));
                self.tell(&Happening::Completed { output, took });
            }
            ("cancelled", _) => {
                let by = || "somebody".to_owned();
                let cancelled = run.cancelled.unwrap_or_else(|| Cancelled {
                    by: by(),
                    reason: None,
                });
                self.tell(&Happening::Cancelled(cancelled));
            }
            (_, Some(error)) => {
                let failure = failure(error)?;
                if failure.code == ErrorCode::Lost {
                    self.tell(&Happening::Failed { failure });
                } else if !self.explained {
                    let outcome = Outcome::Failed;
                    self.tell(&Happening::AttemptFailed { outcome, failure });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tell(&mut self, happening: &Happening) {
        // Only this run is followed, so lines need not say whose they are.
        self.lines
            .happened(RunId::NONE, true, &self.spec.id, happening);
    }
}

fn read<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, CliError> {
    serde_json::from_str(data).map_err(|error| CliError::failed("an event of the server", error))
}
