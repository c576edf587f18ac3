//! Who is connected, who may connect, and the one order of changes that all cores see.
//!
//! Admission and the publication of a change take the same lock: a core is either told of a change
//! in its Welcome, or gets it as a frame after it, never neither.

use super::connection::{Connection, lock};
use super::stored::StoredPositions;
use ringwire_link::ToGateway;
use ringwire_link::facts::{FactChange, TokenFact, TokenState};
use ringwire_link::message::{HEARTBEAT_MS, Hello, JournalPosition, Welcome};
use ringwire_protocol::slot;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Changes kept for cores that come back.
const LOG_CHANGES: usize = 4096;

/// A connection not heard for this long gives way to another process of the same name.
const GIVES_WAY_AFTER_MS: u64 = 2 * HEARTBEAT_MS;

/// Names a core among all gateways.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CoreKey {
    pub(super) gateway: String,
    pub(super) core: u16,
}

/// A gateway core that was admitted.
#[derive(Debug, Clone)]
pub(super) struct Core {
    pub(super) key: CoreKey,
    /// Cores of its gateway.
    pub(super) cores: u16,
    pub(super) connection: Arc<Connection>,
}

impl Core {
    /// Whether this core holds the sessions of a user.
    pub(super) fn is_home_of(&self, user_id: &str) -> bool {
        slot::core_of(user_id, self.cores) == self.key.core
    }
}

#[derive(Debug)]
struct GatewayEntry {
    boot: u64,
    cores: u16,
    connected: BTreeMap<u16, Core>,
    /// Highest owner epoch seen. All cores of one process write with the same.
    epoch: u32,
}

#[derive(Debug, Default)]
struct State {
    gateways: BTreeMap<String, GatewayEntry>,
    version: u64,
    log: VecDeque<(u64, Vec<FactChange>)>,
    logged: usize,
    /// For connections whose token snapshot is under way: states told as changes meanwhile, which
    /// are newer than what the snapshot read.
    snapshots: HashMap<u64, HashMap<[u8; 16], TokenState>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Registry {
    /// Random per start of control.
    pub(super) boot: u64,
    state: Mutex<State>,
}

impl Registry {
    pub(super) fn new(boot: u64) -> Self {
        Self {
            boot,
            state: Mutex::new(State::default()),
        }
    }

    /// Whether a core that says this may connect, before anything is written down of it.
    ///
    /// # Errors
    /// The reason for [`ToGateway::Refused`].
    pub(super) fn may_connect(&self, hello: &Hello) -> Result<(), String> {
        check(&lock(&self.state), hello)
    }

    /// Admits a core: checks its Hello, puts it in the place of an older connection of the same core,
    /// and queues Welcome and the changes it missed.
    ///
    /// # Errors
    /// The reason for [`ToGateway::Refused`].
    pub(super) fn admit(
        &self,
        hello: &Hello,
        connection: &Arc<Connection>,
        stored: &StoredPositions,
    ) -> Result<Core, String> {
        let mut state = lock(&self.state);
        check(&state, hello)?;
        let mut positions = Vec::with_capacity(hello.journals.len());
        for journal in &hello.journals {
            let position = stored.resume(&hello.gateway, journal.journal, journal.position)?;
            positions.push(JournalPosition {
                journal: journal.journal,
                position,
            });
        }
        for at in &positions {
            stored.raise(&hello.gateway, *at);
        }
        let entry = state
            .gateways
            .entry(hello.gateway.clone())
            .or_insert_with(|| GatewayEntry {
                boot: hello.boot,
                cores: hello.cores,
                connected: BTreeMap::new(),
                epoch: hello.epoch,
            });
        if entry.boot != hello.boot {
            for old in std::mem::take(&mut entry.connected).into_values() {
                old.connection
                    .close("a newer process of this gateway took its place".into());
            }
        }
        entry.boot = hello.boot;
        entry.cores = hello.cores;
        entry.epoch = hello.epoch;
        let core = Core {
            key: CoreKey {
                gateway: hello.gateway.clone(),
                core: hello.core,
            },
            cores: hello.cores,
            connection: Arc::clone(connection),
        };
        if let Some(old) = entry.connected.insert(hello.core, core.clone()) {
            old.connection.close("the core connected again".into());
        }
        let missed = self.missed(&state, hello);
        connection.send(
            0,
            &ToGateway::Welcome(Welcome {
                boot: self.boot,
                facts_version: state.version,
                facts_current: missed.is_some(),
                stored: positions,
            }),
        );
        match missed {
            Some(changes) => {
                connection.facts_applied(hello.facts_version);
                for (version, changes) in changes {
                    connection.send(0, &ToGateway::FactChanges { version, changes });
                }
            }
            // It forgets everything at Welcome, which is as good as having applied all.
            None => connection.facts_applied(state.version),
        }
        state.snapshots.insert(connection.id, HashMap::new());
        Ok(core)
    }

    /// The changes a core missed, or `None` when it must forget its facts.
    fn missed(&self, state: &State, hello: &Hello) -> Option<Vec<(u64, Vec<FactChange>)>> {
        if hello.facts_boot != self.boot || hello.facts_version > state.version {
            return None;
        }
        let oldest = state
            .log
            .front()
            .map_or(state.version + 1, |(version, _)| *version);
        if hello.facts_version + 1 < oldest {
            return None;
        }
        Some(
            state
                .log
                .iter()
                .filter(|(version, _)| *version > hello.facts_version)
                .cloned()
                .collect(),
        )
    }

