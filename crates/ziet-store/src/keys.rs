//! Keys of the API. Only a hash of each is kept; who holds the key itself can be known by it, and by nothing else.

use ziet_core::{KeyId, ProjectId, Scope, Time};

use crate::value::{Columns, Row, Value};
use crate::word::Word;
use crate::{Result, StoreError, Tx};

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id, which is no secret.
    pub id: KeyId,
    /// The project that it is for; None when it is for all.
    pub project: Option<ProjectId>,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The hash of its secret.
    pub hash: [u8; 32],
    /// How the secret begins, so that people can tell keys apart.
    pub prefix: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last used, to some minutes.
    pub last_used_at: Option<Time>,
    /// Since when it is good for nothing.
    pub revoked_at: Option<Time>,
}

const COLUMNS: &str =
    "key_id, project_id, name, scopes, hash, prefix, created_at, last_used_at, revoked_at";

/// Keeps a new key.
///
/// # Errors
/// [`StoreError::Duplicate`] when its id or its secret is there already.
pub async fn create(tx: &mut Tx<'_>, key: &KeyRecord) -> Result<()> {
    let sql =
        format!("INSERT INTO api_keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.word()).collect();
    let scopes = scopes.join(" ");
    let row = [
        (&key.id).into(),
        key.project.as_ref().into(),
        key.name.as_bytes().into(),
        scopes.as_str().into(),
        key.hash.as_slice().into(),
        key.prefix.as_str().into(),
        key.created_at.into(),
        key.last_used_at.into(),
        key.revoked_at.into(),
    ];
    tx.execute(&sql, &row).await?;
    Ok(())
}

/// All keys, oldest first, revoked ones too.
///
/// # Errors
/// What the database says.
pub async fn all(tx: &mut Tx<'_>) -> Result<Vec<KeyRecord>> {
    page(tx, None, None, usize::MAX).await
}

/// At most `limit` keys of `project`, or with None of all there are; oldest first, revoked ones too, and only those after
/// `after` when it is given.
///
/// # Errors
/// What the database says.
pub async fn page(
    tx: &mut Tx<'_>,
    project: Option<&ProjectId>,
    after: Option<KeyId>,
    limit: usize,
) -> Result<Vec<KeyRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM api_keys
        WHERE key_id > ?1 AND (?2 IS NULL OR project_id = ?2) ORDER BY key_id LIMIT ?3"
    );
    let after = after.as_ref().map_or([].as_slice().into(), Value::from);
    tx.query(&sql, &[after, project.into(), limit.into()], key)
        .await
}

/// The key with this id, revoked or not.
///
/// # Errors
/// What the database says.
pub async fn find(tx: &mut Tx<'_>, id: KeyId) -> Result<Option<KeyRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE key_id = ?1");
    tx.query_one(&sql, &[(&id).into()], key).await
}

/// Makes a key good for nothing. False when there is none that still was good.
///
/// # Errors
/// What the database says.
pub async fn revoke(tx: &mut Tx<'_>, id: KeyId, now: Time) -> Result<bool> {
    let sql = "UPDATE api_keys SET revoked_at = ?2 WHERE key_id = ?1 AND revoked_at IS NULL";
    Ok(tx.execute(sql, &[(&id).into(), now.into()]).await? > 0)
}

/// Notes that a key was used. A key that is gone is nobody's concern.
///
/// # Errors
/// What the database says.
pub async fn touch(tx: &mut Tx<'_>, id: KeyId, now: Time) -> Result<()> {
    let sql = "UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1";
    tx.execute(sql, &[(&id).into(), now.into()]).await?;
    Ok(())
}

fn key(row: &Row<'_>) -> Result<KeyRecord> {
    let mut columns = row.columns();
    Ok(KeyRecord {
        id: columns.next()?,
        project: columns.next()?,
        name: name(&mut columns)?,
        scopes: scopes(&mut columns)?,
        hash: columns.next()?,
        prefix: columns.next()?,
        created_at: columns.next()?,
        last_used_at: columns.next()?,
        revoked_at: columns.next()?,
    })
}

fn name(columns: &mut Columns<'_>) -> Result<String> {
    String::from_utf8(columns.next()?)
        .map_err(|_| StoreError::Unreadable("the name of a key is not text".to_owned()))
}

fn scopes(columns: &mut Columns<'_>) -> Result<Vec<Scope>> {
    let words: String = columns.next()?;
    words
        .split_whitespace()
        .map(|word| {
            Scope::from_word(word)
                .ok_or_else(|| StoreError::Unreadable(format!("no scope is called {word}")))
        })
        .collect()
}
