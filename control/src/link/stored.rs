//! How far each journal is in the database, and the wait for it (design: invariant 4).

use super::connection::lock;
use ringwire_link::message::JournalPosition;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// A journal whose first byte is at most here begins at its beginning: a file header may come first.
pub(super) const FIRST_RECORD_LIMIT: u64 = 4096;

/// Positions up to which journals are stored.
#[derive(Debug)]
pub(super) struct StoredPositions {
    positions: Mutex<HashMap<String, HashMap<u16, u64>>>,
    moved: watch::Sender<u64>,
}

impl StoredPositions {
    /// From what the database says at start.
    pub(super) fn new(known: impl IntoIterator<Item = (String, JournalPosition)>) -> Self {
        let mut positions: HashMap<String, HashMap<u16, u64>> = HashMap::new();
        for (gateway, at) in known {
            positions
                .entry(gateway)
                .or_default()
                .insert(at.journal, at.position);
        }
        Self {
            positions: Mutex::new(positions),
            moved: watch::Sender::new(0),
        }
    }

    /// The position, or `None` when nothing of this journal was ever stored.
    pub(super) fn get(&self, gateway: &str, journal: u16) -> Option<u64> {
        lock(&self.positions).get(gateway)?.get(&journal).copied()
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<(String, JournalPosition)> {
        let mut all: Vec<_> = lock(&self.positions)
            .iter()
            .flat_map(|(gateway, journals)| {
                journals.iter().map(|(journal, position)| {
                    let (journal, position) = (*journal, *position);
                    (gateway.clone(), JournalPosition { journal, position })
                })
            })
            .collect();
        all.sort_unstable_by(|a, b| (&a.0, a.1.journal).cmp(&(&b.0, b.1.journal)));
        all
    }

    /// Where a core goes on streaming a journal whose first byte left is `first`.
    ///
    /// # Errors
    /// A text for people: what lies between is in neither the journal nor the database.
    pub(super) fn resume(&self, gateway: &str, journal: u16, first: u64) -> Result<u64, String> {
        match self.get(gateway, journal) {
            Some(stored) if stored >= first => Ok(stored),
            None if first <= FIRST_RECORD_LIMIT => Ok(first),
            stored => Err(format!(
                "journal {journal} of gateway {gateway} begins at {first}, but the database ends at {}: \
                 acknowledged messages are in neither; an older database was put back? See `ringwire-control \
                 forget-gateway`",
                stored.unwrap_or(0)
            )),
        }
    }

    /// Raises a position after a commit.
    pub(super) fn raise(&self, gateway: &str, at: JournalPosition) {
        {
            let mut positions = lock(&self.positions);
            let known = positions
                .entry(gateway.to_owned())
                .or_default()
                .entry(at.journal)
                .or_default();
            *known = (*known).max(at.position);
        }
        self.moved.send_modify(|turn| *turn = turn.wrapping_add(1));
    }

    fn reached(&self, gateway: &str, after: &[JournalPosition]) -> bool {
        let positions = lock(&self.positions);
        let known = positions.get(gateway);
        after.iter().all(|wanted| {
            known
                .and_then(|k| k.get(&wanted.journal))
                .is_some_and(|at| *at >= wanted.position)
        })
    }

    /// Waits until every position is stored; false when that took longer than `limit`.
    pub(super) async fn wait(
        &self,
        gateway: &str,
        after: &[JournalPosition],
        limit: Duration,
    ) -> bool {
        let mut moved = self.moved.subscribe();
        tokio::time::timeout(limit, async {
            while !self.reached(gateway, after) {
                // The sender lives as long as `self`.
                if moved.changed().await.is_err() {
                    return;
                }
            }
        })
        .await
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(journal: u16, position: u64) -> JournalPosition {
        JournalPosition { journal, position }
    }

    #[tokio::test]
    async fn a_wait_ends_when_every_journal_is_there() {
        let stored = StoredPositions::new([("g".to_owned(), at(0, 100))]);
        let short = Duration::from_millis(1);
        assert!(stored.wait("g", &[at(0, 100)], short).await);
        assert!(!stored.wait("g", &[at(0, 100), at(1, 8)], short).await);
        let wanted = [at(0, 100), at(1, 8)];
        let (done, ()) = tokio::join!(stored.wait("g", &wanted, Duration::from_secs(60)), async {
            stored.raise("other", at(1, 8));
            stored.raise("g", at(1, 8));
        });
        assert!(done);
    }

    #[test]
    fn a_position_never_falls() {
        let stored = StoredPositions::new([("g".to_owned(), at(0, 100))]);
        stored.raise("g", at(0, 50));
        assert_eq!(stored.get("g", 0), Some(100));
    }

    #[test]
    fn a_hole_between_journal_and_database_is_refused() {
        let stored = StoredPositions::new([("g".to_owned(), at(0, 100))]);
        assert_eq!(stored.resume("g", 0, 64), Ok(100));
        assert!(stored.resume("g", 0, 101).is_err());
        assert_eq!(stored.resume("g", 1, 64), Ok(64));
        assert!(stored.resume("g", 1, 1 << 26).is_err());
    }
}
