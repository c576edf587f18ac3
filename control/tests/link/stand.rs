//! A link with its database, and cores that do what a test says.

use async_trait::async_trait;
use prost::Message as _;
use ringwire_control::link::{Link, Pace, Settings};
use ringwire_control::ports::TokenStates;
use ringwire_control::store::Stores;
use ringwire_link::facts::TokenFact;
use ringwire_link::frame::{self, Frame, FrameDecoder, preamble};
use ringwire_link::message::{Hello, JournalPosition, Welcome};
use ringwire_link::record::{MessageRecord, Record, TokenKickRecord, append};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::HashSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything a test waits for; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the first record of a journal stands.
pub(crate) const FIRST: u64 = 64;

/// Token states that remember what they were told.
#[derive(Default)]
pub(crate) struct Tokens {
    pub(crate) known: Mutex<Vec<TokenFact>>,
    pub(crate) kicked: Mutex<Vec<TokenKickRecord>>,
    /// So many calls fail first.
    pub(crate) failures: AtomicU32,
}

#[async_trait]
impl TokenStates for Tokens {
    async fn snapshot(
        &self,
        wanted: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync),
    ) -> Vec<TokenFact> {
        self.known
            .lock()
            .unwrap()
            .iter()
            .filter(|t| wanted(&t.user_id))
            .cloned()
            .collect()
    }

    async fn kicked_by_login(&self, record: &TokenKickRecord) -> Result<(), String> {
        let fail = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if fail.is_ok() {
            return Err("told to fail".into());
        }
        self.kicked.lock().unwrap().push(record.clone());
        Ok(())
    }
}

/// A running link.
pub(crate) struct Stand {
    folder: tempfile::TempDir,
    pub(crate) stores: Stores,
    pub(crate) link: Arc<Link>,
    pub(crate) tokens: Arc<Tokens>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub(crate) fn settings(socket: PathBuf) -> Settings {
    Settings {
        socket,
        admins: HashSet::from(["admin".to_owned()]),
        publish_timeout: PATIENCE,
        facts_timeout: PATIENCE,
        call_timeout: PATIENCE,
        store_timeout: PATIENCE,
        presence_grace: Duration::from_millis(1),
        pace: Pace {
            heartbeat_ms: 60_000,
            silence_ms: 60_000,
        },
    }
}

impl Stand {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, |_| {}).await
    }

    /// With other settings or stores than usual.
    pub(crate) async fn start_with(
        change: impl FnOnce(&mut Settings),
        wrap: impl FnOnce(&mut Stores),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, change, wrap).await
    }

    async fn start_in(
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut Settings),
        wrap: impl FnOnce(&mut Stores),
    ) -> Self {
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let mut stores = Stores::open(&url, 2).await.unwrap();
        wrap(&mut stores);
        let mut settings = settings(folder.path().join("link.sock"));
        change(&mut settings);
        let link = Link::new(settings, stores.clone()).unwrap();
        let tokens = Arc::new(Tokens::default());
        let server = link.bind(tokens.clone()).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            folder,
            stores,
            link,
            tokens,
            stop,
            served,
        }
    }

    /// Stops control and starts it again on the same database.
    pub(crate) async fn restart(self) -> Self {
        let _ = self.stop.send(());
        self.served.await.unwrap();
        Self::start_in(self.folder, |_| {}, |_| {}).await
    }

    /// A connection that has said nothing yet.
    pub(crate) async fn connect(&self) -> Core {
        Core::connect(&self.folder.path().join("link.sock")).await
    }

    /// A core that was welcomed, its token snapshot read.
    pub(crate) async fn core(&self, hello: Hello) -> Core {
        self.welcomed(hello).await.0
    }

    pub(crate) async fn welcomed(&self, hello: Hello) -> (Core, Welcome) {
        let mut core = self.connect().await;
        core.greet().await;
        core.tell(ToControl::Hello(hello)).await;
        let welcome = loop {
            match core.next().await.body {
                ToGateway::Welcome(welcome) => break welcome,
                ToGateway::Heartbeat => {}
                other => panic!("no Welcome but {other:?}"),
            }
        };
        loop {
            // Missed changes may come before the snapshot; tests that want them do not use this.
            if let ToGateway::TokenSnapshot { done: true, .. } = core.next().await.body {
                return (core, welcome);
            }
        }
    }
}

