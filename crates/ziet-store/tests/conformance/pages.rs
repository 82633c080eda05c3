//! How many pages of the file a commit writes, which is most of what a single run costs the disk.

use std::fs;

use tempfile::TempDir;
use ziet_core::run::{Ending, Outcome};
use ziet_store::{Change, Durability, NewRun, Store};

use crate::stage::{attempt, claimed, commit, completed, ended, file_in, json, new_run, submit};

const PAGE: u64 = 4096;
const FRAME_HEADER: u64 = 24;

#[test]
fn a_run_writes_few_pages() {
    let folder = TempDir::new().unwrap();
    let input = json(&format!("\"{}\"", "x".repeat(1022)));
    let run = || NewRun {
        input: input.clone(),
        ..new_run()
    };
    // Trees of more than one page, and then an empty log: it is folded into the file with the store's end.
    for _ in 0..2 {
        let store = Store::open(&file_in(&folder), Durability::Normal).unwrap();
        let lives = (0..1000).flat_map(|_| completed(&run()));
        commit(&store, lives.collect()).unwrap();
    }
    let store = Store::open(&file_in(&folder), Durability::Normal).unwrap();
    let log = folder.path().join("ziet.db-wal");
    let pages = || fs::metadata(&log).unwrap().len() / (PAGE + FRAME_HEADER);
    let runs: Vec<_> = (0..60).map(|_| run()).collect();
    for run in &runs {
        commit(&store, vec![submit(run)]).unwrap();
    }
    let submitted = pages();
    for run in &runs {
        let (claim, running) = claimed(run);
        let output = json("1");
        let (end, _) = ended(run, &running, Ending::Completed { output });
        let record = attempt(run.id, 1, Outcome::Completed);
        let changes = vec![claim, end, Change::Attempt(Box::new(record))];
        commit(&store, changes).unwrap();
    }
    let finished = pages() - submitted;
    assert!(
        submitted < 60 * 7 + 15 && finished < 60 * 5,
        "{submitted} and {finished} pages for 60 runs"
    );
}
