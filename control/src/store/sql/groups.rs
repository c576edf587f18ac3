//! Groups, members, join requests.

use super::super::groups::{ROLE_ADMIN, ROLE_MEMBER, ROLE_OWNER, STATUS_DISMISSED};
use super::super::users::MAX_ID_BYTES;
use super::super::{
    Group, GroupStore, Log, Member, MemberFilter, NewMember, Page, StoreError, StoreResult,
};
use super::db::{Row, texts};
use super::dialect::contains;
use super::value::{Value, values};
use super::versions::{Bump, State, bump};
use super::{SqlStore, in_order};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// Member ids of group `$1` in display order.
pub(super) const MEMBER_IDS: &str =
    "SELECT user_id FROM group_members WHERE group_id = $1 ORDER BY role DESC, row_id";

/// Ids of the groups that user `$1` is in, in display order, dismissed ones left out.
pub(super) const JOINED_IDS: &str = "SELECT m.group_id FROM group_members m \
     JOIN chat_groups g ON g.group_id = m.group_id AND g.status <> 2 \
     WHERE m.user_id = $1 ORDER BY m.role DESC, m.row_id";

/// The group's row, its owner and the number of its members.
const GROUP: &str = "g.group_id, g.name, g.notification, g.introduction, g.face_url, g.create_time, g.ex, g.status, \
     g.creator_id, g.group_type, g.need_verification, g.look_member_info, g.apply_member_friend, \
     g.notification_update_time, g.notification_user_id, \
     (SELECT o.user_id FROM group_members o WHERE o.group_id = g.group_id AND o.role = 100 \
       ORDER BY o.row_id LIMIT 1), \
     (SELECT COUNT(*) FROM group_members c WHERE c.group_id = g.group_id)";

/// The member's row with the user's name and face where the member has none; needs [`MEMBER_FROM`].
const MEMBER: &str = "m.group_id, m.user_id, \
     CASE WHEN m.nickname <> '' THEN m.nickname ELSE u.nickname END, \
     CASE WHEN m.face_url <> '' THEN m.face_url ELSE u.face_url END, \
     m.role, m.join_time, m.join_source, m.inviter_id, m.operator_id, m.mute_end_time, m.ex";

const MEMBER_FROM: &str = "group_members m LEFT JOIN users u ON u.user_id = m.user_id";

fn read_group(row: &Row) -> StoreResult<Group> {
    Ok(Group {
        group_id: row.text(0)?,
        name: row.text(1)?,
        notification: row.text(2)?,
        introduction: row.text(3)?,
        face_url: row.text(4)?,
        create_time: row.int(5)?,
        ex: row.text(6)?,
        status: row.small(7)?,
        creator_id: row.text(8)?,
        group_type: row.small(9)?,
        need_verification: row.small(10)?,
        look_member_info: row.small(11)?,
        apply_member_friend: row.small(12)?,
        notification_update_time: row.int(13)?,
        notification_user_id: row.text(14)?,
        owner_id: row.text(15)?,
        member_count: row.int(16)?,
    })
}

fn read_member(row: &Row) -> StoreResult<Member> {
    Ok(Member {
        group_id: row.text(0)?,
        user_id: row.text(1)?,
        nickname: row.text(2)?,
        face_url: row.text(3)?,
        role: row.small(4)?,
        join_time: row.int(5)?,
        join_source: row.small(6)?,
        inviter_id: row.text(7)?,
        operator_id: row.text(8)?,
        mute_end_time: row.int(9)?,
        ex: row.text(10)?,
    })
}

fn roles(filter: MemberFilter) -> (i32, i32) {
    match filter {
        MemberFilter::All => (i32::MIN, i32::MAX),
        MemberFilter::Owner => (ROLE_OWNER, ROLE_OWNER),
        MemberFilter::Admins => (ROLE_ADMIN, ROLE_ADMIN),
        MemberFilter::Ordinary => (ROLE_MEMBER, ROLE_MEMBER),
        MemberFilter::AdminsAndOrdinary => (ROLE_MEMBER, ROLE_ADMIN),
        MemberFilter::OwnerAndAdmins => (ROLE_ADMIN, ROLE_OWNER),
    }
}

