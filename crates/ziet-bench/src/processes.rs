//! What `/proc` tells of this process and of those below it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

/// A process that has not ended.
#[derive(Clone, Copy)]
struct Process {
    pid: u32,
    parent: u32,
}

/// The executors that are alive: the children of this process's children.
pub(crate) fn executors() -> anyhow::Result<Vec<u32>> {
    let alive = alive()?;
    let children_of = |parents: &[u32]| -> Vec<u32> {
        let below = alive.iter().filter(|one| parents.contains(&one.parent));
        below.map(|one| one.pid).collect()
    };
    Ok(children_of(&children_of(&[std::process::id()])))
}

fn alive() -> anyhow::Result<Vec<Process>> {
    let mut alive = Vec::new();
    for entry in fs_err::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else {
            continue;
        };
        // One that has ended in between is not there.
        let Ok(stat) = fs_err::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // Its name stands in brackets and may hold anything.
        let mut rest = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split(' ')
            .skip(1);
        if let (Some(state), Some(parent)) = (rest.next(), rest.next())
            && state != "Z"
        {
            let parent = parent.parse()?;
            alive.push(Process { pid, parent });
        }
    }
    Ok(alive)
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

/// Processor time so far, of each thread of this process by its name, and of all executors together.
pub(crate) fn processor_time() -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut used = BTreeMap::new();
    for task in tasks(std::process::id())? {
        let name = fs_err::read_to_string(format!("{task}/comm"))?;
        *used.entry(name.trim().to_owned()).or_default() += run_time(&task)?;
    }
    for pid in executors()? {
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
