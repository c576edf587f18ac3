//! The gateway process: what the shell does for cores, done in virtual time.

use super::{Happening, SECRET, World, say};
use crate::disk::Unsynced;
use crate::oracle::{Checked, Violation};
use crate::plan::MS;
use crate::schedule::Lane;
use bytes::Bytes;
use ringwire_gateway::core::journal;
use ringwire_gateway::core::{
    Action, Board, ConnId, Connections, Core, CoreConfig, Event, Out, Owner, OwnerConfig, RingItem,
    Secret,
};
use ringwire_link::message::KnownMessage;
use ringwire_link::{FrameDecoder, ToGateway};
use ringwire_protocol::platform::LoginPolicy;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// What waits for a core's next turn.
#[derive(Debug)]
pub(crate) enum Input {
    Accepted {
        conn: u64,
    },
    HandedOver {
        conn: u64,
        received: Vec<u8>,
    },
    /// The connection may have bytes, or its end.
    Readable {
        conn: u64,
    },
    Closed {
        conn: u64,
    },
    Written {
        conn: u64,
    },
    Ring {
        from: u16,
        item: RingItem,
    },
    LinkUp {
        generation: u64,
    },
    LinkDown,
    LinkBytes {
        generation: u64,
        bytes: Vec<u8>,
    },
    Synced,
    Read {
        position: u64,
        bytes: Bytes,
    },
    SegmentReady {
        segment: u64,
    },
    SegmentFailed {
        segment: u64,
    },
    Tick,
}

/// A journal write under way, and what it will make durable.
pub(super) struct Writing {
    pub(super) write: Unsynced,
    pub(super) messages: Vec<(String, KnownMessage)>,
    pub(super) kicks: Vec<Vec<u8>>,
}

pub(super) struct CoreState {
    core: Core,
    out: Out,
    inbox: Vec<Input>,
    turn_due: bool,
    tick_at: Option<u64>,
    rings: Vec<Lane>,
    pub(super) writing: Option<Writing>,
    /// Newest link connection the core knows of; 0 = none.
    pub(super) link: u64,
    /// The link connection there really is; 0 = none.
    pub(super) connected: u64,
    decoder: FrameDecoder,
    pub(super) to_control: Lane,
    pub(super) to_core: Lane,
    pub(super) welcomed: bool,
}

impl CoreState {
    /// Messages that wait for facts or states.
    pub(super) fn owner_waiting(&self) -> u64 {
        self.core.owner_stats().waiting
    }
}

pub(super) struct Gateway {
    pub(super) run: u64,
    pub(super) cores: Vec<CoreState>,
    pub(super) board: Arc<Board>,
    pub(super) epoch: u32,
}

pub(super) fn damaged(what: impl std::fmt::Display) -> Violation {
    Violation::new("1 (acknowledged is durable)", what.to_string())
}