/// Inserts member rows of a group; those that exist are left alone. Returns the ids inserted.
async fn insert_members(
    tx: &mut super::db::Tx,
    group_id: &str,
    members: &[NewMember],
) -> StoreResult<Vec<String>> {
    let mut rows = Vec::with_capacity(members.len() * 11);
    for m in members {
        rows.extend_from_slice(values![
            group_id,
            &m.user_id,
            &m.nickname,
            &m.face_url,
            m.role,
            m.join_time,
            m.join_source,
            &m.inviter_id,
            &m.operator_id,
            m.mute_end_time,
            &m.ex
        ]);
    }
    let added = tx.rows_many(
        "INSERT INTO group_members (group_id, user_id, nickname, face_url, role, join_time, join_source, \
         inviter_id, operator_id, mute_end_time, ex)",
        11,
        &rows,
        "ON CONFLICT (group_id, user_id) DO NOTHING RETURNING user_id",
    )
    .await?;
    texts(&added)
}

#[async_trait]
impl GroupStore for SqlStore {
    async fn get(&self, ids: &[String]) -> StoreResult<Vec<Group>> {
        let sql = format!(
            "SELECT {GROUP} FROM chat_groups g WHERE {}",
            self.db.dialect().any("g.group_id", 1)
        );
        let rows = self.db.rows(sql, values![ids]).await?;
        let groups = rows
            .iter()
            .map(read_group)
            .collect::<StoreResult<Vec<_>>>()?;
        Ok(in_order(ids, groups, |g| &g.group_id))
    }

    async fn joined(&self, user_id: &str, page: Page) -> StoreResult<(i64, Vec<Group>)> {
        let from = "group_members m JOIN chat_groups g ON g.group_id = m.group_id AND g.status <> $2 \
                    WHERE m.user_id = $1";
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(
                format!("SELECT COUNT(*) FROM {from}"),
                values![user_id, STATUS_DISMISSED],
            )
            .await?;
        let rows = tx
            .rows(
                format!(
                    "SELECT {GROUP} FROM {from} ORDER BY m.role DESC, m.row_id LIMIT $3 OFFSET $4"
                ),
                values![
                    user_id,
                    STATUS_DISMISSED,
                    page.limit.max(0),
                    page.offset.max(0)
                ],
            )
            .await?;
        tx.commit().await?;
        Ok((
            total,
            rows.iter().map(read_group).collect::<StoreResult<_>>()?,
        ))
    }

    async fn joined_ids(&self, user_id: &str) -> StoreResult<Vec<String>> {
        self.db.texts(JOINED_IDS, values![user_id]).await
    }

    async fn members(
        &self,
        group_id: &str,
        filter: MemberFilter,
        keyword: &str,
        page: Page,
    ) -> StoreResult<(i64, Vec<Member>)> {
        let (low, high) = roles(filter);
        let pattern = contains(keyword);
        let mut parameters = values![group_id, low, high].to_vec();
        let mut wheres = "m.group_id = $1 AND m.role >= $2 AND m.role <= $3".to_owned();
        if !keyword.is_empty() {
            parameters.push(Value::Text(&pattern));
            wheres.push_str(
                " AND LOWER(CASE WHEN m.nickname <> '' THEN m.nickname ELSE u.nickname END) \
                 LIKE LOWER($4) ESCAPE '\\'",
            );
        }
        let mut tx = self.db.snapshot().await?;
        let total = tx
            .int(
                format!("SELECT COUNT(*) FROM {MEMBER_FROM} WHERE {wheres}"),
                &parameters,
            )
            .await?;
        let n = parameters.len();
        parameters.extend_from_slice(values![page.limit.max(0), page.offset.max(0)]);
        let sql = format!(
            "SELECT {MEMBER} FROM {MEMBER_FROM} WHERE {wheres} ORDER BY m.role DESC, m.row_id LIMIT ${} OFFSET ${}",
            n + 1,
            n + 2
        );
        let rows = tx.rows(sql, &parameters).await?;
        tx.commit().await?;
        Ok((
            total,
            rows.iter().map(read_member).collect::<StoreResult<_>>()?,
        ))
    }

