//! What a million queued runs change: how fast others are submitted and dispatched, and what the server takes.

use anyhow::Context;

use crate::Bench;
use crate::client::Client;
use crate::figures::{at_most_megabytes, figure, goal, per_second, title};
use crate::over_http::{EXECUTORS, submit};
use crate::processes::resident;
use crate::running::Gate;
use crate::served::Served;

/// The speed that must be left of that of an empty server.
const LEFT: f64 = 0.8;

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title("A million queued runs, input 1 KB");
    let served = Served::start(bench, EXECUTORS)?;
    let mut client = served.warm_up()?;
    let some = bench.times(500) * 100;

    let hold = Hold::all(&served)?;
    let empty = submit(&served, some, 100)?;
    let drained_empty = hold.release(&served, &mut client, empty.runs)?;

    let hold = Hold::all(&served)?;
    let queued = submit(&served, bench.times(950) * 1000, 1000)?;
    let full = submit(&served, some, 100)?;
    figure("queued", &format!("{}", queued.runs + full.runs));
    let taken = resident(served.pid(), &["RssAnon", "RssShmem"])?;
    at_most_megabytes("memory but for mapped files", taken, 250);
    let drained_full = hold.release(&served, &mut client, full.runs)?;

    compare("submitted", full.rate(), empty.rate());
    compare("dispatched and finished", drained_full, drained_empty);
    Ok(())
}

fn compare(name: &str, full: f64, empty: f64) {
    let part = full / empty;
    let shown = format!("{full:.0}/s, empty {empty:.0}/s");
    let text = format!(
        "at least {:.0} % of empty ({:.0} %)",
        LEFT * 100.0,
        part * 100.0
    );
    goal(name, &shown, &text, part >= LEFT);
}

/// Executors that all wait, so that what is submitted is queued.
struct Hold(Vec<Gate>);

impl Hold {
    fn all(served: &Served) -> anyhow::Result<Self> {
        Ok(Self(served.hold(EXECUTORS)?))
    }

    /// Lets them go on, and gives how many runs a second are finished, of so many.
    fn release(self, served: &Served, client: &mut Client, runs: usize) -> anyhow::Result<f64> {
        let open: Result<Vec<_>, _> = self.0.iter().map(Gate::reached).collect();
        let open = open.context("an executor has not come")?;
        let before = served.completed(client)?;
        let begun = crate::clock::monotonic();
        drop(open);
        let (completed, end) = served.until_completed(client, before + runs)?;
        Ok(per_second(completed - before, end.saturating_sub(begun)))
    }
}
