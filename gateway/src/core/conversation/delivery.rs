//! From a sequenced message to the cores of its receivers, once it is durable.

use crate::core::event::CoreId;
use crate::core::out::Out;
use crate::core::ring::{Push, RingItem};
use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};
use ringwire_protocol::slot;
use std::sync::Arc;

/// Most bytes of messages that are put together into one push.
const MAX_TOGETHER: usize = 256 << 10;

/// Who gets a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receivers {
    /// These users.
    Users(Vec<String>),
    /// The members of a group, and these users.
    Group {
        /// The group.
        group_id: String,
        /// Beside its members.
        also: Vec<String>,
    },
}

/// Messages of one conversation within a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Conversation or notification stream.
    pub conversation_id: String,
    /// It is a notification stream.
    pub notification: bool,
    /// Encoded `sdkws.MsgData`, ascending by seq.
    pub messages: Vec<Bytes>,
}

/// A push to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who gets it.
    pub receivers: Receivers,
    /// operationID of the cause.
    pub operation_id: String,
    /// What; each conversation once.
    pub parts: Vec<Part>,
}

impl Delivery {
    fn bytes(&self) -> usize {
        self.parts
            .iter()
            .flat_map(|p| &p.messages)
            .map(Bytes::len)
            .sum()
    }

    /// Takes over the messages of a delivery that follows, if one push can carry both.
    ///
    /// # Errors
    /// The other one, when it must stay a push of its own.
    pub fn join(&mut self, other: Self) -> Result<(), Self> {
        let alike = self.operation_id == other.operation_id
            && self.receivers == other.receivers
            && self.parts.len() == other.parts.len()
            && self
                .parts
                .iter()
                .zip(&other.parts)
                .all(|(a, b)| a.conversation_id == b.conversation_id)
            && self.bytes() + other.bytes() <= MAX_TOGETHER;
        if !alike {
            return Err(other);
        }
        for (mine, theirs) in self.parts.iter_mut().zip(other.parts) {
            mine.messages.extend(theirs.messages);
        }
        Ok(())
    }

    /// Sends it to every core that may have receivers.
    pub fn send(self, cores: u16, out: &mut Out) {
        let push = Arc::new(Push {
            operation_id: self.operation_id,
            payload: payload(&self.parts),
        });
        match self.receivers {
            Receivers::Users(users) => {
                let mut homes: Vec<(CoreId, Vec<String>)> = Vec::with_capacity(2);
                for user in users {
                    let home = slot::core_of(&user, cores);
                    match homes.iter_mut().find(|(core, _)| *core == home) {
                        Some((_, users)) => users.push(user),
                        None => homes.push((home, vec![user])),
                    }
                }
                for (home, users) in homes {
                    out.ring(
                        home,
                        RingItem::Deliver {
                            users,
                            push: Arc::clone(&push),
                        },
                    );
                }
            }
            Receivers::Group { group_id, also } => {
                for core in 0..cores {
                    let (group_id, also) = (group_id.clone(), also.clone());
                    out.ring(
                        core,
                        RingItem::DeliverGroup {
                            group_id,
                            also,
                            push: Arc::clone(&push),
                        },
                    );
                }
            }
        }
    }
}

/// Length of a length-delimited field with a one-byte key.
fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn put_field(key: u8, length: usize, out: &mut Vec<u8>) {
    out.push(key);
    encode_varint(length as u64, out);
}

/// Encodes `sdkws.PushMessages` around messages that are encoded already.
fn payload(parts: &[Part]) -> Bytes {
    const FIRST: u8 = 1 << 3 | 2;
    const SECOND: u8 = 2 << 3 | 2;
    let mut out = Vec::with_capacity(
        parts
            .iter()
            .map(|p| {
                32 + p.conversation_id.len() + p.messages.iter().map(|m| 6 + m.len()).sum::<usize>()
            })
            .sum(),
    );
    for part in parts {
        // sdkws.PullMsgs { Msgs = 1 } as the value of a map entry { key = 1, value = 2 }.
        let pulled: usize = part.messages.iter().map(|m| field_len(m.len())).sum();
        let entry = field_len(part.conversation_id.len()) + field_len(pulled);
        put_field(
            if part.notification { SECOND } else { FIRST },
            entry,
            &mut out,
        );
        put_field(FIRST, part.conversation_id.len(), &mut out);
        out.extend_from_slice(part.conversation_id.as_bytes());
        put_field(SECOND, pulled, &mut out);
        for message in &part.messages {
            put_field(FIRST, message.len(), &mut out);
            out.extend_from_slice(message);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use ringwire_protocol::pb::sdkws::{MsgData, PushMessages};

    fn message(seq: i64) -> Bytes {
        MsgData {
            seq,
            content: Bytes::from_static(b"x"),
            ..MsgData::default()
        }
        .encode_to_vec()
        .into()
    }

    fn part(id: &str, seqs: &[i64]) -> Part {
        Part {
            conversation_id: id.into(),
            notification: id.starts_with("n_"),
            messages: seqs.iter().map(|s| message(*s)).collect(),
        }
    }

    #[test]
    fn the_payload_reads_as_push_messages() {
        let bytes = payload(&[part("si_a_b", &[1, 2]), part("n_a_b", &[7])]);
        let push = PushMessages::decode(bytes).expect("decodes");
        let seqs = |pulled: &ringwire_protocol::pb::sdkws::PullMsgs| {
            pulled.msgs.iter().map(|m| m.seq).collect::<Vec<_>>()
        };
        assert_eq!(seqs(&push.msgs["si_a_b"]), [1, 2]);
        assert_eq!(seqs(&push.notification_msgs["n_a_b"]), [7]);
    }

    #[test]
    fn only_pushes_of_one_operation_to_the_same_receivers_join() {
        let delivery = |op: &str, user: &str, seq| Delivery {
            receivers: Receivers::Users(vec![user.into()]),
            operation_id: op.into(),
            parts: vec![part("si_a_b", &[seq])],
        };
        let mut first = delivery("op", "a", 1);
        assert!(first.join(delivery("other", "a", 2)).is_err());
        assert!(first.join(delivery("op", "b", 2)).is_err());
        assert!(first.join(delivery("op", "a", 2)).is_ok());
        assert_eq!(first.parts, [part("si_a_b", &[1, 2])]);
    }

    #[test]
    fn a_group_rings_every_core_once_and_users_only_their_homes() {
        let mut out = Out::new(0);
        let group = Receivers::Group {
            group_id: "g".into(),
            also: vec![],
        };
        Delivery {
            receivers: group,
            operation_id: String::new(),
            parts: vec![part("sg_g", &[1])],
        }
        .send(3, &mut out);
        assert_eq!((out.local.len(), out.actions.len()), (1, 2));
        let mut out = Out::new(0);
        let users = Receivers::Users(vec!["a".into(), "b".into()]);
        Delivery {
            receivers: users,
            operation_id: String::new(),
            parts: vec![part("si_a_b", &[1])],
        }
        .send(1, &mut out);
        assert!(matches!(&out.local[0], RingItem::Deliver { users, .. } if users == &["a", "b"]));
        assert_eq!(out.local.len(), 1);
    }
}
