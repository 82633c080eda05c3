//! How exactly attempts are ended whose time is up, when they compute or hold the interpreter's lock in C code.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use ziet_core::Json;
use ziet_core::document::AttemptDocument;
use ziet_engine::Happening;

use crate::figures::{Sample, at_most, figure, goal, title};
use crate::running::{Gate, Running, Told};
use crate::{Bench, clock};

const TIMEOUT: Duration = Duration::from_secs(1);
const ACTIONS: [&str; 2] = ["actions.spin", "actions.sleep_in_c"];

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title(
        "Attempts with a timeout of 1 s, half of them computing, half sleeping in C with the lock held",
    );
    many_at_once(bench)?;
    few_at_once(bench)
}

fn many_at_once(bench: &Bench) -> anyhow::Result<()> {
    let many = bench.times(200);
    let running = Running::start(bench.worker("executors")?, many, || true)?;
    let rounds = bench.times(20) / 4;
    let mut all = Round::default();
    for _ in 0..rounds {
        let round = Round::run(&running, many)?;
        all.settled.extend(round.settled);
        all.killed.extend(round.killed);
        all.gone = all.gone.max(round.gone);
        all.left += round.left;
    }
    let kills = all.killed.len();
    let (settled, killed) = (Sample::new(all.settled), Sample::new(all.killed));
    figure("settled after the deadline", &settled.shown());
    figure("told after the kill, after the deadline", &killed.shown());
    at_most(
        "settled, p99",
        settled.percentile(99),
        Duration::from_millis(20),
    );
    at_most(
        "SIGKILL, p99",
        killed.percentile(99),
        Duration::from_millis(100),
    );
    at_most(
        "the last process gone after its kill",
        all.gone,
        Duration::from_secs(1),
    );
    let shown = format!("{} of {kills}", all.left);
    goal("processes left", &shown, "none", all.left == 0);
    Ok(())
}

fn few_at_once(bench: &Bench) -> anyhow::Result<()> {
    let running = Running::start(bench.worker("executors")?, 4, || true)?;
    let mut few = Round::default();
    let rounds = bench.times(10);
    for _ in 0..rounds {
        let round = Round::run(&running, 4)?;
        few.killed.extend(round.killed);
        few.stacks += round.stacks;
    }
    let killed = Sample::new(few.killed);
    figure("4 of them: told after the kill", &killed.shown());
    at_most(
        "4 of them: SIGKILL, p50",
        killed.percentile(50),
        Duration::from_millis(15),
    );
    goal(
        "4 of them: with the stack",
        &few.stacks.to_string(),
        &(4 * rounds).to_string(),
        few.stacks == 4 * rounds,
    );
    Ok(())
}

#[derive(Default)]
struct Round {
    /// From the deadline to the end that is recorded.
    settled: Vec<Duration>,
    /// From the deadline to the moment at which it was told, which comes after SIGKILL.
    killed: Vec<Duration>,
    /// From the last of those moments until no process was there any more.
    gone: Duration,
    left: usize,
    stacks: usize,
}

impl Round {
    fn run(running: &Running, number: usize) -> anyhow::Result<Self> {
        // All of them are there before the first begins.
        let gates = running.hold(number)?;
        let open: Result<Vec<_>, _> = gates.iter().map(Gate::reached).collect();
        drop(open?);
        for _ in 0..number {
            running.completed()?;
        }
        drop(gates);
        for (_, action) in (0..number).zip(ACTIONS.iter().cycle()) {
            running.submit(action, &Json::empty_object())?;
        }
        let mut told = HashMap::new();
        for _ in 0..number {
            let one = running.told()?;
            told.insert(one.run, one);
        }
        let mut round = Self::default();
        round.wait_until_gone(running)?;
        let offset = clock::monotonic();
        let time = clock::time();
        for (run, Told { at, happening, .. }) in told {
            let document = running.engine.document(run)?.context("no such run")?;
            let attempt: &AttemptDocument = document.attempts.first().context("no attempt")?;
            let deadline = attempt.started_at.plus(TIMEOUT);
            round.settled.push(attempt.finished_at.since(deadline));
            round.killed.push(
                time.since(deadline)
                    .saturating_sub(offset.saturating_sub(at)),
            );
            let stack =
                matches!(&happening, Happening::Failed { failure } if !failure.frames.is_empty());
            round.stacks += usize::from(stack);
        }
        Ok(round)
    }

    fn wait_until_gone(&mut self, running: &Running) -> anyhow::Result<()> {
        let begun = clock::monotonic();
        loop {
            self.left = running.supervisors.executors()?.len();
            self.gone = clock::since(begun);
            if self.left == 0 || self.gone > Duration::from_secs(5) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
