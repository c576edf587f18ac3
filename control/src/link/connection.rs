//! One connection of a gateway core: its outgoing queue, the questions control has asked on it, and
//! the two loops that move bytes.

use super::calls::{CALLS_READING, CALLS_WAITING};
use ringwire_link::frame::{self, Frame, FrameDecoder, LinkError};
use ringwire_link::message::{HEARTBEAT_MS, SILENCE_MS};
use ringwire_link::{ToControl, ToGateway};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

/// Bytes that may wait for one gateway core before its connection is closed.
const QUEUE_LIMIT: usize = 64 << 20;

/// Below this many waiting bytes a bulk transfer (the token snapshot) goes on.
const QUEUE_ROOM: usize = 4 << 20;

/// Questions of one core that are answered at the same time.
const QUESTIONS: usize = 64;

/// Bytes gathered into one write.
const WRITE_GATHER: usize = 256 << 10;

/// Time the queue has to leave after a connection is told to close.
const CLOSE_FLUSH: Duration = Duration::from_secs(1);

/// Times of a connection, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Quiet time after which a heartbeat is sent.
    pub heartbeat_ms: u64,
    /// Silence after which the peer is taken for dead.
    pub silence_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat_ms: HEARTBEAT_MS,
            silence_ms: SILENCE_MS,
        }
    }
}

/// Locks, taking over the value of a thread that panicked: all our critical sections leave it whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a question had no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// The connection closed first.
    #[error("the gateway is not connected")]
    Gone,
    /// Nothing came in time.
    #[error("the gateway did not answer in time")]
    Late,
    /// The question is larger than a frame.
    #[error("the message is too large")]
    TooLarge,
    /// The answer was of another kind.
    #[error("the gateway answered something else")]
    Mismatch,
}

/// A connection as the rest of the link sees it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Unique in this process.
    pub(super) id: u64,
    started: Instant,
    queue: mpsc::UnboundedSender<Vec<u8>>,
    queued: AtomicUsize,
    room: Notify,
    closing: watch::Sender<Option<String>>,
    /// `None` once closed: nobody may wait any more.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<ToControl>>>>,
    next_question: AtomicU64,
    applied: watch::Sender<u64>,
    last_heard_ms: AtomicU64,
    /// Journal bytes received and not yet stored.
    pub(super) unstored: AtomicUsize,
    /// Places for questions under way.
    pub(super) questions: Arc<Semaphore>,
    /// Places for calls, waiting ones included.
    pub(super) calls: Arc<Semaphore>,
    /// Places for calls that read the database.
    pub(super) calls_reading: Semaphore,
}

impl Connection {
    pub(super) fn new(id: u64) -> (Arc<Self>, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let connection = Self {
            id,
            started: Instant::now(),
            queue,
            queued: AtomicUsize::new(0),
            room: Notify::new(),
            closing: watch::Sender::new(None),
            waiting: Mutex::new(Some(HashMap::new())),
            next_question: AtomicU64::new(2),
            applied: watch::Sender::new(0),
            last_heard_ms: AtomicU64::new(0),
            unstored: AtomicUsize::new(0),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            calls: Arc::new(Semaphore::new(CALLS_WAITING)),
            calls_reading: Semaphore::new(CALLS_READING),
        };
        (Arc::new(connection), outgoing)
    }

    /// Queues a frame. A full queue closes the connection: the core then starts over with Hello, so
    /// nothing is lost silently.
    pub(super) fn send(&self, correlation: u64, body: &ToGateway) {
        if let Err(error) = self.try_send(correlation, body) {
            self.close(format!("a frame could not be encoded: {error}"));
        }
    }

    /// The same, but a frame that cannot be encoded (it is too large) is the caller's to deal with.
    pub(super) fn try_send(&self, correlation: u64, body: &ToGateway) -> Result<(), LinkError> {
        if self.is_closing() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        frame::encode(correlation, body, &mut bytes)?;
        let length = bytes.len();
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > QUEUE_LIMIT {
            self.close("the core does not read: too many bytes wait for it".into());
            return Ok(());
        }
        // Fails only once the writer is gone; the connection is closing then.
        let _ = self.queue.send(bytes);
        Ok(())
    }

