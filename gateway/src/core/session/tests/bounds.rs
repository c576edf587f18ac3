//! What clients come and go through leaves nothing behind.

use super::*;
use crate::core::session::Home;

const ROUNDS: u64 = 1_000;

/// The home side alone, with control's welcome.
fn home() -> (Home, Out, Now) {
    let board = Arc::new(Board::new(&[0]));
    let config = ringwire_config::Config::default();
    let config = CoreConfig::new(&config, 0, 1, 1, Secret::new(SECRET));
    let mut home = Home::new(config, board, Arc::new(Connections::new(100)), &[]);
    let mut out = Out::new(0);
    home.link_up(false, &mut out);
    let now = Now {
        mono_ms: 1_000,
        unix_ms: START_S * 1_000,
    };
    (home, out, now)
}

/// Clients connect and are gone again.
fn come_and_go(home: &mut Home, out: &mut Out, now: Now, user: &str) {
    let request = upgrade(&query(user, 1, &token_of(user, 1)));
    for n in 0..ROUNDS {
        let conn = ConnId(n);
        home.accepted(now, conn, ([127, 0, 0, 1], 5).into());
        home.received(now, conn, request.as_bytes(), out);
        home.end_of_turn(out);
        home.closed(conn, out);
        home.end_of_turn(out);
        home.flush(now, out);
    }
}

#[test]
fn users_who_come_and_go_while_control_is_away_leave_no_question() {
    let (mut home, mut out, now) = home();
    let tokens = vec![normal("u", 1)];
    home.link(
        now,
        0,
        ToGateway::TokenSnapshot { tokens, done: true },
        &mut out,
    );
    home.link_down(now, &mut out);
    come_and_go(&mut home, &mut out, now, "u");
    assert_eq!(home.stats().connections, 0);
    assert!(home.wanted.len() < 2, "{} left", home.wanted.len());

    // Who is there when control comes back is asked about.
    let conn = ConnId(ROUNDS);
    home.accepted(now, conn, ([127, 0, 0, 1], 5).into());
    let request = upgrade(&query("u", 1, &token_of("u", 1)));
    home.received(now, conn, request.as_bytes(), &mut out);
    home.end_of_turn(&mut out);
    out.actions.clear();
    home.link_up(true, &mut out);
    home.end_of_turn(&mut out);
    let asked = out.actions.iter().any(|action| {
        matches!(action, Action::Link { body: ToControl::FetchFacts { keys }, .. }
            if keys == &[FactKey::UserGroups("u".into())])
    });
    assert!(asked);
}

#[test]
fn clients_who_do_not_wait_for_the_token_snapshot_leave_nothing() {
    let (mut home, mut out, now) = home();
    come_and_go(&mut home, &mut out, now, "u");
    let left = home.awaiting_tokens.len();
    assert!(left < 100, "{left} left");
}
