//! API keys as the server holds them while it runs: all that are valid, by their hash.
//!
//! A request is recognised without asking the store, and an unknown key costs no more than a known one. Whoever makes or
//! revokes a key tells it here after the commit, so that it counts at once.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use ziet_core::{KeyId, ProjectId, Scope, Time};
use ziet_store::keys::KeyRecord;

use crate::share::Share;

/// A key that is valid.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) name: String,
    /// The project that it belongs to; None may act for all.
    pub(crate) project: Option<ProjectId>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) hash: [u8; 32],
    pub(crate) share: Share,
    /// When its use was last written down, in milliseconds.
    used: AtomicI64,
}

/// How long a use of a key stands for those that follow.
const USE: Duration = Duration::from_secs(60);

impl Key {
    /// Whether a use at `now` is to be written down: at most once a minute, and when the clock was set back since.
    pub(crate) fn is_news(&self, now: Time) -> bool {
        let before = self.used.load(Relaxed);
        let noted = Time::from_millis(before);
        now.since(noted).max(noted.since(now)) >= USE
            && self
                .used
                .compare_exchange(before, now.as_millis(), Relaxed, Relaxed)
                .is_ok()
    }
}

impl From<&KeyRecord> for Key {
    fn from(record: &KeyRecord) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            project: record.project.clone(),
            scopes: record.scopes.clone(),
            hash: record.hash,
            share: Share::default(),
            used: AtomicI64::new(record.last_used_at.map_or(0, Time::as_millis)),
        }
    }
}

/// A key that nobody has yet. What is stored of it is its hash.
pub struct NewKey {
    /// The key itself: `sk_` and 256 random bits. It is shown once.
    pub text: String,
    pub hash: [u8; 32],
    /// How it begins, so that people can tell keys apart.
    pub prefix: String,
}

impl NewKey {
    /// # Errors
    /// When the system gives no random bits.
    pub fn random() -> io::Result<Self> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        let text = bits.iter().fold("sk_".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self {
            hash: hash(&text),
            prefix: text[..9].to_owned(),
            text,
        })
    }
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

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<[u8; 32], Arc<Key>>> {
        self.valid.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is stored of a key. It has 256 random bits, so nothing slower than this is needed.
pub(crate) fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_news_after_a_minute_and_when_the_clock_was_set_back() {
        let at = |seconds: i64| Time::from_millis(1_700_000_000_000 + seconds * 1000);
        let key = Key::from(&KeyRecord {
            id: KeyId::new(at(0)),
            project: None,
            name: "ada".to_owned(),
            scopes: vec![Scope::Read],
            hash: [0; 32],
            prefix: "sk_".to_owned(),
            created_at: at(0),
            last_used_at: None,
            revoked_at: None,
        });
        let uses = [
            (0, true),
            (59, false),
            (60, true),
            (59, false),
            (-3600, true),
            (-3599, false),
        ];
        for (seconds, news) in uses {
            assert_eq!(key.is_news(at(seconds)), news, "{seconds}");
        }
    }

    #[test]
    fn a_new_key_is_known_by_its_hash_alone() {
        let [one, other] = [NewKey::random().unwrap(), NewKey::random().unwrap()];
        assert_ne!(one.text, other.text);
        assert_eq!(one.text.len(), 3 + 64);
        assert!(one.text.starts_with(&one.prefix));
        assert_eq!(hash(&one.text), one.hash);
    }
}
