//! Whether everything has come to rest, and what must be true then.

use super::{Happening, World, say};
use crate::oracle::{Checked, Violation};
use crate::plan::{MS, SECOND};
use ringwire_link::facts::TokenState;
use ringwire_protocol::req::KICK;

/// How long it must stay at rest: longer than anything still on its way takes.
const SETTLED: u64 = 8 * SECOND;

impl World {
    pub(super) fn look_for_rest(&mut self) -> Checked {
        match (self.unrest(), self.resting) {
            (Some(_), _) => self.resting = None,
            (None, None) => self.resting = Some(self.now),
            (None, Some(since)) if self.now >= since + SETTLED && self.all_read(since + SECOND) => {
                say!(self, "at rest");
                self.over = true;
                return self.judge();
            }
            (None, Some(_)) => {}
        }
        self.after(250 * MS, Happening::LookForRest);
        Ok(())
    }

    /// Whether every client has read all that was written to it before `since`.
    fn all_read(&self, since: u64) -> bool {
        let mut current = self
            .conns
            .values()
            .filter(|c| self.clients[c.client].conn == Some(c.id));
        current.all(|conn| conn.caught_up(since, self.now))
    }

    /// What is not at rest.
    pub(super) fn unrest(&self) -> Option<String> {
        let Some(gateway) = &self.gateway else {
            return Some("the gateway is down".into());
        };
        if self.control.boot == 0 {
            return Some("control is down".into());
        }
        for (core, state) in gateway.cores.iter().enumerate() {
            if !state.welcomed {
                return Some(format!("core {core} has no link"));
            }
            let waiting = state.owner_waiting();
            if state.writing.is_some() || waiting > 0 {
                return Some(format!(
                    "core {core} still writes, or {waiting} messages wait in it"
                ));
            }
        }
        for committed in gateway.board.vector() {
            let stored = self
                .control
                .store
                .positions
                .get(&committed.journal)
                .copied()
                .unwrap_or(0);
            if stored < committed.position {
                return Some(format!(
                    "journal {} is stored up to {stored} of {committed:?}",
                    committed.journal
                ));
            }
        }
        if let Some(outgoing) = self.control.outbox.iter().find(|o| !o.done) {
            return Some(format!("{outgoing:?} is not published"));
        }
        // A client that has not heard yet that its connection is over.
        let lost = |conn: u64| self.conns.get(&conn).is_none_or(|c| c.closing);
        if let Some(client) = self
            .clients
            .iter()
            .find(|c| c.session.is_some() && c.conn.is_some_and(lost))
        {
            return Some(client.condition());
        }
        self.clients
            .iter()
            .find(|c| !c.at_rest())
            .map(|c| c.condition())
    }

    fn judge(&mut self) -> Checked {
        let store = &self.control.store;
        self.oracle.rest(&store.messages, |conversation, user| {
            store.party(conversation, user)
        })?;
        for client in self
            .clients
            .iter()
            .filter(|c| c.stopped == Some(KICK) && c.connected_at > self.last_crash)
        {
            let token = store.tokens.iter().find(|t| t.token == client.fingerprint);
            if token.is_some_and(|t| t.state != TokenState::Kicked) {
                let what = format!(
                    "client {} was kicked, but its token is still good",
                    client.number
                );
                return Err(Violation::new("tokens", what));
            }
        }
        for client in self.clients.iter().filter(|c| c.session.is_some()) {
            let online = self.control.links.values().any(|link| {
                link.presence
                    .get(&client.user)
                    .is_some_and(|p| p.contains(&client.platform))
            });
            if !online {
                let what = format!(
                    "control does not know that {} is online at {}",
                    client.user, client.platform
                );
                return Err(Violation::new("presence", what));
            }
        }
        Ok(())
    }
}
