//! Facts, read in bulk for gateway cores (spec: message.md 3).

use super::StoreResult;
use async_trait::async_trait;
use ringwire_link::facts::{Fact, FactKey};

/// Facts.
#[async_trait]
pub trait FactStore: Send + Sync {
    /// One fact a key, in order, all of one snapshot. Meant for up to 1,000 keys.
    ///
    /// # Errors
    /// Database failures.
    async fn facts(&self, keys: &[FactKey]) -> StoreResult<Vec<Fact>>;
}
