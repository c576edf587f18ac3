//! Who may call what, route by route: the table's word against what the handlers do.

use super::harness::Control;
use ringwire_control::api::route::Who;
use ringwire_control::api::table::routes;
use serde_json::{Value, json};

/// A request to the route that only its caller makes wrong.
fn request(path: &str) -> Value {
    let page = json!({"pageNumber": 1, "showNumber": 10});
    match path {
        "/auth/get_user_token" | "/auth/force_logout" => json!({"userID": "v", "platformID": 1}),
        "/user/user_register" => json!({"users": [{"userID": "w", "nickname": "n"}]}),
        "/user/get_users" | "/user/get_all_users_uid" => json!({"pagination": page}),
        "/user/account_check" => json!({"checkUserIDs": ["v"]}),
        "/user/get_users_online_status" | "/user/get_users_online_token_detail" => {
            json!({"userIDs": ["v"]})
        }
        "/user/set_user_client_config" => json!({"userID": "v", "configs": {"k": "v"}}),
        "/user/del_user_client_config" => json!({"userID": "v", "keys": ["k"]}),
        "/user/page_user_client_config" => json!({}),
        "/statistics/user/register" => json!({"start": 1, "end": 2}),
        "/user/update_user_info" | "/user/update_user_info_ex" => {
            json!({"userInfo": {"userID": "v", "nickname": "x"}})
        }
        "/group/get_group_members_info" => json!({"groupID": "g", "userIDs": ["v"]}),
        "/group/get_group_member_list" => json!({"groupID": "g", "pagination": page}),
        "/group/get_full_group_member_user_ids" => json!({"groupID": "g"}),
        // Everything else that is one user's names him in one of these.
        _ => json!({
            "userID": "v", "ownerUserID": "v", "fromUserID": "v", "pagination": page,
            "friendUserIDs": ["v"], "conversationID": "si_u_v", "conversationIDs": ["si_u_v"],
        }),
    }
}

#[tokio::test]
async fn a_user_is_refused_what_is_the_admins_or_anothers() {
    let control = Control::start().await;
    let admin = control.admin().await;
    control.register(&admin, &["u", "v"]).await;
    let user = control.login(&admin, "u", 1).await;
    for route in routes() {
        if matches!(route.who, Who::Open | Who::Any) || route.path == BATCH {
            continue;
        }
        let refused = control.post(route.path, &user, request(route.path)).await;
        assert_eq!(refused.code(), 1002, "{}: {}", route.path, refused.text());
        let allowed = control.post(route.path, &admin, request(route.path)).await;
        assert_ne!(allowed.code(), 1002, "{}: {}", route.path, allowed.text());
    }
}

/// Leaves out the groups that are not the caller's instead of refusing.
const BATCH: &str = "/group/get_incremental_group_members_batch";

#[tokio::test]
async fn every_route_answers_nonsense_with_an_envelope() {
    let control = Control::start().await;
    let admin = control.admin().await;
    let headers = [("operationID", "o"), ("token", admin.as_str())];
    for route in routes() {
        for body in [
            "null",
            "{}",
            "[",
            "{\"userID\":5}",
            "\u{0}",
            "{\"pagination\":{\"pageNumber\":-1}}",
        ] {
            let reply = control
                .send("POST", route.path, &headers, body.as_bytes())
                .await;
            assert_eq!(reply.status, 200, "{} {body}", route.path);
            assert_ne!(reply.code(), 500, "{} {body}: {}", route.path, reply.text());
        }
    }
}
