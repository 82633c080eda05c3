//! The admin key of a server that is made without another one: the first, or one in the place of those that are lost.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing::info;
use ziet_core::{KeyId, Scope};
use ziet_engine::Clock;
use ziet_server::NewKey;
use ziet_store::keys::{self, KeyRecord};
use ziet_store::{Store, StoreError};

use crate::error::CliError;

/// Makes a key for everything where there is none that is valid, or `another` is asked for, and writes it to a file for its
/// owner alone. So whoever revokes the last one gets a new one with the next start.
pub(in crate::commands) fn make(
    store: &Store,
    file: &Path,
    clock: &Clock,
    another: bool,
) -> Result<(), CliError> {
    let keys = store.read_now(async |tx| keys::all(tx).await);
    let keys = keys.map_err(cannot)?;
    let is_admin = |key: &KeyRecord| {
        key.revoked_at.is_none() && key.project.is_none() && key.scopes.contains(&Scope::Admin)
    };
    if keys.iter().any(is_admin) && !another {
        return Ok(());
    }
    // What the list of keys calls it.
    let name = if keys.is_empty() { "first" } else { "new" };
    let key = NewKey::random().map_err(|error| CliError::failed("no key can be made", error))?;
    // The file first: a key that is known to the store alone would be nobody's.
    write(file, &key.text).map_err(|error| CliError::failed(&file.display().to_string(), error))?;
    let now = clock.now();
    let record = KeyRecord {
        id: KeyId::new(now),
        project: None,
        name: name.to_owned(),
        scopes: vec![Scope::Admin],
        hash: key.hash,
        prefix: key.prefix,
        created_at: now,
        last_used_at: None,
        revoked_at: None,
    };
    let kept = store.write_now(async move |tx| keys::create(tx, &record).await);
    kept.map_err(cannot)?;
    let file = file.display();
    info!(%file, "the {name} admin key is in {file}");
    Ok(())
}

fn cannot(error: StoreError) -> CliError {
    CliError::failed("the keys cannot be kept", error)
}

/// In one step, and on the disk when it returns.
fn write(file: &Path, key: &str) -> io::Result<()> {
    let part = file.with_extension("part");
    let mut written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    writeln!(written, "{key}")?;
    written.sync_all()?;
    std::fs::rename(part, file)
}
