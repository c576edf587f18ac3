//! Users: registration, changes of a profile, and what follows from them (spec: user.md 1-3, 8).

use super::caller::Caller;
use super::notification;
use crate::app::App;
use crate::clock::unix_ms;
use crate::store::{StoreError, User, UserPatch};
use ringwire_config::Config;
use ringwire_link::facts::FactChange;
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::pb::sdkws::{PublicUserInfo, UserInfo};

/// appMangerLevel of configured admins.
pub const ADMIN_LEVEL: i32 = 2;

/// Nickname of an admin for whom none is configured.
const ADMIN_NICKNAME: &str = "superAdmin";

/// The configured admins with their nicknames.
pub fn admins(config: &Config) -> Vec<(String, String)> {
    let names = &config.shared.admin_nicknames;
    let name = |at: usize| {
        names
            .get(at)
            .map_or(ADMIN_NICKNAME, String::as_str)
            .to_owned()
    };
    config
        .shared
        .admin_user_ids
        .iter()
        .enumerate()
        .map(|(at, id)| (id.clone(), name(at)))
        .collect()
}

/// Registers users that were checked, all or none. `createTime` is now, whatever they say.
///
/// # Errors
/// 1102 when one is registered already.
pub async fn register(app: &App, infos: Vec<UserInfo>) -> Result<(), ApiError> {
    let create_time = unix_ms();
    let users: Vec<User> = infos
        .into_iter()
        .map(|info| User {
            user_id: info.user_id,
            nickname: info.nickname,
            face_url: info.face_url,
            ex: info.ex,
            create_time,
            level: info.app_manger_level,
            global_recv_opt: info.global_recv_msg_opt,
        })
        .collect();
    match app.stores.users.insert(&users).await {
        Ok(()) => {}
        Err(StoreError::Duplicate(_)) => {
            return Err(ApiError::new(
                ErrorCode::RegisteredAlready,
                "userID registered already",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    // A gateway may have learned that they do not exist.
    app.gateways
        .apply(
            users
                .into_iter()
                .map(|user| FactChange::User(user.user_id))
                .collect(),
        )
        .await;
    Ok(())
}

/// Writes what the patch holds. When that changes anything, the user's devices are told (1303).
///
/// # Errors
/// 1004 for an unknown user.
pub async fn update(
    app: &App,
    caller: &Caller,
    user_id: &str,
    patch: &UserPatch,
) -> Result<(), ApiError> {
    let told = notification::user_info_updated(caller, user_id)?;
    let update = app
        .stores
        .users
        .update(user_id, patch, vec![told], true)
        .await
        .map_err(|error| match error {
            StoreError::NotFound(_) => ApiError::not_found("userID not found"),
            other => other.into(),
        })?;
    if update.old == update.new {
        return Ok(());
    }
    app.gateways.outbox_ready();
    if update.old.global_recv_opt != update.new.global_recv_opt {
        app.gateways
            .apply(vec![FactChange::User(user_id.to_owned())])
            .await;
    }
    Ok(())
}

/// The full record as clients see it.
pub fn info(user: &User) -> UserInfo {
    UserInfo {
        user_id: user.user_id.clone(),
        nickname: user.nickname.clone(),
        face_url: user.face_url.clone(),
        ex: user.ex.clone(),
        create_time: user.create_time,
        app_manger_level: user.level,
        global_recv_msg_opt: user.global_recv_opt,
    }
}

/// What others see of a user.
pub fn public_info(user: &User) -> PublicUserInfo {
    PublicUserInfo {
        user_id: user.user_id.clone(),
        nickname: user.nickname.clone(),
        face_url: user.face_url.clone(),
        ex: user.ex.clone(),
    }
}

/// A total as the 32-bit field that carries it.
pub fn total(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_without_a_nickname_get_the_default() {
        let mut config = Config {
            shared: Default::default(),
            gateway: Default::default(),
            control: Default::default(),
        };
        config.shared.admin_user_ids = vec!["a".into(), "b".into()];
        config.shared.admin_nicknames = vec!["Ada".into()];
        assert_eq!(
            admins(&config),
            [
                ("a".into(), "Ada".into()),
                ("b".into(), "superAdmin".into())
            ]
        );
    }
}
