//! That what is measured works, and what only an engine can be asked, which no command can.
//!
//! Python is that of the active environment.

use std::path::PathBuf;

use ziet_core::Json;
use ziet_core::run::Status;

use crate::running::{Gate, Running};
use crate::{Bench, backlog, idle, over_http, remembering, throughput};

#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
fn bench() -> Bench {
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    Bench {
        python: environment.map_or("python3".into(), |folder| folder.join("bin/python")),
        sandbox: false,
        divide: usize::MAX,
    }
}

#[test]
fn throughput_is_measured() {
    throughput::measure(&bench()).unwrap();
}

/// The program that they start must have been built.
#[test]
fn a_server_is_measured() {
    let bench = bench();
    over_http::one_at_a_time(&bench).unwrap();
    over_http::batches(&bench).unwrap();
    over_http::many_waiting(&bench).unwrap();
    remembering::measure(&bench).unwrap();
    backlog::measure(&bench).unwrap();
    idle::measure(&bench).unwrap();
}

#[test]
fn a_spare_executor_is_there_while_another_has_work() {
    let mut worker = bench().worker("executors").unwrap();
    worker.pool.spare = 1;
    let running = Running::start(worker, 1, || true).unwrap();
    let gates = running.hold(1).unwrap();
    let open: Vec<_> = gates.iter().map(Gate::reached).collect();
    while running.supervisors.executors().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    drop(open);
    running.completed().unwrap();
}

/// The claim is held back for a moment, but never behind what the attempt writes.
#[test]
fn what_an_attempt_adds_to_memory_is_never_there_before_its_claim() {
    let running = Running::start(bench().worker("executors").unwrap(), 1, || true).unwrap();
    for _ in 0..20 {
        let run = running
            .submit("actions.remember", &Json::empty_object())
            .unwrap();
        let accepted = running.engine.document(run).unwrap().unwrap();
        while running
            .engine
            .memory(accepted.memory_id)
            .unwrap()
            .is_empty()
        {}
        let document = running.engine.document(run).unwrap().unwrap();
        assert_ne!(document.status, Status::Queued);
        running.completed().unwrap();
    }
}
