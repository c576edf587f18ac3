//! The gateway as a process: real binary, real sockets, real journal, a control plane in memory.

#![allow(clippy::unwrap_used)] // tests say what they expect by unwrapping

mod plane;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::Plane;
use prost::Message as _;
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::{MsgData, PushMessages};
use ringwire_protocol::token::{Claims, fingerprint, sign};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

const SECRET: &str = "0123456789abcdefghijklmnopq";
const TIMEOUT: Duration = Duration::from_secs(20);

struct Gateway {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(folder: &Path, gateway: &str) {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
    let text = format!(
        "[shared]\nlog_format = \"json\"\n[gateway]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n\
         cores = 2\njournal_segment_bytes = 2097152\n{gateway}"
    );
    std::fs::write(folder.join("ringwire.toml"), text).unwrap();
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwire-gateway"));
    command
        .arg("--config")
        .arg(folder.join("ringwire.toml"))
        .stderr(Stdio::piped());
    command
}

/// Starts a gateway that must not come up: its exit code and what it said.
fn refused(folder: &Path) -> (Option<i32>, String) {
    let output = command(folder).output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

impl Gateway {
    /// Starts it and waits until all cores listen and are ready.
    fn start(folder: &Path) -> Self {
        Self::wait_for(command(folder))
    }

    fn wait_for(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut address, mut ready) = (None, 0);
        while address.is_none() || ready < 2 {
            let line = Self::line(&mut log);
            ready += usize::from(line["fields"]["message"] == "core is ready");
            if line["fields"]["message"] == "gateway is up" {
                address = Some(line["fields"]["address"].as_str().unwrap().parse().unwrap());
            }
        }
        Self {
            child,
            log,
            address: address.unwrap(),
        }
    }

    fn line(log: &mut impl BufRead) -> Value {
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the gateway ended");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a log line: {line}"))
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(&mut self) -> ExitStatus {
        let kill = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(kill.success());
        self.ended()
    }

    fn ended(&mut self) -> ExitStatus {
        // The log ends with the process.
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap()
    }
}

fn token(user: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    // Whole days, so that both runs of a test make the same token.
    sign(&Claims::new(user, 1, now / 86_400 * 86_400, 90), SECRET)
}

struct Session {
    user: String,
    socket: WebSocket<TcpStream>,
    sent: u32,
}

impl Session {
    fn open(gateway: &Gateway, user: &str) -> Self {
        Self::try_open(gateway, user).expect("connects")
    }

    fn try_open(gateway: &Gateway, user: &str) -> Option<Self> {
        let stream = TcpStream::connect(gateway.address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let token = token(user);
        let url = format!(
            "ws://{}/?sendID={user}&token={token}&platformID=1&operationID=op&isBackground=false&sdkType=js",
            gateway.address
        );
        let (socket, _) = tungstenite::client(url, stream).ok()?;
        Some(Self {
            user: user.to_owned(),
            socket,
            sent: 0,
        })
    }

    fn send(&mut self, to: &str, client_msg_id: &str) {
        self.sent += 1;
        let msg = MsgData {
            send_id: self.user.clone(),
            recv_id: to.into(),
            client_msg_id: client_msg_id.into(),
            sender_platform_id: 1,
            session_type: 1,
            msg_from: 100,
            content_type: 101,
            content: br#"{"content":"hello"}"#.as_slice().into(),
            ..MsgData::default()
        };
        let request = json!({
            "reqIdentifier": 1003, "token": "", "sendID": self.user, "operationID": "op",
            "msgIncr": self.sent.to_string(), "data": STANDARD.encode(msg.encode_to_vec()),
        });
        self.socket
            .send(Message::Binary(request.to_string().into_bytes().into()))
            .unwrap();
    }

    fn next(&mut self) -> Option<(i64, Value, Vec<u8>)> {
        loop {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => {
                    let frame: Value = serde_json::from_slice(&bytes).unwrap();
                    let data = STANDARD
                        .decode(frame["data"].as_str().unwrap_or_default())
                        .unwrap();
                    return Some((frame["reqIdentifier"].as_i64().unwrap(), frame, data));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn sent_ok(&mut self, to: &str, client_msg_id: &str) -> SendMsgResp {
        self.send(to, client_msg_id);
        let mut next = || self.next().expect("a reply");
        // A session sees what its own user sends as a push too.
        let (kind, frame, data) = loop {
            let frame = next();
            if frame.0 != 2001 {
                break frame;
            }
        };
        assert_eq!((kind, &frame["errCode"]), (1003, &json!(0)), "{frame}");
        SendMsgResp::decode(&*data).unwrap()
    }

    fn pushed(&mut self) -> Vec<MsgData> {
        let (kind, frame, data) = self.next().expect("a push");
        assert_eq!(kind, 2001, "{frame}");
        let push = PushMessages::decode(&*data).unwrap();
        push.msgs.into_values().flat_map(|m| m.msgs).collect()
    }
}

fn plane(folder: &Path) -> Plane {
    let plane = Plane::listen(&folder.join("link.sock"));
    for user in ["alice", "bob"] {
        plane.allow(user, 1, fingerprint(&token(user)));
    }
    plane
}

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
