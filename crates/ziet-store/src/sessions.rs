//! Who has signed in with a key. A session is known by the hash of its secret, as a key is, and ends by itself.

use ziet_core::{KeyId, Time};

use crate::{Result, Tx};

/// A session as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The hash of its secret.
    pub hash: [u8; 32],
    /// The key that it was opened with, and that says what it allows.
    pub key: KeyId,
    /// When it was opened.
    pub created_at: Time,
    /// From when on it is good for nothing.
    pub expires_at: Time,
}

/// Keeps a new session, and forgets those that have ended by now.
///
/// # Errors
/// [`crate::StoreError::Duplicate`] when there is one with this secret.
pub async fn open(tx: &mut Tx<'_>, session: &SessionRecord) -> Result<()> {
    let sql = "DELETE FROM sessions WHERE expires_at <= ?1";
    tx.execute(sql, &[session.created_at.into()]).await?;
    let sql = "INSERT INTO sessions (hash, key_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)";
    let row = [
        session.hash.as_slice().into(),
        (&session.key).into(),
        session.created_at.into(),
        session.expires_at.into(),
    ];
    tx.execute(sql, &row).await?;
    Ok(())
}

/// The session with this hash; None when it has ended.
///
/// # Errors
/// What the database says.
pub async fn by_hash(tx: &mut Tx<'_>, hash: &[u8; 32], now: Time) -> Result<Option<SessionRecord>> {
    let sql =
        "SELECT key_id, created_at, expires_at FROM sessions WHERE hash = ?1 AND expires_at > ?2";
    tx.query_one(sql, &[hash.as_slice().into(), now.into()], |row| {
        Ok(SessionRecord {
            hash: *hash,
            key: row.get(0)?,
            created_at: row.get(1)?,
            expires_at: row.get(2)?,
        })
    })
    .await
}

/// Ends a session. Nothing happens when it has ended already.
///
/// # Errors
/// What the database says.
pub async fn close(tx: &mut Tx<'_>, hash: &[u8; 32]) -> Result<()> {
    let sql = "DELETE FROM sessions WHERE hash = ?1";
    tx.execute(sql, &[hash.as_slice().into()]).await?;
    Ok(())
}
