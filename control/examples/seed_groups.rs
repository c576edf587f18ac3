//! Puts groups into a database that no control is using, for tests of what groups do before there are
//! routes that make them:
//!
//! ```text
//! seed_groups sqlite:data/ringwire.db < groups.json
//! ```
//!
//! Standard input is a JSON list of
//! `{"groupID": "g", "status": 0, "groupType": 2, "members": [{"userID": "u", "role": 20, "muteEndTime": 0}]}`.

use ringwire_control::store::{Group, Member, Stores};
use serde::Deserialize;
use std::error::Error;

/// Unix milliseconds at which the groups were made.
const MADE: i64 = 1_700_000_000_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewGroup {
    #[serde(rename = "groupID")]
    group_id: String,
    #[serde(default)]
    status: i32,
    group_type: i32,
    members: Vec<NewMember>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewMember {
    #[serde(rename = "userID")]
    user_id: String,
    role: i32,
    #[serde(default)]
    mute_end_time: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: seed_groups URL")?;
    let groups: Vec<NewGroup> = serde_json::from_reader(std::io::stdin())?;
    let stores = Stores::open(&url, 1).await?;
    for new in groups {
        let group = Group {
            name: format!("Group {}", new.group_id),
            group_id: new.group_id,
            status: new.status,
            group_type: new.group_type,
            create_time: MADE,
            ..Group::default()
        };
        let member = |new: NewMember| Member {
            user_id: new.user_id,
            role: new.role,
            mute_end_time: new.mute_end_time,
            join_time: MADE,
            join_source: 2,
            ..Member::default()
        };
        let members: Vec<_> = new.members.into_iter().map(member).collect();
        stores.groups.create(&group, &members).await?;
    }
    Ok(())
}
