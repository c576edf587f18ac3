//! One core: its two sides put together.

use super::board::Board;
use super::connections::Connections;
use super::event::{Event, Now};
use super::out::{Correlations, Out};
use super::owner::{Owner, OwnerStats};
use super::ring::RingItem;
use super::session::{CoreConfig, Home};
use super::stats::Stats;
use ringwire_link::message::{Hello, Welcome};
use ringwire_link::record::TokenKickRecord;
use ringwire_link::{ToControl, ToGateway};
use std::sync::Arc;

/// A core. Give it every event of a turn by [`Core::handle`], then end the turn by
/// [`Core::finish_turn`]; then do the actions in `out`.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    home: Home,
    owner: Owner,
    /// Control boot that the facts came from; 0 = none.
    facts_boot: u64,
    /// Version of the last change applied.
    facts_version: u64,
}

impl Core {
    /// A core after recovery. `kicks` are the token kicks that recovery found in any journal for
    /// users whose home core this is (others do no harm).
    pub fn new(
        config: CoreConfig,
        board: Arc<Board>,
        connections: Arc<Connections>,
        owner: Owner,
        kicks: &[TokenKickRecord],
    ) -> Self {
        let home = Home::new(config.clone(), board, connections, kicks);
        Self {
            config,
            home,
            owner,
            facts_boot: 0,
            facts_version: 0,
        }
    }

    /// Takes one event.
    pub fn handle(&mut self, now: Now, event: Event<'_>, out: &mut Out) {
        match event {
            Event::Accepted { conn, peer } => self.home.accepted(now, conn, peer),
            Event::HandedOver {
                conn,
                peer,
                received,
            } => self.home.handed_over(now, conn, peer, &received, out),
            Event::Received { conn, bytes } => self.home.received(now, conn, bytes, out),
            Event::Closed { conn } => self.home.closed(conn, out),
            Event::LostAtHandOver => self.home.lost_at_hand_over(),
            Event::Written { conn } => self.home.written(conn),
            Event::Ring { from, item } => self.ring(now, from, item, out),
            Event::LinkUp => self.hello(out),
            Event::LinkDown => {
                self.owner.link_down(now, out);
                self.home.link_down(now, out);
            }
            Event::Link { correlation, body } => self.link(now, correlation, body, out),
            Event::JournalSynced => self.owner.journal_synced(now, out),
            Event::JournalRead { position, bytes } => {
                self.owner.journal_read(now, position, &bytes, out)
            }
            Event::SegmentReady { segment } => self.owner.segment_ready(now, segment, out),
            Event::SegmentFailed { segment, reason } => {
                self.owner.segment_failed(now, segment, &reason, out)
            }
            Event::Tick => {
                self.home.tick(now, out);
                if self.owner.deadline().is_some_and(|at| at <= now.mono_ms) {
                    self.owner.tick(now, out);
                }
            }
            Event::Shutdown => {
                self.home.shutdown(out);
                self.owner.shutdown(now, out);
            }
        }
    }

    /// Ends a turn: works off what the two sides said to each other, sends the questions gathered, and
    /// leaves one write for each connection with something to send.
    pub fn finish_turn(&mut self, now: Now, out: &mut Out) {
        loop {
            while let Some(item) = out.local.pop_front() {
                self.ring(now, out.me(), item, out);
            }
            self.home.end_of_turn(out);
            if out.local.is_empty() {
                self.owner.finish_turn(now, out);
                if out.local.is_empty() {
                    break;
                }
            }
        }
        self.home.flush(now, out);
    }

    /// Monotonic milliseconds of the next [`Event::Tick`] that is needed; `None`: nothing to time.
    pub fn deadline(&self) -> Option<u64> {
        match (self.home.deadline(), self.owner.deadline()) {
            (Some(home), Some(owner)) => Some(home.min(owner)),
            (one, other) => one.or(other),
        }
    }

    /// The link is up and the token states are here: every request can be served.
    pub fn ready(&self) -> bool {
        self.home.ready()
    }

    /// What the home side counted.
    pub fn stats(&self) -> Stats {
        self.home.stats()
    }

    /// What the owner side counted.
    pub fn owner_stats(&self) -> OwnerStats {
        self.owner.stats()
    }

    /// After [`Event::Shutdown`]: nothing is left to make durable, to answer or to send.
    pub fn drained(&self) -> bool {
        self.owner.drained() && self.home.stats().connections == 0
    }

    fn ring(&mut self, now: Now, from: super::CoreId, item: RingItem, out: &mut Out) {
        match item {
            RingItem::Send(_)
            | RingItem::TokenKick(_)
            | RingItem::Publish { .. }
            | RingItem::PublishDone { .. } => {
                self.owner.ring(now, from, item, out);
            }
            RingItem::SendDone(_)
            | RingItem::Deliver { .. }
            | RingItem::DeliverGroup { .. }
            | RingItem::Watch { .. }
            | RingItem::Unwatch { .. }
            | RingItem::Online { .. } => self.home.ring(now, from, item, out),
        }
    }

    fn hello(&mut self, out: &mut Out) {
        let (epoch, journals) = self.owner.hello();
        let hello = Hello {
            gateway: self.config.limits.name.clone(),
            boot: self.config.boot,
            core: self.config.core,
            cores: self.config.cores,
            epoch,
            journals,
            facts_boot: self.facts_boot,
            facts_version: self.facts_version,
        };
        out.link(0, ToControl::Hello(hello));
    }

    fn link(&mut self, now: Now, correlation: u64, body: ToGateway, out: &mut Out) {
        match body {
            ToGateway::Welcome(welcome) => self.welcome(now, &welcome, out),
            ToGateway::FactChanges { version, changes } => {
                self.owner.fact_changes(now, &changes, out);
                self.home.fact_changes(now, &changes, out);
                self.facts_version = version;
                out.link(0, ToControl::FactsApplied { version });
            }
            ToGateway::Facts { .. } if Correlations::is_home(correlation) => {
                self.home.link(now, correlation, body, out);
            }
            ToGateway::Facts { .. }
            | ToGateway::Conversations { .. }
            | ToGateway::Duplicate { .. }
            | ToGateway::Stored(_)
            | ToGateway::Publish(_) => self.owner.link(now, correlation, body, out),
            ToGateway::CallReply { .. }
            | ToGateway::TokenSnapshot { .. }
            | ToGateway::Kick { .. }
            | ToGateway::QuerySessions { .. } => self.home.link(now, correlation, body, out),
            // The shell keeps the connection alive and gives refused ones up.
            ToGateway::Heartbeat | ToGateway::Refused { .. } => {}
        }
    }

    fn welcome(&mut self, now: Now, welcome: &Welcome, out: &mut Out) {
        let current = welcome.facts_current && welcome.boot == self.facts_boot;
        if !current {
            self.facts_version = welcome.facts_version;
        }
        self.facts_boot = welcome.boot;
        self.owner.link_up(now, welcome, out);
        self.home.link_up(current, out);
    }
}
