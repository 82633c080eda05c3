//! API keys as the server holds them while it runs: all that are valid, by their hash.
//!
//! A request is recognised without asking the store, and an unknown key costs no more than a known one. Whoever makes or
//! revokes a key tells it here after the commit, so that it counts at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use ziet_core::{KeyId, ProjectId, Scope};

/// A key that is valid.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    /// The project that it belongs to; None may act for all.
    pub(crate) project: Option<ProjectId>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) hash: [u8; 32],
}

/// The keys that are valid now.
#[derive(Default)]
pub(crate) struct Keys {
    valid: RwLock<HashMap<[u8; 32], Arc<Key>>>,
}

impl Keys {
    /// Makes a key count from now on.
    pub(crate) fn add(&self, key: Key) {
        self.write().insert(key.hash, Arc::new(key));
    }

    /// Makes a key count for nothing from now on.
    pub(crate) fn remove(&self, hash: &[u8; 32]) {
        self.write().remove(hash);
    }

    /// The key that somebody presents, if it is valid.
    pub(crate) fn find(&self, presented: &str) -> Option<Arc<Key>> {
        let hash = hash(presented);
        let valid = self.valid.read().unwrap_or_else(PoisonError::into_inner);
        // The table's own comparison may tell by its time how many bytes of a hash agree, which helps nobody to find a key
        // with that hash; the one that decides does not tell even that.
        let key = valid.get(&hash)?;
        bool::from(key.hash.ct_eq(&hash)).then(|| Arc::clone(key))
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<[u8; 32], Arc<Key>>> {
        self.valid.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is stored of a key. It has 256 random bits, so nothing slower than this is needed.
pub(crate) fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
