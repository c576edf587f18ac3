//! Connections between clients and the gateway: bytes in pieces, receivers of any speed, and deaths
//! that only one side knows of.

use super::gateway::Input;
use super::{BEGIN_UNIX_MS, Happening, World, say};
use crate::client::Wish;
use crate::oracle::{Checked, Violation};
use crate::plan::{MS, SECOND};
use crate::schedule::Lane;
use bytes::Bytes;
use std::collections::VecDeque;

/// How long the gateway waits for a receiver of its last bytes.
const LINGER: u64 = 2 * SECOND;

/// Largest frame of a run; a session's queue may exceed its limit by one.
const LARGEST_FRAME: usize = 512 << 10;

pub(crate) struct Conn {
    pub(super) id: u64,
    pub(super) client: usize,
    /// Core that has it; `None` on the way to one.
    pub(super) holder: Option<u16>,
    run: u64,
    up: Lane,
    /// Bytes that the gateway has not read.
    pub(super) inbound: VecDeque<u8>,
    pub(super) readable_due: bool,
    pub(super) paused: bool,
    /// The client sends nothing more.
    pub(super) ended: bool,
    /// The client is gone, and the gateway can know.
    pub(super) reset: bool,
    /// The client is gone, and nothing tells the gateway.
    silent: bool,
    /// What the write in progress has not handed to the kernel.
    out: VecDeque<u8>,
    writing: bool,
    pub(super) closing: bool,
    closed: bool,
    /// What the kernel has and the client has not read.
    kernel: VecDeque<u8>,
    capacity: usize,
    reading: bool,
    /// When the gateway last wrote.
    wrote: u64,
    /// When the client had read everything, the last two times.
    emptied: [u64; 2],
}

impl Conn {
    /// Whether its client has read everything that the gateway had for it at `since`: one write may
    /// have been in progress then, and the next one takes all that waited behind it.
    pub(super) fn caught_up(&self, since: u64, now: u64) -> bool {
        let idle = self.kernel.is_empty() && self.out.is_empty() && self.wrote + SECOND < now;
        idle || self.emptied[0] >= since
    }
}

impl World {
    /// A client does what it wants next.
    pub(super) fn client_turn(&mut self, number: usize) {
        let pause = self.random.delay(self.plan.think_time).max(MS);
        self.after(pause, Happening::Client(number));
        if self.clients[number].stopped.is_some() {
            if !self.quiet && self.random.chance(100) && self.control.boot != 0 {
                let fact = self.issue_token(number);
                self.control.token_issued(fact);
                self.control_sends();
            }
            return;
        }
        if self.clients[number].conn.is_none() {
            if self.gateway.is_some() && self.random.chance(500) {
                self.connect(number);
            }
            return;
        }
        let unix_ms = BEGIN_UNIX_MS + (self.now / MS) as i64;
        let (random, oracle, quiet) = (&mut self.random, &mut self.oracle, self.quiet);
        let wish = self.clients[number].act(
            random,
            oracle,
            self.now,
            unix_ms,
            (&self.users, &self.groups),
            quiet,
        );
        self.grant(number, wish);
    }

    fn grant(&mut self, number: usize, wish: Wish) {
        let Some(conn) = self.clients[number].conn else {
            return;
        };
        match wish {
            Wish::Nothing => {}
            Wish::Send(bytes) => self.client_sends(conn, &bytes),
            Wish::Close => self.client_dies(number, false),
        }
    }

    fn connect(&mut self, number: usize) {
        let Some(gateway) = self.gateway.as_ref() else {
            return;
        };
        let (run, cores) = (gateway.run, gateway.cores.len() as u64);
        self.next_conn += 1;
        let id = self.next_conn;
        let capacity = if self.clients[number].slow {
            2 << 10
        } else {
            64 << 10
        };
        let conn = Conn {
            id,
            client: number,
            holder: None,
            run,
            up: Lane::default(),
            inbound: VecDeque::new(),
            readable_due: false,
            paused: false,
            ended: false,
            reset: false,
            silent: false,
            out: VecDeque::new(),
            writing: false,
            closing: false,
            closed: false,
            kernel: VecDeque::new(),
            capacity,
            reading: false,
            wrote: 0,
            emptied: [0; 2],
        };
        self.conns.insert(id, conn);
        let core = self.random.below(cores) as u16;
        say!(
            self,
            "client {number} ({}) connects at core {core}",
            self.clients[number].user
        );
        let now = self.now;
        let request = self.clients[number].connect(id, now);
        self.input(run, core, Input::Accepted { conn: id });
        self.client_sends(id, &request);
    }

