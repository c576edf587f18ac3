//! The size of a reply that travels over a WebSocket: SDKs stop reading at 1 MiB (spec: gateway.md 2.3).

use prost::Message;
use prost::encoding::encoded_len_varint;

/// Bytes of the protobuf of one reply; leaves room for the envelope and gob around it.
pub const REPLY_BYTES: usize = 960 << 10;

/// Counts down the bytes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyBudget {
    left: usize,
}

impl Default for ReplyBudget {
    fn default() -> Self {
        Self::new(REPLY_BYTES)
    }
}

impl ReplyBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    /// Takes `bytes` when that many are left; says whether they were.
    pub fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Takes a message as an element of a list.
    pub fn take_element(&mut self, message: &impl Message) -> bool {
        self.take(field_len(message.encoded_len()))
    }

    /// Takes a map entry: its key, and so many bytes of value.
    pub fn take_entry(&mut self, key: &str, value: usize) -> bool {
        self.take(field_len(field_len(key.len()) + field_len(value)))
    }
}

/// Bytes of a length-delimited field with a one-byte tag.
fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwire_protocol::pb::sdkws::{MsgData, PullMessageBySeqsResp, PullMsgs};

    #[test]
    fn what_is_counted_is_not_less_than_what_is_sent() {
        let msgs: Vec<MsgData> = (0..300)
            .map(|seq| MsgData {
                seq,
                client_msg_id: "c".repeat(seq as usize),
                ..MsgData::default()
            })
            .collect();
        let mut budget = ReplyBudget::default();
        assert!(budget.take_entry("si_a_b", 64));
        assert!(msgs.iter().all(|m| budget.take_element(m)));
        let pulled = PullMsgs {
            msgs,
            is_end: true,
            end_seq: i64::MAX,
        };
        let reply = PullMessageBySeqsResp {
            msgs: [("si_a_b".to_owned(), pulled)].into(),
            ..Default::default()
        };
        assert!(REPLY_BYTES - budget.left >= reply.encoded_len());
    }

    #[test]
    fn a_budget_ends() {
        let mut budget = ReplyBudget::new(10);
        assert!(budget.take(6));
        assert!(!budget.take(5));
        assert!(budget.take(4));
    }
}
