//! How many calls a second that do nothing, with an input of 1 KB that is checked and everything that is done around them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ziet_core::Json;
use ziet_core::action::Isolation;

use crate::drive::Drive;
use crate::figures::{at_least, count, figure, per_second, title};
use crate::noop::{NOOP, input};
use crate::running::{Gate, Running};
use crate::{Bench, clock, machine, processes};

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title("Calls a second that do nothing, with a checked input of 1 KB");
    for (executors, least) in [(1, 10_000.0), (4, 25_000.0)] {
        let bare = machine::round_trips(bench)?;
        let alone = of_worker(bench, executors)?;
        figure(
            &format!("the worker alone, {executors} executors"),
            &format!(
                "{alone:.0}/s, {:.0} % of bare round trips",
                alone / bare * 100.0
            ),
        );
        let whole = of_engine(bench, executors)?;
        figure(
            &format!("the engine, {executors} executors"),
            &format!("{:.0} % of bare round trips", whole / bare * 100.0),
        );
        at_least(&format!("the engine, {executors} executors"), whole, least);
    }
    Ok(())
}

fn of_worker(bench: &Bench, executors: usize) -> anyhow::Result<f64> {
    let calls = bench.times(50_000);
    let input = Json::parse(&input())?;
    let mut drive = Drive::start(bench.worker("executors")?)?;
    let taken: Result<Vec<_>, _> = (0..executors)
        .map(|_| drive.executor(Isolation::Shared))
        .collect();
    let before = clock::monotonic();
    for executor in taken? {
        drive.begin(executor, NOOP, &input)?;
    }
    for _ in 0..calls {
        drive.finished()?;
        let executor = drive.executor(Isolation::Shared)?;
        drive.begin(executor, NOOP, &input)?;
    }
    let taken = clock::since(before);
    drive.worker.shut_down();
    Ok(per_second(calls, taken))
}

/// The runs are queued before the clock starts, and counted when they are committed.
fn of_engine(bench: &Bench, executors: usize) -> anyhow::Result<f64> {
    let calls = bench.times(50_000);
    let input = Json::parse(&input())?;
    let ended = Arc::new(AtomicUsize::new(0));
    let last = {
        let ended = Arc::clone(&ended);
        let all = calls + executors;
        move || ended.fetch_add(1, Ordering::Relaxed) + 1 == all
    };
    let running = Running::start(bench.worker("executors")?, executors, last)?;
    let gates = running.hold(executors)?;
    let open: Result<Vec<_>, _> = gates.iter().map(Gate::reached).collect();
    for _ in 0..calls {
        running.submit(NOOP, &input)?;
    }
    let used = processes::processor_time(&running.supervisors)?;
    let before = clock::monotonic();
    drop(open?);
    let (at, _) = running.completed()?;
    for (thread, now) in processes::processor_time(&running.supervisors)? {
        let before = used.get(&thread).copied().unwrap_or_default();
        let each = now.saturating_sub(before).as_secs_f64() / count(calls);
        figure(
            &format!("  processor time: {thread}"),
            &format!("{:.1} µs a run", each * 1e6),
        );
    }
    Ok(per_second(calls, at.saturating_sub(before)))
}
