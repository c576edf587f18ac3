//! One face for the two drivers: values in, rows out, transactions.
//!
//! SQLite: one writing connection (there is one write lock anyway, and waiting for it in a queue of
//! ours is fair and needs no retries) and several readers, WAL. `synchronous=FULL`: once a batch is
//! reported as stored, its journal segment is recycled, and with NORMAL a power cut could undo
//! commits that WAL had not synced yet, so acknowledged messages would be lost.
//!
//! PostgreSQL: `synchronous_commit=off` is switched on again for our sessions for the same reason;
//! writers run under READ COMMITTED and lock rows in one order, snapshots under REPEATABLE READ.

use super::super::{StoreError, StoreResult};
use super::dialect::Dialect;
use super::value::{Value, postgres_arguments, sqlite_arguments};
use futures_util::TryStreamExt as _;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection as _, Postgres, Row as _, SqlStr, Sqlite, Transaction};
use std::str::FromStr as _;
use std::time::Duration;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// Prepared statements kept a connection; multi-row statements come in one size a power of two.
const STATEMENTS: usize = 512;

/// Time to wait for a connection before the operation fails as busy.
const ACQUIRE: Duration = Duration::from_secs(10);

/// Most rows of one multi-row statement.
const CHUNK: usize = 256;

/// The text of a statement: ours, never a client's.
pub(super) struct Sql(SqlStr);

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(sqlx::SqlSafeStr::into_sql_str(text))
    }
}

impl From<String> for Sql {
    fn from(text: String) -> Self {
        Self(sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(text)))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(e) => {
                if e.is_unique_violation() {
                    return Self::Duplicate(e.constraint().unwrap_or("unique key").to_owned());
                }
                // PostgreSQL: undone for another transaction, or shutting down and starting up.
                // SQLite: locked; the lower byte of an extended code is the plain one.
                let code = e.code().unwrap_or_default();
                let postgres = [
                    "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300",
                ]
                .contains(&code.as_ref());
                let plain = (code.len() < 5).then(|| code.parse::<u32>().ok()).flatten();
                let sqlite = plain.map(|c| c & 0xff);
                // Bad data, a broken constraint, a limit of the program: it will be the same again.
                let for_good = code.len() == 5
                    && ["22", "23", "54"]
                        .iter()
                        .any(|class| code.starts_with(class));
                if postgres || matches!(sqlite, Some(5 | 6)) {
                    Self::Busy(e.to_string())
                } else if for_good || matches!(sqlite, Some(18..=20)) {
                    Self::Unstorable(e.to_string())
                } else {
                    Self::Database(e.to_string())
                }
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => Self::Busy(error.to_string()),
            _ => Self::Database(error.to_string()),
        }
    }
}

/// A row.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// The texts in the first column.
pub(super) fn texts(rows: &[Row]) -> StoreResult<Vec<String>> {
    rows.iter().map(|row| row.text(0)).collect()
}

impl Row {
    /// Column `i` as an integer; NULL is 0.
    pub(super) fn int(&self, i: usize) -> StoreResult<i64> {
        let value: Option<i64> = match self {
            Self::Sqlite(row) => row.try_get_unchecked(i)?,
            Self::Postgres(row) => row.try_get_unchecked(i)?,
        };
        Ok(value.unwrap_or(0))
    }

    /// Column `i` as a small integer; NULL is 0.
    pub(super) fn small(&self, i: usize) -> StoreResult<i32> {
        i32::try_from(self.int(i)?)
            .map_err(|_| StoreError::Database(format!("column {i} is out of range")))
    }

    /// Column `i` as an integer.
    pub(super) fn opt_int(&self, i: usize) -> StoreResult<Option<i64>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get_unchecked(i)?,
            Self::Postgres(row) => row.try_get_unchecked(i)?,
        })
    }

    /// Column `i` as a flag.
    pub(super) fn flag(&self, i: usize) -> StoreResult<bool> {
        Ok(self.int(i)? != 0)
    }

    /// Column `i` as text; NULL is "".
    pub(super) fn text(&self, i: usize) -> StoreResult<String> {
        let value: Option<String> = match self {
            Self::Sqlite(row) => row.try_get_unchecked(i)?,
            Self::Postgres(row) => row.try_get_unchecked(i)?,
        };
        Ok(value.unwrap_or_default())
    }

    /// Column `i` as bytes.
    pub(super) fn blob(&self, i: usize) -> StoreResult<Vec<u8>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get_unchecked(i)?,
            Self::Postgres(row) => row.try_get_unchecked(i)?,
        })
    }
}

