//! `/user/*`: registration, profiles, the global receive option (spec: user.md 2, 3).

use super::check::{self, MAX_ID, MAX_NAME, MAX_TEXT};
use super::codec::Empty;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::users;
use crate::store::{Page, User, UserFilter, UserPatch};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::sdkws::UserInfo;
use ringwire_protocol::pb::user::account_check_resp::SingleUserStatus;
use ringwire_protocol::pb::user::{
    AccountCheckReq, AccountCheckResp, GetAllUserIdReq, GetAllUserIdResp, GetDesignateUsersReq,
    GetDesignateUsersResp, GetPaginationUsersReq, GetPaginationUsersResp,
    SetGlobalRecvMessageOptReq, UpdateUserInfoExReq, UpdateUserInfoReq, UserRegisterReq,
};
use std::collections::HashSet;

/// appMangerLevels there are.
const LEVELS: std::ops::RangeInclusive<i32> = 0..=4;

/// Levels that `/user/get_users` lists.
const LISTED_LEVELS: [i32; 2] = [0, 1];

/// Registers users, all or none.
pub(super) async fn user_register(
    app: &App,
    caller: Caller,
    request: UserRegisterReq,
) -> Result<Empty, ApiError> {
    check::list("users", &request.users)?;
    for user in &request.users {
        if !legal_id(&user.user_id) {
            return Err(ApiError::args("userID is legal"));
        }
    }
    if request.users.iter().any(|user| user.nickname.is_empty()) {
        return Err(ApiError::args("user name is empty"));
    }
    caller.require_admin()?;
    let mut seen = HashSet::new();
    if !request
        .users
        .iter()
        .all(|user| seen.insert(user.user_id.as_str()))
    {
        return Err(ApiError::args("userID repeated"));
    }
    for user in &request.users {
        check::present("userID", &user.user_id)?;
        check::length("userID", &user.user_id, MAX_ID)?;
        profile_lengths(&user.nickname, &user.face_url, &user.ex)?;
        check::global_recv_opt(user.global_recv_msg_opt)?;
        if !LEVELS.contains(&user.app_manger_level) {
            return Err(ApiError::args("appMangerLevel is invalid"));
        }
    }
    users::register(app, request.users).await?;
    Ok(Empty)
}

