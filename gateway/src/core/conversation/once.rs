//! Messages of control that are delivered but not stored: remembered for a while, so that one that is
//! published again after a lost link is not delivered twice.

use super::lane::{Job, Origin};
use super::streams::Target;
use crate::core::event::Now;
use crate::core::journal::Ordinal;
use ringwire_link::message::KnownMessage;
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::{HashMap, VecDeque};
use xxhash_rust::xxh3::Xxh3;

/// How long control may need to publish again, milliseconds: a few of its attempts.
const KEEP_MS: u64 = 60_000;

/// Most messages remembered; beyond it the oldest are forgotten early.
const MAX: usize = 16_384;

/// Whether this memory is for the message: published by control, named, and stored nowhere.
pub(super) fn applies(job: &Job, targets: &[Target]) -> bool {
    matches!(job.origin, Origin::Control { .. })
        && !job.msg.client_msg_id.is_empty()
        && !targets.iter().any(|target| target.stored)
}

/// The latest such messages of a core.
#[derive(Debug, Default)]
pub(in crate::core) struct Unstored {
    /// Hash of conversation, sender and clientMsgID -> the message, and the record its push waits for.
    known: HashMap<u128, (KnownMessage, Ordinal)>,
    /// When they came (monotonic milliseconds), oldest first.
    order: VecDeque<(u64, u128)>,
}

fn key(conversation_id: &str, msg: &MsgData) -> u128 {
    let mut hasher = Xxh3::new();
    for part in [conversation_id, &msg.send_id, &msg.client_msg_id] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.digest128()
}

impl Unstored {
    /// The first time this message came, if that is not long ago.
    pub(super) fn look_up(
        &mut self,
        now: Now,
        conversation_id: &str,
        msg: &MsgData,
    ) -> Option<&(KnownMessage, Ordinal)> {
        self.forget(now);
        self.known.get(&key(conversation_id, msg))
    }

    /// Remembers a message, whose push goes out once the record `after` is durable.
    pub(super) fn add(&mut self, now: Now, conversation_id: &str, msg: &MsgData, after: Ordinal) {
        let message = KnownMessage {
            send_id: msg.send_id.clone(),
            client_msg_id: msg.client_msg_id.clone(),
            server_msg_id: msg.server_msg_id.clone(),
            send_time: msg.send_time,
            create_time: msg.create_time,
            seq: 0,
        };
        let key = key(conversation_id, msg);
        if self.known.insert(key, (message, after)).is_none() {
            self.order.push_back((now.mono_ms, key));
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Now) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| at + KEEP_MS <= now.mono_ms || self.order.len() > MAX)
            && let Some((_, key)) = self.order.pop_front()
        {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now {
            mono_ms,
            unix_ms: 0,
        }
    }

    fn msg(id: usize) -> MsgData {
        MsgData {
            send_id: "a".into(),
            client_msg_id: id.to_string(),
            ..MsgData::default()
        }
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let mut unstored = Unstored::default();
        unstored.add(at(0), "n_a_b", &msg(0), 1);
        assert!(
            unstored
                .look_up(at(KEEP_MS - 1), "n_a_b", &msg(0))
                .is_some()
        );
        assert!(unstored.look_up(at(1), "n_a_c", &msg(0)).is_none());
        assert!(unstored.look_up(at(KEEP_MS), "n_a_b", &msg(0)).is_none());
        for id in 0..MAX + 5 {
            unstored.add(at(KEEP_MS), "n_a_b", &msg(id), 1);
        }
        assert_eq!((unstored.known.len(), unstored.order.len()), (MAX, MAX));
        assert!(unstored.look_up(at(KEEP_MS), "n_a_b", &msg(4)).is_none());
        assert!(unstored.look_up(at(KEEP_MS), "n_a_b", &msg(5)).is_some());
    }
}
