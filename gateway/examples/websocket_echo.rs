//! An echo machine on the gateway's own shell and WebSocket code, for protocol test suites.
//!
//! `websocket_echo ADDRESS` listens there (port 0: a free one) and prints the address as its first line.

use bytes::Bytes;
use ringwire_gateway::core::ws::{self, CloseCode, Decoder, Incoming};
use ringwire_gateway::core::{Action, ConnId, Event, Now, Out};
use ringwire_gateway::shell::{Machine, Options, process, start};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::handshake::derive_accept_key;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longest message echoed.
const MAX_MESSAGE: usize = 64 << 20;

/// Replies queued for one peer beyond which it is not read.
const MAX_QUEUED: usize = 1 << 20;

struct Peer {
    /// The request head, until it is whole.
    head: Vec<u8>,
    decoder: Option<Decoder>,
    queued: Vec<Bytes>,
    queued_bytes: usize,
    writing: bool,
    paused: bool,
    done: bool,
}

#[derive(Default)]
struct Echo {
    peers: HashMap<ConnId, Peer>,
    touched: Vec<ConnId>,
}

impl Peer {
    fn new() -> Self {
        Self {
            head: Vec::new(),
            decoder: None,
            queued: Vec::new(),
            queued_bytes: 0,
            writing: false,
            paused: false,
            done: false,
        }
    }

    fn queue(&mut self, frame: Bytes) {
        self.queued_bytes += frame.len();
        self.queued.push(frame);
    }

    fn end(&mut self, frame: Bytes) {
        self.queue(frame);
        self.done = true;
    }

    fn received(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        let Some(decoder) = &mut self.decoder else {
            return self.handshake(bytes);
        };
        let mut rest = bytes;
        while !self.done {
            match decoder.next(&mut rest) {
                Ok(None) => return,
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(incoming)) => {
                    let frame = match incoming {
                        Incoming::Text(text) => ws::text(&text),
                        Incoming::Binary(bytes) => {
                            ws::frame_around(bytes.len(), |out| out.extend_from_slice(&bytes))
                        }
                        Incoming::Ping(payload) => ws::pong(&payload),
                        Incoming::Close(code) => {
                            self.done = true;
                            ws::close(code, "")
                        }
                        Incoming::Pong => continue,
                    };
                    self.queued_bytes += frame.len();
                    self.queued.push(frame);
                }
                Err(violation) => {
                    return self.end(ws::close(Some(violation.code), violation.reason));
                }
            }
        }
    }

    /// Only what a test client needs: the gateway's own handshake also wants a token.
    fn handshake(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(bytes);
        let Some(end) = self.head.windows(4).position(|w| w == b"\r\n\r\n") else {
            return;
        };
        let frames = self.head.split_off(end + 4);
        let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).into_owned();
        let mut headers = head.lines().filter_map(|line| line.split_once(':'));
        match headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")) {
            None => self.end(Bytes::from_static(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            )),
            Some((_, key)) => {
                let accept = derive_accept_key(key.trim().as_bytes());
                self.queue(Bytes::from(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )));
                self.decoder = Some(Decoder::new(MAX_MESSAGE));
                self.received(&frames);
            }
        }
    }

    fn flush(&mut self, conn: ConnId, out: &mut Out) {
        if !self.writing && !self.queued.is_empty() {
            self.writing = true;
            self.queued_bytes = 0;
            out.act(Action::Write {
                conn,
                frames: std::mem::take(&mut self.queued),
            });
        }
        if self.done && self.queued.is_empty() {
            out.act(Action::Close { conn });
        }
        let full = self.queued_bytes > MAX_QUEUED;
        if full != self.paused {
            self.paused = full;
            out.act(if full {
                Action::PauseReading { conn }
            } else {
                Action::ResumeReading { conn }
            });
        }
    }
}

impl Machine for Echo {
    fn handle(&mut self, _now: Now, event: Event<'_>, out: &mut Out) {
        let conn = match event {
            Event::Accepted { conn, .. } => {
                self.peers.insert(conn, Peer::new());
                return;
            }
            Event::Received { conn, bytes } => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.received(bytes);
                }
                conn
            }
            Event::Written { conn } => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.writing = false;
                }
                conn
            }
            Event::Closed { conn } => {
                self.peers.remove(&conn);
                return;
            }
            Event::Shutdown => {
                for (conn, peer) in &mut self.peers {
                    peer.end(ws::close(Some(CloseCode::Away), ""));
                    peer.flush(*conn, out);
                }
                return;
            }
            _ => return,
        };
        self.touched.push(conn);
    }

    fn finish_turn(&mut self, _now: Now, out: &mut Out) {
        for conn in self.touched.drain(..) {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.flush(conn, out);
            }
        }
    }

    fn ready(&self) -> bool {
        true
    }

    fn deadline(&self) -> Option<u64> {
        None
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let listen = std::env::args()
        .nth(1)
        .ok_or("usage: websocket_echo ADDRESS")?
        .parse()?;
    let signals = process::signals()?;
    let folder = std::env::temp_dir();
    let options = Options {
        listen,
        metrics_listen: None,
        pin: false,
        max_sockets: 10_000,
        // Nobody listens there: this machine needs no control.
        link_socket: folder.join("no-such-ringwire-link"),
        journal_dir: folder,
        segment_bytes: 1 << 20,
        segment_header: Arc::new(|_, _| Vec::new()),
    };
    let running = start(&options, vec![Echo::default])?;
    println!("{}", running.address());
    signals.recv()?;
    running.shutdown(Duration::from_secs(2));
    Ok(())
}