/// Letters, digits and `_`; emptiness is another check.
fn legal_id(id: &str) -> bool {
    id.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn profile_lengths(nickname: &str, face_url: &str, ex: &str) -> Result<(), ApiError> {
    check::length("nickname", nickname, MAX_NAME)?;
    check::length("faceURL", face_url, MAX_TEXT)?;
    check::length("ex", ex, MAX_TEXT)
}

/// The old update: only what is not empty is written.
pub(super) async fn update_user_info(
    app: &App,
    caller: Caller,
    request: UpdateUserInfoReq,
) -> Result<Empty, ApiError> {
    let info = request
        .user_info
        .ok_or_else(|| ApiError::args("UserInfo is empty"))?;
    check::present("UserID", &info.user_id)?;
    profile_lengths(&info.nickname, &info.face_url, &info.ex)?;
    check::global_recv_opt(info.global_recv_msg_opt)?;
    caller.require_self(&info.user_id)?;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let patch = UserPatch {
        nickname: text(info.nickname),
        face_url: text(info.face_url),
        ex: text(info.ex),
        global_recv_opt: Some(info.global_recv_msg_opt).filter(|opt| *opt != 0),
    };
    users::update(app, &caller, &info.user_id, &patch).await?;
    Ok(Empty)
}

/// The update that SDKs call: every field that is there is written.
pub(super) async fn update_user_info_ex(
    app: &App,
    caller: Caller,
    request: UpdateUserInfoExReq,
) -> Result<Empty, ApiError> {
    let info = request
        .user_info
        .ok_or_else(|| ApiError::args("userInfo is empty"))?;
    check::present("userID", &info.user_id)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    profile_lengths(
        &text(&info.nickname),
        &text(&info.face_url),
        &text(&info.ex),
    )?;
    check::global_recv_opt(info.global_recv_msg_opt.unwrap_or_default())?;
    caller.require_self(&info.user_id)?;
    let patch = UserPatch {
        nickname: info.nickname,
        face_url: info.face_url,
        ex: info.ex,
        global_recv_opt: info.global_recv_msg_opt,
    };
    users::update(app, &caller, &info.user_id, &patch).await?;
    Ok(Empty)
}

/// Sets what a user receives in single chats.
pub(super) async fn set_global_msg_recv_opt(
    app: &App,
    caller: Caller,
    request: SetGlobalRecvMessageOptReq,
) -> Result<Empty, ApiError> {
    check::global_recv_opt(request.global_recv_msg_opt)?;
    check::present("UserID", &request.user_id)?;
    if !app.config.control.legacy_open_routes {
        caller.require_self(&request.user_id)?;
    }
    let patch = UserPatch {
        global_recv_opt: Some(request.global_recv_msg_opt),
        ..UserPatch::default()
    };
    users::update(app, &caller, &request.user_id, &patch).await?;
    Ok(Empty)
}

/// Profiles by id, in the order asked for; unknown ids are left out.
pub(super) async fn get_users_info(
    app: &App,
    _: Caller,
    request: GetDesignateUsersReq,
) -> Result<GetDesignateUsersResp, ApiError> {
    check::list("UserIDs", &request.user_i_ds)?;
    let found = app.stores.users.get(&request.user_i_ds).await?;
    Ok(GetDesignateUsersResp {
        users_info: found.into_iter().map(info).collect(),
    })
}

/// Ordinary users, filtered by id or nickname.
pub(super) async fn get_users(
    app: &App,
    caller: Caller,
    request: GetPaginationUsersReq,
) -> Result<GetPaginationUsersResp, ApiError> {
    let page: Page = check::page(request.pagination.as_ref())?;
    caller.require_admin_unless(app.config.control.legacy_open_routes)?;
    let filter = UserFilter {
        levels: LISTED_LEVELS.to_vec(),
        user_id: request.user_id,
        nickname: request.nick_name,
    };
    let (total, found) = app.stores.users.page(&filter, page).await?;
    Ok(GetPaginationUsersResp {
        total: users::total(total),
        users: found.into_iter().map(info).collect(),
    })
}

/// Ids of all users.
pub(super) async fn get_all_users_uid(
    app: &App,
    caller: Caller,
    request: GetAllUserIdReq,
) -> Result<GetAllUserIdResp, ApiError> {
    let page = check::page(request.pagination.as_ref())?;
    caller.require_admin_unless(app.config.control.legacy_open_routes)?;
    let (total, user_i_ds) = app.stores.users.page_ids(page).await?;
    Ok(GetAllUserIdResp {
        total: users::total(total),
        user_i_ds,
    })
}

/// Which ids are registered.
pub(super) async fn account_check(
    app: &App,
    caller: Caller,
    request: AccountCheckReq,
) -> Result<AccountCheckResp, ApiError> {
    check::list("CheckUserIDs", &request.check_user_i_ds)?;
    check::unique("userID", &request.check_user_i_ds)?;
    caller.require_admin()?;
    let existing: HashSet<String> = app
        .stores
        .users
        .existing(&request.check_user_i_ds)
        .await?
        .into_iter()
        .collect();
    let results = request
        .check_user_i_ds
        .into_iter()
        .map(|user_id| SingleUserStatus {
            account_status: i32::from(existing.contains(&user_id)),
            user_id,
        })
        .collect();
    Ok(AccountCheckResp { results })
}

fn info(user: User) -> UserInfo {
    users::info(&user)
}

#[cfg(test)]
mod tests {
    use super::legal_id;

    #[test]
    fn ids_are_letters_digits_and_underscores_of_any_script() {
        for (id, legal) in [
            ("a_1", true),
            ("用户", true),
            ("ü", true),
            ("", true),
            ("a:b", false),
            ("a b", false),
            ("a-b", false),
        ] {
            assert_eq!(legal_id(id), legal, "{id}");
        }
    }
}
