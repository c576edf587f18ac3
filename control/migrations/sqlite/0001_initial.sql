-- Ids are compared and sorted by their bytes. Integers are all BIGINT and flags are 0 or 1, so that both databases take the same statements. Times are Unix milliseconds.

CREATE TABLE users (
    user_id TEXT PRIMARY KEY,
    nickname TEXT NOT NULL,
    face_url TEXT NOT NULL,
    ex TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    level BIGINT NOT NULL,
    global_recv_opt BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX users_by_time ON users (create_time, user_id);

CREATE TABLE client_configs (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
) WITHOUT ROWID;

-- token: first 16 bytes of sha256. kicked: 0 normal, 1 kicked. expires_s: Unix seconds.
CREATE TABLE tokens (
    token BLOB PRIMARY KEY,
    user_id TEXT NOT NULL,
    platform_id BIGINT NOT NULL,
    sha256 BLOB NOT NULL,
    kicked BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_s BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX tokens_by_expiry ON tokens (expires_s);

CREATE TABLE friends (
    row_id INTEGER PRIMARY KEY,
    owner_id TEXT NOT NULL,
    friend_id TEXT NOT NULL,
    remark TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    add_source BIGINT NOT NULL,
    operator_id TEXT NOT NULL,
    ex TEXT NOT NULL,
    is_pinned BIGINT NOT NULL,
    UNIQUE (owner_id, friend_id)
);
CREATE INDEX friends_in_order ON friends (owner_id, is_pinned DESC, row_id);
CREATE INDEX friends_reverse ON friends (friend_id, owner_id);

CREATE TABLE blacks (
    row_id INTEGER PRIMARY KEY,
    owner_id TEXT NOT NULL,
    block_id TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    add_source BIGINT NOT NULL,
    operator_id TEXT NOT NULL,
    ex TEXT NOT NULL,
    UNIQUE (owner_id, block_id)
);
CREATE INDEX blacks_in_order ON blacks (owner_id, row_id);

CREATE TABLE friend_requests (
    from_id TEXT NOT NULL,
    to_id TEXT NOT NULL,
    handle_result BIGINT NOT NULL,
    req_msg TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    handler_id TEXT NOT NULL,
    handle_msg TEXT NOT NULL,
    handle_time BIGINT NOT NULL,
    ex TEXT NOT NULL,
    PRIMARY KEY (from_id, to_id)
) WITHOUT ROWID;
CREATE INDEX friend_requests_received ON friend_requests (to_id, handle_result, create_time);
CREATE INDEX friend_requests_sent ON friend_requests (from_id, create_time);

CREATE TABLE chat_groups (
    group_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    notification TEXT NOT NULL,
    introduction TEXT NOT NULL,
    face_url TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    ex TEXT NOT NULL,
    status BIGINT NOT NULL,
    creator_id TEXT NOT NULL,
    group_type BIGINT NOT NULL,
    need_verification BIGINT NOT NULL,
    look_member_info BIGINT NOT NULL,
    apply_member_friend BIGINT NOT NULL,
    notification_update_time BIGINT NOT NULL,
    notification_user_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX chat_groups_by_time ON chat_groups (create_time, group_id);

CREATE TABLE group_members (
    row_id INTEGER PRIMARY KEY,
    group_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    nickname TEXT NOT NULL,
    face_url TEXT NOT NULL,
    role BIGINT NOT NULL,
    join_time BIGINT NOT NULL,
    join_source BIGINT NOT NULL,
    inviter_id TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    mute_end_time BIGINT NOT NULL,
    ex TEXT NOT NULL,
    UNIQUE (group_id, user_id)
);
CREATE INDEX group_members_in_order ON group_members (group_id, role DESC, row_id);
CREATE INDEX group_members_of_user ON group_members (user_id, role DESC, row_id);

CREATE TABLE group_requests (
    group_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    handle_result BIGINT NOT NULL,
    req_msg TEXT NOT NULL,
    handled_msg TEXT NOT NULL,
    req_time BIGINT NOT NULL,
    handle_user_id TEXT NOT NULL,
    handled_time BIGINT NOT NULL,
    join_source BIGINT NOT NULL,
    inviter_id TEXT NOT NULL,
    ex TEXT NOT NULL,
    PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE INDEX group_requests_received ON group_requests (group_id, handle_result, req_time);
CREATE INDEX group_requests_sent ON group_requests (user_id, req_time);

-- The visible bounds of the owner are in seq_users.
CREATE TABLE conversations (
    row_id INTEGER PRIMARY KEY,
    owner_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    conversation_type BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    recv_msg_opt BIGINT NOT NULL DEFAULT 0,
    is_pinned BIGINT NOT NULL DEFAULT 0,
    is_private_chat BIGINT NOT NULL DEFAULT 0,
    burn_duration BIGINT NOT NULL DEFAULT 0,
    group_at_type BIGINT NOT NULL DEFAULT 0,
    attached_info TEXT NOT NULL DEFAULT '',
    ex TEXT NOT NULL DEFAULT '',
    is_msg_destruct BIGINT NOT NULL DEFAULT 0,
    msg_destruct_time BIGINT NOT NULL DEFAULT 0,
    latest_msg_destruct_time BIGINT NOT NULL DEFAULT 0,
    create_time BIGINT NOT NULL,
    UNIQUE (owner_id, conversation_id)
);
CREATE INDEX conversations_in_order ON conversations (owner_id, row_id);
CREATE INDEX conversations_about_user ON conversations (user_id) WHERE user_id <> '';
CREATE INDEX conversations_quiet ON conversations (conversation_id) WHERE recv_msg_opt <> 0;
CREATE INDEX conversations_destruct ON conversations (latest_msg_destruct_time) WHERE is_msg_destruct <> 0;

-- One row a conversation or notification stream that ever had a stored message.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    conversation_id TEXT NOT NULL UNIQUE,
    max_seq BIGINT NOT NULL,
    min_seq BIGINT NOT NULL,
    max_send_time BIGINT NOT NULL
);

-- Senders of the stream whose clocks ran ahead, and the latest createTime that did: for the duplicate check.
CREATE TABLE clocks_ahead (
    stream_id BIGINT NOT NULL,
    send_id TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (stream_id, send_id)
) WITHOUT ROWID;

CREATE TABLE seq_users (
    user_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    min_seq BIGINT NOT NULL,
    max_seq BIGINT NOT NULL,
    read_seq BIGINT NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;

-- id: stream id * 2^32 + seq, so that a stream's messages are neighbours under one short key.
-- dup: hash of (conversation, sender, clientMsgID), 0 without a clientMsgID. Not unique: an
-- acknowledged message must never be refused here. msg: encoded sdkws.MsgData.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    dup BIGINT NOT NULL,
    send_time BIGINT NOT NULL,
    content_type BIGINT NOT NULL,
    session_type BIGINT NOT NULL,
    send_id TEXT NOT NULL,
    recv_id TEXT NOT NULL,
    msg BLOB NOT NULL
);
CREATE INDEX messages_by_dup ON messages (dup);

-- log: 1 friends, 2 members, 3 joined groups, 4 conversations. did: the log's key. Markers for "order
-- changed" and "group info changed" are columns, so that no id can be taken for one.
CREATE TABLE version_head (
    log BIGINT NOT NULL,
    did TEXT NOT NULL,
    version_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    sort_version BIGINT NOT NULL,
    info_version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (log, did)
) WITHOUT ROWID;

-- state: 1 insert, 2 delete, 3 update.
CREATE TABLE version_elem (
    log BIGINT NOT NULL,
    did TEXT NOT NULL,
    eid TEXT NOT NULL,
    state BIGINT NOT NULL,
    version BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (log, did, eid)
) WITHOUT ROWID;
CREATE INDEX version_elem_by_version ON version_elem (log, did, version);

-- AUTOINCREMENT: an id that was removed is not given again.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane TEXT NOT NULL,
    msg BLOB NOT NULL,
    operation_id TEXT NOT NULL,
    checked BIGINT NOT NULL,
    also TEXT NOT NULL
);

CREATE TABLE journal_positions (
    gateway TEXT NOT NULL,
    journal BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (gateway, journal)
) WITHOUT ROWID;

CREATE TABLE gateways (
    gateway TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL
) WITHOUT ROWID;