/// The only core of a gateway with one journal.
pub(crate) fn hello() -> Hello {
    Hello {
        gateway: "g1".into(),
        boot: 1,
        core: 0,
        cores: 1,
        epoch: 1,
        journals: vec![JournalPosition {
            journal: 0,
            position: FIRST,
        }],
        facts_boot: 0,
        facts_version: 0,
    }
}

/// A scripted gateway core.
pub(crate) struct Core {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Core {
    pub(crate) async fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).await.unwrap();
        Self {
            stream,
            decoder: FrameDecoder::default(),
        }
    }

    pub(crate) async fn greet(&mut self) {
        self.write(&preamble()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Says something that is no question.
    pub(crate) async fn tell(&mut self, body: ToControl) {
        self.send(0, body).await;
    }

    pub(crate) async fn send(&mut self, correlation: u64, body: ToControl) {
        let mut bytes = Vec::new();
        frame::encode(correlation, &body, &mut bytes).unwrap();
        self.write(&bytes).await;
    }

    /// The next frame, or `None` when control closed the connection.
    pub(crate) async fn heard(&mut self) -> Option<Frame<ToGateway>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next::<ToGateway>().unwrap() {
                return Some(frame);
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            match read.expect("control says nothing") {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.decoder.extend(&buffer[..n]),
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Frame<ToGateway> {
        self.heard().await.expect("control closed the connection")
    }

    /// Asks and reads the answer, which is the next frame.
    pub(crate) async fn ask(&mut self, body: ToControl) -> ToGateway {
        self.send(7, body).await;
        let frame = self.next().await;
        assert_eq!(frame.correlation, 7);
        frame.body
    }

    /// Waits until control closed the connection; what was said before that is returned.
    pub(crate) async fn closed(&mut self) -> Vec<ToGateway> {
        let mut said = Vec::new();
        while let Some(frame) = self.heard().await {
            said.push(frame.body);
        }
        said
    }

    /// Waits for the refusal and the end that follows it.
    pub(crate) async fn refused(&mut self) -> String {
        match self.closed().await.pop() {
            Some(ToGateway::Refused { reason }) => reason,
            other => panic!("no refusal but {other:?}"),
        }
    }
}

/// A message as an owner core stores it.
pub(crate) fn message(conversation_id: &str, msg: MsgData) -> Record {
    Record::Message(MessageRecord {
        conversation_id: conversation_id.into(),
        msg: msg.encode_to_vec().into(),
        operation_id: "op".into(),
    })
}

/// Message `seq` of the chat of `a` and `b`, from `a`.
pub(crate) fn chat(a: &str, b: &str, seq: i64) -> Record {
    let id = ringwire_protocol::conversation_id::single(a, b);
    message(&id, single(a, b, seq))
}

pub(crate) fn single(send: &str, recv: &str, seq: i64) -> MsgData {
    MsgData {
        send_id: send.into(),
        recv_id: recv.into(),
        client_msg_id: format!("c{send}{seq}"),
        server_msg_id: format!("s{send}{seq}"),
        session_type: 1,
        content_type: 101,
        msg_from: 100,
        content: format!("text {seq}").into_bytes().into(),
        seq,
        send_time: 1_700_000_000_000 + seq,
        create_time: 1_700_000_000_000 + seq,
        status: 2,
        ..MsgData::default()
    }
}

/// Records as the bytes of a journal frame of journal 0.
pub(crate) fn batch(from: u64, records: &[Record]) -> ToControl {
    let mut bytes = Vec::new();
    for record in records {
        append(record, from + bytes.len() as u64, from, 1, &mut bytes);
    }
    ToControl::Journal {
        journal: 0,
        from,
        to: from + bytes.len() as u64,
        bytes,
    }
}

/// Where a batch ends.
pub(crate) fn end_of(batch: &ToControl) -> u64 {
    let ToControl::Journal { to, .. } = batch else {
        panic!("not a batch")
    };
    *to
}

/// Waits for something that tells nobody when it happens.
pub(crate) async fn until<F: Future<Output = bool>>(mut happened: impl FnMut() -> F) {
    tokio::time::timeout(PATIENCE, async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it did not happen");
}
