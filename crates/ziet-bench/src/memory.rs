//! What an idle executor of a project that imports pandas takes for itself.

use anyhow::Context;
use ziet_core::action::Isolation;

use crate::drive::Drive;
use crate::figures::{at_most_megabytes, title};
use crate::{Bench, processes};

/// In megabytes.
const MOST: u64 = 4;

pub(crate) fn measure(bench: &Bench) -> anyhow::Result<()> {
    title("Private memory of an idle executor that has pandas");
    let mut drive = Drive::start(bench.worker("executors_pandas")?)?;
    let executor = drive.executor(Isolation::Shared)?;
    tell(&drive, "forked")?;
    drive.begin(
        executor,
        "actions.collect",
        &ziet_core::Json::empty_object(),
    )?;
    drive.finished()?;
    tell(&drive, "after an attempt that collected garbage")?;
    drive.worker.shut_down();
    Ok(())
}

fn tell(drive: &Drive, name: &str) -> anyhow::Result<()> {
    let executors = drive.supervisors.executors()?;
    let pid = *executors.first().context("there is no executor")?;
    let bytes = processes::private_bytes(pid)?;
    at_most_megabytes(name, bytes, MOST);
    Ok(())
}