impl World {
    /// Reads the journals back and starts the cores.
    pub(super) fn start_gateway(&mut self) -> Checked {
        if self.gateway.is_some() {
            return Ok(());
        }
        self.runs += 1;
        let run = self.runs;
        if run > 1 && self.plan.changing_cores {
            self.plan.cores = self.random.range(1, 4) as u16;
        }
        let cores = self.plan.cores;
        let limits = self.plan.limits.clone();
        let recovered = self.recover()?;
        for journal in &recovered {
            for (conversation, head) in &journal.conversations {
                for message in &head.recent {
                    self.oracle.durable(conversation, message)?;
                }
            }
        }
        self.oracle.restarted(cores, self.now);
        let cut: u64 = recovered.iter().map(|r| r.cut_bytes).sum();
        let seeds = journal::seeds(recovered, cores);
        say!(
            self,
            "gateway starts: run {run}, {cores} cores, epoch {}, {cut} bytes cut",
            seeds.epoch
        );
        let board = Arc::new(Board::new(&seeds.positions));
        let connections = Arc::new(Connections::new(limits.max_connections));
        let mut states = Vec::new();
        for (core, (seed, kicks)) in (0..cores).zip(seeds.owners.into_iter().zip(seeds.token_kicks))
        {
            let owner = OwnerConfig {
                core,
                cores,
                admin_user_ids: HashSet::new(),
                friend_verify: false,
                segment_bytes: limits.journal_segment_bytes,
                journal_max_bytes: limits.journal_max_bytes,
                max_facts: limits.max_facts as usize,
                max_conversations: limits.max_conversations as usize,
                tail_messages: limits.tail_messages as usize,
                id_seed: u128::from(self.random.next()).to_le_bytes(),
                board: Arc::clone(&board),
            };
            let config = CoreConfig {
                core,
                cores,
                boot: run,
                secret: Secret::new(SECRET),
                admins: Arc::default(),
                policy: LoginPolicy::OnePerPlatform,
                limits: limits.clone(),
            };
            let owner = Owner::new(owner, seed);
            states.push(CoreState {
                core: Core::new(
                    config,
                    Arc::clone(&board),
                    Arc::clone(&connections),
                    owner,
                    &kicks,
                ),
                out: Out::new(core),
                inbox: Vec::new(),
                turn_due: false,
                tick_at: None,
                rings: vec![Lane::default(); cores.into()],
                writing: None,
                link: 0,
                connected: 0,
                decoder: FrameDecoder::default(),
                to_control: Lane::default(),
                to_core: Lane::default(),
                welcomed: false,
            });
        }
        self.gateway = Some(Gateway {
            run,
            cores: states,
            board,
            epoch: seeds.epoch,
        });
        for core in 0..cores {
            // The first turn asks for a segment.
            self.input(run, core, Input::Tick);
            let delay = self.random.delay(10 * MS);
            self.after(delay, Happening::LinkConnect { run, core });
        }
        Ok(())
    }

    /// Something for a core's next turn.
    pub(super) fn input(&mut self, run: u64, core: u16, input: Input) {
        let Some(state) = state(&mut self.gateway, run, core) else {
            return;
        };
        state.inbox.push(input);
        if !state.turn_due {
            state.turn_due = true;
            let stall = self.random.chance(5);
            let delay = if stall {
                self.random.below(200 * MS)
            } else {
                self.random.delay(20)
            };
            self.after(delay, Happening::Turn { run, core });
        }
    }

    /// A core works off what is ready, and the world does what it says.
    pub(super) fn turn(&mut self, run: u64, core: u16) -> Checked {
        let now = self.clock();
        let Some(state) = state(&mut self.gateway, run, core) else {
            return Ok(());
        };
        state.turn_due = false;
        let inbox = std::mem::take(&mut state.inbox);
        let mut again = Vec::new();
        for input in inbox {
            self.handle(run, core, input, &mut again)?;
        }
        let Some(state) = state_of(&mut self.gateway, core) else {
            return Ok(());
        };
        state.core.finish_turn(now, &mut state.out);
        let actions = std::mem::take(&mut state.out.actions);
        self.bounds(core)?;
        for action in actions {
            self.perform(run, core, action)?;
        }
        for input in again {
            self.input(run, core, input);
        }
        let Some(state) = state_of(&mut self.gateway, core) else {
            return Ok(());
        };
        if let Some(deadline) = state.core.deadline() {
            let at = (deadline * MS).max(self.now + 5 * MS);
            if state.tick_at.is_none_or(|t| t > at || t <= self.now) {
                state.tick_at = Some(at);
                self.schedule.at(
                    at,
                    Happening::Input {
                        run,
                        core,
                        input: Input::Tick,
                    },
                );
            }
        }
        Ok(())
    }

