//! What becomes of saves: the project as it stands is imported beside what is there, and takes its place when that has succeeded.
//! So a save that is broken changes nothing, and what runs ends as it began.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use ziet_core::error::Failure;
use ziet_core::{ActionSpec, Catalogue, DeploymentId, ProjectId};
use ziet_engine::{Deployed, Engine};

use super::Told;
use crate::commands::watch::{Resolve, names};
use crate::error::CliError;
use crate::output::{Printer, counted};
use crate::saves;
use crate::settings::Settings;

pub(super) struct Reload<'a> {
    pub(super) engine: Arc<Engine>,
    pub(super) project: ProjectId,
    pub(super) root: PathBuf,
    /// The one that the folder is, whatever stands in it.
    pub(super) deployment: DeploymentId,
    pub(super) resolve: &'a Resolve<'a>,
    pub(super) tell: UnboundedSender<Told>,
    /// Since the last import began.
    saved: BTreeSet<PathBuf>,
    /// The number of the last import, and when it began.
    last: (u64, Instant),
    /// Whether a version of the project can be executed.
    pub(super) is_live: bool,
}