    /// Forgets a connection that ended. True when it was the one in force for its core.
    pub(super) fn gone(&self, core: &Core) -> bool {
        let mut state = lock(&self.state);
        state.snapshots.remove(&core.connection.id);
        let Some(entry) = state.gateways.get_mut(&core.key.gateway) else {
            return false;
        };
        let in_force = entry
            .connected
            .get(&core.key.core)
            .is_some_and(|c| c.connection.id == core.connection.id);
        if in_force {
            entry.connected.remove(&core.key.core);
        }
        in_force
    }

    /// Queues changes on every connection. Returns their version and who must apply them.
    pub(super) fn publish_changes(&self, changes: Vec<FactChange>) -> (u64, Vec<Core>) {
        let mut state = lock(&self.state);
        state.version += 1;
        let version = state.version;
        for overlay in state.snapshots.values_mut() {
            for change in &changes {
                if let FactChange::Token(fact) = change {
                    overlay.insert(fact.token, fact.state);
                }
            }
        }
        let body = ToGateway::FactChanges { version, changes };
        let cores = all(&state);
        for core in &cores {
            core.connection.send(0, &body);
        }
        let ToGateway::FactChanges { changes, .. } = body else {
            return (version, cores);
        };
        state.logged += changes.len();
        state.log.push_back((version, changes));
        while state.logged > LOG_CHANGES {
            let Some((_, dropped)) = state.log.pop_front() else {
                break;
            };
            state.logged -= dropped.len();
        }
        (version, cores)
    }

    /// Queues a part of the token snapshot; what changed while it was read is put right first.
    pub(super) fn send_tokens(
        &self,
        connection: &Connection,
        mut tokens: Vec<TokenFact>,
        done: bool,
    ) {
        let mut state = lock(&self.state);
        if let Some(overlay) = state.snapshots.get(&connection.id) {
            for token in &mut tokens {
                if let Some(newer) = overlay.get(&token.token) {
                    token.state = *newer;
                }
            }
        }
        if done {
            state.snapshots.remove(&connection.id);
        }
        connection.send(0, &ToGateway::TokenSnapshot { tokens, done });
    }

    /// Version of the last change.
    pub(super) fn version(&self) -> u64 {
        lock(&self.state).version
    }

    /// All connected cores.
    pub(super) fn cores(&self) -> Vec<Core> {
        all(&lock(&self.state))
    }

    /// Whether any core is connected.
    pub(super) fn is_anyone_connected(&self) -> bool {
        lock(&self.state)
            .gateways
            .values()
            .any(|g| !g.connected.is_empty())
    }

    /// The core that orders a lane, when it is connected.
    pub(super) fn owner_of(&self, ordering_key: &str) -> Option<Core> {
        let state = lock(&self.state);
        let entry = state.gateways.values().find(|g| !g.connected.is_empty())?;
        entry
            .connected
            .get(&slot::core_of(ordering_key, entry.cores))
            .cloned()
    }

    /// The connected cores that may hold sessions of a user.
    pub(super) fn homes_of(&self, user_id: &str) -> Vec<Core> {
        let state = lock(&self.state);
        let home = |g: &GatewayEntry| g.connected.get(&slot::core_of(user_id, g.cores)).cloned();
        state.gateways.values().filter_map(home).collect()
    }
}

fn check(state: &State, hello: &Hello) -> Result<(), String> {
    let Hello {
        gateway,
        boot,
        core,
        cores,
        epoch,
        ..
    } = hello;
    if gateway.is_empty() || *cores == 0 || core >= cores {
        return Err(format!(
            "core {core} of {cores} cores of gateway {gateway:?} cannot be"
        ));
    }
    if let Some((other, _)) = state
        .gateways
        .iter()
        .find(|(name, g)| *name != gateway && !g.connected.is_empty())
    {
        // Two gateways would both own every conversation and give seqs twice.
        return Err(format!(
            "gateway {other} is connected and owns all conversations"
        ));
    }
    let Some(entry) = state.gateways.get(gateway) else {
        return Ok(());
    };
    if *epoch < entry.epoch {
        return Err(format!(
            "gateway {gateway} writes with owner epoch {epoch}, but {} was seen: its journals were replaced; see `ringwire-control forget-gateway`",
            entry.epoch
        ));
    }
    if entry.boot != *boot && entry.connected.values().any(|c| !gives_way(&c.connection)) {
        return Err(format!("another process named {gateway} is connected"));
    }
    if entry.boot == *boot && entry.cores != *cores {
        return Err(format!(
            "gateway {gateway} said {} cores before, now {cores}",
            entry.cores
        ));
    }
    Ok(())
}

fn all(state: &State) -> Vec<Core> {
    state
        .gateways
        .values()
        .flat_map(|g| g.connected.values().cloned())
        .collect()
}

fn gives_way(connection: &Connection) -> bool {
    connection.is_closing() || connection.silent_for_ms() > GIVES_WAY_AFTER_MS
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
