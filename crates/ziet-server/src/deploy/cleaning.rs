//! Removing the code of versions that no run needs any more, and the environments that no version uses.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{error, info};
use ziet_core::deployment::DeploymentStatus;
use ziet_core::run::Status;
use ziet_core::{DeploymentId, ProjectId, RunId, Time};
use ziet_store::Tx;
use ziet_store::deployments::{self, DeploymentRecord, InUse};

use crate::platform::{Platform, Project};
use crate::problem::Problem;

/// Versions of a project that are kept at most, but for those that are needed.
const KEPT: usize = 10;

/// Runs that are looked at in one read.
const LUMP: usize = 1000;

/// Between two times, at most.
const EVERY: Duration = Duration::from_secs(300);

/// An environment that was asked for so lately may be that of a version which is not written down yet.
const YOUNG: Duration = Duration::from_secs(3600);

/// How runs stand that have not finished.
const LIVE: [Status; 6] = [
    Status::Created,
    Status::Scheduled,
    Status::Queued,
    Status::Running,
    Status::Waiting,
    Status::Retrying,
];

impl Platform {
    /// From now on removes what has not been active for so long, until the server stops.
    pub fn clean_regularly(self: &Arc<Self>, keep: Duration) {
        let platform = Arc::clone(self);
        let every = (keep / 10).clamp(Duration::from_secs(1), EVERY);
        tokio::spawn(async move {
            while !platform.is_draining() {
                if let Err(problem) = platform.clean(keep).await {
                    error!("old versions are not removed: {}", problem.said());
                }
                tokio::select! {
                    () = sleep(every) => {}
                    () = platform.hints.closed().cancelled() => return,
                }
            }
        });
    }

    async fn clean(&self, keep: Duration) -> Result<(), Problem> {
        let mut used = HashSet::new();
        for project in self.projects() {
            if project.folder.is_none() {
                self.clean_project(&project, keep).await?;
            }
            for status in [DeploymentStatus::Building, DeploymentStatus::Ready] {
                let known = self.with_status(&project.id, status).await?;
                let built = known.into_iter().filter_map(|one| one.built?.environment);
                used.extend(built.map(PathBuf::from));
            }
        }
        let builder = self.deploys()?.builder.clone();
        let pruned = spawn_blocking(move || builder.prune(&used, YOUNG));
        let pruned = pruned.await.map_err(Problem::internal)?;
        let environments = pruned.map_err(Problem::internal)?;
        if environments > 0 {
            info!(
                environments,
                "removed {environments} environments that no version uses"
            );
        }
        Ok(())
    }

    async fn clean_project(&self, project: &Project, keep: Duration) -> Result<(), Problem> {
        let deploys = self.deploys()?;
        let active = project.engine.active();
        let ready = self
            .with_status(&project.id, DeploymentStatus::Ready)
            .await?;
        let until = self.settings.clock.now().minus(keep);
        let old = old(&ready, active, until);
        if old.is_empty() {
            return Ok(());
        }
        let in_use = self.in_use(&project.id).await?;
        for record in old.into_iter().filter(|one| !in_use.contains(&one.id)) {
            // Nobody brings it back meanwhile.
            let _turn = deploys.turn(&project.id).await;
            let _alone = deploys.taking.lock().await;
            let (of, id) = (project.id.clone(), record.id);
            let verb = async move |tx: &mut Tx<'_>| deployments::set_removed(tx, &of, id).await;
            if !self.write(verb).await? {
                continue;
            }
            project.engine.forget(id);
            let code = PathBuf::from(&record.source);
            let removed = spawn_blocking(move || fs_err::remove_dir_all(code));
            removed
                .await
                .map_err(Problem::internal)?
                .map_err(Problem::internal)?;
            let version = &record.version;
            info!(project = %project.id, version, "{}: removed the code of version {version}", project.id);
        }
        Ok(())
    }

    async fn with_status(
        &self,
        project: &ProjectId,
        status: DeploymentStatus,
    ) -> Result<Vec<DeploymentRecord>, Problem> {
        let of = project.clone();
        self.read_as_server(async move |tx: &mut Tx<'_>| {
            deployments::with_status(tx, &of, status).await
        })
        .await
    }

    /// The deployments that unfinished runs name, read a little at a time.
    async fn in_use(&self, project: &ProjectId) -> Result<HashSet<DeploymentId>, Problem> {
        let mut all = HashSet::new();
        for status in LIVE {
            let mut after: Option<RunId> = None;
            loop {
                let of = project.clone();
                let verb = async move |tx: &mut Tx<'_>| {
                    deployments::in_use(tx, &of, status, after, LUMP).await
                };
                let InUse { deployments, next } = self.read_as_server(verb).await?;
                all.extend(deployments);
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(all)
    }
}

/// Of versions that can be executed, the newest first, those that may go: what was last active, or made, before `until`, or is
/// beyond the newest ones; never the active one, and no folder.
fn old(
    ready: &[DeploymentRecord],
    active: Option<DeploymentId>,
    until: Time,
) -> Vec<DeploymentRecord> {
    let left = |one: &DeploymentRecord| {
        // It was the active one until the next was.
        let others = ready.iter().filter_map(|other| other.active_since);
        let next = others.filter(|other| Some(*other) > one.active_since).min();
        one.active_since.and(next).unwrap_or(one.created_at)
    };
    let bundles = ready.iter().filter(|one| one.built.is_some());
    let others = bundles.filter(|one| Some(one.id) != active).enumerate();
    others
        // The active one is one of those that are kept.
        .filter(|(place, one)| place + 1 >= KEPT || left(one) < until)
        .map(|(_, one)| one.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use ziet_store::deployments::Built;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn version(made: i64, active_since: Option<i64>) -> DeploymentRecord {
        DeploymentRecord {
            id: DeploymentId::new(at(made)),
            version: made.to_string(),
            digest: None,
            status: DeploymentStatus::Ready,
            source: String::new(),
            built: Some(Built {
                python: String::new(),
                environment: None,
            }),
            error: None,
            created_by: None,
            created_at: at(made),
            active_since: active_since.map(at),
        }
    }

    fn gone(ready: &[DeploymentRecord], until: i64) -> Vec<String> {
        let active = ready.iter().max_by_key(|one| one.active_since);
        let old = old(ready, active.map(|one| one.id), at(until));
        old.into_iter().map(|one| one.version).collect()
    }

    #[test]
    fn a_version_is_as_old_as_the_end_of_its_being_active() {
        let ready = [
            version(40, Some(41)),
            version(30, None),
            version(20, Some(50)),
            version(10, Some(11)),
        ];
        assert_eq!(gone(&ready, 12), [""; 0]);
        assert_eq!(gone(&ready, 42), ["30", "10"]);
        assert_eq!(gone(&ready, 60), ["40", "30", "10"]);
    }

    #[test]
    fn only_so_many_are_kept_and_the_active_one_always() {
        let mut ready: Vec<_> = (0..15)
            .rev()
            .map(|made| version(made, Some(made)))
            .collect();
        assert_eq!(gone(&ready, 0), ["4", "3", "2", "1", "0"]);
        ready[14].active_since = Some(at(100));
        assert_eq!(gone(&ready, 0), ["5", "4", "3", "2", "1"]);
    }
}
