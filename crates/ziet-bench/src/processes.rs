//! What `/proc` tells of this process and of those below it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::Context;

/// All processes below this one that have not ended.
fn below() -> anyhow::Result<HashSet<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs_err::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else {
            continue;
        };
        // One that has ended in between is not there.
        let Ok(stat) = fs_err::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // Its name stands in brackets and may hold anything.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let mut rest = rest.split(' ').skip(1);
        if let (Some(state), Some(parent)) = (rest.next(), rest.next())
            && state != "Z"
        {
            children.entry(parent.parse()?).or_default().push(pid);
        }
    }
    let mut below = HashSet::new();
    let mut parents = vec![std::process::id()];
    while let Some(parent) = parents.pop() {
        let found = children.remove(&parent).unwrap_or_default();
        below.extend(&found);
        parents.extend(found);
    }
    Ok(below)
}

/// The processes that supervise executors: all that are there before the first executor.
#[derive(Default)]
pub(crate) struct Supervisors(HashSet<u32>);

impl Supervisors {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(below()?))
    }

    /// The executors that are alive, and what they have started.
    pub(crate) fn executors(&self) -> anyhow::Result<Vec<u32>> {
        Ok(below()?.difference(&self.0).copied().collect())
    }
}

/// Bytes that this process shares with no other.
pub(crate) fn private_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mut kilobytes = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Private_")
            && let Some(number) = rest.split_whitespace().nth(1)
        {
            kilobytes += number.parse::<u64>()?;
        }
    }
    Ok(kilobytes * 1024)
}

/// What `/proc/PID/status` says under these names, together: bytes.
pub(crate) fn resident(pid: u32, names: &[&str]) -> anyhow::Result<u64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(names.iter().map(|name| number(&text, name)).sum::<u64>() * 1024)
}

/// How often the threads of a process have begun to wait or were interrupted, those whose name begins so.
pub(crate) fn switches(pid: u32, threads: &str) -> anyhow::Result<u64> {
    let mut all = 0;
    for task in tasks(pid)? {
        let name = fs_err::read_to_string(format!("{task}/comm"))?;
        if name.starts_with(threads) {
            let text = fs_err::read_to_string(format!("{task}/status"))?;
            all += number(&text, "voluntary_ctxt_switches");
            all += number(&text, "nonvoluntary_ctxt_switches");
        }
    }
    Ok(all)
}

fn number(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Processor time so far, of each thread of this process by its name, and of all executors together.
pub(crate) fn processor_time(
    supervisors: &Supervisors,
) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut used = BTreeMap::new();
    for task in tasks(std::process::id())? {
        let name = fs_err::read_to_string(format!("{task}/comm"))?;
        *used.entry(name.trim().to_owned()).or_default() += run_time(&task)?;
    }
    for pid in supervisors.executors()? {
        for task in tasks(pid)? {
            *used.entry("executors".to_owned()).or_default() += run_time(&task)?;
        }
    }
    Ok(used)
}

fn tasks(pid: u32) -> anyhow::Result<Vec<String>> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs_err::read_dir(&folder)?;
    entries
        .map(|task| Ok(format!("{folder}/{}", task?.file_name().to_string_lossy())))
        .collect()
}

fn run_time(task: &str) -> anyhow::Result<Duration> {
    let text = fs_err::read_to_string(format!("{task}/schedstat"))?;
    let nanoseconds = text.split(' ').next().context("schedstat is empty")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}