    async fn members_by_id(&self, group_id: &str, user_ids: &[String]) -> StoreResult<Vec<Member>> {
        let sql = format!(
            "SELECT {MEMBER} FROM {MEMBER_FROM} WHERE m.group_id = $1 AND {}",
            self.db.dialect().any("m.user_id", 2)
        );
        let rows = self.db.rows(sql, values![group_id, user_ids]).await?;
        let members = rows
            .iter()
            .map(read_member)
            .collect::<StoreResult<Vec<_>>>()?;
        Ok(in_order(user_ids, members, |m| &m.user_id))
    }

    async fn memberships(&self, user_id: &str, group_ids: &[String]) -> StoreResult<Vec<Member>> {
        let sql = format!(
            "SELECT {MEMBER} FROM {MEMBER_FROM} WHERE m.user_id = $1 AND {}",
            self.db.dialect().any("m.group_id", 2)
        );
        let rows = self.db.rows(sql, values![user_id, group_ids]).await?;
        let members = rows
            .iter()
            .map(read_member)
            .collect::<StoreResult<Vec<_>>>()?;
        Ok(in_order(group_ids, members, |m| &m.group_id))
    }

    async fn member_ids(&self, group_id: &str) -> StoreResult<Vec<String>> {
        self.db.texts(MEMBER_IDS, values![group_id]).await
    }

    async fn unhandled_requests(&self, user_id: &str, after: i64) -> StoreResult<i64> {
        self.db
            .int(
                "SELECT COUNT(*) FROM group_members m JOIN group_requests r ON r.group_id = m.group_id \
                 WHERE m.user_id = $1 AND m.role >= $2 AND r.handle_result = 0 AND r.req_time > $3",
                values![user_id, ROLE_ADMIN, after],
            )
            .await
    }

    async fn create(&self, group: &Group, members: &[NewMember]) -> StoreResult<()> {
        if group.group_id.len() > MAX_ID_BYTES {
            return Err(StoreError::Invalid("groupID is too long"));
        }
        let mut tx = self.db.write().await?;
        let created = tx
            .execute(
                "INSERT INTO chat_groups (group_id, name, notification, introduction, face_url, create_time, ex, \
                 status, creator_id, group_type, need_verification, look_member_info, apply_member_friend, \
                 notification_update_time, notification_user_id) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
                 ON CONFLICT (group_id) DO NOTHING",
                values![
                    &group.group_id,
                    &group.name,
                    &group.notification,
                    &group.introduction,
                    &group.face_url,
                    group.create_time,
                    &group.ex,
                    group.status,
                    &group.creator_id,
                    group.group_type,
                    group.need_verification,
                    group.look_member_info,
                    group.apply_member_friend,
                    group.notification_update_time,
                    &group.notification_user_id
                ],
            )
            .await?;
        if created == 0 {
            return Err(StoreError::Duplicate(group.group_id.clone()));
        }
        let joined = insert_members(&mut tx, &group.group_id, members).await?;
        let by_user: BTreeMap<&String, ()> = joined.iter().map(|u| (u, ())).collect();
        let mut bumps: Vec<Bump> = by_user
            .keys()
            .map(|u| {
                Bump::new(
                    Log::Joined,
                    u.as_str(),
                    State::Insert,
                    [group.group_id.clone()],
                )
            })
            .collect();
        bumps.push(Bump::new(
            Log::Members,
            group.group_id.as_str(),
            State::Insert,
            joined.iter().cloned(),
        ));
        bump(&mut tx, bumps, group.create_time).await?;
        tx.commit().await
    }
}
