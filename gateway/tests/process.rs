//! The gateway as a process: real binary, real sockets, real journal, a control plane in memory.

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod plane;
mod running;

use plane::Plane;
use prost::Message as _;
use ringwire_protocol::pb::sdkws::PushMessages;
use ringwire_protocol::token::fingerprint;
use running::{Gateway, Session, configure, plane, refused, token};
use serde_json::json;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use tungstenite::Message;

#[test]
fn an_acknowledged_message_survives_kill_and_no_seq_is_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let plane = plane(folder.path());
    // Nothing reaches the plane: what is acknowledged lives in the journal alone.
    plane.hold(true);
    let mut ids = Vec::new();
    for round in 0..4 {
        let gateway = Gateway::start(folder.path());
        let mut alice = Session::open(&gateway, "alice");
        let mut bob = Session::open(&gateway, "bob");
        for n in 0..25 {
            let id = format!("{round}-{n}");
            let reply = alice.sent_ok("bob", &id);
            assert_eq!(reply.client_msg_id, id);
            let pushed = bob.pushed();
            assert_eq!(pushed.len(), 1);
            assert_eq!(pushed[0].server_msg_id, reply.server_msg_id);
            assert_eq!(pushed[0].seq, i64::from(round * 25 + n + 1));
            // The same message again: the same answer, no new seq, no second push.
            assert_eq!(alice.sent_ok("bob", &id), reply);
            ids.push(reply.server_msg_id);
        }
        gateway.kill();
    }
    plane.hold(false);
    let mut gateway = Gateway::start(folder.path());
    plane.wait(|kept| {
        let stored = kept
            .messages
            .get("si_alice_bob")
            .map(Vec::as_slice)
            .unwrap_or_default();
        let same = stored.iter().map(|m| &m.server_msg_id).eq(&ids);
        same && stored.iter().map(|m| m.seq).eq(1..=100)
    });
    assert_eq!(gateway.terminate().code(), Some(0));
}

#[test]
fn known_users_go_on_while_control_is_away() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let plane = plane(folder.path());
    let gateway = Gateway::start(folder.path());
    let mut alice = Session::open(&gateway, "alice");
    let mut bob = Session::open(&gateway, "bob");
    alice.sent_ok("bob", "first");
    assert_eq!(bob.pushed()[0].seq, 1);
    std::fs::rename(folder.path().join("link.sock"), folder.path().join("away")).unwrap();
    plane.cut();
    for n in 2..20 {
        alice.sent_ok("bob", &n.to_string());
        assert_eq!(bob.pushed()[0].seq, n);
    }
    std::fs::rename(folder.path().join("away"), folder.path().join("link.sock")).unwrap();
    plane.wait(|kept| {
        kept.messages
            .get("si_alice_bob")
            .is_some_and(|m| m.iter().map(|m| m.seq).eq(1..20))
    });
}

