//! What adding an entry to memory takes an action: it goes on when the entry is committed.

use std::time::Duration;

use anyhow::Context;

use crate::Bench;
use crate::figures::{Sample, at_least, at_most, figure, per_second, title};
use crate::over_http::{EXECUTORS, at_once};
use crate::served::Served;

const REMEMBER: &str = "actions.remember";

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title("memory.add from an action, durable");
    let served = Served::start(bench, EXECUTORS)?;
    served.warm_up()?;
    let times = bench.times(5000);
    // Once before, so that all executors are there.
    remember(&served, 10, EXECUTORS)?;
    let alone = Sample::new(remember(&served, times, 1)?.each);
    figure("by one executor", &alone.shown());
    let together = remember(&served, times, EXECUTORS)?;
    let rate = per_second(together.each.len(), together.taken);
    figure(
        "by four at the same time",
        &Sample::new(together.each).shown(),
    );
    at_most("p50", alone.percentile(50), Duration::from_micros(600));
    at_least("by four at the same time", rate, 8000.0);
    Ok(())
}

struct Remembered {
    each: Vec<Duration>,
    /// From the beginning of the first to the end of the last.
    taken: Duration,
}

fn remember(served: &Served, times: usize, runs: usize) -> anyhow::Result<Remembered> {
    let input = format!("{{\"times\":{times}}}");
    let outputs = at_once(runs, || {
        let output = served.run(&mut served.address.connect()?, REMEMBER, &input)?;
        let moments: Vec<u64> = serde_json::from_value(output)?;
        anyhow::Ok(moments)
    })?;
    let begun = outputs
        .iter()
        .flatten()
        .min()
        .context("nothing was added")?;
    let ended = outputs
        .iter()
        .flatten()
        .max()
        .context("nothing was added")?;
    let each = outputs.iter().flat_map(|moments| {
        let pairs = moments.iter().zip(moments.iter().skip(1));
        pairs.map(|(before, after)| Duration::from_nanos(after - before))
    });
    Ok(Remembered {
        each: each.collect(),
        taken: Duration::from_nanos(ended - begun),
    })
}
