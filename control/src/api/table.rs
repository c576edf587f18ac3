//! Every route of the HTTP API (spec: api.md 10). All of them are POST.

use super::route::{Route, post};
use super::{
    auth, client_config, conversation, friend, group, jssdk, msg, presence, server_time,
    statistics, user,
};

/// The table.
pub fn routes() -> Vec<Route> {
    let mut routes = vec![
        post!("/auth/get_admin_token", Open, auth::get_admin_token),
        post!("/auth/parse_token", Open, auth::parse_token),
        post!("/auth/get_user_token", Admin, auth::get_user_token),
        post!("/auth/force_logout", Admin, auth::force_logout),
        post!("/user/user_register", Admin, user::user_register),
        post!("/user/update_user_info", Own, user::update_user_info),
        post!("/user/update_user_info_ex", Own, user::update_user_info_ex),
        post!(
            "/user/set_global_msg_recv_opt",
            Own,
            user::set_global_msg_recv_opt
        ),
        post!("/user/get_users_info", Any, user::get_users_info),
        post!("/user/get_users", Admin, user::get_users),
        post!("/user/get_all_users_uid", Admin, user::get_all_users_uid),
        post!("/user/account_check", Admin, user::account_check),
        post!("/user/get_users_status", Any, presence::get_users_status),
        post!(
            "/user/get_users_online_status",
            Admin,
            presence::get_users_online_status
        ),
        post!(
            "/user/get_users_online_token_detail",
            Admin,
            presence::get_users_online_token_detail
        ),
        post!(
            "/user/subscribe_users_status",
            Any,
            presence::subscribe_users_status
        ),
        post!(
            "/user/get_subscribe_users_status",
            Any,
            presence::get_subscribe_users_status
        ),
        post!(
            "/user/get_user_client_config",
            Own,
            client_config::get_user_client_config
        ),
        post!(
            "/user/set_user_client_config",
            Admin,
            client_config::set_user_client_config
        ),
        post!(
            "/user/del_user_client_config",
            Admin,
            client_config::del_user_client_config
        ),
        post!(
            "/user/page_user_client_config",
            Admin,
            client_config::page_user_client_config
        ),
        post!("/friend/get_friend_list", Own, friend::get_friend_list),
        post!(
            "/friend/get_designated_friends",
            Own,
            friend::get_designated_friends
        ),
        post!(
            "/friend/get_incremental_friends",
            Own,
            friend::get_incremental_friends
        ),
        post!(
            "/friend/get_full_friend_user_ids",
            Own,
            friend::get_full_friend_user_ids
        ),
        post!("/friend/get_black_list", Own, friend::get_black_list),
        post!(
            "/friend/get_self_unhandled_apply_count",
            Own,
            friend::get_self_unhandled_apply_count
        ),
        post!("/group/get_groups_info", Any, group::get_groups_info),
        post!(
            "/group/get_group_members_info",
            Member,
            group::get_group_members_info
        ),
        post!(
            "/group/get_group_member_list",
            Member,
            group::get_group_member_list
        ),
        post!(
            "/group/get_joined_group_list",
            Own,
            group::get_joined_group_list
        ),
        post!(
            "/group/get_incremental_join_groups",
            Own,
            group::get_incremental_join_groups
        ),
        post!(
            "/group/get_incremental_group_members_batch",
            Member,
            group::get_incremental_group_members_batch
        ),
        post!(
            "/group/get_full_group_member_user_ids",
            Member,
            group::get_full_group_member_user_ids
        ),
        post!(
            "/group/get_full_join_group_ids",
            Own,
            group::get_full_join_group_ids
        ),
        post!(
            "/group/get_group_application_unhandled_count",
            Own,
            group::get_group_application_unhandled_count
        ),
        post!(
            "/conversation/get_conversation",
            Own,
            conversation::get_conversation
        ),
        post!(
            "/conversation/get_conversations",
            Own,
            conversation::get_conversations
        ),
        post!(
            "/conversation/get_all_conversations",
            Own,
            conversation::get_all_conversations
        ),
        post!(
            "/conversation/get_owner_conversation",
            Own,
            conversation::get_owner_conversation
        ),
        post!(
            "/conversation/get_incremental_conversations",
            Own,
            conversation::get_incremental_conversations
        ),
        post!(
            "/conversation/get_full_conversation_ids",
            Own,
            conversation::get_full_conversation_ids
        ),
        post!(
            "/conversation/get_not_notify_conversation_ids",
            Own,
            conversation::get_not_notify_conversation_ids
        ),
        post!(
            "/conversation/get_pinned_conversation_ids",
            Own,
            conversation::get_pinned_conversation_ids
        ),
        post!("/msg/send_msg", Admin, msg::send_msg),
        post!("/msg/newest_seq", Own, msg::newest_seq),
        post!("/msg/pull_msg_by_seq", Own, msg::pull_msg_by_seq),
        post!(
            "/msg/get_conversations_has_read_and_max_seq",
            Own,
            msg::get_conversations_has_read_and_max_seq
        ),
        post!("/msg/get_server_time", Any, server_time::get_server_time),
        post!(
            "/statistics/user/register",
            Admin,
            statistics::user_register
        ),
    ];
    routes.extend(jssdk::ROUTES);
    routes
}

#[cfg(test)]
mod tests {
    use super::super::route::Who;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn paths_are_unique_and_only_two_need_no_token() {
        let routes = routes();
        let paths: HashSet<&str> = routes.iter().map(|route| route.path).collect();
        assert_eq!(paths.len(), routes.len());
        assert!(
            paths
                .iter()
                .all(|path| path.starts_with('/') && !path.ends_with('/'))
        );
        let open: Vec<&str> = routes
            .iter()
            .filter(|route| route.who == Who::Open)
            .map(|route| route.path)
            .collect();
        assert_eq!(open, ["/auth/get_admin_token", "/auth/parse_token"]);
    }
}
