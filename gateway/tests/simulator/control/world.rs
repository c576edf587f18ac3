//! What happens in control's world by itself: users fall out with each other, join and leave groups,
//! and control has something to say.

use super::{Control, Outgoing};
use crate::oracle::{Change, Key, Oracle};
use crate::random::Random;
use prost::Message as _;
use ringwire_link::ToGateway;
use ringwire_link::facts::{FactChange, MemberFact};
use ringwire_link::message::Publish;
use ringwire_protocol::conversation_id as ids;
use ringwire_protocol::pb::sdkws::MsgData;
use ringwire_protocol::slot;
use std::collections::BTreeMap;

impl Control {
    /// Changes something. Returns what, for the trace.
    pub(crate) fn change(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        now: u64,
    ) -> Option<String> {
        let users: Vec<String> = self.store.users.keys().cloned().collect();
        let user = random.pick(&users).clone();
        let groups: Vec<String> = self.store.groups.keys().cloned().collect();
        if random.chance(500) && !groups.is_empty() {
            let group_id = random.pick(&groups).clone();
            return self.join_or_leave(oracle, now, group_id, user);
        }
        if random.chance(700) {
            let other = random.pick(&users).clone();
            return self.block_or_unblock(oracle, now, user, other);
        }
        let change = if random.chance(500) {
            FactChange::User(user)
        } else {
            let held: Vec<String> = self.store.messages.keys().cloned().collect();
            FactChange::Conversation(if held.is_empty() {
                "si_none".into()
            } else {
                random.pick(&held).clone()
            })
        };
        let told = format!("{change:?}");
        self.tell(vec![change]);
        Some(told)
    }

    fn free(&self, oracle: &Oracle, conversation: &str, user: &str) -> bool {
        let mut before = oracle
            .changes
            .iter()
            .filter(|c| c.conversation == conversation && c.user == user);
        before.all(|change| self.settled(change))
    }

    fn join_or_leave(
        &mut self,
        oracle: &mut Oracle,
        now: u64,
        group_id: String,
        user: String,
    ) -> Option<String> {
        let conversation = ids::group(&group_id);
        if !self.free(oracle, &conversation, &user) {
            return None;
        }
        let group = self.store.groups.get_mut(&group_id)?;
        let leaves = group.members.remove(&user).is_some();
        let user_ids = vec![user.clone()];
        let change = if leaves {
            FactChange::Left { group_id, user_ids }
        } else {
            group.members.insert(
                user.clone(),
                MemberFact {
                    role: 20,
                    mute_end_ms: 0,
                },
            );
            FactChange::Joined { group_id, user_ids }
        };
        let told = format!("{change:?}");
        let version = self.tell(vec![change]);
        oracle.changes.push(Change {
            conversation,
            user,
            forbids: Some(leaves),
            membership: true,
            begun: now,
            version,
            applied: BTreeMap::new(),
        });
        Some(told)
    }

    fn block_or_unblock(
        &mut self,
        oracle: &mut Oracle,
        now: u64,
        by: String,
        blocked: String,
    ) -> Option<String> {
        let conversation = ids::single(&by, &blocked);
        if by == blocked || !self.free(oracle, &conversation, &blocked) {
            return None;
        }
        let (a, b) = if by <= blocked {
            (by.clone(), blocked.clone())
        } else {
            (blocked.clone(), by.clone())
        };
        let pair = self.store.pairs.entry((a.clone(), b.clone())).or_default();
        let block = if a == by {
            &mut pair.a_blocks_b
        } else {
            &mut pair.b_blocks_a
        };
        *block = !*block;
        let forbids = Some(*block);
        let told = format!("{by} blocks {blocked}: {forbids:?}");
        let version = self.tell(vec![FactChange::Pair(a, b)]);
        oracle.changes.push(Change {
            conversation,
            user: blocked,
            forbids,
            membership: false,
            begun: now,
            version,
            applied: BTreeMap::new(),
        });
        Some(told)
    }