    /// Asks the core something and waits for its answer.
    pub(super) async fn ask(
        &self,
        body: &ToGateway,
        limit: Duration,
    ) -> Result<ToControl, AskError> {
        let correlation = self.next_question.fetch_add(2, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        match lock(&self.waiting).as_mut() {
            Some(waiting) => waiting.insert(correlation, answer),
            None => return Err(AskError::Gone),
        };
        if self.try_send(correlation, body).is_err() {
            self.forget(correlation);
            return Err(AskError::TooLarge);
        }
        match tokio::time::timeout(limit, answered).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(AskError::Gone),
            Err(_) => {
                self.forget(correlation);
                Err(AskError::Late)
            }
        }
    }

    fn forget(&self, correlation: u64) {
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.remove(&correlation);
        }
    }

    /// Hands an answer to whoever asked. An answer that came too late is dropped.
    pub(super) fn answered(&self, correlation: u64, body: ToControl) {
        let asker = lock(&self.waiting)
            .as_mut()
            .and_then(|w| w.remove(&correlation));
        if let Some(asker) = asker {
            let _ = asker.send(body);
        }
    }

    /// The core says that changes up to `version` are in force.
    pub(super) fn facts_applied(&self, version: u64) {
        self.applied.send_if_modified(|known| {
            let newer = version > *known;
            *known = (*known).max(version);
            newer
        });
    }

    /// Waits until changes up to `version` are in force on the core, or the connection is gone.
    pub(super) async fn wait_applied(&self, version: u64) {
        let mut applied = self.applied.subscribe();
        tokio::select! {
            _ = applied.wait_for(|known| *known >= version) => {}
            () = self.closed() => {}
        }
    }

    /// Waits until a bulk transfer may go on; false when the connection is closing.
    pub(super) async fn wait_for_room(&self) -> bool {
        loop {
            let changed = self.room.notified();
            if self.is_closing() {
                return false;
            }
            if self.queued.load(Ordering::Relaxed) < QUEUE_ROOM {
                return true;
            }
            tokio::select! {
                () = changed => {}
                () = self.closed() => return false,
            }
        }
    }

    /// Closes the connection after what is queued. The first reason stays.
    pub(super) fn close(&self, reason: String) {
        self.closing.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                *known = Some(reason);
            }
            first
        });
        lock(&self.waiting).take();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }

    /// Waits until somebody closes the connection.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.closing.subscribe().wait_for(Option::is_some).await;
    }

    /// Why it was closed.
    pub(super) fn reason(&self) -> String {
        self.closing.borrow().clone().unwrap_or_default()
    }

    /// Milliseconds since the core was heard last.
    pub(super) fn silent_for_ms(&self) -> u64 {
        self.now_ms()
            .saturating_sub(self.last_heard_ms.load(Ordering::Relaxed))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The frames of a connection.
pub(super) struct Reader {
    connection: Arc<Connection>,
    socket: OwnedReadHalf,
    pace: Pace,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn new(connection: Arc<Connection>, socket: OwnedReadHalf, pace: Pace) -> Self {
        let buffer = vec![0; 64 << 10];
        Self {
            connection,
            socket,
            pace,
            decoder: FrameDecoder::default(),
            buffer,
        }
    }

    /// The next frame; `None` once the connection is closing, for a reason it then knows.
    pub(super) async fn next(&mut self) -> Option<Frame<ToControl>> {
        loop {
            if self.connection.is_closing() {
                return None;
            }
            match self.decoder.next::<ToControl>() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    self.connection.close(error.to_string());
                    return None;
                }
            }
            let silence = Duration::from_millis(self.pace.silence_ms);
            let read = tokio::select! {
                () = self.connection.closed() => return None,
                read = tokio::time::timeout(silence, self.socket.read(&mut self.buffer)) => read,
            };
            let ended = match read {
                Ok(Ok(n)) if n > 0 => {
                    let connection = &self.connection;
                    connection
                        .last_heard_ms
                        .store(connection.now_ms(), Ordering::Relaxed);
                    self.decoder
                        .extend(self.buffer.get(..n).unwrap_or_default());
                    continue;
                }
                Ok(Ok(_)) => "the core closed the connection".to_owned(),
                Ok(Err(error)) => format!("read failed: {error}"),
                Err(_) => "the core fell silent".to_owned(),
            };
            self.connection.close(ended);
        }
    }
}

