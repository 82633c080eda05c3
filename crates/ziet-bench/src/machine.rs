//! What this machine does without Ziet, so that other figures can be read as parts of it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::figures::{figure, per_second, title};
use crate::{Bench, clock};

/// About what the start and the end of an attempt take in `throughput`.
const THERE: usize = 1024;
const BACK: usize = 80;

/// The other process, which is Python as executors are: it answers on its standard input until that is closed.
const ECHO: &str = "\
import socket, sys
peer, size = socket.socket(fileno=0), int(sys.argv[1])
while peer.recv(65536):
    peer.send(bytes(size))
";

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title(
        "This machine alone: 1 KB goes to a Python process over a Unix socket, and 80 bytes come back",
    );
    let anywhere = round_trips(bench)?;
    figure("round trips, on any processor", &format!("{anywhere:.0}/s"));
    // In a thread, since it is bound to its processor for good.
    let bound = std::thread::scope(|scope| scope.spawn(|| on_one(bench)).join());
    let bound = bound.ok().context("the thread has panicked")??;
    figure("round trips, on one processor", &format!("{bound:.0}/s"));
    Ok(())
}

fn on_one(bench: &Bench) -> anyhow::Result<f64> {
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    let mut one = CpuSet::new();
    one.set(first.context("there is no processor")?);
    sched_setaffinity(None, &one)?;
    round_trips(bench)
}

/// Round trips a second to a process that does nothing else.
pub(crate) fn round_trips(bench: &Bench) -> anyhow::Result<f64> {
    let times = bench.times(20_000);
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(&bench.python)
        .args(["-c", ECHO, &BACK.to_string()])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    let mut go = |times: usize| -> anyhow::Result<()> {
        for _ in 0..times {
            ours.write_all(&[0; THERE])?;
            ours.read_exact(&mut [0; BACK])?;
        }
        Ok(())
    };
    // Before the first answer it is not there.
    go(1)?;
    let before = clock::monotonic();
    go(times)?;
    let taken = clock::since(before);
    drop(ours);
    ensure!(child.wait()?.success(), "the other process has failed");
    Ok(per_second(times, taken))
}
