//! `/user/*`: who is online, and where (spec: user.md 4).

use super::check;
use super::codec::List;
use crate::app::App;
use crate::domain::caller::Caller;
use ringwire_link::message::SessionInfo;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msggateway::get_users_online_status_resp::{
    SuccessDetail, SuccessResult,
};
use ringwire_protocol::pb::msggateway::{
    GetUsersOnlineStatusReq, SingleDetail, SinglePlatformToken,
};
use ringwire_protocol::pb::user::{
    GetSubscribeUsersStatusReq, GetSubscribeUsersStatusResp, GetUserStatusReq, GetUserStatusResp,
    OnlineStatus, SubscribeOrCancelUsersStatusReq, SubscribeOrCancelUsersStatusResp,
};
use std::collections::{BTreeMap, HashMap};

const ONLINE: i32 = 1;
const OFFLINE: i32 = 0;

/// Status and platforms, one entry an id asked for.
pub(super) async fn get_users_status(
    app: &App,
    _: Caller,
    request: GetUserStatusReq,
) -> Result<GetUserStatusResp, ApiError> {
    check::list("UserIDs", &request.user_i_ds)?;
    let status_list = request
        .user_i_ds
        .into_iter()
        .map(|user_id| {
            let platform_i_ds = app.gateways.platforms(&user_id);
            let status = if platform_i_ds.is_empty() {
                OFFLINE
            } else {
                ONLINE
            };
            OnlineStatus {
                user_id,
                status,
                platform_i_ds,
            }
        })
        .collect();
    Ok(GetUserStatusResp { status_list })
}

/// Every session of the users asked for.
pub(super) async fn get_users_online_status(
    app: &App,
    caller: Caller,
    request: GetUsersOnlineStatusReq,
) -> Result<List<SuccessResult>, ApiError> {
    caller.require_admin()?;
    check::short_list("userIDs", &request.user_i_ds)?;
    let sessions = sessions(app, &request.user_i_ds).await;
    let results = request
        .user_i_ds
        .into_iter()
        .map(|user_id| {
            let held = sessions.get(&user_id).map_or(&[][..], Vec::as_slice);
            SuccessResult {
                status: if held.is_empty() { OFFLINE } else { ONLINE },
                detail_platform_status: held
                    .iter()
                    .map(|session| SuccessDetail {
                        platform_id: session.platform_id,
                        conn_id: session.conn_id.clone(),
                        is_background: session.background,
                        // The token of a device is nobody else's business.
                        token: String::new(),
                    })
                    .collect(),
                user_id,
            }
        })
        .collect();
    Ok(List(results))
}

/// Sessions by platform of those users who are online. The tokens themselves are not shown.
pub(super) async fn get_users_online_token_detail(
    app: &App,
    caller: Caller,
    request: GetUsersOnlineStatusReq,
) -> Result<List<SingleDetail>, ApiError> {
    caller.require_admin()?;
    check::short_list("userIDs", &request.user_i_ds)?;
    let mut sessions = sessions(app, &request.user_i_ds).await;
    let details = request
        .user_i_ds
        .into_iter()
        .filter_map(|user_id| {
            let mut by_platform: BTreeMap<i32, usize> = BTreeMap::new();
            for session in sessions.remove(&user_id)? {
                *by_platform.entry(session.platform_id).or_default() += 1;
            }
            let single_platform_token = by_platform
                .into_iter()
                .map(|(platform_id, count)| SinglePlatformToken {
                    platform_id,
                    total: i32::try_from(count).unwrap_or(i32::MAX),
                    token: vec![String::new(); count],
                })
                .collect();
            Some(SingleDetail {
                user_id,
                status: ONLINE,
                single_platform_token,
            })
        })
        .collect();
    Ok(List(details))
}

async fn sessions(app: &App, user_ids: &[String]) -> HashMap<String, Vec<SessionInfo>> {
    let mut by_user: HashMap<String, Vec<SessionInfo>> = HashMap::new();
    if !user_ids.is_empty() {
        let mut distinct = user_ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        for session in app.gateways.sessions(&distinct).await {
            by_user
                .entry(session.user_id.clone())
                .or_default()
                .push(session);
        }
    }
    by_user
}

/// Checked and without effect: watching is done over the WebSocket (2005).
pub(super) async fn subscribe_users_status(
    _: &App,
    _: Caller,
    request: SubscribeOrCancelUsersStatusReq,
) -> Result<SubscribeOrCancelUsersStatusResp, ApiError> {
    check::present("UserID", &request.user_id)?;
    check::list("UserIDs", &request.user_i_ds)?;
    if !matches!(request.genre, 1 | 2) {
        return Err(ApiError::args("genre is invalid"));
    }
    Ok(SubscribeOrCancelUsersStatusResp::default())
}

/// Checked and without effect, like [`subscribe_users_status`].
pub(super) async fn get_subscribe_users_status(
    _: &App,
    _: Caller,
    request: GetSubscribeUsersStatusReq,
) -> Result<GetSubscribeUsersStatusResp, ApiError> {
    check::present("UserID", &request.user_id)?;
    Ok(GetSubscribeUsersStatusResp::default())
}
