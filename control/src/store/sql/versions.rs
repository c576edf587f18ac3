//! Version logs: bumps inside the transactions of the changes, and the reading decision.

use super::super::versions::MAX_CHANGES;
use super::super::{Changes, FullIds, Head, Log, StoreError, StoreResult, VersionStore};
use super::SqlStore;
use super::db::{Row, Tx, texts};
use super::value::{Value, values};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What happened to elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Insert = 1,
    Delete = 2,
    Update = 3,
}

/// One bump of one log (spec: sync.md 2.1).
#[derive(Debug)]
pub(super) struct Bump {
    pub(super) log: Log,
    pub(super) did: String,
    pub(super) state: State,
    pub(super) eids: BTreeSet<String>,
    /// The order of the list changed.
    pub(super) sort: bool,
    /// The group's info changed.
    pub(super) info: bool,
}

impl Bump {
    pub(super) fn new(
        log: Log,
        did: impl Into<String>,
        state: State,
        eids: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            log,
            did: did.into(),
            state,
            eids: eids.into_iter().collect(),
            sort: false,
            info: false,
        }
    }
}

/// One bump a key out of (key, element) pairs.
pub(super) fn bumps_by_key(log: Log, state: State, pairs: &[(String, String)]) -> Vec<Bump> {
    let mut by_key: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (did, eid) in pairs {
        by_key.entry(did).or_default().insert(eid.clone());
    }
    by_key
        .into_iter()
        .map(|(did, eids)| Bump::new(log, did, state, eids))
        .collect()
}

