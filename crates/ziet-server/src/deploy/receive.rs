//! Receiving a bundle: streamed to the disk, checked, and put in its place if it is new.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::{DeploymentId, KeyId, ProjectId};
use ziet_store::Tx;
use ziet_store::deployments::{self, DeploymentRecord};

use super::private;
use crate::bundle::{self, BundleError};
use crate::platform::Platform;
use crate::problem::{Code, Problem};

/// Bytes of a packed bundle: what cannot be made smaller is a little larger than it is by itself.
const PACKED: usize = 256 * 1024 * 1024;

/// How long the next part of a bundle may take to arrive.
const PART: Duration = Duration::from_secs(30);

/// A bundle that was received and checked.
pub(crate) struct Received {
    /// Removed when it is not needed any more.
    folder: TempDir,
    digest: bundle::Digest,
}

/// What has become of a bundle.
pub(crate) enum Taken {
    /// It is to be built.
    New(DeploymentRecord),
    /// It is being built already.
    Building(DeploymentRecord),
    /// It is there already.
    Ready(DeploymentRecord),
}

impl Platform {
    /// Receives a bundle, and checks it.
    pub(crate) async fn receive(&self, body: Body) -> Result<Received, Problem> {
        let deploys = self.deploys()?;
        let _room = deploys.uploads.acquire().await.map_err(Problem::internal)?;
        let uploads = deploys.uploads_folder();
        let folder = private(&uploads).and_then(|()| tempfile::tempdir_in(&uploads));
        let folder = folder.map_err(disk)?;
        let packed = folder.path().join("bundle");
        stream(body, File::create(&packed).map_err(disk)?).await?;
        let unpacked = spawn_blocking(move || {
            let code = folder.path().join("code");
            let digest = bundle::unpack(File::open(&packed)?, &code)?;
            // The row that tells of it must not be on the disk before it.
            rustix::fs::syncfs(File::open(&code)?).map_err(io::Error::from)?;
            Ok::<_, BundleError>(Received { folder, digest })
        });
        unpacked.await.map_err(Problem::internal)?.map_err(refused)
    }

    /// Puts a bundle in its place, unless it is there already.
    pub(crate) async fn take(
        &self,
        project: &ProjectId,
        received: Received,
        by: KeyId,
    ) -> Result<Taken, Problem> {
        let deploys = self.deploys()?;
        let _alone = deploys.taking.lock().await;
        let digest = received.digest.to_string();
        let (of, wanted) = (project.clone(), digest.clone());
        let verb = async move |tx: &mut Tx<'_>| deployments::by_digest(tx, &of, &wanted).await;
        if let Some(known) = self.read_as_server(verb).await? {
            return Ok(match known.status {
                DeploymentStatus::Building => Taken::Building(known),
                _ => Taken::Ready(known),
            });
        }
        let folder = deploys.folder(project, &digest);
        let now = self.settings.clock.now();
        let record = DeploymentRecord {
            id: DeploymentId::new(now),
            version: received.digest.version(),
            digest: Some(digest),
            status: DeploymentStatus::Building,
            source: folder.join("code").to_string_lossy().into_owned(),
            built: None,
            error: None,
            created_by: Some(by),
            created_at: now,
            active_since: None,
        };
        deploys.make(&folder).map_err(disk)?;
        let moved = spawn_blocking(move || {
            let code = folder.join("code");
            if code.exists() {
                fs_err::remove_dir_all(&code)?;
            }
            fs_err::rename(received.folder.path().join("code"), code)
        });
        moved.await.map_err(Problem::internal)?.map_err(disk)?;
        let (of, row) = (project.clone(), record.clone());
        self.write(async move |tx| deployments::insert(tx, &of, &row).await)
            .await?;
        Ok(Taken::New(record))
    }
}

async fn stream(body: Body, mut file: File) -> Result<(), Problem> {
    let mut parts = body.into_data_stream();
    let mut bytes = 0;
    loop {
        let part = timeout(PART, parts.next()).await.map_err(|_| {
            let late = "the body of the request did not arrive in time";
            Problem::new(Code::BodyTimeout, late)
        })?;
        let Some(part) = part else { break };
        let part = part.map_err(|_| {
            let early = "the body of the request ended early";
            Problem::new(Code::InvalidRequest, early)
        })?;
        bytes += part.len();
        if bytes > PACKED {
            let most = PACKED / (1024 * 1024);
            let detail = format!("a packed bundle may have {most} MB at most");
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        // Into the system's memory, which takes no longer than to hand it to a thread for that.
        file.write_all(&part).map_err(disk)?;
    }
    Ok(())
}

fn disk(error: io::Error) -> Problem {
    if error.kind() == io::ErrorKind::StorageFull {
        let detail = "no space is left for the server's state; what was accepted is safe";
        return Problem::new(Code::StorageFull, detail);
    }
    Problem::internal(error)
}

fn refused(error: BundleError) -> Problem {
    match error {
        BundleError::Disk(error) => disk(error),
        error => Problem::new(Code::InvalidBundle, error.to_string()),
    }
}
