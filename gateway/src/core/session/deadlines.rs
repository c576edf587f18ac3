//! What happens when nothing happens: timeouts, pings to browsers, tokens that expire.

use super::conn::{Conn, ConnKey, Phase};
use super::connect::SUPERSEDED;
use super::home::{End, Home};
use crate::core::event::Now;
use crate::core::out::Out;
use crate::core::ws::{self, CloseCode};
use ringwire_protocol::error::ApiError;
use ringwire_protocol::platform::Platform;

impl Home {
    /// When the connection wants to be looked at next.
    fn next_deadline(&self, conn: &Conn, now: Now) -> Option<u64> {
        let limits = &self.config.limits;
        // With nothing left behind it, a write in progress at the end is the shell's to bound.
        let writing = conn
            .queue
            .writing_since()
            .filter(|_| !(conn.closing && conn.queue.is_empty()));
        let write = writing.map(|since| since + limits.write_timeout_ms);
        let phase = match &conn.phase {
            Phase::Head(head) => Some(head.deadline),
            Phase::Token(waiting) => Some(waiting.deadline),
            Phase::Over => None,
            Phase::Open(session) => {
                let mut at = session.last_heard + limits.idle_timeout_ms;
                if session.platform == Platform::Web {
                    at = at.min(session.last_ping + limits.web_ping_ms);
                }
                let request = session.current.as_ref().and_then(|c| c.deadline);
                for deadline in [request, session.probed_until].into_iter().flatten() {
                    at = at.min(deadline);
                }
                let expires_in = session.token_expires.saturating_sub(now.unix_ms).max(0) as u64;
                Some(at.min(now.mono_ms.saturating_add(expires_in)))
            }
        };
        match (write, phase) {
            (Some(write), Some(phase)) => Some(write.min(phase)),
            (one, other) => one.or(other),
        }
    }

    /// Makes sure that a timer is due no later than the connection needs it.
    pub(super) fn arm(&mut self, key: ConnKey, now: Now) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        if conn.close_sent {
            return;
        }
        let Some(at) = self.next_deadline(conn, now) else {
            return;
        };
        let (id, due) = (conn.id, conn.timer_due);
        if due == 0 || at.div_ceil(1_000) * 1_000 < due {
            let due = self.timers.add(id, at);
            self.conns[key].timer_due = due;
        }
    }

    pub(crate) fn tick(&mut self, now: Now, out: &mut Out) {
        while let Some((due, conns)) = self.timers.due(now.mono_ms) {
            for id in conns {
                let Some(key) = self.by_id.get(&id).copied() else {
                    continue;
                };
                if self.conns[key].timer_due == due {
                    self.conns[key].timer_due = 0;
                    self.overdue(key, now, out);
                    self.arm(key, now);
                }
            }
        }
        self.retry_groups(now);
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        match (self.timers.deadline(), self.retry_at) {
            (Some(timer), Some(retry)) => Some(timer.min(retry)),
            (one, other) => one.or(other),
        }
    }

    fn overdue(&mut self, key: ConnKey, now: Now, out: &mut Out) {
        let (write_timeout, idle_timeout, web_ping) = {
            let limits = &self.config.limits;
            (
                limits.write_timeout_ms,
                limits.idle_timeout_ms,
                limits.web_ping_ms,
            )
        };
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn
            .queue
            .writing_since()
            .is_some_and(|since| since + write_timeout <= now.mono_ms)
        {
            self.stats.write_timeouts += 1;
            if matches!(conn.phase, Phase::Open(_)) {
                self.end(key, End::Abort, out);
            } else {
                conn.queue.discard();
                self.drop_conn(key);
            }
            return;
        }
        match &mut conn.phase {
            Phase::Head(head) if head.deadline <= now.mono_ms => {
                self.stats.handshake_timeouts += 1;
                self.drop_conn(key);
            }
            Phase::Token(waiting) if waiting.deadline <= now.mono_ms => self.token_timeout(key),
            Phase::Open(session) => {
                if session.token_expires <= now.unix_ms {
                    // No kick frame: the client reconnects and learns 1501, which is the event for it.
                    self.end(key, End::Close(CloseCode::Policy, "token has expired"), out);
                    return;
                }
                if session.paused {
                    // Its signs of life are not read: it cannot be blamed for silence.
                    session.last_heard = now.mono_ms;
                    session.probed_until = None;
                }
                if session.probed_until.is_some_and(|at| at <= now.mono_ms) {
                    self.end(key, SUPERSEDED, out);
                    return;
                }
                if session.last_heard + idle_timeout <= now.mono_ms {
                    self.stats.idle_closed += 1;
                    self.end(key, End::Close(CloseCode::Policy, "no sign of life"), out);
                    return;
                }
                let late = session
                    .current
                    .as_ref()
                    .and_then(|c| c.deadline)
                    .is_some_and(|at| at <= now.mono_ms);
                if session.platform == Platform::Web && session.last_ping + web_ping <= now.mono_ms
                {
                    session.last_ping = now.mono_ms;
                    self.enqueue(key, ws::ping(), out);
                }
                if late {
                    self.stats.call_timeouts += 1;
                    self.finish(
                        key,
                        now,
                        Err(ApiError::internal("control did not answer in time")),
                        out,
                    );
                }
            }
            _ => {}
        }
    }
}
