//! The world of one run: everything that is not a core, and the one clock all of it goes by.

mod faults;
mod gateway;
mod journal;
mod link;
mod network;
mod rest;

use crate::client::Client;
use crate::control::Control;
use crate::disk::Disk;
use crate::oracle::{Checked, Oracle};
use crate::plan::{MS, Plan, SECOND};
use crate::random::Random;
use crate::schedule::{Lane, Schedule};
use crate::trace::Trace;
use crate::wire::Dialect;
use bytes::Bytes;
use gateway::{Gateway, Input};
use network::Conn;
use ringwire_gateway::core::Now;
use ringwire_link::facts::{MemberFact, TokenFact, TokenState, UserFact};
use ringwire_link::{ToControl, ToGateway};
use ringwire_protocol::envelope::Encoding;
use ringwire_protocol::token::{self, Claims};
use std::collections::{BTreeMap, BTreeSet};

/// Unix milliseconds at which every run begins.
const BEGIN_UNIX_MS: i64 = 1_700_000_000_000;

/// Key of the tokens.
const SECRET: &[u8] = b"simulated secret";

/// After the trouble everything must come to rest within this time.
const PATIENCE: u64 = 240 * SECOND;

/// No run has this much to do.
const TOO_BUSY: u64 = 1_000_000;

macro_rules! say {
    ($world:expr, $($what:tt)*) => { $world.trace.line($world.now, format_args!($($what)*)) };
}
pub(crate) use say;

/// Something due.
pub(crate) enum Happening {
    /// A core of the run ends its turn.
    Turn {
        run: u64,
        core: u16,
    },
    Input {
        run: u64,
        core: u16,
        input: Input,
    },
    Synced {
        run: u64,
        core: u16,
    },
    Created {
        run: u64,
        core: u16,
        segment: u64,
    },
    Read {
        run: u64,
        core: u16,
        journal: u16,
        place: (u64, u64),
        length: usize,
        position: u64,
    },
    /// Bytes of the link reach control.
    ToControl {
        core: u16,
        generation: u64,
        bytes: Vec<u8>,
    },
    /// Control deals with a frame.
    Frame {
        boot: u64,
        core: u16,
        generation: u64,
        correlation: u64,
        body: Box<ToControl>,
    },
    /// Control sends what it read earlier.
    LateSend {
        boot: u64,
        core: u16,
        generation: u64,
        correlation: u64,
        body: Box<ToGateway>,
    },
    LinkConnect {
        run: u64,
        core: u16,
    },
    LinkGone {
        core: u16,
        generation: u64,
    },
    Client(usize),
    ToGateway {
        conn: u64,
        bytes: Bytes,
    },
    ClientReads {
        conn: u64,
    },
    /// The gateway's patience with a connection that does not take its last bytes ends.
    CloseNow {
        conn: u64,
    },
    /// A client learns that its connection is over.
    ClientLoses {
        conn: u64,
    },
    Fault(faults::Fault),
    StartGateway,
    StartControl,
    /// Control looks at its outbox.
    Outbox,
    EndOfTrouble,
    LookForRest,
}

/// One run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) oracle: Oracle,
    pub(crate) now: u64,
    pub(crate) happened: u64,
    pub(crate) quiet: bool,
    schedule: Schedule<Happening>,
    disk: Disk,
    gateway: Option<Gateway>,
    runs: u64,
    control: Control,
    boots: u64,
    /// Link connections made so far: the newest number names the newest one.
    generations: u64,
    /// Links that were cut: nothing sent from then on arrives.
    dead_links: BTreeSet<u64>,
    control_lanes: BTreeMap<u16, Lane>,
    /// What clients have still to read of connections that are over.
    clients_leftover: BTreeMap<u64, (usize, Vec<u8>)>,
    clients: Vec<Client>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    users: Vec<String>,
    groups: Vec<String>,
    /// Since when everything seems to be at rest.
    resting: Option<u64>,
    over: bool,
    /// The next journal write is to be the gateway's last.
    crash_armed: bool,
    last_crash: u64,
}

impl World {
    pub(crate) fn new(seed: u64, print: bool) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let mut world = Self {
            control: Control::new(plan.recent),
            plan,
            random,
            trace: Trace::new(print),
            oracle: Oracle::default(),
            now: 0,
            happened: 0,
            quiet: false,
            schedule: Schedule::new(),
            disk: Disk::default(),
            gateway: None,
            runs: 0,
            boots: 0,
            generations: 0,
            dead_links: BTreeSet::new(),
            control_lanes: BTreeMap::new(),
            clients_leftover: BTreeMap::new(),
            clients: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            users: Vec::new(),
            groups: Vec::new(),
            resting: None,
            over: false,
            crash_armed: false,
            last_crash: 0,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.users = (0..self.plan.users).map(|n| format!("u{n}")).collect();
        self.groups = (0..self.plan.groups).map(|n| format!("g{n}")).collect();
        for user in &self.users {
            self.control.store.users.insert(
                user.clone(),
                UserFact {
                    level: 1,
                    global_recv_opt: 0,
                },
            );
        }
        for group in &self.groups {
            let members = self
                .users
                .iter()
                .map(|u| {
                    (
                        u.clone(),
                        MemberFact {
                            role: 20,
                            mute_end_ms: 0,
                        },
                    )
                })
                .collect();
            let group_state = crate::control::store::Group {
                members,
                ..Default::default()
            };
            self.control.store.groups.insert(group.clone(), group_state);
        }
        for number in 0..self.plan.clients {
            let user = self.users[number % self.users.len()].clone();
            // Different platforms do not disturb each other; equal ones do.
            let platforms = [2, 3, 5, 7, 9, 4];
            let round = if self.plan.rivals {
                0
            } else {
                number / self.users.len()
            };
            let random = &mut self.random;
            let encoding = if random.chance(500) {
                Encoding::Gob
            } else {
                Encoding::Json
            };
            let dialect = Dialect {
                encoding,
                gzip: random.chance(500),
                outcome_frame: random.chance(300),
            };
            let ahead = if self.plan.clocks_ahead { 60_000 } else { 0 };
            let skew = random.range(0, 120_000) as i64 - 120_000 + ahead;
            let skew = if random.chance(self.plan.wrong_clocks) {
                skew
            } else {
                0
            };
            let slow = random.chance(self.plan.slow_clients);
            let platform = platforms[round % platforms.len()];
            let client = Client::new(number, user, platform, dialect, skew, slow, self.plan.large);
            self.clients.push(client);
            self.issue_token(number);
            let at = self.random.below(SECOND);
            self.schedule.at(at, Happening::Client(number));
        }
        self.schedule.at(0, Happening::StartControl);
        self.schedule.at(0, Happening::StartGateway);
        self.schedule.at(SECOND, Happening::Outbox);
        self.schedule.at(self.plan.trouble, Happening::EndOfTrouble);
        self.schedule_faults();
    }

