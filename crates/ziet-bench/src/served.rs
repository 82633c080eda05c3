//! A real `ziet serve`, as it is started by whoever uses it, with a state folder of its own that is thrown away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Address, Client};
use crate::noop::{self, NOOP};
use crate::running::Gate;
use crate::{Bench, clock, folder};

/// How long the runs may take that are waited for, and everything else.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether runs have finished.
const GLANCE: Duration = Duration::from_millis(5);

/// A million, and what is queued besides.
const MAX_QUEUED: usize = 1_100_000;

const COMPLETED: &str = "ziet_runs_finished_total{outcome=\"completed\"}";

pub(crate) struct Served {
    server: Child,
    _state: TempDir,
    pub(crate) address: Address,
}

impl Served {
    /// Starts it with so many executors at most, and waits until it answers.
    pub(crate) fn start(bench: &Bench, executors: usize) -> anyhow::Result<Self> {
        let program = program()?;
        // Beside the program, since where temporary files are may be memory, and what counts is a disk.
        let state = tempfile::tempdir_in(program.parent().context("it lies in a folder")?)?;
        // A file, as elsewhere a service has one: somebody who reads along would take a part of the processors.
        let log = state.path().join("log");
        let mut server = Command::new(&program)
            .args(["serve", "--listen", "127.0.0.1:0", "--project"])
            .arg(folder("served")?)
            .arg("--python")
            .arg(&bench.python)
            .arg("--state")
            .arg(state.path())
            .args(["--concurrency", &executors.to_string()])
            .args(["--max-queued", &MAX_QUEUED.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs_err::File::create(&log)?.into_file())
            .spawn()
            .with_context(|| format!("{} is missing", program.display()))?;
        let socket = listens_on(&mut server, &log)?;
        let key = fs_err::read_to_string(state.path().join("admin.key"))?;
        Ok(Self {
            server,
            _state: state,
            address: Address {
                socket,
                key: key.trim().to_owned(),
            },
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Executes a run, so that Python is there and everything has been used once.
    pub(crate) fn warm_up(&self) -> anyhow::Result<Client> {
        let mut client = self.address.connect()?;
        for _ in 0..10 {
            self.run(&mut client, NOOP, &noop::input())?;
        }
        Ok(client)
    }

    /// Executes a run, and gives what it returned.
    pub(crate) fn run(
        &self,
        client: &mut Client,
        action: &str,
        input: &str,
    ) -> anyhow::Result<Value> {
        let body = submission(action, input);
        let answer = client.ask(&self.address.post("/v1/runs?wait=60", &body))?;
        let mut run: Value = serde_json::from_str(answer)?;
        ensure!(
            run["status"] == "completed",
            "a run did not complete: {answer}"
        );
        Ok(run["output"].take())
    }

    /// Has so many executors wait in an attempt each, so that they are there and runs can be queued behind them.
    pub(crate) fn hold(&self, executors: usize) -> anyhow::Result<Vec<Gate>> {
        let mut client = self.address.connect()?;
        (0..executors)
            .map(|_| {
                let gate = Gate::new()?;
                let body = submission("actions.hold", &gate.input()?);
                client.ask(&self.address.post("/v1/runs", &body))?;
                Ok(gate)
            })
            .collect()
    }

    /// How many runs have completed since the server was started.
    pub(crate) fn completed(&self, client: &mut Client) -> anyhow::Result<usize> {
        let metrics = client.ask(&self.address.get("/metrics"))?;
        match metrics
            .lines()
            .find_map(|line| line.strip_prefix(COMPLETED))
        {
            Some(number) => Ok(number.trim().parse()?),
            None => Ok(0),
        }
    }

    /// Waits until so many have, and gives how many they are by now, and the moment.
    pub(crate) fn until_completed(
        &self,
        client: &mut Client,
        number: usize,
    ) -> anyhow::Result<(usize, Duration)> {
        let begun = clock::monotonic();
        loop {
            let completed = self.completed(client)?;
            let now = clock::monotonic();
            if completed >= number {
                return Ok((completed, now));
            }
            let waited = now.saturating_sub(begun);
            ensure!(waited < PATIENCE, "{completed} of {number} have completed");
            sleep(GLANCE);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// The program that was built with this one: beside it, or one folder up where this is a test.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a folder")?;
    let of_test = folder.ends_with("deps");
    Ok(folder.join(if of_test { "../ziet" } else { "ziet" }))
}

/// The address that the server's log tells once it answers there.
fn listens_on(server: &mut Child, log: &Path) -> anyhow::Result<SocketAddr> {
    loop {
        let text = fs_err::read_to_string(log)?;
        if let Some((_, rest)) = text.split_once(" listens on http://")
            && let Some((address, _)) = rest.split_once([' ', '/', '\n'])
        {
            return Ok(address.parse()?);
        }
        let ended = server.try_wait()?;
        ensure!(ended.is_none(), "the server has ended:\n{text}");
        sleep(GLANCE);
    }
}

/// The body that submits one run.
pub(crate) fn submission(action: &str, input: &str) -> String {
    format!("{{\"action_id\":\"{action}\",\"input\":{input}}}")
}

/// The body that submits so many runs that do nothing.
pub(crate) fn batch(runs: usize) -> String {
    let run = submission(NOOP, &noop::input());
    format!("{{\"runs\":[{}]}}", vec![run; runs].join(","))
}
