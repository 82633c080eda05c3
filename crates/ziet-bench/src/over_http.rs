//! What a client sees of a server: how long one run takes, and how many there are in a second.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::client::{Client, Request};
use crate::figures::{Sample, at_least, at_most, figure, per_second, title};
use crate::noop::{self, NOOP};
use crate::served::{Served, batch, submission};
use crate::{Bench, clock};

pub(crate) const EXECUTORS: usize = 4;
pub(crate) const CONNECTIONS: usize = 4;
const WAITING: usize = 64;

/// What a Python program would write without any package: prints the nanoseconds of each request.
const PYTHON: &str = "
import http.client, sys, time
host, key, times = sys.argv[1:]
body = sys.stdin.read()
headers = {'Authorization': 'Api-Key ' + key, 'Content-Type': 'application/json'}
connection = http.client.HTTPConnection(host)
for _ in range(int(times)):
    begun = time.perf_counter_ns()
    connection.request('POST', '/v1/runs?wait=60', body, headers)
    answer = connection.getresponse()
    assert b'\"completed\"' in answer.read()
    print(time.perf_counter_ns() - begun)
";

/// One run at a time, from the request to the answer that has its result.
pub(crate) fn one_at_a_time(bench: &Bench) -> anyhow::Result<()> {
    title("From submit to result over HTTP, durable, one at a time, input 1 KB");
    let served = Served::start(bench, EXECUTORS)?;
    let mut client = served.warm_up()?;
    let request = waiting(&served);
    let sample = Sample::new(ask(&mut client, &request, bench.times(5000))?);
    figure("a compiled client", &sample.shown());
    figure(
        "Python's http.client",
        &from_python(bench, &served)?.shown(),
    );
    at_most("p50", sample.percentile(50), Duration::from_micros(800));
    at_most("p99", sample.percentile(99), Duration::from_millis(2));
    Ok(())
}

/// Runs in batches of 100: from the first request until the last of them has completed.
pub(crate) fn batches(bench: &Bench) -> anyhow::Result<()> {
    title(
        "Runs a second over HTTP, durable, 50,000 in batches of 100 over 4 connections, input 1 KB",
    );
    let served = Served::start(bench, EXECUTORS)?;
    let mut client = served.warm_up()?;
    let runs = bench.times(500) * 100;
    // Once before the clock, so that all executors are there.
    let before = served.completed(&mut client)?;
    let warm = submit(&served, runs.div_ceil(10), 100)?.runs;
    served.until_completed(&mut client, before + warm)?;
    let submitted = submit(&served, runs, 100)?;
    let (_, end) = served.until_completed(&mut client, before + warm + submitted.runs)?;
    let rate = per_second(submitted.runs, end.saturating_sub(submitted.begun));
    figure("accepted", &format!("{:.0}/s", submitted.rate()));
    at_least("finished", rate, 20_000.0);
    Ok(())
}

/// Each client submits a run when its last one has finished.
pub(crate) fn many_waiting(bench: &Bench) -> anyhow::Result<()> {
    title("Runs a second over HTTP, durable, 64 clients that wait for one run after the other");
    let served = Served::start(bench, EXECUTORS)?;
    served.warm_up()?;
    let request = waiting(&served);
    let each = bench.times(500);
    let begun = clock::monotonic();
    let all = at_once(WAITING, || {
        ask(&mut served.address.connect()?, &request, each)
    })?;
    let taken = clock::since(begun);
    let sample = Sample::new(all.into_iter().flatten().collect());
    figure("from submit to result", &sample.shown());
    at_least("finished", per_second(each * WAITING, taken), 10_000.0);
    Ok(())
}

fn waiting(served: &Served) -> Request {
    let body = submission(NOOP, &noop::input());
    served.address.post("/v1/runs?wait=60", &body)
}

fn ask(client: &mut Client, request: &Request, times: usize) -> anyhow::Result<Vec<Duration>> {
    (0..times)
        .map(|_| {
            let begun = clock::monotonic();
            let answer = client.ask(request)?;
            let taken = clock::since(begun);
            ensure!(
                answer.contains("\"completed\""),
                "it did not complete: {answer}"
            );
            Ok(taken)
        })
        .collect()
}

fn from_python(bench: &Bench, served: &Served) -> anyhow::Result<Sample> {
    let address = &served.address;
    let mut child = Command::new(&bench.python)
        .args(["-c", PYTHON, &address.socket.to_string(), &address.key])
        .arg(bench.times(2000).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let body = submission(NOOP, &noop::input());
    let mut stdin = child.stdin.take().context("it has an input")?;
    stdin.write_all(body.as_bytes())?;
    drop(stdin);
    let printed = child.wait_with_output()?;
    ensure!(printed.status.success(), "Python's client has failed");
    let text = String::from_utf8(printed.stdout)?;
    let taken: Result<Vec<_>, _> = text.lines().map(str::parse).collect();
    Ok(Sample::new(
        taken?.into_iter().map(Duration::from_nanos).collect(),
    ))
}

/// Runs that were accepted, and when.
pub(crate) struct Submitted {
    pub(crate) runs: usize,
    pub(crate) begun: Duration,
    taken: Duration,
}

impl Submitted {
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.runs, self.taken)
    }
}

/// Submits at least so many runs in batches over [`CONNECTIONS`].
pub(crate) fn submit(served: &Served, runs: usize, in_batch: usize) -> anyhow::Result<Submitted> {
    let request = served.address.post("/v1/runs/batch", &batch(in_batch));
    let each = runs.div_ceil(in_batch * CONNECTIONS);
    let begun = clock::monotonic();
    at_once(CONNECTIONS, || {
        let mut client = served.address.connect()?;
        (0..each).try_for_each(|_| client.ask(&request).map(drop))
    })?;
    Ok(Submitted {
        runs: each * in_batch * CONNECTIONS,
        begun,
        taken: clock::since(begun),
    })
}

/// Does something in so many threads at the same time.
pub(crate) fn at_once<T: Send>(
    threads: usize,
    work: impl Fn() -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .map(|each| each.join().ok().context("a thread has panicked")?)
            .collect()
    })
}