    fn handle(&mut self, run: u64, core: u16, input: Input, again: &mut Vec<Input>) -> Checked {
        let now = self.clock();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let Some(state) = state(&mut self.gateway, run, core) else {
            return Ok(());
        };
        let event = match input {
            Input::Accepted { conn } => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.holder = Some(core);
                }
                again.push(Input::Readable { conn });
                Event::Accepted {
                    conn: ConnId(conn),
                    peer,
                }
            }
            Input::HandedOver { conn, received } => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.holder = Some(core);
                }
                again.push(Input::Readable { conn });
                Event::HandedOver {
                    conn: ConnId(conn),
                    peer,
                    received,
                }
            }
            Input::Readable { conn: id } => {
                let Some(conn) = self.conns.get_mut(&id).filter(|c| c.holder == Some(core)) else {
                    return Ok(());
                };
                conn.readable_due = false;
                if conn.closing {
                    return Ok(());
                }
                if conn.reset {
                    self.conns.remove(&id);
                    Event::Closed { conn: ConnId(id) }
                } else if conn.paused || (conn.inbound.is_empty() && !conn.ended) {
                    return Ok(());
                } else if conn.inbound.is_empty() {
                    self.conns.remove(&id);
                    Event::Closed { conn: ConnId(id) }
                } else {
                    let most = if self.random.chance(100) {
                        1 + self.random.index(50)
                    } else {
                        16 << 10
                    };
                    let bytes: Vec<u8> =
                        conn.inbound.drain(..most.min(conn.inbound.len())).collect();
                    conn.readable_due = true;
                    again.push(Input::Readable { conn: id });
                    state.core.handle(
                        now,
                        Event::Received {
                            conn: ConnId(id),
                            bytes: &bytes,
                        },
                        &mut state.out,
                    );
                    return Ok(());
                }
            }
            Input::Closed { conn } => {
                if self.conns.remove(&conn).is_none() {
                    return Ok(());
                }
                Event::Closed { conn: ConnId(conn) }
            }
            Input::Written { conn } => {
                if !self.conns.contains_key(&conn) {
                    return Ok(());
                }
                Event::Written { conn: ConnId(conn) }
            }
            Input::Ring { from, item } => Event::Ring { from, item },
            Input::LinkUp { generation } => {
                state.link = generation;
                state.decoder = FrameDecoder::default();
                Event::LinkUp
            }
            Input::LinkDown => {
                state.link = 0;
                state.welcomed = false;
                Event::LinkDown
            }
            Input::LinkBytes { generation, bytes } => {
                if state.link != generation {
                    return Ok(());
                }
                state.decoder.extend(&bytes);
                loop {
                    let frame = state.decoder.next::<ToGateway>();
                    let frame =
                        frame.map_err(|error| Violation::new("the link", error.to_string()))?;
                    let Some(frame) = frame else { return Ok(()) };
                    state.welcomed |= matches!(frame.body, ToGateway::Welcome(_));
                    let (correlation, body) = (frame.correlation, frame.body);
                    state
                        .core
                        .handle(now, Event::Link { correlation, body }, &mut state.out);
                }
            }
            Input::Synced => Event::JournalSynced,
            Input::Read { position, bytes } => Event::JournalRead { position, bytes },
            Input::SegmentReady { segment } => Event::SegmentReady { segment },
            Input::SegmentFailed { segment } => Event::SegmentFailed {
                segment,
                reason: "disk full".into(),
            },
            Input::Tick => {
                if state.core.deadline().is_none_or(|at| at > now.mono_ms) && now.mono_ms > 0 {
                    return Ok(());
                }
                Event::Tick
            }
        };
        state.core.handle(now, event, &mut state.out);
        Ok(())
    }

    fn perform(&mut self, run: u64, core: u16, action: Action) -> Checked {
        match action {
            Action::Write { conn, frames } => self.write(conn.0, &frames)?,
            Action::Close { conn } => self.close(conn.0),
            Action::PauseReading { conn } => {
                if let Some(conn) = self.conns.get_mut(&conn.0) {
                    conn.paused = true;
                }
            }
            Action::ResumeReading { conn } => {
                if let Some(conn) = self.conns.get_mut(&conn.0) {
                    conn.paused = false;
                }
                self.readable(conn.0);
            }
            Action::HandOver {
                conn, to, received, ..
            } => {
                if let Some(conn) = self.conns.get_mut(&conn.0) {
                    conn.holder = None;
                    conn.readable_due = false;
                    let delay = self.random.delay(self.plan.ring_time);
                    let input = Input::HandedOver {
                        conn: conn.id,
                        received,
                    };
                    self.after(
                        delay,
                        Happening::Input {
                            run,
                            core: to,
                            input,
                        },
                    );
                }
            }
            Action::Ring { to, item } => {
                let delay = self.random.delay(self.plan.ring_time);
                let now = self.now;
                let Some(state) = state_of(&mut self.gateway, core) else {
                    return Ok(());
                };
                let Some(lane) = state.rings.get_mut(usize::from(to)).filter(|_| to != core) else {
                    return Err(Violation::new(
                        "rings",
                        format!("core {core} rang core {to}"),
                    ));
                };
                let at = lane.arrival(now, delay);
                self.schedule.at(
                    at,
                    Happening::Input {
                        run,
                        core: to,
                        input: Input::Ring { from: core, item },
                    },
                );
            }
            Action::Link { correlation, body } => self.core_says(core, correlation, &body)?,
            Action::JournalWrite {
                segment,
                offset,
                bytes,
            } => self.journal_write(run, core, segment, offset, bytes)?,
            Action::JournalRead {
                journal,
                segment,
                offset,
                length,
                position,
            } => {
                let delay = self.random.delay(self.plan.sync_time);
                let place = (segment, offset);
                self.after(
                    delay,
                    Happening::Read {
                        run,
                        core,
                        journal,
                        place,
                        length,
                        position,
                    },
                );
            }
            Action::SegmentCreate { segment } => {
                let delay = self.random.delay(self.plan.sync_time);
                self.after(delay, Happening::Created { run, core, segment });
            }
            Action::SegmentRelease { journal, segment } => {
                say!(
                    self,
                    "core {core} releases segment {segment} of journal {journal}"
                );
                if !self.disk.release(journal, segment) {
                    return Err(damaged(format!(
                        "segment {segment} of journal {journal} was released twice"
                    )));
                }
            }
            Action::Fatal { reason } => {
                return Err(damaged(format!("core {core} gives up: {reason}")));
            }
        }
        Ok(())
    }

    /// Limits hold after every turn (invariant 6).
    fn bounds(&mut self, core: u16) -> Checked {
        const BOUNDS: &str = "6 (nothing grows without a bound)";
        let limits = &self.plan.limits;
        let Some(state) = self
            .gateway
            .as_ref()
            .and_then(|g| g.cores.get(usize::from(core)))
        else {
            return Ok(());
        };
        let stats = state.core.owner_stats();
        // Records leave room unused at the ends of segments; with the small segments here that is much.
        if stats.unstored_bytes > 2 * limits.journal_max_bytes + limits.journal_segment_bytes {
            return Err(Violation::new(
                BOUNDS,
                format!("core {core} has {} bytes not stored", stats.unstored_bytes),
            ));
        }
        // An answer may bring facts for several messages at once, and each of them may look at several.
        if stats.facts > u64::from(limits.max_facts) + 64 {
            return Err(Violation::new(
                BOUNDS,
                format!("core {core} holds {} facts", stats.facts),
            ));
        }
        if state.core.stats().connections > u64::from(limits.max_connections) * 2 + 64 {
            return Err(Violation::new(
                BOUNDS,
                format!("core {core} holds too many connections"),
            ));
        }
        Ok(())
    }
}

/// A core of this very run.
pub(super) fn state(gateway: &mut Option<Gateway>, run: u64, core: u16) -> Option<&mut CoreState> {
    gateway
        .as_mut()
        .filter(|g| g.run == run)?
        .cores
        .get_mut(usize::from(core))
}

pub(super) fn state_of(gateway: &mut Option<Gateway>, core: u16) -> Option<&mut CoreState> {
    gateway.as_mut()?.cores.get_mut(usize::from(core))
}
