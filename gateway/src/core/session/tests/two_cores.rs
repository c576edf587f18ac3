//! Two whole cores whose rings, journals and control move in any order.

use super::whole_way::message;
use super::*;
use proptest::prelude::*;
use prost::Message as _;
use ringwire_protocol::conversation_id::single;
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::PushMessages;
use ringwire_protocol::req;
use std::collections::{BTreeMap, VecDeque};

const USERS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A user sends to another (or to the group).
    Send { from: usize, to: Option<usize> },
    /// The oldest item from a core to the other arrives.
    Ring(usize),
    /// The journal write of a core completes.
    Sync(usize),
    /// Control answers what a core asked.
    Control(usize),
}

struct World {
    rigs: [Rig; 2],
    rings: [VecDeque<RingItem>; 2],
    users: Vec<(String, usize, ConnId)>,
    sent: Vec<usize>,
}

impl World {
    fn new() -> Self {
        let board = Arc::new(Board::new(&[0, 0]));
        let mut rigs = [0, 1].map(|core| Rig::build(core, 2, board.clone(), |_| {}));
        let names: Vec<(String, usize)> = (0..USERS)
            .map(|n| (user_of(n as CoreId % 2, n), n % 2))
            .collect();
        for (core, rig) in rigs.iter_mut().enumerate() {
            let mine = names.iter().filter(|(_, home)| *home == core);
            let facts: Vec<TokenFact> = mine.map(|(name, _)| normal(name, 1)).collect();
            rig.link_up(&facts);
        }
        let mut users = Vec::new();
        for (name, home) in names {
            let conn = rigs[home].open(&name, 1);
            users.push((name, home, conn));
        }
        rigs.iter_mut().for_each(|rig| rig.play_control(&["team"]));
        Self {
            rigs,
            rings: Default::default(),
            users,
            sent: vec![0; USERS],
        }
    }

    fn step(&mut self, step: &Step) -> bool {
        let progress = match step {
            Step::Send { from, to } => {
                let (name, home, conn) = self.users[*from].clone();
                self.sent[*from] += 1;
                let id = format!("{from}-{}", self.sent[*from]);
                let data = match to {
                    Some(to) => message(&name, &self.users[*to].0, "", &id),
                    None => message(&name, "", "team", &id),
                };
                let bytes = binary(&request(&name, req::SEND_MSG, &id, data));
                self.rigs[home].receive(conn, &bytes);
                true
            }
            Step::Ring(from) => match self.rings[*from].pop_front() {
                Some(item) => {
                    let event = Event::Ring {
                        from: *from as CoreId,
                        item,
                    };
                    self.rigs[1 - from].event(event);
                    true
                }
                None => false,
            },
            Step::Sync(core) => self.rigs[*core].sync(),
            Step::Control(core) => {
                let before = self.rigs[*core].links.len();
                self.rigs[*core].play_control(&["team"]);
                self.rigs[*core].links.len() != before
            }
        };
        for (from, rig) in self.rigs.iter_mut().enumerate() {
            self.rings[from].extend(rig.rings.drain(..).map(|(_, item)| item));
        }
        progress
    }

    fn drain(&mut self) {
        let all = [0, 1]
            .map(|core| [Step::Ring(core), Step::Sync(core), Step::Control(core)])
            .concat();
        while all
            .iter()
            .map(|step| self.step(step))
            .fold(false, |a, b| a | b)
        {}
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..USERS, proptest::option::of(0..USERS)).prop_map(|(from, to)| Step::Send { from, to }),
        4 => (0usize..2).prop_map(Step::Ring),
        2 => (0usize..2).prop_map(Step::Sync),
        2 => (0usize..2).prop_map(Step::Control),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everyone_gets_everything_once_and_in_order(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.drain();
        // What each conversation holds, seq by seq, as the first receiver saw it.
        let mut history: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
        let mut seen = Vec::new();
        for user in 0..USERS {
            let (name, home, conn) = world.users[user].clone();
            let mut next: BTreeMap<String, i64> = BTreeMap::new();
            let mut answered = 0;
            for response in world.rigs[home].responses(conn) {
                prop_assert_eq!(response.err_code, 0);
                if response.req_identifier == req::SEND_MSG {
                    answered += 1;
                    prop_assert_eq!(&response.msg_incr, &format!("{user}-{answered}"));
                    let reply = SendMsgResp::decode(&response.data[..]).expect("decodes");
                    prop_assert_eq!(&reply.client_msg_id, &response.msg_incr);
                    continue;
                }
                let push = PushMessages::decode(&response.data[..]).expect("decodes");
                prop_assert!(push.notification_msgs.is_empty());
                for (conversation, messages) in push.msgs {
                    for msg in messages.msgs {
                        let expected = next.entry(conversation.clone()).or_insert(1);
                        prop_assert_eq!(msg.seq, *expected, "{} in {}", name, conversation);
                        *expected += 1;
                        let known = history.entry(conversation.clone()).or_default();
                        let first = known.entry(msg.seq).or_insert_with(|| msg.client_msg_id.clone());
                        prop_assert_eq!(first, &msg.client_msg_id);
                    }
                }
            }
            prop_assert_eq!(answered, world.sent[user], "every send of {} was answered", name);
            seen.push(next);
        }
        let stored: usize = history.values().map(BTreeMap::len).sum();
        prop_assert_eq!(stored, world.sent.iter().sum::<usize>());
        for (a, seen) in seen.iter().enumerate() {
            let chats = (0..USERS).map(|b| single(&world.users[a].0, &world.users[b].0));
            for conversation in chats.chain(["sg_team".to_owned()]) {
                let length = history.get(&conversation).map_or(0, BTreeMap::len);
                let got = seen.get(&conversation).map_or(0, |next| next - 1);
                prop_assert_eq!(got as usize, length, "{} in {}", a, conversation);
            }
        }
    }
}
