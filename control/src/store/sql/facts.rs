//! Facts, read in bulk.

use super::super::groups::STATUS_DISMISSED;
use super::super::{FactStore, StoreResult};
use super::SqlStore;
use super::db::Tx;
use super::value::{Value, values};
use async_trait::async_trait;
use ringwire_link::facts::{Fact, FactKey, GroupFact, MemberFact, PairFact, UserFact};
use ringwire_protocol::conversation_id;
use std::collections::{HashMap, HashSet};

type Pair = (String, String);

/// What the keys ask for, sorted by kind.
#[derive(Default)]
struct Wanted {
    users: Vec<String>,
    groups: Vec<String>,
    /// Both directions of each pair.
    directions: Vec<Pair>,
    /// (owner, single conversation) of both sides of each pair.
    records: Vec<Pair>,
    members: Vec<Pair>,
    users_groups: Vec<String>,
}

/// The answers by key.
#[derive(Default)]
struct Found {
    users: HashMap<String, UserFact>,
    groups: HashMap<String, GroupFact>,
    friends: HashSet<Pair>,
    blacks: HashSet<Pair>,
    recv_opts: HashMap<Pair, i32>,
    members: HashMap<Pair, MemberFact>,
    users_groups: HashMap<String, Vec<String>>,
}

fn wanted(keys: &[FactKey]) -> Wanted {
    let mut wanted = Wanted::default();
    for key in keys {
        match key {
            FactKey::User(user) => wanted.users.push(user.clone()),
            FactKey::Group(group) => wanted.groups.push(group.clone()),
            FactKey::Pair(a, b) => {
                wanted.directions.push((a.clone(), b.clone()));
                wanted.directions.push((b.clone(), a.clone()));
                let conversation = conversation_id::single(a, b);
                wanted.records.push((a.clone(), conversation.clone()));
                wanted.records.push((b.clone(), conversation));
            }
            FactKey::Member { group_id, user_id } => {
                wanted.members.push((group_id.clone(), user_id.clone()))
            }
            FactKey::UserGroups(user) => wanted.users_groups.push(user.clone()),
        }
    }
    wanted
}

async fn find(tx: &mut Tx, wanted: &Wanted) -> StoreResult<Found> {
    let mut found = Found::default();
    let dialect = tx.dialect();
    let pairs = dialect.pairs(1);
    if !wanted.users.is_empty() {
        let sql = format!(
            "SELECT user_id, level, global_recv_opt FROM users WHERE {}",
            dialect.any("user_id", 1)
        );
        for row in tx.rows(sql, values![wanted.users.as_slice()]).await? {
            found.users.insert(
                row.text(0)?,
                UserFact {
                    level: row.small(1)?,
                    global_recv_opt: row.small(2)?,
                },
            );
        }
    }
    if !wanted.groups.is_empty() {
        let sql = format!(
            "SELECT group_id, status, group_type FROM chat_groups WHERE {}",
            dialect.any("group_id", 1)
        );
        for row in tx.rows(sql, values![wanted.groups.as_slice()]).await? {
            found.groups.insert(
                row.text(0)?,
                GroupFact {
                    status: row.small(1)?,
                    group_type: row.small(2)?,
                },
            );
        }
    }
    if !wanted.directions.is_empty() {
        let directions = [Value::Pairs(&wanted.directions)];
        let sql = format!(
            "SELECT f.owner_id, f.friend_id FROM {pairs} p JOIN friends f ON f.owner_id = p.a AND f.friend_id = p.b"
        );
        for row in tx.rows(sql, &directions).await? {
            found.friends.insert((row.text(0)?, row.text(1)?));
        }
        let sql = format!(
            "SELECT x.owner_id, x.block_id FROM {pairs} p JOIN blacks x ON x.owner_id = p.a AND x.block_id = p.b"
        );
        for row in tx.rows(sql, &directions).await? {
            found.blacks.insert((row.text(0)?, row.text(1)?));
        }
        let sql = format!(
            "SELECT c.owner_id, c.conversation_id, c.recv_msg_opt FROM {pairs} p \
             JOIN conversations c ON c.owner_id = p.a AND c.conversation_id = p.b"
        );
        for row in tx.rows(sql, &[Value::Pairs(&wanted.records)]).await? {
            found
                .recv_opts
                .insert((row.text(0)?, row.text(1)?), row.small(2)?);
        }
    }
    if !wanted.members.is_empty() {
        let sql = format!(
            "SELECT m.group_id, m.user_id, m.role, m.mute_end_time FROM {pairs} p \
             JOIN group_members m ON m.group_id = p.a AND m.user_id = p.b"
        );
        for row in tx.rows(sql, &[Value::Pairs(&wanted.members)]).await? {
            found.members.insert(
                (row.text(0)?, row.text(1)?),
                MemberFact {
                    role: row.small(2)?,
                    mute_end_ms: row.int(3)?,
                },
            );
        }
    }
    if !wanted.users_groups.is_empty() {
        let sql = format!(
            "SELECT m.user_id, m.group_id FROM group_members m \
             JOIN chat_groups g ON g.group_id = m.group_id AND g.status <> $2 WHERE {} ORDER BY m.row_id",
            dialect.any("m.user_id", 1)
        );
        for row in tx
            .rows(
                sql,
                values![wanted.users_groups.as_slice(), STATUS_DISMISSED],
            )
            .await?
        {
            found
                .users_groups
                .entry(row.text(0)?)
                .or_default()
                .push(row.text(1)?);
        }
    }
    Ok(found)
}

fn pair_fact(found: &Found, a: &str, b: &str) -> PairFact {
    let ab = (a.to_owned(), b.to_owned());
    let ba = (b.to_owned(), a.to_owned());
    let conversation = conversation_id::single(a, b);
    let recv_opt = |user: &str| {
        found
            .recv_opts
            .get(&(user.to_owned(), conversation.clone()))
            .copied()
    };
    PairFact {
        a_blocks_b: found.blacks.contains(&ab),
        b_blocks_a: found.blacks.contains(&ba),
        a_lists_b: found.friends.contains(&ab),
        b_lists_a: found.friends.contains(&ba),
        a_recv_opt: recv_opt(a),
        b_recv_opt: recv_opt(b),
    }
}

#[async_trait]
impl FactStore for SqlStore {
    async fn facts(&self, keys: &[FactKey]) -> StoreResult<Vec<Fact>> {
        let mut tx = self.db.snapshot().await?;
        let found = find(&mut tx, &wanted(keys)).await?;
        tx.commit().await?;
        Ok(keys
            .iter()
            .map(|key| match key {
                FactKey::User(user) => Fact::User(found.users.get(user).cloned()),
                FactKey::Pair(a, b) => Fact::Pair(pair_fact(&found, a, b)),
                FactKey::Group(group) => Fact::Group(found.groups.get(group).cloned()),
                FactKey::Member { group_id, user_id } => Fact::Member(
                    found
                        .members
                        .get(&(group_id.clone(), user_id.clone()))
                        .cloned(),
                ),
                FactKey::UserGroups(user) => {
                    Fact::UserGroups(found.users_groups.get(user).cloned().unwrap_or_default())
                }
            })
            .collect())
    }
}