    /// Bytes leave the client, in pieces.
    fn client_sends(&mut self, id: u64, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let whole = self.random.chance(700);
            let length = if whole {
                rest.len()
            } else {
                1 + self.random.index(rest.len())
            };
            let (piece, after) = rest.split_at(length);
            rest = after;
            let delay = self.random.delay(self.plan.net_time);
            let Some(conn) = self.conns.get_mut(&id) else {
                return;
            };
            let at = conn.up.arrival(self.now, delay);
            self.schedule.at(
                at,
                Happening::ToGateway {
                    conn: id,
                    bytes: Bytes::copy_from_slice(piece),
                },
            );
        }
    }

    pub(super) fn bytes_arrive(&mut self, id: u64, bytes: &[u8]) {
        let Some(conn) = self
            .conns
            .get_mut(&id)
            .filter(|c| !c.silent && !c.reset && !c.ended)
        else {
            return;
        };
        // An empty piece is the client's end.
        conn.ended = bytes.is_empty();
        conn.inbound.extend(bytes);
        self.readable(id);
    }

    /// Tells the core that holds it that there is something to read.
    pub(super) fn readable(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id).filter(|c| !c.readable_due) else {
            return;
        };
        if let Some(core) = conn.holder {
            conn.readable_due = true;
            let run = conn.run;
            self.input(run, core, Input::Readable { conn: id });
        }
    }

    /// The gateway writes.
    pub(super) fn write(&mut self, id: u64, frames: &[Bytes]) -> Checked {
        let limit = self.plan.limits.session_queue_bytes as usize + LARGEST_FRAME;
        let Some(conn) = self.conns.get_mut(&id) else {
            return Ok(());
        };
        if conn.writing {
            return Err(Violation::new(
                "the shell's contract",
                format!("two writes at once on connection {id}"),
            ));
        }
        conn.writing = true;
        conn.wrote = self.now;
        frames.iter().for_each(|frame| conn.out.extend(frame));
        if conn.out.len() > limit {
            let what = format!("{} bytes waited for connection {id}", conn.out.len());
            return Err(Violation::new("6 (nothing grows without a bound)", what));
        }
        self.pump(id);
        Ok(())
    }

    /// Moves bytes on as far as there is room.
    fn pump(&mut self, id: u64) {
        let delay = self.random.delay(self.plan.net_time);
        let slow = self.random.range(SECOND / 4, 3 * SECOND);
        let Some(conn) = self.conns.get_mut(&id).filter(|c| !c.reset) else {
            return;
        };
        let room = conn
            .capacity
            .saturating_sub(conn.kernel.len())
            .min(conn.out.len());
        if room > 0 {
            let moved: Vec<u8> = conn.out.drain(..room).collect();
            conn.kernel.extend(moved);
        }
        let done = conn.writing && conn.out.is_empty();
        let (core, run) = (conn.holder, conn.run);
        if !conn.reading && !conn.silent && !conn.kernel.is_empty() {
            conn.reading = true;
            let delay = if self.clients[conn.client].slow {
                slow
            } else {
                delay
            };
            self.schedule
                .at(self.now + delay, Happening::ClientReads { conn: id });
        }
        if done && let Some(conn) = self.conns.get_mut(&id) {
            conn.writing = false;
            if conn.closing {
                self.close_now(id);
            } else if let Some(core) = core {
                self.input(run, core, Input::Written { conn: id });
            }
        }
    }

    /// The gateway closes, after the write in progress.
    pub(super) fn close(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.closing = true;
        if conn.writing {
            self.after(LINGER, Happening::CloseNow { conn: id });
        } else {
            self.close_now(id);
        }
    }

    pub(super) fn close_now(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id).filter(|c| !c.closed) else {
            return;
        };
        conn.closed = true;
        conn.out.clear();
        let (core, run) = (conn.holder, conn.run);
        // The client reads what is left on its side; the gateway forgets the connection.
        let left = std::mem::take(&mut conn.kernel);
        let client = conn.client;
        if !conn.silent && !conn.reset {
            let bytes: Vec<u8> = left.into_iter().collect();
            self.clients_leftover.insert(id, (client, bytes));
            let delay = self.random.delay(self.plan.net_time);
            self.after(delay, Happening::ClientLoses { conn: id });
        }
        if let Some(core) = core {
            self.input(run, core, Input::Closed { conn: id });
        }
    }

    /// The client takes some of what has arrived.
    pub(super) fn client_reads(&mut self, id: u64) -> Checked {
        let most = if self.random.chance(200) {
            1 + self.random.index(2_000)
        } else {
            usize::MAX
        };
        let Some(conn) = self.conns.get_mut(&id) else {
            return Ok(());
        };
        conn.reading = false;
        if conn.silent || conn.reset {
            return Ok(());
        }
        let most = most.min(conn.kernel.len());
        let bytes: Vec<u8> = conn.kernel.drain(..most).collect();
        if conn.kernel.is_empty() && conn.out.is_empty() {
            conn.emptied = [conn.emptied[1], self.now];
        }
        let client = conn.client;
        self.client_hears(id, client, &bytes)?;
        self.pump(id);
        Ok(())
    }

    fn client_hears(&mut self, id: u64, number: usize, bytes: &[u8]) -> Checked {
        if self.clients[number].conn != Some(id) {
            return Ok(());
        }
        let stopped = self.clients[number].stopped;
        let wish =
            self.clients[number].heard(&mut self.random, &mut self.oracle, self.now, bytes)?;
        let now_stopped = self.clients[number].stopped;
        if stopped != now_stopped {
            say!(self, "client {number} is stopped by {now_stopped:?}");
            if !self.plan.rivals {
                let what =
                    format!("client {number} with a good token is stopped by {now_stopped:?}");
                return Err(Violation::new("tokens", what));
            }
        }
        self.grant(number, wish);
        Ok(())
    }

    /// The client's side of the connection ends; it may try again later.
    pub(super) fn client_loses(&mut self, id: u64) -> Checked {
        let Some((number, bytes)) = self.clients_leftover.remove(&id) else {
            return Ok(());
        };
        self.client_hears(id, number, &bytes)?;
        if self.clients[number].conn == Some(id) {
            say!(self, "client {number} loses its connection");
            self.clients[number].disconnected(&mut self.oracle);
        }
        Ok(())
    }

    /// The client goes away: with a farewell, a reset, or without a word.
    pub(super) fn client_dies(&mut self, number: usize, silently: bool) {
        let Some(id) = self.clients[number].conn else {
            return;
        };
        self.clients[number].disconnected(&mut self.oracle);
        say!(
            self,
            "client {number} goes away{}",
            if silently { " without a word" } else { "" }
        );
        let farewell = self.random.chance(500);
        let delay = self.random.delay(self.plan.net_time);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if silently {
            conn.silent = true;
            conn.kernel.clear();
            conn.capacity = 0;
        } else if farewell {
            let at = conn.up.arrival(self.now, delay);
            self.schedule.at(
                at,
                Happening::ToGateway {
                    conn: id,
                    bytes: Bytes::new(),
                },
            );
            conn.capacity = usize::MAX;
            self.pump(id);
        } else {
            conn.reset = true;
            self.readable(id);
        }
    }

    /// The gateway is gone: every client finds out, with or without the last bytes.
    pub(super) fn all_connections_break(&mut self) {
        for (id, conn) in std::mem::take(&mut self.conns) {
            let number = conn.client;
            if self.clients[number].conn != Some(id) {
                continue;
            }
            let bytes: Vec<u8> = conn.kernel.into_iter().collect();
            let length = if self.random.chance(500) {
                bytes.len()
            } else {
                self.random.index(bytes.len() + 1)
            };
            self.clients_leftover
                .insert(id, (number, bytes[..length].to_vec()));
            let delay = self.random.delay(self.plan.net_time);
            self.after(delay, Happening::ClientLoses { conn: id });
        }
    }
}
