//! Both sides of one core: a message from its frame to its push.

use super::*;
use prost::Message as _;
use ringwire_link::facts::{GroupFact, MemberFact, PairFact, UserFact};
use ringwire_link::message::ConversationState;
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::{MsgData, PushMessages};
use ringwire_protocol::req;

impl Rig {
    /// Plays a control that knows everybody, whose every conversation is empty, until nothing is asked.
    pub(super) fn play_control(&mut self, groups: &[&str]) {
        loop {
            let mut answers = Vec::new();
            self.links.retain(|(correlation, body)| {
                let answer = match body {
                    ToControl::FetchFacts { keys } => {
                        let fact = |key: &FactKey| match key {
                            FactKey::User(_) => Fact::User(Some(UserFact::default())),
                            FactKey::Pair(..) => Fact::Pair(PairFact::default()),
                            FactKey::Group(_) => Fact::Group(Some(GroupFact {
                                status: 0,
                                group_type: 2,
                            })),
                            FactKey::Member { .. } => Fact::Member(Some(MemberFact {
                                role: 20,
                                mute_end_ms: 0,
                            })),
                            FactKey::UserGroups(_) => {
                                Fact::UserGroups(groups.iter().map(|g| (*g).to_owned()).collect())
                            }
                        };
                        ToGateway::Facts {
                            facts: Ok(keys.iter().map(fact).collect()),
                        }
                    }
                    ToControl::OpenConversations { ids } => {
                        let empty = ConversationState {
                            max_seq: 0,
                            max_send_time: 0,
                            recent: Vec::new(),
                            ahead: Vec::new(),
                        };
                        ToGateway::Conversations {
                            states: Ok(vec![empty; ids.len()]),
                        }
                    }
                    ToControl::FindDuplicate { .. } => ToGateway::Duplicate { found: Ok(None) },
                    _ => return true,
                };
                answers.push((*correlation, answer));
                false
            });
            if answers.is_empty() {
                return;
            }
            for (correlation, answer) in answers {
                self.control(correlation, answer);
            }
        }
    }

    /// Makes the journal write in progress durable; `false` when there is none.
    pub(super) fn sync(&mut self) -> bool {
        let write = self
            .other
            .iter()
            .position(|a| matches!(a, Action::JournalWrite { .. }));
        let Some(write) = write else { return false };
        self.other.remove(write);
        self.event(Event::JournalSynced);
        true
    }
}

pub(super) fn message(from: &str, recv: &str, group: &str, id: &str) -> Vec<u8> {
    let msg = MsgData {
        send_id: from.into(),
        recv_id: recv.into(),
        group_id: group.into(),
        client_msg_id: id.into(),
        session_type: if group.is_empty() { 1 } else { 3 },
        content_type: 101,
        content: bytes("{\"content\":\"hi\"}"),
        create_time: START_S * 1_000,
        ..MsgData::default()
    };
    msg.encode_to_vec()
}

/// The messages pushed to a session, and the replies to its sends.
fn seen(rig: &mut Rig, conn: ConnId) -> (Vec<(i64, String)>, Vec<SendMsgResp>) {
    let (mut pushed, mut replies) = (Vec::new(), Vec::new());
    for response in rig.responses(conn) {
        assert_eq!(response.err_code, 0, "{response:?}");
        if response.req_identifier == req::PUSH_MSG {
            let push = PushMessages::decode(&response.data[..]).expect("decodes");
            for msg in push.msgs.into_values().flat_map(|m| m.msgs) {
                pushed.push((msg.seq, msg.client_msg_id));
            }
        } else {
            replies.push(SendMsgResp::decode(&response.data[..]).expect("decodes"));
        }
    }
    (pushed, replies)
}

fn two() -> (Rig, [ConnId; 2]) {
    let mut rig = Rig::of_cores(1, |_| {});
    rig.link_up(&[normal("alice", 1), normal("bob", 1)]);
    let conns = [rig.open("alice", 1), rig.open("bob", 1)];
    rig.play_control(&["team"]);
    (rig, conns)
}

#[test]
fn a_message_is_acknowledged_and_pushed_only_when_it_is_durable() {
    let (mut rig, [alice, bob]) = two();
    rig.ask(alice, "alice", 1003, message("alice", "bob", "", "m1"));
    rig.play_control(&[]);
    assert!(rig.responses(alice).is_empty());
    assert!(rig.responses(bob).is_empty());
    assert!(rig.sync());
    let (echo, replies) = seen(&mut rig, alice);
    assert_eq!(
        (replies.len(), replies[0].client_msg_id.as_str()),
        (1, "m1")
    );
    assert_eq!(echo, [(1, "m1".to_owned())]);
    assert_eq!(seen(&mut rig, bob).0, [(1, "m1".to_owned())]);

    rig.ask(alice, "alice", 1003, message("alice", "bob", "", "m1"));
    rig.play_control(&[]);
    let (again, repeated) = seen(&mut rig, alice);
    assert_eq!(repeated, replies, "the first answer once more");
    assert!(
        again.is_empty() && seen(&mut rig, bob).0.is_empty(),
        "delivered once"
    );

    rig.ask(bob, "bob", 1003, message("bob", "alice", "", "m2"));
    assert!(rig.sync());
    assert_eq!(seen(&mut rig, alice).0, [(2, "m2".to_owned())]);
}

#[test]
fn a_group_message_reaches_all_members_and_a_sync_carries_its_position() {
    let (mut rig, [alice, bob]) = two();
    rig.ask(bob, "bob", 1003, message("bob", "", "team", "g1"));
    rig.play_control(&[]);
    assert!(rig.sync());
    assert_eq!(seen(&mut rig, alice).0, [(1, "g1".to_owned())]);
    assert_eq!(seen(&mut rig, bob).0, [(1, "g1".to_owned())]);
    let data = ringwire_protocol::pb::sdkws::GetMaxSeqReq {
        user_id: "alice".into(),
    };
    rig.ask(alice, "alice", 1001, data.encode_to_vec());
    let (_, call) = rig.calls().pop().expect("a call");
    assert!(call.after[0].position > 0, "as far as the message");
}

#[test]
fn a_session_that_ends_before_the_verdict_does_no_harm() {
    let (mut rig, [alice, bob]) = two();
    rig.ask(alice, "alice", 1003, message("alice", "bob", "", "m1"));
    rig.play_control(&[]);
    rig.event(Event::Closed { conn: alice });
    assert!(rig.sync());
    assert_eq!(seen(&mut rig, bob).0, [(1, "m1".to_owned())]);
}