/// A database.
pub(super) enum Db {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Db {
    /// Opens and migrates.
    pub(super) async fn open(url: &str, connections: u32) -> StoreResult<Self> {
        let migrated =
            |e: sqlx::migrate::MigrateError| StoreError::Database(format!("migration: {e}"));
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url)?
                .application_name("ringwire")
                .statement_cache_capacity(STATEMENTS);
            let pool = PoolOptions::<Postgres>::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        sqlx::query(
                            "SELECT set_config('synchronous_commit', 'on', false) \
                             WHERE current_setting('synchronous_commit') = 'off'",
                        )
                        .execute(connection)
                        .await?;
                        Ok(())
                    })
                })
                .connect_with(options)
                .await?;
            POSTGRES_MIGRATIONS.run(&pool).await.map_err(migrated)?;
            return Ok(Self::Postgres(pool));
        }
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(STATEMENTS)
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-65536")
            .pragma("journal_size_limit", "67108864");
        let pool = |size: u32| {
            // A connection to a database in memory is the database: it must never be closed.
            // One that counts itself inside a transaction while nobody uses it goes: when the disk is
            // full SQLite rolls back by itself, the driver's own ROLLBACK then fails, and it would
            // refuse every BEGIN from then on.
            PoolOptions::<Sqlite>::new()
                .max_connections(size)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(ACQUIRE)
                .before_acquire(|connection, _| {
                    Box::pin(async move { Ok(!connection.is_in_transaction()) })
                })
        };
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        if !in_memory {
            private_file(options.get_filename())?;
        }
        let writer = pool(1).connect_with(options.clone()).await?;
        SQLITE_MIGRATIONS.run(&writer).await.map_err(migrated)?;
        let readers = if in_memory {
            writer.clone()
        } else {
            pool(connections)
                .connect_with(options.pragma("query_only", "ON"))
                .await?
        };
        Ok(Self::Sqlite { writer, readers })
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The texts in the first column of one reading statement.
    pub(super) async fn texts(
        &self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> StoreResult<Vec<String>> {
        texts(&self.rows(sql, values).await?)
    }

    /// A transaction that may write.
    pub(super) async fn write(&self) -> StoreResult<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(begin(pool, "BEGIN").await?),
        })
    }

    /// A snapshot to read from. End it with [`Tx::commit`].
    pub(super) async fn snapshot(&self) -> StoreResult<Tx> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(begin(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// Rows of one reading statement.
    pub(super) async fn rows(
        &self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> StoreResult<Vec<Row>> {
        let sql = sql.into().0;
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let rows = sqlx::query_with(sql, sqlite_arguments(values)?)
                    .fetch_all(readers)
                    .await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                let rows = sqlx::query_with(sql, postgres_arguments(values)?)
                    .fetch_all(pool)
                    .await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The integer of the only row and column of a reading statement.
    pub(super) async fn int(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> StoreResult<i64> {
        self.rows(sql, values)
            .await?
            .first()
            .map_or(Ok(0), |row| row.int(0))
    }
}

/// Begins a transaction in a task of its own. sqlx 0.9 forgets a `BEGIN` whose caller goes away before
/// the answer, and would hand the connection, inside that transaction, to the next one. The task
/// always sees the answer, and what nobody takes from it is rolled back.
async fn begin(
    pool: &PgPool,
    statement: &'static str,
) -> StoreResult<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    match tokio::spawn(async move { pool.begin_with(statement).await }).await {
        Ok(begun) => Ok(begun?),
        Err(e) => Err(StoreError::Busy(format!("transaction did not begin: {e}"))),
    }
}

/// Makes a new database file that only its owner can read: it holds everybody's messages.
fn private_file(path: &std::path::Path) -> StoreResult<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map(drop)
        .map_err(|e| StoreError::Database(format!("cannot open {}: {e}", path.display())))
}

/// A transaction. Dropping it undoes what it did.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement; returns the rows it changed.
    pub(super) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> StoreResult<u64> {
        let sql = sql.into().0;
        Ok(match self {
            Self::Sqlite(tx) => sqlx::query_with(sql, sqlite_arguments(values)?)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
            Self::Postgres(tx) => sqlx::query_with(sql, postgres_arguments(values)?)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
        })
    }

    /// Runs a statement that returns rows.
    pub(super) async fn rows(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> StoreResult<Vec<Row>> {
        let sql = sql.into().0;
        Ok(match self {
            Self::Sqlite(tx) => {
                let rows = sqlx::query_with(sql, sqlite_arguments(values)?)
                    .fetch_all(&mut **tx)
                    .await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                let rows = sqlx::query_with(sql, postgres_arguments(values)?)
                    .fetch_all(&mut **tx)
                    .await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Hands over row by row: for rows that together are too large to hold.
    pub(super) async fn each(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
        mut row: impl FnMut(Row) -> StoreResult<()> + Send,
    ) -> StoreResult<()> {
        let sql = sql.into().0;
        match self {
            Self::Sqlite(tx) => {
                let mut rows = sqlx::query_with(sql, sqlite_arguments(values)?).fetch(&mut **tx);
                while let Some(next) = rows.try_next().await? {
                    row(Row::Sqlite(next))?;
                }
            }
            Self::Postgres(tx) => {
                let mut rows = sqlx::query_with(sql, postgres_arguments(values)?).fetch(&mut **tx);
                while let Some(next) = rows.try_next().await? {
                    row(Row::Postgres(next))?;
                }
            }
        }
        Ok(())
    }

    /// The integer of the only row and column.
    pub(super) async fn int(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> StoreResult<i64> {
        self.rows(sql, values)
            .await?
            .first()
            .map_or(Ok(0), |row| row.int(0))
    }

    /// Runs `<before> VALUES (...), ... <after>` over all rows of `columns` values each, in
    /// statements of a power of two rows, so that few texts have to be prepared. Returns the rows
    /// changed.
    pub(super) async fn execute_many(
        &mut self,
        before: &'static str,
        columns: usize,
        rows: &[Value<'_>],
        after: &'static str,
    ) -> StoreResult<u64> {
        let mut changed = 0;
        for part in chunks(rows, columns) {
            let sql = format!(
                "{before} {} {after}",
                self.dialect().values(part.len() / columns, columns)
            );
            changed += self.execute(sql, part).await?;
        }
        Ok(changed)
    }

    /// The same for a statement that returns rows.
    pub(super) async fn rows_many(
        &mut self,
        before: &'static str,
        columns: usize,
        rows: &[Value<'_>],
        after: &'static str,
    ) -> StoreResult<Vec<Row>> {
        let mut returned = Vec::new();
        for part in chunks(rows, columns) {
            let sql = format!(
                "{before} {} {after}",
                self.dialect().values(part.len() / columns, columns)
            );
            returned.extend(self.rows(sql, part).await?);
        }
        Ok(returned)
    }

    /// Commits.
    pub(super) async fn commit(self) -> StoreResult<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// Splits a flat list of rows into parts of a power of two rows, the largest first.
fn chunks<'v, 'a>(
    mut values: &'v [Value<'a>],
    columns: usize,
) -> impl Iterator<Item = &'v [Value<'a>]> {
    std::iter::from_fn(move || {
        let rows = values.len() / columns.max(1);
        if rows == 0 {
            return None;
        }
        let take = if rows >= CHUNK {
            CHUNK
        } else {
            1 << rows.ilog2()
        };
        let (part, rest) = values.split_at(take * columns);
        values = rest;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::super::value::values;
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_survived_once_there_is_room_again() {
        let folder = tempfile::tempdir().expect("folder");
        let url = format!("sqlite:{}", folder.path().join("full.db").display());
        let db = Db::open(&url, 1).await.expect("opens");
        let Db::Sqlite { writer, .. } = &db else {
            panic!("SQLite");
        };
        let pages = |most: i64| {
            let sql = Sql::from(format!("PRAGMA max_page_count = {most}")).0;
            async move { sqlx::query(sql).execute(writer).await }
        };
        let value = "x".repeat(1 << 20);
        let write = async || {
            let mut tx = db.write().await?;
            tx.execute(
                "INSERT INTO client_configs (user_id, name, value) VALUES ('', 'k', $1)",
                values![&value],
            )
            .await?;
            tx.commit().await
        };
        // No page is to be had: the smallest value that SQLite takes is the present size.
        pages(1).await.expect("limited");
        let full = write().await.expect_err("no room");
        assert!(matches!(full, StoreError::Database(_)), "{full}");
        pages(1 << 30).await.expect("room again");
        write().await.expect("stored");
    }

    #[test]
    fn rows_are_split_into_powers_of_two_without_loss() {
        for rows in [0, 1, 3, 255, 256, 257, 1000] {
            let values = vec![Value::Int(0); rows * 3];
            let parts: Vec<usize> = chunks(&values, 3).map(|p| p.len() / 3).collect();
            assert_eq!(parts.iter().sum::<usize>(), rows);
            assert!(parts.iter().all(|p| p.is_power_of_two() && *p <= CHUNK));
        }
    }
}
