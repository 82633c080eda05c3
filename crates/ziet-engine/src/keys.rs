//! Idempotency keys: the same request with the same key is the same run.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use ziet_core::{ErrorCode, Json, ProjectId, RunId};
use ziet_store::{Change, Idempotency, NewRun, StoreError, Tx, changes, runs};

use crate::answer::Refusal;
use crate::backlog::Room;
use crate::notice::Notice;
use crate::submit::Submission;
use crate::turn::Scheduler;

/// The runs of keys, and the digests of what was asked with them.
pub(crate) type Known = HashMap<String, (RunId, [u8; 32])>;

/// The runs that were there already, by those that would have been made in their place.
pub(crate) type Existing = HashMap<RunId, RunId>;

impl Submission {
    /// Its key, with a digest of what it asks for: which action, with which input.
    pub(crate) fn idempotency(&self) -> Option<Idempotency> {
        let key = self.idempotency_key.clone()?;
        let asked = serde_json::json!([self.action, self.input.digest()]);
        let request = Json::trusted(asked.to_string().into_bytes()).digest();
        Some(Idempotency { key, request })
    }
}

/// The run of an earlier request with the key.
///
/// # Errors
/// When that was another one.
pub(crate) fn same_request(
    asked: &Idempotency,
    (run, request): (RunId, [u8; 32]),
) -> Result<RunId, Refusal> {
    if request == asked.request {
        return Ok(run);
    }
    let key = &asked.key;
    let message =
        format!("idempotency key {key:?} was used for run {run}, with another action or input");
    Err(Refusal::new(ErrorCode::IdempotencyMismatch, message))
}

/// The run that has the key of this one.
async fn earlier(
    tx: &mut Tx<'_>,
    project: &ProjectId,
    new: &NewRun,
) -> Result<Result<Option<RunId>, Refusal>, StoreError> {
    let Some(asked) = &new.idempotency else {
        return Ok(Ok(None));
    };
    let found = runs::by_idempotency_key(tx, project, &asked.key, new.created_at).await?;
    Ok(found
        .map(|earlier| same_request(asked, earlier))
        .transpose())
}

impl Scheduler {
    /// Writes those of `new` whose keys have no runs yet, if there is room for them, as one verb: so two requests with one
    /// key make one run.
    pub(crate) fn commit_new(
        &mut self,
        new: Vec<Change>,
        room: Room,
        after: impl FnOnce(&mut Self, Result<Existing, Refusal>) + Send + 'static,
    ) {
        let (project, gate) = (self.project.clone(), self.unwritten.gate());
        let new = Arc::new(new);
        let asked = Arc::clone(&new);
        let done = self.then(
            move |scheduler, result: Result<Result<Existing, Refusal>, StoreError>| {
                let result = result.map_err(|error| Refusal::from(&error)).flatten();
                if let Ok(existing) = &result {
                    let fresh = asked.iter().filter(|change| match change {
                        Change::Submit(run) => !existing.contains_key(&run.id),
                        _ => true,
                    });
                    scheduler.tell(Notice::Written(Arc::new(fresh.cloned().collect())));
                }
                after(scheduler, result);
            },
        );
        self.store.write(
            async move |tx| {
                gate.check()?;
                let mut existing = Existing::new();
                let mut fresh = Vec::with_capacity(new.len());
                let mut bytes = 0;
                for change in new.iter() {
                    let Change::Submit(run) = change else {
                        continue;
                    };
                    match earlier(tx, &project, run).await? {
                        Ok(Some(earlier)) => {
                            existing.insert(run.id, earlier);
                        }
                        Ok(None) => {
                            bytes += run.input.as_bytes().len() as u64;
                            fresh.push(change);
                        }
                        Err(refusal) => return Ok(Err(refusal)),
                    }
                }
                if let Err(refusal) = room.admit(fresh.len() as u64, bytes) {
                    return Ok(Err(refusal));
                }
                for change in fresh {
                    changes::commit(tx, &project, slice::from_ref(change)).await?;
                }
                Ok(Ok(existing))
            },
            done,
        );
    }
}
