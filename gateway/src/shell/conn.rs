//! One client connection: a task that waits for bytes and sends what the core wants sent.
//!
//! Life: open, then either gone by the peer's doing, or closed by the core (finish the writes in
//! progress, half-close, drain what the peer still sends, so that the last frames arrive instead of
//! being cut off by a reset), or handed over to another core.

use super::Machine;
use super::counters::add;
use super::hub::{Hub, Later};
use super::notify::{Watch, race};
use super::rings::MovedConnection;
use crate::core::{ConnId, Event};
use bytes::{Buf, Bytes};
use monoio::io::AsyncWriteRent;
use monoio::net::TcpStream;
use socket2::SockRef;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// Time for the writes in progress once the core has closed the connection.
const FLUSH_TIME: Duration = Duration::from_secs(3);

/// Time for the peer to close its side after ours is closed.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Frames up to this size are put together into one send.
const JOIN_BELOW: usize = 16 << 10;

/// Most bytes put together into one send.
const JOIN_MAX: usize = 64 << 10;

/// A queue that had room for more frames than this is not kept.
const KEEP_QUEUE: usize = 16;

/// What the core can do to a connection.
pub(crate) struct Conn {
    id: ConnId,
    /// Not split with monoio's halves: dropping its write half ends the stream for the peer, also when
    /// the connection lives on at another core.
    stream: UnsafeCell<TcpStream>,
    fd: RawFd,
    outgoing: RefCell<VecDeque<Bytes>>,
    state: Cell<State>,
    paused: Cell<bool>,
    /// Set whenever one of the above changed.
    changed: Watch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Left,
}

/// How the open phase of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// By the peer, or broken.
    Gone,
    /// By the core, everything written.
    Flushed,
    /// By the core, but the peer does not take the rest.
    Stuck,
    /// Handed over.
    Left,
}

impl Conn {
    /// Queues frames.
    pub(crate) fn write(&self, frames: Vec<Bytes>) {
        if self.state.get() == State::Open {
            self.outgoing.borrow_mut().extend(frames);
            self.changed.wake();
        }
    }

    /// Ends the connection once everything queued is written.
    pub(crate) fn close(&self) {
        if self.state.get() == State::Open {
            self.state.set(State::Closing);
            self.changed.wake();
        }
    }

    /// Ends the task; the socket lives on elsewhere.
    pub(crate) fn leave(&self) {
        self.state.set(State::Left);
        self.changed.wake();
    }

    pub(crate) fn pause(&self) {
        self.paused.set(true);
    }

    pub(crate) fn resume(&self) {
        self.paused.set(false);
        self.changed.wake();
    }

    /// A second descriptor of the socket.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket().try_clone_to_owned()
    }

    fn wants_bytes(&self) -> bool {
        self.state.get() == State::Open && !self.paused.get()
    }

    fn socket(&self) -> BorrowedFd<'_> {
        // SAFETY: `stream` owns the descriptor, is never told to give it up, and lives as long as self.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    /// Waits until there is something to receive, without holding a buffer.
    async fn readable(&self) -> io::Result<()> {
        // SAFETY: `send_some` borrows the stream mutably only while it builds an operation (which keeps
        // its own reference to the descriptor), never across an await, and all of it on one thread.
        let stream = unsafe { &*self.stream.get() };
        stream.readable(true).await
    }

    /// Sends some of the bytes.
    async fn send_some(&self, bytes: Bytes) -> (io::Result<usize>, Bytes) {
        // SAFETY: as above; no other borrow is used while the operation is built, and its future does
        // not touch the stream.
        let stream = unsafe { &mut *self.stream.get() };
        stream.write(bytes).await
    }

    /// Receives what is there, without waiting.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: pointer and length describe `buffer`, which is exclusively borrowed for the call.
        let n = unsafe {
            libc::recv(
                self.fd,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

/// Starts a connection accepted here.
pub(crate) fn begin<M: Machine + 'static>(hub: &Rc<Hub<M>>, stream: TcpStream, peer: SocketAddr) {
    let conn = hub.fresh_conn();
    run(hub, stream, conn);
    hub.event(Event::Accepted { conn, peer });
}

/// Goes on with a connection that another core accepted.
pub(crate) fn take_over<M: Machine + 'static>(hub: &Rc<Hub<M>>, moved: MovedConnection) {
    let MovedConnection {
        socket,
        conn,
        peer,
        received,
    } = moved;
    match TcpStream::from_std(std::net::TcpStream::from(socket)) {
        Ok(stream) => {
            run(hub, stream, conn);
            hub.event(Event::HandedOver {
                conn,
                peer,
                received,
            });
        }
        Err(error) => {
            tracing::warn!(%error, "connection lost at its hand-over");
            hub.event(Event::LostAtHandOver);
        }
    }
}

fn run<M: Machine + 'static>(hub: &Rc<Hub<M>>, stream: TcpStream, id: ConnId) {
    let fd = stream.as_raw_fd();
    let conn = Rc::new(Conn {
        id,
        stream: UnsafeCell::new(stream),
        fd,
        outgoing: RefCell::default(),
        state: Cell::new(State::Open),
        paused: Cell::new(false),
        changed: Watch::default(),
    });
    hub.sockets.opened();
    hub.conns.borrow_mut().insert(id, conn.clone());
    monoio::spawn(live(hub.clone(), conn));
}

