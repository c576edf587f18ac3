//! `/msg/get_server_time`.

use crate::app::App;
use crate::clock::unix_ms;
use crate::domain::caller::Caller;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::msg::{GetServerTimeReq, GetServerTimeResp};

/// The server's clock, Unix milliseconds.
pub(super) async fn get_server_time(
    _: &App,
    _: Caller,
    _: GetServerTimeReq,
) -> Result<GetServerTimeResp, ApiError> {
    Ok(GetServerTimeResp {
        server_time: unix_ms(),
    })
}