    /// Puts a message into the outbox and tries to send it.
    pub(crate) fn publish(
        &mut self,
        random: &mut Random,
        oracle: &mut Oracle,
        unix_ms: i64,
    ) -> String {
        self.made += 1;
        let client_msg_id = format!("control-{}", self.made);
        let users: Vec<String> = self.store.users.keys().cloned().collect();
        let groups: Vec<String> = self.store.groups.keys().cloned().collect();
        let send_id = random.pick(&users).clone();
        let mut msg = MsgData {
            send_id: send_id.clone(),
            client_msg_id: client_msg_id.clone(),
            content: bytes::Bytes::from_static(super::store::NOTICE),
            content_type: 1_509,
            msg_from: 200,
            create_time: unix_ms,
            ..MsgData::default()
        };
        let (lane, chat, notice) = if random.chance(500) && !groups.is_empty() {
            let group = random.pick(&groups).clone();
            (msg.session_type, msg.recv_id, msg.group_id) = (3, group.clone(), group.clone());
            (
                group.clone(),
                ids::group(&group),
                ids::notification_of_group(&group),
            )
        } else {
            let receiver = random.pick(&users).clone();
            (msg.session_type, msg.recv_id) = (1, receiver.clone());
            let lane = ids::ordering_key_of_users(&send_id, &receiver);
            (
                lane,
                ids::single(&send_id, &receiver),
                ids::notification_of_users(&send_id, &receiver),
            )
        };
        let (notification, copy, stored) =
            (random.chance(700), random.chance(400), random.chance(600));
        let key = |conversation: &str| Key::new(conversation, &send_id, &client_msg_id);
        let mut keys = Vec::new();
        if notification {
            let options = [
                ("isNotNotification", false),
                ("isSendMsg", copy),
                ("history", stored),
                ("senderSync", true),
            ];
            msg.options = options
                .into_iter()
                .map(|(name, on)| (name.to_string(), on))
                .collect();
            if copy {
                keys.push((key(&chat), true));
            }
            keys.push((key(&notice), stored));
        } else {
            msg.content_type = 101;
            keys.push((key(&chat), true));
        }
        // Somebody who has just left, for example.
        let mut also = if random.chance(150) {
            vec![random.pick(&users).clone()]
        } else {
            Vec::new()
        };
        also.retain(|user| {
            keys.iter()
                .all(|(key, _)| !self.store.party(&key.conversation, user))
        });
        for user in &also {
            oracle.onlookers.extend(
                keys.iter()
                    .map(|(key, _)| (key.conversation.clone(), user.clone())),
            );
        }
        let publish = Publish {
            msg: msg.encode_to_vec(),
            operation_id: format!("publish-{}", self.made),
            check: false,
            also,
        };
        self.outbox.push(Outgoing {
            publish,
            lane,
            keys,
            done: false,
        });
        self.publish_all(random);
        format!(
            "{client_msg_id} to {chat}, notification {notification}, copy {copy}, stored {stored}"
        )
    }

    /// Sends what is not done and not under way.
    pub(crate) fn publish_all(&mut self, random: &mut Random) {
        let Some(cores) = self
            .links
            .values()
            .find_map(|l| l.hello.as_ref().map(|h| h.cores))
        else {
            return;
        };
        for number in 0..self.outbox.len() {
            let outgoing = &self.outbox[number];
            if outgoing.done
                || self
                    .links
                    .values()
                    .any(|l| l.publishing.values().any(|n| *n == number))
            {
                continue;
            }
            let mut core = slot::core_of(&outgoing.lane, cores);
            if random.chance(100) {
                // As if ownership had moved while it was on its way.
                core = random.below(cores.into()) as u16;
            }
            let Some(link) = self
                .links
                .get_mut(&core)
                .filter(|link| link.hello.is_some())
            else {
                continue;
            };
            self.correlation += 2;
            link.publishing.insert(self.correlation, number);
            let (correlation, publish) = (self.correlation, outgoing.publish.clone());
            self.send(core, correlation, ToGateway::Publish(publish));
        }
    }
}