/// Writes what is queued, heartbeats when there is nothing, until the connection closes.
pub(super) async fn write_loop(
    connection: &Connection,
    mut socket: OwnedWriteHalf,
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
    pace: Pace,
) {
    let mut heartbeat = Vec::new();
    if frame::encode(0, &ToGateway::Heartbeat, &mut heartbeat).is_err() {
        return connection.close("a heartbeat could not be encoded".into());
    }
    let mut pending = frame::preamble().to_vec();
    loop {
        let taken = gather(&mut outgoing, &mut pending);
        if !pending.is_empty() {
            // A core that reads nothing for the time of silence is dead, whatever it sends.
            let limit = Duration::from_millis(pace.silence_ms);
            let written = tokio::select! {
                written = tokio::time::timeout(limit, socket.write_all(&pending)) => written,
                () = closed_for(connection, CLOSE_FLUSH) => return,
            };
            connection.queued.fetch_sub(taken, Ordering::Relaxed);
            connection.room.notify_waiters();
            pending.clear();
            match written {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => return connection.close(format!("write failed: {error}")),
                Err(_) => return connection.close("the core does not read".into()),
            }
        }
        tokio::select! {
            next = outgoing.recv() => match next {
                Some(bytes) => {
                    connection.queued.fetch_sub(bytes.len(), Ordering::Relaxed);
                    pending = bytes;
                }
                None => return,
            },
            () = tokio::time::sleep(Duration::from_millis(pace.heartbeat_ms)) => pending.extend_from_slice(&heartbeat),
            () = connection.closed() => {
                gather(&mut outgoing, &mut pending);
                let _ = tokio::time::timeout(CLOSE_FLUSH, socket.write_all(&pending)).await;
                let _ = socket.shutdown().await;
                return;
            }
        }
    }
}

async fn closed_for(connection: &Connection, grace: Duration) {
    connection.closed().await;
    tokio::time::sleep(grace).await;
}

/// Moves waiting frames behind `pending`, up to a limit. Returns their bytes.
fn gather(outgoing: &mut mpsc::UnboundedReceiver<Vec<u8>>, pending: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    while pending.len() < WRITE_GATHER {
        let Ok(bytes) = outgoing.try_recv() else {
            break;
        };
        taken += bytes.len();
        pending.extend_from_slice(&bytes);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_connection_answers_those_who_wait() {
        let (connection, _outgoing) = Connection::new(1);
        let asker = Arc::clone(&connection);
        let question = ToGateway::QuerySessions {
            user_ids: vec!["u".into()],
        };
        let asked =
            tokio::spawn(async move { asker.ask(&question, Duration::from_secs(3600)).await });
        while lock(&connection.waiting)
            .as_ref()
            .is_some_and(HashMap::is_empty)
        {
            tokio::task::yield_now().await;
        }
        connection.close("test".into());
        assert_eq!(asked.await.expect("no panic"), Err(AskError::Gone));
        assert_eq!(
            connection
                .ask(&ToGateway::Heartbeat, Duration::from_secs(1))
                .await,
            Err(AskError::Gone)
        );
    }

    #[tokio::test]
    async fn a_core_that_does_not_read_is_closed_at_the_limit() {
        let (connection, _outgoing) = Connection::new(1);
        let big = ToGateway::CallReply {
            err_code: 0,
            err_msg: String::new(),
            data: vec![0; 8 << 20],
        };
        for _ in 0..7 {
            connection.send(1, &big);
        }
        assert!(!connection.is_closing());
        connection.send(1, &big);
        assert!(connection.is_closing());
        assert!(connection.reason().contains("does not read"));
    }
}
