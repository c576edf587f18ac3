//! `/user/*_user_client_config` (spec: user.md 5.3): key/value settings handed to SDKs.

use super::check::{self, MAX_NAME, MAX_TEXT};
use super::codec::Empty;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::store::Page;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::user::{
    ClientConfig, DelUserClientConfigReq, GetUserClientConfigReq, GetUserClientConfigResp,
    PageUserClientConfigReq, PageUserClientConfigResp, SetUserClientConfigReq,
};

/// The settings for everyone, overlaid by the user's own.
pub(super) async fn get_user_client_config(
    app: &App,
    caller: Caller,
    request: GetUserClientConfigReq,
) -> Result<GetUserClientConfigResp, ApiError> {
    let mut configs = if request.user_id.is_empty() {
        Default::default()
    } else {
        caller.require_self(&request.user_id)?;
        exists(app, &request.user_id).await?;
        app.stores.users.client_config(&request.user_id).await?
    };
    for (key, value) in app.stores.users.client_config("").await? {
        configs.entry(key).or_insert(value);
    }
    Ok(GetUserClientConfigResp { configs })
}

/// Writes settings; others stay.
pub(super) async fn set_user_client_config(
    app: &App,
    caller: Caller,
    request: SetUserClientConfigReq,
) -> Result<Empty, ApiError> {
    caller.require_admin()?;
    for (key, value) in &request.configs {
        check::length("key", key, MAX_NAME)?;
        check::length("value", value, MAX_TEXT)?;
    }
    if !request.user_id.is_empty() {
        exists(app, &request.user_id).await?;
    }
    if !request.configs.is_empty() {
        app.stores
            .users
            .set_client_config(&request.user_id, &request.configs)
            .await?;
    }
    Ok(Empty)
}

/// Deletes settings of exactly this user ("" = those for everyone).
pub(super) async fn del_user_client_config(
    app: &App,
    caller: Caller,
    request: DelUserClientConfigReq,
) -> Result<Empty, ApiError> {
    caller.require_admin()?;
    check::short_list("keys", &request.keys)?;
    if !request.keys.is_empty() {
        app.stores
            .users
            .delete_client_config(&request.user_id, &request.keys)
            .await?;
    }
    Ok(Empty)
}

/// Settings by exact user and key; without a pagination only the total.
pub(super) async fn page_user_client_config(
    app: &App,
    caller: Caller,
    request: PageUserClientConfigReq,
) -> Result<PageUserClientConfigResp, ApiError> {
    caller.require_admin()?;
    let page = match &request.pagination {
        None => Page::first(0),
        Some(pagination) => check::page(Some(pagination))?,
    };
    let (total, found) = app
        .stores
        .users
        .page_client_config(&request.user_id, &request.key, page)
        .await?;
    let configs = found
        .into_iter()
        .map(|entry| ClientConfig {
            key: entry.key,
            user_id: entry.user_id,
            value: entry.value,
        })
        .collect();
    Ok(PageUserClientConfigResp { total, configs })
}

async fn exists(app: &App, user_id: &str) -> Result<(), ApiError> {
    let found = app.stores.users.existing(&[user_id.to_owned()]).await?;
    if found.is_empty() {
        Err(ApiError::not_found("user not found"))
    } else {
        Ok(())
    }
}
