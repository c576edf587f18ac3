//! A machine that obeys lines of text from its connections, for tests of the shell.

use bytes::Bytes;
use ringwire_gateway::core::{Action, ConnId, CoreId, Event, Now, Out, RingItem};
use ringwire_gateway::shell::{Machine, Options, Running, start};
use ringwire_link::ToControl;
use ringwire_link::message::Hello;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub(crate) const SEGMENT: u64 = 1 << 20;

/// What a machine tells the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Accepted(CoreId, ConnId),
    HandedOver(CoreId, ConnId),
    Closed(CoreId, ConnId),
    Segment(CoreId, u64),
    SegmentFailed(CoreId),
    LinkUp(CoreId),
    LinkDown(CoreId),
    Answered(CoreId, u64),
    Shutdown(CoreId),
    Paused(ConnId),
}

#[derive(Default)]
struct Client {
    input: Vec<u8>,
    queued: VecDeque<Vec<Bytes>>,
    writing: bool,
    close: bool,
}

pub(crate) struct Script {
    me: CoreId,
    seen: mpsc::Sender<Seen>,
    clients: HashMap<ConnId, Client>,
    expected: HashMap<CoreId, u64>,
    synced: VecDeque<ConnId>,
    reading: Option<ConnId>,
    resume: Option<(u64, ConnId)>,
    linked: bool,
}

impl Script {
    pub(crate) fn new(me: CoreId, seen: mpsc::Sender<Seen>) -> Self {
        Self {
            me,
            seen,
            clients: HashMap::new(),
            expected: HashMap::new(),
            synced: VecDeque::new(),
            reading: None,
            resume: None,
            linked: false,
        }
    }

    fn tell(&self, seen: Seen) {
        let _ = self.seen.send(seen);
    }

    fn say(&mut self, conn: ConnId, frames: Vec<Bytes>, out: &mut Out) {
        if let Some(client) = self.clients.get_mut(&conn) {
            client.queued.push_back(frames);
            Self::pump(conn, client, out);
        }
    }

    fn line(&mut self, conn: ConnId, text: String, out: &mut Out) {
        self.say(conn, vec![Bytes::from(text + "\n")], out);
    }

    fn pump(conn: ConnId, client: &mut Client, out: &mut Out) {
        if client.writing {
            return;
        }
        if let Some(frames) = client.queued.pop_front() {
            client.writing = true;
            out.act(Action::Write { conn, frames });
        } else if client.close {
            out.act(Action::Close { conn });
        }
    }

    fn input(&mut self, now: Now, conn: ConnId, bytes: &[u8], out: &mut Out) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        client.input.extend_from_slice(bytes);
        while let Some(client) = self.clients.get_mut(&conn) {
            let Some(end) = client.input.iter().position(|b| *b == b'\n') else {
                return;
            };
            let line: Vec<u8> = client.input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            self.command(now, conn, &line, out);
        }
    }

    fn command(&mut self, now: Now, conn: ConnId, line: &str, out: &mut Out) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || {
            rest.split(' ')
                .map(|n| n.parse::<u64>().unwrap_or(0))
                .collect::<Vec<_>>()
        };
        match word {
            "echo" => self.line(conn, rest.to_owned(), out),
            "core" => self.line(conn, self.me.to_string(), out),
            // Many small frames in one write, numbered so that order shows.
            "frames" => {
                let frames = (0..number()[0])
                    .map(|n| Bytes::from(format!("{n}\n")))
                    .collect();
                self.say(conn, frames, out);
            }
            // One write of large frames, then a small one.
            "big" => {
                let mut frames: Vec<_> = (0..number()[0])
                    .map(|n| Bytes::from(vec![n as u8; 100_000]))
                    .collect();
                frames.push(Bytes::from_static(b"end\n"));
                self.say(conn, frames, out);
            }
            "bye" => {
                self.line(conn, "bye".to_owned(), out);
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.close = true;
                    // While the write is in progress: the shell must finish it first.
                    out.act(Action::Close { conn });
                }
            }
            "move" => {
                let client = self.clients.remove(&conn).expect("asked on it");
                let received = client.input;
                let peer = ([127, 0, 0, 1], 1).into();
                out.act(Action::HandOver {
                    conn,
                    to: number()[0] as CoreId,
                    peer,
                    received,
                });
            }
            "flood" => {
                let [to, count] = number()[..] else { return };
                for n in 0..count {
                    out.ring(
                        to as CoreId,
                        RingItem::Unwatch {
                            users: vec![n.to_string()],
                        },
                    );
                }
                out.ring(
                    to as CoreId,
                    RingItem::Watch {
                        users: vec![count.to_string()],
                        request: conn.0,
                    },
                );
            }
            "segment" => out.act(Action::SegmentCreate {
                segment: number()[0],
            }),
            "release" => out.act(Action::SegmentRelease {
                journal: self.me,
                segment: number()[0],
            }),
            "append" => {
                let (offset, text) = rest.split_once(' ').expect("offset and text");
                let (segment, offset) = (0, offset.parse().expect("offset"));
                self.synced.push_back(conn);
                out.act(Action::JournalWrite {
                    segment,
                    offset,
                    bytes: Bytes::from(text.to_owned()),
                });
            }
            "read" => {
                let [offset, length] = number()[..] else {
                    return;
                };
                self.reading = Some(conn);
                let (journal, length) = (self.me, length as usize);
                out.act(Action::JournalRead {
                    journal,
                    segment: 0,
                    offset,
                    length,
                    position: offset,
                });
            }
            "pause" => {
                out.act(Action::PauseReading { conn });
                self.tell(Seen::Paused(conn));
                self.resume = Some((now.mono_ms + number()[0], conn));
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn item(&mut self, from: CoreId, item: RingItem, out: &mut Out) {
        match item {
            RingItem::Unwatch { users } => {
                let next = self.expected.entry(from).or_default();
                assert_eq!(users, [next.to_string()], "ring items out of order");
                *next += 1;
            }
            RingItem::Watch { users, request } => {
                let got = self.expected.remove(&from).unwrap_or_default();
                assert_eq!(users, [got.to_string()]);
                out.ring(
                    from,
                    RingItem::Online {
                        request,
                        users: vec![(got.to_string(), Vec::new())],
                    },
                );
            }
            RingItem::Online { request, users } => {
                self.line(ConnId(request), users[0].0.clone(), out)
            }
            other => panic!("not sent by this script: {other:?}"),
        }
    }
}

