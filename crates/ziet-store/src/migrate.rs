//! Brings the tables to the newest schema: numbered files, each run once, in order, in one transaction.
//!
//! A database that a newer program has migrated is refused untouched, and so is one whose migrations are not these.

use sha2::{Digest, Sha256};

use crate::value::Value;
use crate::{Result, StoreError, Tx};

/// The migrations; the place in the list, counted from 1, is the version. What was released never changes.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_initial.sql")];

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions (
    version {int} NOT NULL PRIMARY KEY,
    checksum {blob} NOT NULL
) {table}";

/// Runs what is missing.
pub(crate) async fn migrate(tx: &mut Tx<'_>) -> Result<()> {
    tx.script(VERSIONS).await?;
    let done = versions(tx).await?;
    if done < MIGRATIONS.len() {
        run(tx, done).await?;
        tx.set_statistics().await?;
    }
    Ok(())
}

async fn run(tx: &mut Tx<'_>, done: usize) -> Result<()> {
    for (version, sql) in (1_u32..).zip(MIGRATIONS).skip(done) {
        tx.script(sql).await?;
        let checksum = checksum(sql);
        let row = [version.into(), Value::Bytes(&checksum)];
        tx.execute(
            "INSERT INTO schema_versions (version, checksum) VALUES (?1, ?2)",
            &row,
        )
        .await?;
    }
    Ok(())
}

/// How many of the migrations have been run.
pub(crate) async fn versions(tx: &mut Tx<'_>) -> Result<usize> {
    let sql = "SELECT version, checksum FROM schema_versions ORDER BY version";
    let done = tx
        .query(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))
        .await?;
    check(&done)?;
    Ok(done.len())
}

/// The versions that are there must be the first of ours.
fn check(done: &[(u32, [u8; 32])]) -> Result<()> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if let Some((found, _)) = done.last().filter(|(found, _)| *found > known) {
        return Err(StoreError::NewerSchema {
            found: *found,
            known,
        });
    }
    for ((expected, sql), (version, found)) in (1_u32..).zip(MIGRATIONS).zip(done) {
        if expected != *version || checksum(sql) != *found {
            return Err(StoreError::ForeignSchema(expected));
        }
    }
    Ok(())
}

fn checksum(sql: &str) -> [u8; 32] {
    Sha256::digest(sql.as_bytes()).into()
}
