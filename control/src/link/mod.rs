//! The server side of the link: a Unix socket that gateway cores connect to.
//!
//! [`Link`] is the state all connections share and implements [`crate::ports::Gateways`]; [`Server`]
//! accepts and serves. What a connection may ask is in `questions` and `calls`; what it streams goes
//! through `journal`.

mod calls;
mod connection;
mod gateways;
mod journal;
mod metrics;
mod outbox;
mod presence;
mod questions;
mod registry;
mod server;
mod socket;
mod stored;

pub use connection::Pace;
pub use server::Server;

use crate::ports::TokenStates;
use crate::store::Stores;
use presence::PresenceMap;
use registry::Registry;
use ringwire_config::Config;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stored::StoredPositions;
use tokio::sync::{Notify, mpsc};

/// What the link must know of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// Admin user ids: they pass every "self or admin" check of a call.
    pub admins: HashSet<String>,
    /// Time a publish may take.
    pub publish_timeout: Duration,
    /// Time a core may take to apply a change of facts.
    pub facts_timeout: Duration,
    /// Time a call may wait for journals to be stored and for the database.
    pub call_timeout: Duration,
    /// Time for a transaction that stores journals before it is undone and begun again; doubled each
    /// time for the same batches. A database host that vanished from the network never answers.
    pub store_timeout: Duration,
    /// Time after which the presence told by a core that is gone is forgotten.
    pub presence_grace: Duration,
    /// Heartbeats and silence.
    pub pace: Pace,
}

impl Settings {
    /// From the configuration file.
    pub fn new(config: &Config) -> Self {
        Self {
            socket: config.shared.link_socket.clone(),
            admins: config.shared.admin_user_ids.iter().cloned().collect(),
            publish_timeout: Duration::from_millis(config.control.publish_timeout_ms),
            facts_timeout: Duration::from_millis(config.control.facts_timeout_ms),
            // Shorter than the gateway's own patience, so that the client gets our answer.
            call_timeout: Duration::from_millis(
                config.gateway.call_timeout_ms.saturating_mul(3) / 4,
            ),
            store_timeout: Duration::from_secs(60),
            presence_grace: Duration::from_secs(10),
            pace: Pace::default(),
        }
    }
}

/// The link as seen by the rest of control. Make one, hand it out as `Arc<dyn Gateways>`, then
/// [`Link::bind`] it once the token states exist.
pub struct Link {
    settings: Settings,
    stores: Stores,
    registry: Registry,
    stored: StoredPositions,
    presence: PresenceMap,
    outbox_wake: Notify,
    next_connection: AtomicU64,
    journal: mpsc::UnboundedSender<journal::Incoming>,
    journal_end: Mutex<Option<mpsc::UnboundedReceiver<journal::Incoming>>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// A link nobody is connected to yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(settings: Settings, stores: Stores) -> io::Result<Arc<Self>> {
        let mut boot = [0; 8];
        getrandom::fill(&mut boot).map_err(|error| io::Error::other(error.to_string()))?;
        // 0 stands for "no boot" in Hello.
        let boot = u64::from_le_bytes(boot).max(1);
        let (journal, journal_end) = mpsc::unbounded_channel();
        Ok(Arc::new(Self {
            settings,
            stores,
            registry: Registry::new(boot),
            stored: StoredPositions::new([]),
            presence: PresenceMap::default(),
            outbox_wake: Notify::new(),
            next_connection: AtomicU64::new(1),
            journal,
            journal_end: Mutex::new(Some(journal_end)),
        }))
    }

    /// Binds the socket. Cores can connect from here on; they are served by [`Server::run`].
    ///
    /// # Errors
    /// What the system says of the socket; a second call on the same link.
    pub async fn bind(self: &Arc<Self>, tokens: Arc<dyn TokenStates>) -> io::Result<Server> {
        let socket = socket::Socket::bind(&self.settings.socket).await?;
        let Some(journal) = connection::lock(&self.journal_end).take() else {
            return Err(io::Error::other("the link is bound already"));
        };
        Ok(Server {
            link: Arc::clone(self),
            tokens,
            socket,
            journal,
        })
    }
}