    /// A token of its own for a client.
    fn issue_token(&mut self, number: usize) -> TokenFact {
        let client = &mut self.clients[number];
        // Each token differs in its expiry, as tokens made in different seconds do.
        let days = 80 + self.control.store.tokens.len() as u32;
        let now_s = (BEGIN_UNIX_MS + (self.now / MS) as i64) / 1_000;
        let claims = Claims::new(&client.user, client.platform, now_s, days);
        let token = token::sign(&claims, SECRET);
        let fact = TokenFact {
            user_id: client.user.clone(),
            platform_id: client.platform,
            token: token::fingerprint(&token),
            state: TokenState::Normal,
            expires_s: claims.exp,
        };
        client.log_in_again(token, fact.token);
        self.control.store.tokens.push(fact.clone());
        fact
    }

    fn clock(&self) -> Now {
        Now {
            mono_ms: self.now / MS,
            unix_ms: BEGIN_UNIX_MS + (self.now / MS) as i64,
        }
    }

    fn after(&mut self, delay: u64, what: Happening) {
        self.schedule.at(self.now + delay, what);
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Checked {
        say!(self, "{:?}", self.plan);
        while !self.over {
            let Some((at, what)) = self.schedule.next() else {
                return Err(crate::oracle::stuck("nothing is due any more"));
            };
            self.now = at;
            self.happened += 1;
            self.happen(what)?;
            if self.happened > TOO_BUSY {
                return Err(crate::oracle::stuck(
                    "something is done over and over again",
                ));
            }
            if self.now > self.plan.trouble + PATIENCE {
                return Err(crate::oracle::stuck(self.unrest().unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Checked {
        match what {
            Happening::Turn { run, core } => self.turn(run, core),
            Happening::Input { run, core, input } => {
                self.input(run, core, input);
                Ok(())
            }
            Happening::Synced { run, core } => self.synced(run, core),
            Happening::Created { run, core, segment } => {
                self.created(run, core, segment);
                Ok(())
            }
            Happening::Read {
                run,
                core,
                journal,
                place,
                length,
                position,
            } => self.journal_read(run, core, journal, place, length, position),
            Happening::ToControl {
                core,
                generation,
                bytes,
            } => self.control_hears(core, generation, &bytes),
            Happening::Frame {
                boot,
                core,
                generation,
                correlation,
                body,
            } => {
                let current = self
                    .control
                    .links
                    .get(&core)
                    .is_some_and(|l| l.generation == generation);
                if boot == self.control.boot && current {
                    self.control.frame(
                        &mut self.random,
                        &mut self.oracle,
                        self.now,
                        core,
                        correlation,
                        *body,
                    )?;
                    self.control_sends();
                }
                Ok(())
            }
            Happening::LateSend {
                boot,
                core,
                generation,
                correlation,
                body,
            } => {
                let current = self
                    .control
                    .links
                    .get(&core)
                    .is_some_and(|l| l.generation == generation);
                if boot == self.control.boot && current {
                    self.control_says(core, correlation, &body);
                }
                Ok(())
            }
            Happening::LinkConnect { run, core } => {
                self.link_connect(run, core);
                Ok(())
            }
            Happening::LinkGone { core, generation } => {
                self.control.disconnected(core, generation);
                Ok(())
            }
            Happening::Client(number) => {
                self.client_turn(number);
                Ok(())
            }
            Happening::ToGateway { conn, bytes } => {
                self.bytes_arrive(conn, &bytes);
                Ok(())
            }
            Happening::ClientReads { conn } => self.client_reads(conn),
            Happening::CloseNow { conn } => {
                self.close_now(conn);
                Ok(())
            }
            Happening::ClientLoses { conn } => self.client_loses(conn),
            Happening::Fault(fault) => self.fault(fault),
            Happening::StartGateway => self.start_gateway(),
            Happening::StartControl => {
                self.boots += 1;
                self.control.start(self.boots);
                say!(self, "control starts");
                Ok(())
            }
            Happening::Outbox => {
                self.control.publish_all(&mut self.random);
                self.control_sends();
                self.after(SECOND, Happening::Outbox);
                Ok(())
            }
            Happening::EndOfTrouble => {
                self.quiet = true;
                self.disk.full = false;
                say!(self, "trouble ends");
                self.after(SECOND, Happening::LookForRest);
                Ok(())
            }
            Happening::LookForRest => self.look_for_rest(),
        }
    }
}
