use super::*;

const TAIL: usize = 3;

fn known(seq: i64, send_time: i64) -> KnownMessage {
    KnownMessage {
        send_id: "a".into(),
        client_msg_id: format!("m{seq}"),
        server_msg_id: String::new(),
        send_time,
        create_time: send_time,
        seq,
    }
}

/// One conversation with ten messages, a second apart from time 0, ordinals 1 to 10.
fn ten() -> Conversations {
    let mut table = Conversations::new(10, TAIL, vec![]);
    let waiter = Waiter {
        lane: String::new(),
        job: 1,
    };
    table.want("c", &waiter);
    assert_eq!(table.question(), Some(vec!["c".to_string()]));
    let empty = ConversationState {
        max_seq: 0,
        max_send_time: 0,
        recent: vec![],
        ahead: Vec::new(),
    };
    assert_eq!(
        table.arrived(&["c".into()], Ok(vec![empty]), 0),
        (vec![waiter], vec![])
    );
    for seq in 1..=10 {
        let now = (seq - 1) * 1_000;
        table
            .get("c")
            .expect("held")
            .append(known(seq, now), seq as Ordinal);
        table.trim_later("c", 0, now);
    }
    table
}

fn held(table: &mut Conversations) -> usize {
    table.get("c").expect("held").known.len()
}

#[test]
fn what_is_young_or_not_stored_stays_known() {
    let mut table = ten();
    table.trim_due(10, 29_999);
    assert_eq!(held(&mut table), 10, "young");
    table.trim_due(4, 100_000);
    assert_eq!(held(&mut table), 6, "not stored");
    table.trim_due(10, 200_000);
    assert_eq!(held(&mut table), TAIL);
    table.trim_due(10, 300_000);
    assert_eq!(held(&mut table), TAIL);
    assert!(table.due.is_empty());
}

#[test]
fn a_trimmed_table_is_sure_only_of_what_it_covers() {
    let mut table = ten();
    let look = |table: &mut Conversations, id: &str, create_time| {
        table
            .get("c")
            .expect("held")
            .look_up("a", id, create_time, 200_000)
    };
    assert_eq!(
        look(&mut table, "new", 1),
        Sighting::New,
        "it covers everything"
    );
    table.trim_due(10, 200_000);
    assert_eq!(
        look(&mut table, "m9", 1),
        Sighting::Known(known(9, 8_000), 9)
    );
    assert_eq!(look(&mut table, "m1", 0), Sighting::Unsure);
    assert_eq!(look(&mut table, "new", 7_000), Sighting::Unsure);
    assert_eq!(look(&mut table, "new", 10_000), Sighting::New);
    assert_eq!(look(&mut table, "new", 200_000), Sighting::New);
    assert_eq!(
        look(&mut table, "new", 250_000),
        Sighting::Unsure,
        "from the future"
    );
    assert_eq!(
        table
            .get("c")
            .expect("held")
            .look_up("b", "m9", 200_000, 200_000),
        Sighting::New
    );
}

#[test]
fn a_clock_that_ran_ahead_makes_its_sender_unsure() {
    let mut table = ten();
    let conversation = table.get("c").expect("held");
    let mut ahead = known(11, 10_000);
    ahead.create_time = 70_000;
    conversation.append(ahead, 11);
    for seq in 12..=20 {
        conversation.append(known(seq, seq * 1_000), seq as Ordinal);
    }
    table.trim_later("c", 20, 20_000);
    table.trim_due(20, 200_000);
    let conversation = table.get("c").expect("held");
    let look = |sender, created| conversation.look_up(sender, "m11", created, 300_000);
    assert_eq!(look("a", 70_000), Sighting::Unsure, "sent again");
    assert_eq!(look("a", 70_001), Sighting::New);
    assert_eq!(look("b", 70_000), Sighting::New);
}

