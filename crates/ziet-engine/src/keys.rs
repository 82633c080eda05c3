//! Idempotency keys: the same request with the same key is the same run.

use std::collections::HashMap;

use ziet_core::{ErrorCode, Json, RunId};
use ziet_store::{Idempotency, StoreError, runs};

use crate::answer::Refusal;
use crate::submit::{Asked, Submission};
use crate::turn::Scheduler;

/// The runs of keys, and the digests of what was asked with them.
pub(crate) type Known = HashMap<String, (RunId, [u8; 32])>;

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
pub(crate) fn same_request<'a>(
    key: &str,
    request: &[u8; 32],
    earlier: Option<&'a (RunId, [u8; 32])>,
) -> Result<Option<&'a (RunId, [u8; 32])>, Refusal> {
    match earlier {
        Some((run, other)) if other != request => {
            let message = format!(
                "idempotency key {key:?} was used for run {run}, with another action or input"
            );
            Err(Refusal::new(ErrorCode::IdempotencyMismatch, message))
        }
        earlier => Ok(earlier),
    }
}

impl Scheduler {
    /// Finds out which of the keys have runs. A key that is just being given to one is waited for.
    pub(crate) fn look_up_keys(&mut self, asked: Asked) {
        let Some(asked) = self.wait_for_keys(asked) else {
            return;
        };
        let keys = asked.submissions.iter();
        let keys: Vec<String> = keys.filter_map(|one| one.idempotency_key.clone()).collect();
        let (project, now) = (self.project.clone(), self.clock.now());
        self.read_in_order(
            async move |tx| {
                let mut known = Known::new();
                for key in &keys {
                    let found = runs::by_idempotency_key(tx, &project, key, now).await?;
                    known.extend(found.map(|found| (key.clone(), found)));
                }
                Ok(known)
            },
            move |scheduler, known: Result<Known, StoreError>| match known {
                Ok(known) => {
                    if let Some(asked) = scheduler.wait_for_keys(asked) {
                        scheduler.accept(asked, &known);
                    }
                }
                Err(error) => (asked.done)(Err(Refusal::from(&error))),
            },
        );
    }

    /// Gives it back unless one of its keys is being given to a run.
    fn wait_for_keys(&mut self, asked: Asked) -> Option<Asked> {
        let mut keys = asked
            .submissions
            .iter()
            .filter_map(|one| one.idempotency_key.as_ref());
        let claimed = keys
            .find(|key| self.claimed_keys.contains_key(*key))
            .cloned();
        match claimed.and_then(|key| self.claimed_keys.get_mut(&key)) {
            Some(waiting) => {
                waiting.push(asked);
                None
            }
            None => Some(asked),
        }
    }

    /// The keys are in the store, or have no run after all.
    pub(crate) fn release_keys(&mut self, keys: impl Iterator<Item = String>) {
        let waiting: Vec<Asked> = keys
            .filter_map(|key| self.claimed_keys.remove(&key))
            .flatten()
            .collect();
        for asked in waiting {
            self.submit(asked);
        }
    }
}