async fn live<M: Machine + 'static>(hub: Rc<Hub<M>>, conn: Rc<Conn>) {
    // The writer first: when a write is complete and its answer is here, the core hears of both in order.
    let ended = race(write(&hub, &conn), read(&hub, &conn)).await;
    finish(&hub, &conn, ended).await;
    hub.sockets.closed();
    // One that was handed over may be back already, under the same id.
    if ended != Ended::Left && hub.conns.borrow_mut().remove(&conn.id).is_some() {
        hub.raise(Later::Closed(conn.id));
    }
}

async fn finish<M: Machine>(hub: &Hub<M>, conn: &Conn, ended: Ended) {
    match ended {
        Ended::Left | Ended::Gone => {}
        Ended::Flushed => {
            // Fails when the peer has reset the connection, and then there is nothing to drain.
            if SockRef::from(&conn.socket())
                .shutdown(std::net::Shutdown::Write)
                .is_ok()
            {
                let _ = Box::pin(monoio::time::timeout(DRAIN_TIME, drain(hub, conn))).await;
            }
        }
        // What the peer did not take is given up, in the kernel too.
        Ended::Stuck => drop(SockRef::from(&conn.socket()).set_linger(Some(Duration::ZERO))),
    }
}

async fn read<M: Machine>(hub: &Hub<M>, conn: &Conn) -> Ended {
    loop {
        readable_while_open(conn).await;
        let mut buffer = hub.read_buffer.borrow_mut();
        match conn.receive(&mut buffer) {
            Ok(0) => return Ended::Gone,
            Ok(n) => {
                add(&hub.counters.received_bytes, n as u64);
                hub.event(Event::Received {
                    conn: conn.id,
                    bytes: &buffer[..n],
                });
            }
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => return Ended::Gone,
        }
    }
}

/// Waits until there is something to read and the core wants it. Never ends once the core has closed
/// the connection: the writer decides then.
async fn readable_while_open(conn: &Conn) {
    loop {
        conn.changed.until(|| conn.wants_bytes()).await;
        // Whatever the poll says, the receive that follows finds out.
        let _ = conn.readable().await;
        if conn.wants_bytes() {
            return;
        }
    }
}

async fn write<M: Machine>(hub: &Hub<M>, conn: &Conn) -> Ended {
    loop {
        conn.changed
            .until(|| !conn.outgoing.borrow().is_empty() || conn.state.get() != State::Open)
            .await;
        match conn.state.get() {
            State::Left => return Ended::Left,
            State::Closing if conn.outgoing.borrow().is_empty() => return Ended::Flushed,
            State::Open | State::Closing => {}
        }
        let stuck = async {
            conn.changed
                .until(|| conn.state.get() == State::Closing)
                .await;
            // Boxed: few connections ever get here, and all of them would carry the timer.
            Box::pin(monoio::time::sleep(FLUSH_TIME)).await;
            Err(Ended::Stuck)
        };
        if let Err(ended) = race(send_all(hub, conn), stuck).await {
            return ended;
        }
        if conn.state.get() == State::Open {
            hub.event(Event::Written { conn: conn.id });
        }
    }
}

/// Sends everything queued.
async fn send_all<M: Machine>(hub: &Hub<M>, conn: &Conn) -> Result<(), Ended> {
    loop {
        let Some(first) = conn.outgoing.borrow_mut().pop_front() else {
            let mut outgoing = conn.outgoing.borrow_mut();
            if outgoing.capacity() > KEEP_QUEUE {
                *outgoing = VecDeque::new();
            }
            return Ok(());
        };
        let mut rest = join(first, &mut conn.outgoing.borrow_mut());
        add(&hub.counters.writes, 1);
        while !rest.is_empty() {
            let (sent, bytes) = conn.send_some(rest).await;
            rest = bytes;
            match sent {
                Ok(n) if n > 0 => {
                    add(&hub.counters.sent_bytes, n as u64);
                    rest.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return Err(Ended::Gone),
            }
        }
    }
}

/// Puts small frames together: one send for many is the largest saving there is.
fn join(first: Bytes, rest: &mut VecDeque<Bytes>) -> Bytes {
    let fits =
        |total: usize, next: &Bytes| next.len() <= JOIN_BELOW && total + next.len() <= JOIN_MAX;
    if !fits(0, &first) || !rest.front().is_some_and(|next| fits(first.len(), next)) {
        return first;
    }
    let mut total = first.len();
    let count = rest.iter().take_while(|next| {
        let more = fits(total, next);
        total += if more { next.len() } else { 0 };
        more
    });
    let count = count.count();
    let mut joined = Vec::with_capacity(total);
    joined.extend_from_slice(&first);
    for frame in rest.drain(..count) {
        joined.extend_from_slice(&frame);
    }
    joined.into()
}

/// Reads and forgets until the peer has closed its side.
async fn drain<M: Machine>(hub: &Hub<M>, conn: &Conn) {
    loop {
        if conn.readable().await.is_err() {
            return;
        }
        match conn.receive(&mut hub.read_buffer.borrow_mut()) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