#[test]
fn what_recovery_found_counts_only_with_what_control_has_stored() {
    let head = ConversationHead {
        ordering_key: "c".into(),
        max_seq: 2,
        last_send_time: 2_000,
        recent: vec![known(1, 1_000), known(2, 2_000)],
        foreign: false,
    };
    let recovered = || {
        let mut table = Conversations::new(10, TAIL, vec![("c".into(), head.clone())]);
        let waiter = Waiter {
            lane: String::new(),
            job: 1,
        };
        assert!(!table.ready("c"));
        table.want("c", &waiter);
        table
    };
    let confirm = |state: ConversationState| {
        let mut table = recovered();
        table.arrived(&["c".into()], Ok(vec![state]), 0);
        assert!(table.ready("c"));
        let conversation = table.get("c").expect("held");
        let look = |id: &str, conversation: &Conversation| {
            conversation.look_up("a", id, 100, 100_000) != Sighting::Unsure
        };
        (
            conversation.max_seq,
            look("m1", conversation),
            look("new", conversation),
        )
    };
    let state = |max_seq, recent| ConversationState {
        max_seq,
        max_send_time: max_seq * 1_000,
        recent,
        ahead: vec![],
    };
    assert_eq!(confirm(state(1, vec![known(1, 1_000)])), (2, true, true));
    assert_eq!(
        confirm(state(9, vec![known(8, 8_000), known(9, 9_000)])),
        (9, true, false),
        "newer messages were stored from another journal"
    );
    assert_eq!(
        confirm(state(3, vec![known(3, 3_000)])),
        (3, true, true),
        "both together are everything"
    );
}

#[test]
fn however_busy_only_so_many_stored_messages_are_known() {
    let mut table = ten();
    for seq in 11..=(KEEP_MESSAGES as i64 + 500) {
        table
            .get("c")
            .expect("held")
            .append(known(seq, 10_000), seq as Ordinal);
        table.trim_later("c", Ordinal::MAX - 1, 10_000);
    }
    assert_eq!(held(&mut table), KEEP_MESSAGES);
    assert_eq!(table.due.len(), 1);
}

#[test]
fn what_control_is_asked_about_is_not_forgotten_before_the_answer() {
    let head = ConversationHead {
        ordering_key: "c".into(),
        max_seq: 2,
        last_send_time: 2_000,
        recent: vec![known(1, 1_000), known(2, 2_000)],
        foreign: false,
    };
    let mut table = Conversations::new(1, TAIL, vec![("c".into(), head)]);
    let waiter = |id: &str| Waiter {
        lane: id.into(),
        job: 1,
    };
    let state = |max_seq| ConversationState {
        max_seq,
        max_send_time: 0,
        recent: vec![],
        ahead: Vec::new(),
    };
    table.want("c", &waiter("c"));
    table.want("d", &waiter("d"));
    // Control read the state of "c" first and then stored its records, and says so first.
    table.forget_stored("c", RECOVERED);
    table.arrived(&["d".into()], Ok(vec![state(0)]), RECOVERED);
    table.arrived(&["c".into()], Ok(vec![state(0)]), RECOVERED);
    assert_eq!(table.get("c").expect("held").max_seq, 2);
    table.forget_stored("c", RECOVERED);
    assert!(table.get("c").is_some(), "its message was not sequenced");
    table.served(&["c".into(), "d".into()]);
    table.forget_stored("c", RECOVERED);
    assert!(table.get("c").is_none(), "from now on it may be forgotten");
}

#[test]
fn times_ascend_unless_somebody_set_one_far_ahead() {
    let mut conversation = Conversation::new(0, 0, vec![], 0);
    conversation.append(known(1, 5_000), 1);
    assert_eq!(
        (conversation.send_time(4_000), conversation.send_time(6_000)),
        (5_000, 6_000)
    );
    conversation.append(known(2, 10_000_000), 2);
    assert_eq!(conversation.send_time(6_000), 6_000);
}
