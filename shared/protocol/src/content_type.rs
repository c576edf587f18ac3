//! Content types of messages and notifications (spec: message.md 1.2, sync.md 10).

/// Plain text.
pub const TEXT: i32 = 101;
/// Picture.
pub const PICTURE: i32 = 102;
/// Voice.
pub const VOICE: i32 = 103;
/// Video.
pub const VIDEO: i32 = 104;
/// File.
pub const FILE: i32 = 105;
/// Text that mentions users.
pub const AT_TEXT: i32 = 106;
/// Several messages forwarded as one.
pub const MERGER: i32 = 107;
/// A user's card.
pub const CARD: i32 = 108;
/// Place.
pub const LOCATION: i32 = 109;
/// Application's own.
pub const CUSTOM: i32 = 110;
/// Revocation in its old form.
pub const REVOKE_LEGACY: i32 = 111;
/// Somebody is typing.
pub const TYPING: i32 = 113;
/// Quote.
pub const QUOTE: i32 = 114;
/// Sticker.
pub const FACE: i32 = 115;
/// Text with entities.
pub const ADVANCED_TEXT: i32 = 117;
/// Markdown.
pub const MARKDOWN: i32 = 118;
/// Application's own, without touching the conversation.
pub const CUSTOM_WITHOUT_UPDATE: i32 = 119;
/// Application's own, for who is online.
pub const CUSTOM_ONLINE_ONLY: i32 = 120;

/// First of the notification types; permission checks are skipped for them.
pub const NOTIFICATION_BEGIN: i32 = 1000;
/// Last of the notification types.
pub const NOTIFICATION_END: i32 = 5000;

/// Friend request approved.
pub const FRIEND_APPLICATION_APPROVED: i32 = 1201;
/// Friend request rejected.
pub const FRIEND_APPLICATION_REJECTED: i32 = 1202;
/// Friend request made.
pub const FRIEND_APPLICATION: i32 = 1203;
/// Friend added.
pub const FRIEND_ADDED: i32 = 1204;
/// Friend deleted.
pub const FRIEND_DELETED: i32 = 1205;
/// Friend's remark set.
pub const FRIEND_REMARK_SET: i32 = 1206;
/// User put on the blacklist.
pub const BLACK_ADDED: i32 = 1207;
/// User taken off the blacklist.
pub const BLACK_DELETED: i32 = 1208;
/// A friend's own data changed.
pub const FRIEND_INFO_UPDATED: i32 = 1209;
/// Friends' settings changed.
pub const FRIENDS_INFO_UPDATED: i32 = 1210;
/// Conversation settings changed.
pub const CONVERSATION_CHANGED: i32 = 1300;
/// Own user data changed.
pub const USER_INFO_UPDATED: i32 = 1303;
/// A user's online status changed.
pub const USER_STATUS_CHANGED: i32 = 1304;
/// User command added.
pub const USER_COMMAND_ADDED: i32 = 1305;
/// User command deleted.
pub const USER_COMMAND_DELETED: i32 = 1306;
/// User command updated.
pub const USER_COMMAND_UPDATED: i32 = 1307;
/// Message of a notification account.
pub const OA_NOTIFICATION: i32 = 1400;
/// Group created.
pub const GROUP_CREATED: i32 = 1501;
/// Group data set.
pub const GROUP_INFO_SET: i32 = 1502;
/// Request to join a group.
pub const JOIN_GROUP_APPLICATION: i32 = 1503;
/// Member quit.
pub const MEMBER_QUIT: i32 = 1504;
/// Request to join accepted.
pub const GROUP_APPLICATION_ACCEPTED: i32 = 1505;
/// Request to join rejected.
pub const GROUP_APPLICATION_REJECTED: i32 = 1506;
/// Group has a new owner.
pub const GROUP_OWNER_TRANSFERRED: i32 = 1507;
/// Member kicked.
pub const MEMBER_KICKED: i32 = 1508;
/// Member invited.
pub const MEMBER_INVITED: i32 = 1509;
/// Member entered.
pub const MEMBER_ENTER: i32 = 1510;
/// Group dismissed.
pub const GROUP_DISMISSED: i32 = 1511;
/// Member muted.
pub const GROUP_MEMBER_MUTED: i32 = 1512;
/// Member no longer muted.
pub const GROUP_MEMBER_CANCEL_MUTED: i32 = 1513;
/// Group muted.
pub const GROUP_MUTED: i32 = 1514;
/// Group no longer muted.
pub const GROUP_CANCEL_MUTED: i32 = 1515;
/// Member's data in the group set.
pub const GROUP_MEMBER_INFO_SET: i32 = 1516;
/// Member made administrator.
pub const GROUP_MEMBER_SET_TO_ADMIN: i32 = 1517;
/// Member made ordinary.
pub const GROUP_MEMBER_SET_TO_ORDINARY: i32 = 1518;
/// Announcement set.
pub const GROUP_ANNOUNCEMENT_SET: i32 = 1519;
/// Group name set.
pub const GROUP_NAME_SET: i32 = 1520;
/// Burn after reading switched.
pub const CONVERSATION_PRIVATE: i32 = 1701;
/// Conversation's unread count changed.
pub const CONVERSATION_UNREAD: i32 = 1702;
/// Conversation cleared.
pub const CLEAR_CONVERSATION: i32 = 1703;
/// Conversation deleted.
pub const CONVERSATION_DELETED: i32 = 1704;
/// Back-end's own notification.
pub const BUSINESS: i32 = 2001;
/// Message revoked.
pub const REVOKE: i32 = 2101;
/// Messages deleted.
pub const DELETE_MSGS: i32 = 2102;
/// Messages read.
pub const HAS_READ_RECEIPT: i32 = 2200;

/// Whether the type is of the notification range.
pub const fn is_notification(content_type: i32) -> bool {
    NOTIFICATION_BEGIN <= content_type && content_type <= NOTIFICATION_END
}
