//! What a server takes and does while there is nothing to do.

use std::time::Duration;

use crate::Bench;
use crate::figures::{at_most_megabytes, goal, title};
use crate::over_http::EXECUTORS;
use crate::processes::{resident, switches};
use crate::served::Served;

const WATCHED: Duration = Duration::from_secs(10);
/// The threads that talk to the database.
const OF_STORE: &str = "ziet-store";
/// Once a second would still be nothing worth naming.
const MOST: u64 = 10;

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title("A server that has nothing to do");
    let served = Served::start(bench, EXECUTORS)?;
    at_most_megabytes("resident, started", resident(served.pid(), &["VmRSS"])?, 40);
    drop(served.warm_up()?);
    let taken = resident(served.pid(), &["VmRSS"])?;
    at_most_megabytes("resident, after some runs", taken, 40);

    // What follows the last run may take a moment.
    std::thread::sleep(Duration::from_secs(2));
    let watched = WATCHED / u32::try_from(bench.divide.min(10))?;
    let wakes = |threads| switches(served.pid(), threads);
    let before = (wakes("")?, wakes(OF_STORE)?);
    std::thread::sleep(watched);
    let (all, of_store) = (wakes("")? - before.0, wakes(OF_STORE)? - before.1);
    let seconds = watched.as_secs();
    let shown = format!("{all} in {seconds} s");
    goal("wake-ups", &shown, &format!("at most {MOST}"), all <= MOST);
    let shown = format!("{of_store} in {seconds} s");
    goal(
        "wake-ups of the store, so queries",
        &shown,
        "none",
        of_store == 0,
    );
    Ok(())
}
