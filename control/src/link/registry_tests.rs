use super::*;
use ringwire_link::frame::{FrameDecoder, preamble};
use tokio::sync::mpsc::UnboundedReceiver;

fn hello(boot: u64, core: u16) -> Hello {
    Hello {
        gateway: "g".into(),
        boot,
        core,
        cores: 2,
        epoch: 3,
        journals: Vec::new(),
        facts_boot: 0,
        facts_version: 0,
    }
}

fn received(outgoing: &mut UnboundedReceiver<Vec<u8>>) -> Vec<ToGateway> {
    let mut decoder = FrameDecoder::default();
    decoder.extend(&preamble());
    while let Ok(bytes) = outgoing.try_recv() {
        decoder.extend(&bytes);
    }
    let mut bodies = Vec::new();
    while let Some(frame) = decoder.next::<ToGateway>().expect("valid") {
        bodies.push(frame.body);
    }
    bodies
}

fn none() -> StoredPositions {
    StoredPositions::new([])
}

#[test]
fn a_second_process_of_the_name_waits_until_the_first_is_gone() {
    let registry = Registry::new(1);
    let (old, _old_out) = Connection::new(1);
    let core = registry.admit(&hello(10, 0), &old, &none()).expect("first");
    let (new, _new_out) = Connection::new(2);
    let refused = registry
        .admit(&hello(11, 0), &new, &none())
        .expect_err("two processes");
    assert!(refused.contains("another process"), "{refused}");
    assert!(registry.gone(&core));
    registry
        .admit(&hello(11, 0), &new, &none())
        .expect("the first is gone");
}

#[test]
fn the_same_process_may_connect_again_at_once() {
    let registry = Registry::new(1);
    let (old, _a) = Connection::new(1);
    let core = registry.admit(&hello(10, 0), &old, &none()).expect("first");
    let (new, _b) = Connection::new(2);
    registry.admit(&hello(10, 0), &new, &none()).expect("again");
    assert!(old.is_closing());
    assert!(
        !registry.gone(&core),
        "the end of the old connection takes nothing away"
    );
    assert_eq!(registry.cores().len(), 1);
}

#[test]
fn hellos_that_cannot_be_right_are_refused_with_a_reason() {
    type Spoil = fn(&mut Hello);
    let cases: [(Spoil, &str); 5] = [
        (|h| h.core = 2, "cannot be"),
        (|h| h.cores = 4, "cores before"),
        (|h| h.epoch = 2, "owner epoch"),
        (|h| h.gateway = "h".into(), "owns all conversations"),
        (
            |h| {
                h.journals = vec![JournalPosition {
                    journal: 0,
                    position: 1 << 30,
                }]
            },
            "older database",
        ),
    ];
    for (spoil, expected) in cases {
        let registry = Registry::new(1);
        let (first, _a) = Connection::new(1);
        registry
            .admit(&hello(10, 0), &first, &none())
            .expect("first");
        let (second, _b) = Connection::new(2);
        let mut bad = hello(10, 0);
        spoil(&mut bad);
        let reason = registry.admit(&bad, &second, &none()).expect_err("refused");
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_core_that_comes_back_gets_what_it_missed_or_must_forget() {
    let registry = Registry::new(7);
    for user in ["a", "b", "c"] {
        registry.publish_changes(vec![FactChange::User(user.into())]);
    }
    // (what it knows, whether its facts are current, versions replayed)
    let cases = [
        ((7, 1), true, vec![2, 3]),
        ((7, 3), true, vec![]),
        ((6, 3), false, vec![]),
        ((7, 9), false, vec![]),
    ];
    for ((facts_boot, facts_version), current, versions) in cases {
        let (connection, mut outgoing) = Connection::new(1);
        registry
            .admit(
                &Hello {
                    facts_boot,
                    facts_version,
                    ..hello(10, 0)
                },
                &connection,
                &none(),
            )
            .expect("admitted");
        let bodies = received(&mut outgoing);
        let Some(ToGateway::Welcome(welcome)) = bodies.first() else {
            panic!("{bodies:?}")
        };
        assert_eq!((welcome.facts_version, welcome.facts_current), (3, current));
        let replayed: Vec<u64> = bodies
            .iter()
            .filter_map(|b| {
                if let ToGateway::FactChanges { version, .. } = b {
                    Some(*version)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(replayed, versions);
    }
}

#[test]
fn the_log_of_changes_is_bounded() {
    let registry = Registry::new(7);
    let many: Vec<FactChange> = (0..LOG_CHANGES)
        .map(|n| FactChange::User(n.to_string()))
        .collect();
    registry.publish_changes(many.clone());
    registry.publish_changes(many);
    let (connection, mut outgoing) = Connection::new(1);
    registry
        .admit(
            &Hello {
                facts_boot: 7,
                ..hello(10, 0)
            },
            &connection,
            &none(),
        )
        .expect("admitted");
    let bodies = received(&mut outgoing);
    assert!(
        matches!(bodies.as_slice(), [ToGateway::Welcome(w)] if !w.facts_current),
        "{bodies:?}"
    );
}

#[test]
fn a_token_snapshot_never_tells_an_older_state_than_a_change_before_it() {
    let registry = Registry::new(7);
    let (connection, mut outgoing) = Connection::new(1);
    registry
        .admit(&hello(10, 0), &connection, &none())
        .expect("admitted");
    let token = |state| TokenFact {
        user_id: "u".into(),
        platform_id: 1,
        token: [1; 16],
        state,
        expires_s: 9,
    };
    registry.publish_changes(vec![FactChange::Token(token(TokenState::Gone))]);
    registry.send_tokens(&connection, vec![token(TokenState::Normal)], true);
    let last = received(&mut outgoing).pop();
    assert_eq!(
        last,
        Some(ToGateway::TokenSnapshot {
            tokens: vec![token(TokenState::Gone)],
            done: true
        })
    );
    assert!(lock(&registry.state).snapshots.is_empty());
}
