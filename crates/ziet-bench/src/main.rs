//! Prints what executors and the server are held to, each figure beside its goal. `make bench` runs it; nothing else should
//! be running.
//!
//! Of executors it drives the worker and the engine as the program does; of the server it starts the program itself, and is
//! its client. The rest it reads from `/proc`.

mod backlog;
mod client;
mod clock;
mod drive;
mod figures;
mod first_line;
mod idle;
mod kills;
mod machine;
mod memory;
mod noop;
mod over_http;
mod processes;
mod remembering;
mod running;
mod served;
mod throughput;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ziet_core::wire::StartMethod;
use ziet_worker::python::{Found, Python};
use ziet_worker::{PoolSettings, Project, WorkerSettings, sandbox};

/// Measures executors (how fast they start, how much they do, what they take, how they are killed) and the server.
#[derive(Parser)]
struct Options {
    /// What to measure; everything, when nothing is named
    sections: Vec<Section>,
    /// The interpreter, which must have the dependencies of the SDK, and pandas
    #[arg(long)]
    python: PathBuf,
    /// Measure with the sandbox
    #[arg(long)]
    sandbox: bool,
    /// Measure so many times less often, to see that it works
    #[arg(long, default_value_t = 1)]
    divide: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// What the machine does without Ziet
    Machine,
    /// From the start of an attempt to the first line of its function
    FirstLine,
    /// The same in a fresh process that has pandas
    Fork,
    /// How many attempts a second
    Throughput,
    /// What an idle executor takes
    Memory,
    /// How exactly attempts are ended
    Kills,
    /// From submit to result over HTTP, one at a time
    Http,
    /// How many runs a second are submitted and finished over HTTP
    HttpBatches,
    /// The same of clients that wait for each run
    HttpWaiting,
    /// What adding to memory takes, durably
    MemoryAdd,
    /// What a million queued runs change
    Backlog,
    /// What a server does and takes that has nothing to do
    Idle,
}

/// What is measured, and how often.
struct Bench {
    python: PathBuf,
    sandbox: bool,
    divide: usize,
}

impl Bench {
    /// The settings of a worker for the project in that folder of `bench/`.
    fn worker(&self, project: &str) -> anyhow::Result<WorkerSettings> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = folder(project)?;
        Ok(WorkerSettings {
            python: Python {
                path: self.python.clone(),
                found: Found::Setting,
            },
            sdk: Some(fs_err::canonicalize(repository.join("python"))?),
            project: Project::new("bench", &root, Some(vec!["actions".to_owned()]))?,
            describe: false,
            start: StartMethod::Fork,
            sandbox: self.sandbox,
            without: Vec::new(),
            pool: PoolSettings {
                spare: 0,
                attempts: u32::MAX,
                growth_bytes: 1 << 30,
                idle: Duration::from_secs(60),
            },
            environment: Vec::new(),
        })
    }

    /// As often as that, or less where it is only to be seen that it works.
    fn times(&self, number: usize) -> usize {
        (number / self.divide).max(4)
    }
}

/// A folder of `bench/`.
fn folder(project: &str) -> anyhow::Result<PathBuf> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench");
    Ok(fs_err::canonicalize(bench.join(project))?)
}

fn main() -> anyhow::Result<ExitCode> {
    // The program that shuts executors in is this one once more.
    if let Some(status) = sandbox::launch_if_asked(std::env::args_os()) {
        return Ok(status);
    }
    measure().map(|()| ExitCode::SUCCESS)
}

fn measure() -> anyhow::Result<()> {
    let options = Options::parse();
    let bench = Bench {
        python: options.python,
        sandbox: options.sandbox,
        divide: options.divide.max(1),
    };
    let sections = if options.sections.is_empty() {
        Section::value_variants()
    } else {
        &options.sections
    };
    for section in sections {
        match section {
            Section::Machine => machine::measure(&bench)?,
            Section::FirstLine => first_line::of_idle_executors(&bench)?,
            Section::Fork => first_line::of_fresh_forks(&bench)?,
            Section::Throughput => throughput::measure(&bench)?,
            Section::Memory => memory::measure(&bench)?,
            Section::Kills => kills::measure(&bench)?,
            Section::Http => over_http::one_at_a_time(&bench)?,
            Section::HttpBatches => over_http::batches(&bench)?,
            Section::HttpWaiting => over_http::many_waiting(&bench)?,
            Section::MemoryAdd => remembering::measure(&bench)?,
            Section::Backlog => backlog::measure(&bench)?,
            Section::Idle => idle::measure(&bench)?,
        }
    }
    Ok(())
}
