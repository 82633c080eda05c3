//! The figures that `/metrics` shows, in the form that Prometheus reads.
//!
//! Counters and times are kept as things happen; what stands somewhere already, such as the length of a queue, is read when
//! somebody asks. No label has a value that clients choose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use ziet_engine::Happening;

use crate::platform::Platform;

const REQUESTS: &str = "ziet_http_requests_total";
const REQUEST_SECONDS: &str = "ziet_http_request_duration_seconds";
const CONNECTIONS: &str = "ziet_http_connections";
const REFUSED: &str = "ziet_http_connections_refused_total";
const RUNS: &str = "ziet_runs_finished_total";
const COMMIT_SECONDS: &str = "ziet_store_commit_duration_seconds";
const COMMIT_VERBS: &str = "ziet_store_commit_verbs";

/// Upper bounds in seconds: from a commit to the longest wait.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0,
];

/// Upper bounds of how many verbs share a commit.
const VERBS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// After so many times that were taken they are put into their buckets, so that no timer is needed for it.
const GATHER: u32 = 4096;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static TIMES: AtomicU32 = AtomicU32::new(0);

/// The recorder of this process, set up on first use.
fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full(COMMIT_VERBS.to_owned()), VERBS)
            })
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Another recorder of the same process would have to be somebody else's, who then has the figures.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(REQUESTS, "Requests that were answered.");
    describe_histogram!(
        REQUEST_SECONDS,
        "From a request's head to the head of its answer."
    );
    describe_gauge!(CONNECTIONS, "Connections that are open.");
    describe_counter!(
        REFUSED,
        "Connections that were refused because there were too many."
    );
    describe_counter!(
        RUNS,
        "Runs that have finished since the server started, by outcome."
    );
    describe_gauge!(
        "ziet_runs_live",
        "Runs that have not finished, whatever they wait for."
    );
    describe_gauge!(
        "ziet_runs_live_bytes",
        "Bytes of the inputs of runs that have not finished."
    );
    describe_gauge!("ziet_runs_queued", "Runs that wait for an executor.");
    describe_gauge!("ziet_attempts_executing", "Attempts that use the machine.");
    describe_gauge!(
        "ziet_attempts_waiting",
        "Attempts that wait for runs that they called."
    );
    describe_gauge!("ziet_executors", "Processes that are there for attempts.");
    describe_histogram!(
        COMMIT_SECONDS,
        "Transactions of the store, from their first statement until they are on the disk."
    );
    describe_histogram!(
        COMMIT_VERBS,
        "How many requests to the store shared a commit."
    );
    describe_gauge!(
        "ziet_store_down",
        "1 while the store cannot be written, else 0."
    );
    describe_gauge!(
        "ziet_import_failing",
        "1 while the project cannot be imported again, so that its runs wait, else 0."
    );
}

/// Starts counting.
pub(crate) fn start() {
    recorder();
}

/// What is counted of the requests to one path with one method.
struct Asked {
    method: &'static str,
    seconds: Histogram,
    answers: Vec<(StatusCode, Counter)>,
}

/// Of each path. Paths are those of the router, so there are few.
static ASKED: RwLock<BTreeMap<String, Vec<Asked>>> = RwLock::new(BTreeMap::new());

/// A request was answered.
pub(crate) fn request(method: &'static str, path: &str, status: StatusCode, took: Duration) {
    if !counted(method, path, status, took) {
        add(method, path, status);
        counted(method, path, status, took);
    }
    gather();
}

/// The store has committed what several asked for.
pub(crate) fn committed(took: Duration, verbs: usize) {
    histogram!(COMMIT_SECONDS).record(took);
    #[expect(clippy::cast_precision_loss, reason = "there are 256 at most")]
    histogram!(COMMIT_VERBS).record(verbs as f64);
    gather();
}

fn gather() {
    if TIMES.fetch_add(1, Relaxed) % GATHER == GATHER - 1 {
        recorder().run_upkeep();
    }
}

/// False when the first of its kind was not asked for before.
fn counted(method: &str, path: &str, status: StatusCode, took: Duration) -> bool {
    let all = ASKED.read().unwrap_or_else(PoisonError::into_inner);
    let asked = all.get(path).into_iter().flatten();
    let Some(asked) = asked.into_iter().find(|asked| asked.method == method) else {
        return false;
    };
    let Some((_, counter)) = asked.answers.iter().find(|(of, _)| *of == status) else {
        return false;
    };
    counter.increment(1);
    asked.seconds.record(took);
    true
}

fn add(method: &'static str, path: &str, status: StatusCode) {
    let counter = counter!(REQUESTS, "method" => method, "path" => path.to_owned(), "status" => status.as_str().to_owned());
    let mut all = ASKED.write().unwrap_or_else(PoisonError::into_inner);
    let of_path = all.entry(path.to_owned()).or_default();
    match of_path.iter_mut().find(|asked| asked.method == method) {
        Some(asked) => asked.answers.push((status, counter)),
        None => of_path.push(Asked {
            method,
            seconds: histogram!(REQUEST_SECONDS, "method" => method, "path" => path.to_owned()),
            answers: vec![(status, counter)],
        }),
    }
}

/// A connection was turned away.
pub(crate) fn refused() {
    counter!(REFUSED).increment(1);
}

/// Counts as an open connection until it is dropped.
pub(crate) struct Connection;

impl Connection {
    pub(crate) fn open() -> Self {
        gauge!(CONNECTIONS).increment(1);
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS).decrement(1);
    }
}

/// Something happened to a run; its end counts.
pub(crate) fn happened(happening: &Happening) {
    match happening {
        Happening::Completed { .. } => counter!(RUNS, "outcome" => "completed").increment(1),
        Happening::Failed { .. } => counter!(RUNS, "outcome" => "failed").increment(1),
        Happening::Cancelled(_) => counter!(RUNS, "outcome" => "cancelled").increment(1),
        _ => {}
    }
}

/// All figures as they are now.
pub(crate) fn page(platform: &Platform) -> String {
    let recorder = recorder();
    for project in platform.projects() {
        let id = &project.id;
        let figures = project.engine.figures();
        let gauges = [
            ("ziet_runs_live", figures.live),
            ("ziet_runs_live_bytes", figures.live_bytes),
            ("ziet_runs_queued", figures.queued),
            ("ziet_attempts_executing", figures.executing as u64),
            ("ziet_attempts_waiting", figures.waiting as u64),
            ("ziet_executors", figures.executors as u64),
            ("ziet_store_down", u64::from(figures.store_down)),
            ("ziet_import_failing", u64::from(figures.import_failing)),
        ];
        for (name, value) in gauges {
            #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
            gauge!(name, "project" => id.to_string()).set(value as f64);
        }
    }
    recorder.run_upkeep();
    recorder.render()
}
