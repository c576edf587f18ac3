//! What every call of the API has at hand.

use crate::api::limit::Limiter;
use crate::ports::Gateways;
use crate::store::Stores;
use crate::tokens::TokenBook;
use ringwire_config::{Config, Secret};
use ringwire_protocol::json::EmptyList;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Wrong secrets one address may try at once.
const SECRET_TRIES: u32 = 10;

/// Time after which it may try one more.
const SECRET_PAUSE: Duration = Duration::from_secs(6);

/// The parts of control, as handlers and domain functions see them.
pub struct App {
    /// The configuration file.
    pub config: Arc<Config>,
    /// Password of `/auth/get_admin_token`.
    pub secret: Arc<Secret>,
    /// The database.
    pub stores: Stores,
    /// Token states.
    pub tokens: TokenBook,
    /// The gateways.
    pub gateways: Arc<dyn Gateways>,
    /// Wrong secrets, by address.
    pub secret_failures: Limiter<IpAddr>,
}

impl App {
    /// Puts the parts together.
    pub fn new(
        config: Arc<Config>,
        secret: Arc<Secret>,
        stores: Stores,
        tokens: TokenBook,
        gateways: Arc<dyn Gateways>,
    ) -> Self {
        let secret_failures = Limiter::new(SECRET_PAUSE, SECRET_TRIES);
        Self {
            config,
            secret,
            stores,
            tokens,
            gateways,
            secret_failures,
        }
    }

    /// What an empty list in a reply is written as, `control.null_lists`.
    pub fn empty_lists(&self) -> EmptyList {
        if self.config.control.null_lists {
            EmptyList::Null
        } else {
            EmptyList::Brackets
        }
    }

    /// Whether the user is a configured admin (spec: api.md 7).
    pub fn is_admin(&self, user_id: &str) -> bool {
        self.config
            .shared
            .admin_user_ids
            .iter()
            .any(|admin| admin == user_id)
    }
}
