//! How long it takes from the moment at which a run may begin to the first line of its function.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use ziet_core::Json;
use ziet_core::action::Isolation;
use ziet_worker::{Ability, WorkerSettings};

use crate::drive::{Drive, moment};
use crate::figures::{Sample, at_most, figure, goal, millis, title};
use crate::running::Running;
use crate::{Bench, clock};

/// Forks an interpreter that has what the zygote has, and prints the nanoseconds until the child executes its first line.
const BARE_FORK: &str = "
import gc, os, sys, time
import pandas
gc.collect()
gc.freeze()
for _ in range(int(sys.argv[1])):
    reader, writer = os.pipe()
    asked = time.monotonic_ns()
    if os.fork() == 0:
        os.write(writer, str(time.monotonic_ns()).encode())
        os._exit(0)
    print(int(os.read(reader, 32)) - asked)
    os.wait()
    os.close(reader)
    os.close(writer)
";

const FIRST_LINE: &str = "actions.first_line";

/// One at a time, with an executor that is idle.
pub(crate) fn of_idle_executors(bench: &Bench) -> anyhow::Result<()> {
    title("From due to the function's first line, one at a time, executor idle");
    let times = bench.times(2000);
    let settings = bench.worker("executors")?;
    let mut drive = Drive::start(settings.clone())?;
    drive.execute(Isolation::Shared, FIRST_LINE)?;
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let due = clock::monotonic();
        let output = drive.execute(Isolation::Shared, FIRST_LINE)?;
        taken.push(moment(&output)?.saturating_sub(due));
    }
    drive.worker.shut_down();
    let sample = Sample::new(taken);
    figure("the worker alone, from take", &sample.shown());

    let running = Running::start(settings, 1, || true)?;
    let mut taken = Vec::with_capacity(times);
    for turn in 0..=times {
        let due = clock::monotonic();
        running.submit(FIRST_LINE, &Json::empty_object())?;
        let first_line = moment(&running.completed()?.1)?;
        if turn > 0 {
            taken.push(first_line.saturating_sub(due));
        }
    }
    let whole = Sample::new(taken);
    figure(
        "the engine, from submit (a commit included)",
        &whole.shown(),
    );
    at_most("p50", sample.percentile(50), Duration::from_micros(200));
    at_most("p99", sample.percentile(99), Duration::from_millis(2));
    at_most(
        "p99 from submit",
        whole.percentile(99),
        Duration::from_millis(2),
    );
    Ok(())
}

/// In a process that is made for the attempt, of a project that imports pandas.
pub(crate) fn of_fresh_forks(bench: &Bench) -> anyhow::Result<()> {
    title("From asking for a fresh process that has pandas to the function's first line");
    let settings = bench.worker("executors_pandas")?;
    let forked = forks(bench, settings.clone())?;
    figure("forked from a zygote", &forked.shown());
    let without = vec![Ability::Cgroup];
    let settings = WorkerSettings {
        without,
        ..settings
    };
    let shown = forks(bench, settings)?.shown();
    figure("the same without control groups", &shown);
    figure("os.fork alone", &bare_forks(bench)?.shown());
    let mut taken = Vec::new();
    for _ in 0..bench.times(12) {
        let asked = clock::monotonic();
        let status = Command::new(&bench.python)
            .args(["-c", "import pandas"])
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .status()?;
        ensure!(status.success(), "this Python has no pandas");
        taken.push(clock::since(asked));
    }
    let interpreter = Sample::new(taken);
    figure(
        "a fresh interpreter that imports pandas",
        &interpreter.shown(),
    );
    at_most(
        "p50 forked",
        forked.percentile(50),
        Duration::from_millis(5),
    );
    let ratio = interpreter.percentile(50).as_secs_f64() / forked.percentile(50).as_secs_f64();
    let shown = format!("{ratio:.0} times ({})", millis(interpreter.percentile(50)));
    goal(
        "faster than a fresh interpreter",
        &shown,
        "at least 60 times",
        ratio >= 60.0,
    );
    Ok(())
}

fn forks(bench: &Bench, settings: WorkerSettings) -> anyhow::Result<Sample> {
    let mut drive = Drive::start(settings)?;
    drive.execute(Isolation::Attempt, FIRST_LINE)?;
    let mut taken = Vec::new();
    for _ in 0..bench.times(200) {
        let asked = clock::monotonic();
        let output = drive.execute(Isolation::Attempt, FIRST_LINE)?;
        taken.push(moment(&output)?.saturating_sub(asked));
    }
    drive.worker.shut_down();
    Ok(Sample::new(taken))
}

/// What forking takes where nothing is done around it.
fn bare_forks(bench: &Bench) -> anyhow::Result<Sample> {
    let printed = Command::new(&bench.python)
        .args(["-c", BARE_FORK, &bench.times(200).to_string()])
        .output()?;
    ensure!(printed.status.success(), "this Python has no pandas");
    let text = String::from_utf8(printed.stdout)?;
    let taken: Result<Vec<_>, _> = text.lines().map(str::parse).collect();
    Ok(Sample::new(
        taken?.into_iter().map(Duration::from_nanos).collect(),
    ))
}