impl Machine for Script {
    fn handle(&mut self, now: Now, event: Event<'_>, out: &mut Out) {
        match event {
            Event::Accepted { conn, .. } => {
                self.clients.insert(conn, Client::default());
                self.tell(Seen::Accepted(self.me, conn));
            }
            Event::HandedOver { conn, received, .. } => {
                self.clients.insert(conn, Client::default());
                self.tell(Seen::HandedOver(self.me, conn));
                self.line(conn, format!("moved to {}", self.me), out);
                self.input(now, conn, &received, out);
            }
            Event::Received { conn, bytes } => self.input(now, conn, bytes, out),
            // The script counts no connections.
            Event::LostAtHandOver => {}
            Event::Closed { conn } => {
                assert!(self.clients.remove(&conn).is_some(), "Closed comes once");
                self.tell(Seen::Closed(self.me, conn));
            }
            Event::Written { conn } => {
                // Handed over in this very turn.
                let Some(client) = self.clients.get_mut(&conn) else {
                    return;
                };
                assert!(std::mem::take(&mut client.writing), "one Written a Write");
                Self::pump(conn, client, out);
            }
            Event::Ring { from, item } => self.item(from, item, out),
            Event::LinkUp => {
                self.linked = true;
                self.tell(Seen::LinkUp(self.me));
                let hello = Hello {
                    gateway: "script".into(),
                    boot: 1,
                    core: self.me,
                    cores: 1,
                    epoch: 1,
                    journals: Vec::new(),
                    facts_boot: 0,
                    facts_version: 0,
                };
                out.link(1, ToControl::Hello(hello));
            }
            Event::LinkDown => {
                self.linked = false;
                self.tell(Seen::LinkDown(self.me));
            }
            Event::Link { correlation, .. } => self.tell(Seen::Answered(self.me, correlation)),
            Event::JournalSynced => {
                let conn = self.synced.pop_front().expect("a write was asked for");
                self.line(conn, "synced".to_owned(), out);
            }
            Event::JournalRead { position, bytes } => {
                let conn = self.reading.take().expect("a read was asked for");
                self.line(
                    conn,
                    format!("{position} {}", String::from_utf8_lossy(&bytes)),
                    out,
                );
            }
            Event::SegmentReady { segment } => self.tell(Seen::Segment(self.me, segment)),
            Event::SegmentFailed { .. } => self.tell(Seen::SegmentFailed(self.me)),
            Event::Tick => {
                if let Some((at, conn)) = self.resume
                    && at <= now.mono_ms
                {
                    self.resume = None;
                    out.act(Action::ResumeReading { conn });
                    self.line(conn, "resumed".to_owned(), out);
                }
            }
            Event::Shutdown => {
                self.tell(Seen::Shutdown(self.me));
                for (conn, client) in &mut self.clients {
                    client.close = true;
                    Self::pump(*conn, client, out);
                }
            }
        }
        while let Some(item) = out.local.pop_front() {
            self.item(self.me, item, out);
        }
    }

    fn finish_turn(&mut self, _now: Now, _out: &mut Out) {}

    fn ready(&self) -> bool {
        self.linked
    }

    fn deadline(&self) -> Option<u64> {
        self.resume.map(|(at, _)| at)
    }
}

/// Running scripts and what they have seen.
#[allow(dead_code)] // not every test file looks at everything
pub(crate) struct Gateway {
    pub(crate) running: Running,
    pub(crate) seen: mpsc::Receiver<Seen>,
}

/// Starts `cores` scripts on a free loopback port, with their journal and link socket in `folder`.
pub(crate) fn gateway(cores: u16, folder: &Path) -> Gateway {
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        metrics_listen: Some(([127, 0, 0, 1], 0).into()),
        pin: false,
        max_sockets: 1_000,
        link_socket: folder.join("link.sock"),
        journal_dir: folder.to_owned(),
        segment_bytes: SEGMENT,
        segment_header: Arc::new(|_, segment| format!("segment {segment}").into_bytes()),
    };
    let (tell, seen) = mpsc::channel();
    let script = |me| {
        let tell = tell.clone();
        move || Script::new(me, tell)
    };
    let running = start(&options, (0..cores).map(script).collect()).expect("starts");
    Gateway { running, seen }
}

#[allow(dead_code)] // as above
impl Gateway {
    /// Waits for something seen that fits; everything before it is dropped.
    pub(crate) fn wait<T>(&self, mut fits: impl FnMut(&Seen) -> Option<T>) -> T {
        loop {
            let seen = self
                .seen
                .recv_timeout(Duration::from_secs(20))
                .expect("seen in time");
            if let Some(found) = fits(&seen) {
                return found;
            }
        }
    }
}
