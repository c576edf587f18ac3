//! A gateway process and its clients, for whole-process tests.

#![allow(dead_code)] // each test binary uses a part of it

use crate::plane::Plane;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use ringwire_protocol::pb::msg::SendMsgResp;
use ringwire_protocol::pb::sdkws::{MsgData, PushMessages};
use ringwire_protocol::token::{Claims, fingerprint, sign};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

const SECRET: &str = "0123456789abcdefghijklmnopq";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) log: BufReader<std::process::ChildStderr>,
    pub(crate) address: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn configure(folder: &Path, gateway: &str) {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
    let text = format!(
        "[shared]\nlog_format = \"json\"\n[gateway]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n\
         cores = 2\njournal_segment_bytes = 2097152\n{gateway}"
    );
    std::fs::write(folder.join("ringwire.toml"), text).unwrap();
}

pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringwire-gateway"));
    command
        .arg("--config")
        .arg(folder.join("ringwire.toml"))
        .stderr(Stdio::piped());
    command
}

/// Starts a gateway that must not come up: its exit code and what it said.
pub(crate) fn refused(folder: &Path) -> (Option<i32>, String) {
    let mut child = command(folder).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("gateway is up") {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it came up: {said}");
        }
        said.push_str(&line);
        said.push('\n');
    }
    (child.wait().unwrap().code(), said)
}

impl Gateway {
    /// Starts it and waits until all cores listen and are ready.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::wait_for(command(folder))
    }

    pub(crate) fn wait_for(command: Command) -> Self {
        Self::wait_with_log(command).0
    }

    /// The same, with what it said until then.
    pub(crate) fn wait_with_log(mut command: Command) -> (Self, Vec<Value>) {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut address, mut ready, mut said) = (None, 0, Vec::new());
        while address.is_none() || ready < 2 {
            let line = Self::line(&mut log);
            ready += usize::from(line["fields"]["message"] == "core is ready");
            if line["fields"]["message"] == "gateway is up" {
                address = Some(line["fields"]["address"].as_str().unwrap().parse().unwrap());
            }
            said.push(line["fields"].clone());
        }
        let gateway = Self {
            child,
            log,
            address: address.unwrap(),
        };
        (gateway, said)
    }

    pub(crate) fn line(log: &mut impl BufRead) -> Value {
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the gateway ended");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a log line: {line}"))
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let kill = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(kill.success());
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.last_words().0
    }

    /// Waits for its end: how it ended and the rest of its log.
    pub(crate) fn last_words(&mut self) -> (ExitStatus, String) {
        // The log ends with the process.
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

pub(crate) fn token(user: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    // Whole days, so that both runs of a test make the same token.
    sign(&Claims::new(user, 1, now / 86_400 * 86_400, 90), SECRET)
}

pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) socket: WebSocket<TcpStream>,
    pub(crate) sent: u32,
}

impl Session {
    pub(crate) fn open(gateway: &Gateway, user: &str) -> Self {
        Self::try_open(gateway, user).expect("connects")
    }

    pub(crate) fn try_open(gateway: &Gateway, user: &str) -> Option<Self> {
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

    pub(crate) fn send(&mut self, to: &str, client_msg_id: &str) {
        self.send_content(to, client_msg_id, br#"{"content":"hello"}"#);
    }

    pub(crate) fn send_content(&mut self, to: &str, client_msg_id: &str, content: &[u8]) {
        let msg = MsgData {
            send_id: self.user.clone(),
            recv_id: to.into(),
            client_msg_id: client_msg_id.into(),
            sender_platform_id: 1,
            session_type: 1,
            msg_from: 100,
            content_type: 101,
            content: content.to_vec().into(),
            ..MsgData::default()
        };
        self.request(1003, &msg.encode_to_vec());
    }

    pub(crate) fn request(&mut self, id: i32, data: &[u8]) {
        self.sent += 1;
        let request = json!({
            "reqIdentifier": id, "token": "", "sendID": self.user, "operationID": "op",
            "msgIncr": self.sent.to_string(), "data": STANDARD.encode(data),
        });
        self.socket
            .send(Message::Binary(request.to_string().into_bytes().into()))
            .unwrap();
    }

    pub(crate) fn next(&mut self) -> Option<(i64, Value, Vec<u8>)> {
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

    pub(crate) fn sent_ok(&mut self, to: &str, client_msg_id: &str) -> SendMsgResp {
        self.send(to, client_msg_id);
        let (kind, frame, data) = self.reply();
        assert_eq!((kind, &frame["errCode"]), (1003, &json!(0)), "{frame}");
        SendMsgResp::decode(&*data).unwrap()
    }

    /// The next reply. A session sees what its own user sends as a push too.
    pub(crate) fn reply(&mut self) -> (i64, Value, Vec<u8>) {
        loop {
            let frame = self.next().expect("a reply");
            if frame.0 != 2001 {
                return frame;
            }
        }
    }

    pub(crate) fn pushed(&mut self) -> Vec<MsgData> {
        let (kind, frame, data) = self.next().expect("a push");
        assert_eq!(kind, 2001, "{frame}");
        let push = PushMessages::decode(&*data).unwrap();
        push.msgs.into_values().flat_map(|m| m.msgs).collect()
    }
}

pub(crate) fn plane(folder: &Path) -> Plane {
    let plane = Plane::listen(&folder.join("link.sock"));
    for user in ["alice", "bob"] {
        plane.allow(user, 1, fingerprint(&token(user)));
    }
    plane
}
