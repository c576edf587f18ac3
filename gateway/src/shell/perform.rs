//! What each action of a machine means.

use super::conn::Conn;
use super::counters::add;
use super::hub::{Hub, Later};
use super::rings::{MovedConnection, RingMail};
use super::{Machine, die, exit};
use crate::core::{Action, ConnId};
use std::rc::Rc;

/// Performs one action, or starts it.
pub(crate) fn perform<M: Machine>(hub: &Hub<M>, action: Action) {
    match action {
        Action::Write { conn, frames } => with_conn(hub, conn, |c| c.write(frames)),
        Action::Close { conn } => with_conn(hub, conn, |c| c.close()),
        Action::PauseReading { conn } => with_conn(hub, conn, |c| c.pause()),
        Action::ResumeReading { conn } => with_conn(hub, conn, |c| c.resume()),
        Action::HandOver {
            conn,
            to,
            peer,
            received,
        } => {
            if !hub.port.reaches(to) {
                die(
                    exit::FATAL,
                    "a core handed a connection to a core that is not there",
                );
            }
            let Some(c) = hub.conns.borrow_mut().remove(&conn) else {
                // It ended in this very turn, after the core had let it go.
                hub.raise(Later::LostAtHandOver);
                return;
            };
            c.leave();
            match c.duplicate() {
                Ok(socket) => {
                    add(&hub.counters.handed_over, 1);
                    let moved = MovedConnection {
                        socket,
                        conn,
                        peer,
                        received,
                    };
                    hub.port.send(to, RingMail::Moved(Box::new(moved)));
                }
                Err(error) => {
                    tracing::warn!(%error, "connection lost: no descriptor to hand it over");
                    hub.raise(Later::LostAtHandOver);
                }
            }
        }
        Action::Ring { to, item } => {
            if !hub.port.reaches(to) {
                die(
                    exit::FATAL,
                    "a core sent an item to a core that is not there",
                );
            }
            hub.port.send(to, RingMail::Item(item));
        }
        Action::Link { correlation, body } => {
            if !hub.link.push(correlation, &body) {
                add(&hub.counters.link_dropped, 1);
            }
        }
        Action::JournalWrite {
            segment,
            offset,
            bytes,
        } => hub.committer.write(segment, offset, bytes),
        Action::JournalRead {
            journal,
            segment,
            offset,
            length,
            position,
        } => {
            hub.committer.read(super::committer::ReadRequest {
                journal,
                segment,
                offset,
                length,
                position,
            });
        }
        Action::SegmentCreate { segment } => hub.committer.create(segment),
        Action::SegmentRelease { journal, segment } => hub.committer.release(journal, segment),
        Action::Fatal { reason } => die(exit::FATAL, &reason),
    }
}

/// A connection that ended meanwhile is no longer here; its Closed is on the way.
fn with_conn<M: Machine>(hub: &Hub<M>, conn: ConnId, act: impl FnOnce(&Rc<Conn>)) {
    if let Some(conn) = hub.conns.borrow().get(&conn) {
        act(conn);
    }
}
