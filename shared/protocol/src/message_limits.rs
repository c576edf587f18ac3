//! How large a message and its ids may be, whoever sends it. OpenIM has no such limits; they keep every
//! accepted message within what journal records, database indexes and SDKs can hold.

use crate::error::ApiError;
use crate::pb::sdkws::MsgData;

/// Longest userID or groupID of a message, bytes: 64 characters, four bytes each.
pub const MAX_ID: usize = 256;

/// Longest clientMsgID, bytes. SDKs make 32.
pub const MAX_CLIENT_MSG_ID: usize = 128;

/// Largest message, encoded, bytes: its push, base64 in JSON, stays below what SDKs read.
pub const MAX_MESSAGE: usize = 640 << 10;

/// Checks ids and size of a message that is `encoded` bytes long.
///
/// # Errors
/// 1001 that names the field. A NUL is refused, since PostgreSQL cannot store it in a text.
pub fn check(msg: &MsgData, encoded: usize) -> Result<(), ApiError> {
    for (name, id, most) in [
        ("sendID", &msg.send_id, MAX_ID),
        ("recvID", &msg.recv_id, MAX_ID),
        ("groupID", &msg.group_id, MAX_ID),
        ("clientMsgID", &msg.client_msg_id, MAX_CLIENT_MSG_ID),
    ] {
        if id.len() > most {
            return Err(ApiError::args(format!(
                "{name} is longer than {most} bytes"
            )));
        }
        if id.contains('\0') {
            return Err(ApiError::args(format!("{name} holds a NUL")));
        }
    }
    if encoded > MAX_MESSAGE {
        return Err(ApiError::args("message is larger than 640 KiB"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_has_a_limit_and_holds_no_nul() {
        type Set = fn(&mut MsgData, String);
        let changes: [(&str, usize, Set); 4] = [
            ("sendID", MAX_ID, |m, id| m.send_id = id),
            ("recvID", MAX_ID, |m, id| m.recv_id = id),
            ("groupID", MAX_ID, |m, id| m.group_id = id),
            ("clientMsgID", MAX_CLIENT_MSG_ID, |m, id| {
                m.client_msg_id = id
            }),
        ];
        for (name, most, set) in changes {
            let checked = |id: String| {
                let mut msg = MsgData::default();
                set(&mut msg, id);
                check(&msg, 0)
            };
            assert_eq!(checked("x".repeat(most)), Ok(()));
            for bad in ["x".repeat(most + 1), "a\0b".to_owned()] {
                let error = checked(bad).expect_err("refused");
                assert_eq!(error.code, 1001);
                assert!(error.detail.contains(name), "{}", error.detail);
            }
        }
        assert!(check(&MsgData::default(), MAX_MESSAGE).is_ok());
        assert!(check(&MsgData::default(), MAX_MESSAGE + 1).is_err());
    }
}
