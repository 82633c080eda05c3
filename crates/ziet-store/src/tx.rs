//! A transaction as verbs see it: statements in the common subset of SQL, with `?1` for arguments.
//!
//! It must not know what the statements are about. An error ends the verb on every database: a transaction in which a
//! statement failed refuses all others, as PostgreSQL does by itself.

use rusqlite::params_from_iter;

use crate::job::Access;
use crate::value::{Row, Value};
use crate::{Result, StoreError, sqlite};

/// A transaction in a database, for as long as one verb runs.
pub struct Tx<'c> {
    database: Database<'c>,
    access: Access,
    failed: bool,
}

enum Database<'c> {
    Sqlite(&'c mut rusqlite::Connection),
}

#[expect(
    clippy::unused_async,
    reason = "SQLite answers at once; a database at the end of a connection does not"
)]
impl<'c> Tx<'c> {
    pub(crate) fn sqlite(connection: &'c mut rusqlite::Connection, access: Access) -> Self {
        let database = Database::Sqlite(connection);
        Self {
            database,
            access,
            failed: false,
        }
    }

    /// Whether a statement failed, so that nothing of it may be kept.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Runs a statement and tells how many rows it changed.
    ///
    /// # Errors
    /// What the database says; every later statement is then refused.
    pub async fn execute(&mut self, sql: &str, args: &[Value<'_>]) -> Result<u64> {
        self.refuse_after_error()?;
        let done = self.execute_now(sql, args);
        self.remember(done)
    }

    /// Runs a statement and reads each row of its answer while the database holds it.
    ///
    /// # Errors
    /// What the database or `read` says; every later statement is then refused.
    pub async fn query<T>(
        &mut self,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.refuse_after_error()?;
        let rows = self.query_now(sql, args, read);
        self.remember(rows)
    }

    /// The first row of the answer, if there is one.
    ///
    /// # Errors
    /// As of [`Tx::query`].
    pub async fn query_one<T>(
        &mut self,
        sql: &str,
        args: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.query(sql, args, read).await?.into_iter().next())
    }

    /// Runs the statements of a migration, with this database's names for the types.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<()> {
        self.refuse_after_error()?;
        let done = match &self.database {
            Database::Sqlite(connection) => connection
                .execute_batch(&for_sqlite(sql))
                .map_err(StoreError::from),
        };
        self.remember(done)
    }

    /// Tells the database what its tables will be like.
    ///
    /// Differs because PostgreSQL looks at its tables by itself.
    pub(crate) async fn set_statistics(&mut self) -> Result<()> {
        match &self.database {
            Database::Sqlite(_) => self.script(include_str!("statistics.sql")).await,
        }
    }

    /// Gives a little of the file's unused space back to the disk; false when there is not much of it.
    ///
    /// Differs because PostgreSQL does that by itself.
    pub(crate) async fn vacuum_some(&mut self) -> Result<bool> {
        self.refuse_after_error()?;
        let done = match &self.database {
            Database::Sqlite(connection) => sqlite::vacuum_some(connection),
        };
        self.remember(done)
    }

    fn execute_now(&mut self, sql: &str, args: &[Value<'_>]) -> Result<u64> {
        match &self.database {
            Database::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                allow(&statement, self.access)?;
                Ok(statement.execute(params_from_iter(args))? as u64)
            }
        }
    }

    fn query_now<T>(
        &mut self,
        sql: &str,
        args: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        match &self.database {
            Database::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                allow(&statement, self.access)?;
                let mut rows = statement.query(params_from_iter(args))?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(read(&Row::Sqlite(row))?);
                }
                Ok(found)
            }
        }
    }

    fn refuse_after_error(&self) -> Result<()> {
        if self.failed {
            Err(StoreError::Aborted)
        } else {
            Ok(())
        }
    }

    fn remember<T>(&mut self, done: Result<T>) -> Result<T> {
        self.failed |= done.is_err();
        done
    }
}

/// A read that writes fails in the same way wherever it runs: in memory it shares the writer's connection.
fn allow(statement: &rusqlite::Statement<'_>, access: Access) -> Result<()> {
    if access == Access::Write || statement.readonly() {
        Ok(())
    } else {
        Err(StoreError::ReadOnly)
    }
}

/// With these words SQLite refuses wrong types as PostgreSQL does, and keeps rows in the order of their keys; but for wide
/// ones: there it would put all but a quarter of a page elsewhere, so that a row of 1 kB took 5.
fn for_sqlite(sql: &str) -> String {
    sql.replace("{int}", "INTEGER")
        .replace("{text}", "TEXT")
        .replace("{blob}", "BLOB")
        .replace("{table}", "STRICT, WITHOUT ROWID")
        .replace("{wide}", "STRICT")
}