#[test]
fn many_users_chat_at_once_and_nothing_is_lost_or_out_of_order() {
    const USERS: usize = 24;
    const MESSAGES: usize = 150;
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let users: Vec<_> = (0..USERS).map(|n| format!("user{n:02}")).collect();
    let plane = Plane::listen(&folder.path().join("link.sock"));
    for user in &users {
        plane.allow(user, 1, fingerprint(&token(user)));
    }
    let mut gateway = Gateway::start(folder.path());
    let sessions: Vec<_> = users
        .iter()
        .map(|user| Session::open(&gateway, user))
        .collect();
    let chat = &|(n, mut session): (usize, Session)| {
        let (to, from) = (&users[(n + 1) % USERS], &users[(n + USERS - 1) % USERS]);
        // All at once, more than a session may have waiting: the gateway stops reading for a while.
        for m in 0..MESSAGES {
            session.send(to, &format!("{n}-{m}"));
        }
        let (mut replies, mut pushed) = (0, 0);
        while replies < MESSAGES || pushed < MESSAGES {
            let (kind, frame, data) = session.next().expect("goes on");
            assert_eq!(frame["errCode"], json!(0), "{frame}");
            if kind == 1003 {
                replies += 1;
                assert_eq!(
                    frame["msgIncr"],
                    json!(replies.to_string()),
                    "replies in the order of the requests"
                );
                continue;
            }
            for msg in PushMessages::decode(&*data)
                .unwrap()
                .msgs
                .into_values()
                .flat_map(|m| m.msgs)
            {
                if msg.send_id == *from {
                    pushed += 1;
                    assert_eq!(
                        msg.seq, pushed as i64,
                        "pushes in the order of the conversation"
                    );
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for session in sessions.into_iter().enumerate() {
            scope.spawn(move || chat(session));
        }
    });
    plane.wait(|kept| {
        kept.messages.len() == USERS
            && kept
                .messages
                .values()
                .all(|m| m.iter().map(|m| m.seq).eq(1..=MESSAGES as i64))
    });
    assert_eq!(gateway.terminate().code(), Some(0));
}

#[test]
fn a_stop_closes_sessions_politely_and_keeps_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let plane = plane(folder.path());
    let mut gateway = Gateway::start(folder.path());
    let mut alice = Session::open(&gateway, "alice");
    alice.sent_ok("bob", "only");
    let closing = std::thread::spawn(move || {
        loop {
            match alice.socket.read() {
                Ok(Message::Close(frame)) => return frame.map(|f| u16::from(f.code)),
                Ok(_) => {}
                Err(error) => panic!("ended without a close frame: {error}"),
            }
        }
    });
    assert_eq!(gateway.terminate().code(), Some(0));
    assert_eq!(closing.join().unwrap(), Some(1001));
    plane.wait(|kept| kept.messages.contains_key("si_alice_bob"));
}

#[test]
fn a_journal_that_cannot_be_written_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let plane = plane(folder.path());
    let mut gateway = Gateway::start(folder.path());
    Session::open(&gateway, "alice").sent_ok("bob", "first");
    plane.wait(|kept| kept.messages.contains_key("si_alice_bob"));
    assert_eq!(gateway.terminate().code(), Some(0));
    // The segments exist now; they are opened again when first written.
    let mut gateway = Gateway::start(folder.path());
    let mut alice = Session::open(&gateway, "alice");
    for core in 0..2 {
        let journal = folder.path().join(format!("journal/journal-{core}"));
        std::fs::rename(&journal, folder.path().join(format!("{core}.away"))).unwrap();
    }
    alice.send("bob", "lost");
    assert_eq!(
        alice.next().map(|(_, frame, _)| frame),
        None,
        "never acknowledged"
    );
    assert_eq!(gateway.ended().code(), Some(5));
}

#[test]
fn clients_cannot_take_the_descriptors_of_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let _plane = plane(folder.path());
    let mut few = Command::new("sh");
    few.arg("-c")
        .arg("ulimit -n 180 && exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_ringwire-gateway"));
    few.arg("--config")
        .arg(folder.path().join("ringwire.toml"))
        .stderr(Stdio::piped());
    let mut gateway = Gateway::wait_for(few);
    let mut alice = Session::open(&gateway, "alice");
    let crowd: Vec<_> = (0..400)
        .map(|_| TcpStream::connect(gateway.address).unwrap())
        .collect();
    for n in 0..100 {
        alice.sent_ok("bob", &n.to_string());
    }
    drop(crowd);
    // As soon as the crowd is gone there is room again.
    let mut bob = loop {
        if let Some(bob) = Session::try_open(&gateway, "bob") {
            break bob;
        }
    };
    bob.sent_ok("alice", "after the crowd");
    assert_eq!(gateway.terminate().code(), Some(0));
}

#[test]
fn a_damaged_journal_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let plane = plane(folder.path());
    plane.hold(true);
    let gateway = Gateway::start(folder.path());
    let mut alice = Session::open(&gateway, "alice");
    for n in 0..20 {
        alice.sent_ok("bob", &n.to_string());
    }
    gateway.kill();
    let mut damaged = 0;
    for core in 0..2 {
        let path = folder
            .path()
            .join(format!("journal/journal-{core}/0000000000000000.segment"));
        let mut bytes = std::fs::read(&path).unwrap();
        // The payload of the first record, if there is one.
        if bytes[64..96] != [0; 32] {
            bytes[100] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
    }
    assert_eq!(damaged, 1, "one conversation, one journal");
    let (code, said) = refused(folder.path());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn what_stops_a_start_has_its_code_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), "");
    let _plane = plane(folder.path());
    let running = Gateway::start(folder.path());
    let (code, said) = refused(folder.path());
    assert_eq!(code, Some(4));
    assert!(said.contains("another gateway uses this folder"), "{said}");
    drop(running);

    configure(folder.path(), "no_such_option = 1\n");
    assert_eq!(refused(folder.path()).0, Some(2));

    // Taken by one that does not share its port, then by a gateway with another folder.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = tempfile::tempdir().unwrap();
    configure(other.path(), "");
    let _plane = plane(other.path());
    let running = Gateway::start(other.path());
    for address in [taken.local_addr().unwrap(), running.address] {
        configure(folder.path(), "");
        let file = folder.path().join("ringwire.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let listen = format!("\nlisten = \"{address}\"");
        std::fs::write(file, text.replace("\nlisten = \"127.0.0.1:0\"", &listen)).unwrap();
        let (code, said) = refused(folder.path());
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("cannot listen"), "{said}");
    }
}
