//! The SQL implementation: one text for SQLite and PostgreSQL. Real differences are in [`dialect`].

mod conversations;
mod db;
mod dialect;
mod facts;
mod groups;
mod journal;
mod messages;
mod outbox;
mod relations;
mod tokens;
mod users;
mod value;
mod versions;

use super::{StoreResult, Stores};
use db::Db;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// All aggregates over one database.
struct SqlStore {
    db: Db,
}

impl Stores {
    /// Opens the database of a URL (`sqlite:PATH` or `postgres://...`), creates or migrates its
    /// tables, and returns its stores. `connections`: PostgreSQL connections, or SQLite readers (one
    /// writer comes on top). A SQLite file is made readable for its owner only.
    ///
    /// # Errors
    /// When the URL is not understood, the database cannot be reached, or a migration fails.
    pub async fn open(url: &str, connections: u32) -> StoreResult<Self> {
        let store = Arc::new(SqlStore {
            db: Db::open(url, connections.max(1)).await?,
        });
        Ok(Self {
            users: store.clone(),
            tokens: store.clone(),
            relations: store.clone(),
            groups: store.clone(),
            conversations: store.clone(),
            messages: store.clone(),
            versions: store.clone(),
            outbox: store.clone(),
            journal: store.clone(),
            facts: store,
        })
    }
}

/// Rows in the order in which their keys were asked for, each once.
fn in_order<T, K: Eq + Hash + Clone>(keys: &[K], rows: Vec<T>, key: impl Fn(&T) -> &K) -> Vec<T> {
    let mut by_key: HashMap<K, T> = rows
        .into_iter()
        .map(|row| (key(&row).clone(), row))
        .collect();
    keys.iter().filter_map(|k| by_key.remove(k)).collect()
}

/// The same values, each once, in the order of first appearance.
fn unique<T: Eq + Hash + Clone>(values: &[T]) -> Vec<T> {
    let mut seen = HashSet::with_capacity(values.len());
    values.iter().filter(|v| seen.insert(*v)).cloned().collect()
}

/// Unix milliseconds, for columns that only clean-up jobs read.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
