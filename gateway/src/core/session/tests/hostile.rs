//! No client input ends more than the client's own session.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Input {
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// A frame of this opcode around bytes.
    Frame(u8, Vec<u8>),
    /// An envelope around bytes.
    Request(i32, Vec<u8>),
}

fn input() -> impl Strategy<Value = Input> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        1 => bytes().prop_map(Input::Raw),
        2 => (prop_oneof![Just(1u8), Just(2), Just(9), Just(10), Just(8)], bytes()).prop_map(|(o, b)| Input::Frame(o, b)),
        4 => (prop_oneof![1000i32..1010, 2000i32..2010], bytes()).prop_map(|(id, b)| Input::Request(id, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_one_client_sends_another_is_served(inputs in proptest::collection::vec(input(), 1..30), head: bool) {
        let (bad, good) = (user_of(0, 0), user_of(0, 1));
        let mut rig = Rig::linked(&[normal(&bad, 1), normal(&good, 1)]);
        let witness = rig.open(&good, 1);
        let conn = if head { rig.accept() } else { rig.open(&bad, 1) };
        for input in &inputs {
            let bytes = match input {
                Input::Raw(bytes) => bytes.clone(),
                Input::Frame(opcode, bytes) => frame(*opcode, &bytes[..bytes.len().min(125)]),
                Input::Request(id, bytes) => binary(&request(&bad, *id, "1", bytes.clone())),
            };
            rig.receive(conn, &bytes);
            for (correlation, _) in rig.calls() {
                rig.control(correlation, reply(vec![1]));
            }
        }
        rig.pass(5_000);
        rig.event(Event::Closed { conn });
        rig.receive(witness, &frame(9, b"alive"));
        prop_assert_eq!(rig.frames(witness), [Frame::Pong(b"alive".to_vec())]);
        prop_assert_eq!((rig.stats().connections, rig.stats().sessions), (1, 1));
    }
}