/// 24 random hex digits.
fn new_version_id() -> StoreResult<String> {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Database(format!("no randomness: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Bumps logs, each key at most once a call, locking them in the order (log, key) so that writers
/// cannot wait for each other in a circle (spec: sync.md 7.3). Call it after the rows are written;
/// returns the logs' new states.
pub(super) async fn bump(
    tx: &mut Tx,
    mut bumps: Vec<Bump>,
    now: i64,
) -> StoreResult<HashMap<(Log, String), Head>> {
    bumps.retain(|b| !b.eids.is_empty() || b.sort || b.info);
    bumps.sort_by(|a, b| (a.log, &a.did).cmp(&(b.log, &b.did)));
    if bumps
        .windows(2)
        .any(|w| (w[0].log, &w[0].did) == (w[1].log, &w[1].did))
    {
        return Err(StoreError::Invalid(
            "one version log is bumped twice by one change",
        ));
    }
    let ids: Vec<String> = bumps
        .iter()
        .map(|_| new_version_id())
        .collect::<StoreResult<_>>()?;
    let mut heads = Vec::with_capacity(bumps.len() * 8);
    for (b, id) in bumps.iter().zip(&ids) {
        heads.extend_from_slice(values![
            b.log as i64,
            &b.did,
            id,
            1i64,
            0i64,
            i64::from(b.sort),
            i64::from(b.info),
            now
        ]);
    }
    let rows = tx
        .rows_many(
            "INSERT INTO version_head \
             (log, did, version_id, version, floor, sort_version, info_version, updated_at)",
            8,
            &heads,
            "ON CONFLICT (log, did) DO UPDATE SET version = version_head.version + 1, \
             sort_version = CASE WHEN excluded.sort_version <> 0 \
               THEN version_head.version + 1 ELSE version_head.sort_version END, \
             info_version = CASE WHEN excluded.info_version <> 0 \
               THEN version_head.version + 1 ELSE version_head.info_version END, \
             updated_at = excluded.updated_at \
             RETURNING log, did, version_id, version",
        )
        .await?;
    let mut result = HashMap::with_capacity(rows.len());
    let mut versions: HashMap<(i64, String), Head> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let head = Head {
            version_id: row.text(2)?,
            version: row.int(3)?.cast_unsigned(),
        };
        versions.insert((row.int(0)?, row.text(1)?), head);
    }
    let mut elements = Vec::new();
    for b in &bumps {
        let head = versions
            .remove(&(b.log as i64, b.did.clone()))
            .ok_or_else(|| StoreError::Database("a bumped log was not returned".into()))?;
        for eid in &b.eids {
            elements.extend_from_slice(values![
                b.log as i64,
                &b.did,
                eid,
                b.state as i64,
                head.version.cast_signed(),
                now
            ]);
        }
        result.insert((b.log, b.did.clone()), head);
    }
    tx.execute_many(
        "INSERT INTO version_elem (log, did, eid, state, version, changed_at)",
        6,
        &elements,
        "ON CONFLICT (log, did, eid) DO UPDATE SET \
         state = excluded.state, version = excluded.version, changed_at = excluded.changed_at",
    )
    .await?;
    Ok(result)
}

struct StoredHead {
    head: Head,
    floor: u64,
    sort_version: u64,
    info_version: u64,
}

impl StoredHead {
    fn read(row: &Row) -> StoreResult<(String, Self)> {
        Ok((
            row.text(0)?,
            Self {
                head: Head {
                    version_id: row.text(1)?,
                    version: row.int(2)?.cast_unsigned(),
                },
                floor: row.int(3)?.cast_unsigned(),
                sort_version: row.int(4)?.cast_unsigned(),
                info_version: row.int(5)?.cast_unsigned(),
            },
        ))
    }

    /// What does not depend on the elements: full, or nothing new. `None`: look at the elements.
    fn decide(&self, version_id: &str, version: u64) -> Option<Changes> {
        let full = version == 0
            || version_id != self.head.version_id
            || version < self.floor
            || version > self.head.version;
        (full || version == self.head.version).then(|| self.empty(full))
    }

    fn empty(&self, full: bool) -> Changes {
        Changes {
            head: self.head.clone(),
            full,
            deleted: Vec::new(),
            inserted: Vec::new(),
            updated: Vec::new(),
            sort_version: 0,
            info_changed: false,
        }
    }

    async fn changes(
        &self,
        tx: &mut Tx,
        log: Log,
        did: &str,
        version: u64,
    ) -> StoreResult<Changes> {
        let rows = tx
            .rows(
                "SELECT eid, state FROM version_elem WHERE log = $1 AND did = $2 AND version > $3 \
                 ORDER BY version, eid LIMIT $4",
                values![
                    log as i64,
                    did,
                    version.cast_signed(),
                    MAX_CHANGES as i64 + 1
                ],
            )
            .await?;
        if rows.len() > MAX_CHANGES {
            return Ok(self.empty(true));
        }
        let mut changes = self.empty(false);
        for row in &rows {
            let list = match row.int(1)? {
                1 => &mut changes.inserted,
                2 => &mut changes.deleted,
                _ => &mut changes.updated,
            };
            list.push(row.text(0)?);
        }
        if self.sort_version > version {
            changes.sort_version = self.sort_version;
        }
        changes.info_changed = self.info_version > version;
        Ok(changes)
    }
}

/// The heads of these keys that exist.
async fn heads(tx: &mut Tx, log: Log, dids: &[String]) -> StoreResult<HashMap<String, StoredHead>> {
    let sql = format!(
        "SELECT did, version_id, version, floor, sort_version, info_version FROM version_head \
         WHERE log = $1 AND {}",
        tx.dialect().any("did", 2)
    );
    tx.rows(sql, values![log as i64, dids])
        .await?
        .iter()
        .map(StoredHead::read)
        .collect()
}

impl SqlStore {
    /// A snapshot and the heads of these keys in it; missing ones are created first, because a client
    /// needs a version to hold on to (spec: sync.md 7.8).
    async fn heads_in_snapshot(
        &self,
        log: Log,
        dids: &[String],
    ) -> StoreResult<(Tx, HashMap<String, StoredHead>)> {
        let mut tx = self.db.snapshot().await?;
        let found = heads(&mut tx, log, dids).await?;
        let mut missing: Vec<&String> = dids.iter().filter(|d| !found.contains_key(*d)).collect();
        if missing.is_empty() {
            return Ok((tx, found));
        }
        tx.commit().await?;
        missing.sort();
        missing.dedup();
        let ids: Vec<String> = missing
            .iter()
            .map(|_| new_version_id())
            .collect::<StoreResult<_>>()?;
        let mut rows: Vec<Value<'_>> = Vec::with_capacity(missing.len() * 8);
        for (did, id) in missing.iter().zip(&ids) {
            rows.extend_from_slice(values![log as i64, *did, id, 1i64, 0i64, 0i64, 0i64, 0i64]);
        }
        let mut write = self.db.write().await?;
        write
            .execute_many(
                "INSERT INTO version_head \
                 (log, did, version_id, version, floor, sort_version, info_version, updated_at)",
                8,
                &rows,
                "ON CONFLICT (log, did) DO NOTHING",
            )
            .await?;
        write.commit().await?;
        let mut tx = self.db.snapshot().await?;
        let found = heads(&mut tx, log, dids).await?;
        Ok((tx, found))
    }
}

fn gone() -> StoreError {
    StoreError::Busy("a version log went away while it was read".into())
}

#[async_trait]
impl VersionStore for SqlStore {
    async fn changes(
        &self,
        log: Log,
        key: &str,
        version_id: &str,
        version: u64,
    ) -> StoreResult<Changes> {
        let clients = [(key.to_owned(), version_id.to_owned(), version)];
        self.changes_of_many(log, &clients)
            .await?
            .pop()
            .ok_or_else(gone)
    }

    async fn changes_of_many(
        &self,
        log: Log,
        clients: &[(String, String, u64)],
    ) -> StoreResult<Vec<Changes>> {
        let dids: Vec<String> = clients.iter().map(|c| c.0.clone()).collect();
        let (mut tx, heads) = self.heads_in_snapshot(log, &dids).await?;
        let mut answers = Vec::with_capacity(clients.len());
        for (did, version_id, version) in clients {
            let head = heads.get(did).ok_or_else(gone)?;
            answers.push(match head.decide(version_id, *version) {
                Some(decided) => decided,
                None => head.changes(&mut tx, log, did, *version).await?,
            });
        }
        tx.commit().await?;
        Ok(answers)
    }

    async fn full_ids(&self, log: Log, key: &str) -> StoreResult<FullIds> {
        let (mut tx, mut heads) = self.heads_in_snapshot(log, &[key.to_owned()]).await?;
        let head = heads.remove(key).ok_or_else(gone)?.head;
        let sql = match log {
            Log::Friends => super::relations::FRIEND_IDS,
            Log::Members => super::groups::MEMBER_IDS,
            Log::Joined => super::groups::JOINED_IDS,
            Log::Conversations => super::conversations::IDS,
        };
        let rows = tx.rows(sql, values![key]).await?;
        tx.commit().await?;
        Ok(FullIds {
            head,
            ids: texts(&rows)?,
        })
    }
}
