//! The turn of a core: collect what is ready, end the machine's turn, perform its actions.

use super::Machine;
use super::hub::{Hub, Later};
use super::rings::{Mail, RingMail};
use crate::core::Event;
use monoio::time::{Instant, Sleep, sleep_until};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// Least time between two ticks, milliseconds: a machine that asks for the past cannot make the loop spin.
const MIN_TICK_MS: u64 = 5;

/// A timer far away from which the real one is set.
const FAR: std::time::Duration = std::time::Duration::from_secs(3600);

/// Runs turns until the core is told to stop.
pub(crate) async fn turns<M: Machine + 'static>(hub: Rc<Hub<M>>) {
    let mut timer = Timer {
        sleep: Box::pin(sleep_until(Instant::now() + FAR)),
        armed: None,
        last_tick: 0,
    };
    timer.arm(&hub);
    while !hub.stop.get() {
        let ticked = poll_fn(|cx| wait(&hub, &mut timer, cx)).await;
        if ticked {
            hub.event(Event::Tick);
        }
        run(&hub);
        timer.arm(&hub);
    }
}

struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<u64>,
    last_tick: u64,
}

impl Timer {
    /// Sets the timer to the machine's deadline. A deadline that moved away is left alone until the
    /// timer fires: most deadlines move with every message.
    fn arm<M: Machine>(&mut self, hub: &Hub<M>) {
        let Some(deadline) = hub.deadline() else {
            return;
        };
        let deadline = deadline.max(self.last_tick + MIN_TICK_MS);
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.armed = Some(deadline);
            self.sleep
                .as_mut()
                .reset(Instant::from_std(hub.clock.instant(deadline)));
        }
    }

    /// Ready when a tick is due.
    fn poll<M: Machine>(&mut self, hub: &Hub<M>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(armed) = self.armed {
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
            let now = hub.clock.now().mono_ms.max(armed);
            if hub.deadline().is_some_and(|d| d <= now) {
                self.last_tick = now;
                return Poll::Ready(());
            }
            self.arm(hub);
        }
        Poll::Pending
    }
}

/// Waits until a turn is due; true when a tick is.
fn wait<M: Machine>(hub: &Hub<M>, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<bool> {
    if hub.due.poll_take(cx).is_ready() {
        return Poll::Ready(false);
    }
    if timer.poll(hub, cx).is_ready() {
        return Poll::Ready(true);
    }
    hub.port.wake().fall_asleep();
    // Room on a full ring counts as work: the receiver may have said so while this core was awake.
    if hub.port.has_work() || hub.port.flush() {
        hub.port.wake().stay_awake();
        return Poll::Ready(false);
    }
    Poll::Pending
}

fn run<M: Machine + 'static>(hub: &Rc<Hub<M>>) {
    hub.due.hold();
    hub.port.wake().stay_awake();
    hub.port.flush();
    hub.port.receive(|from, mail| match mail {
        RingMail::Item(item) => hub.event(Event::Ring { from, item }),
        RingMail::Moved(moved) => super::conn::take_over(hub, *moved),
    });
    while let Some(mail) = hub.port.mail() {
        match mail {
            Mail::Segment { segment, result } => {
                hub.committer.segment_done();
                hub.raise(match result {
                    Ok(()) => Later::SegmentReady(segment),
                    Err(reason) => Later::SegmentFailed(segment, reason),
                });
            }
            // Nobody waits any more when this fails.
            Mail::Samples(reply) => drop(reply.send(hub.samples())),
            Mail::Shutdown => {
                hub.stopping.set(true);
                hub.stop_accepting.notify();
                hub.raise(Later::Shutdown);
            }
            Mail::Stop => hub.stop.set(true),
        }
    }
    // Taken one by one: handling an event never raises another here, performing actions does.
    let later = std::mem::take(&mut *hub.later.borrow_mut());
    for event in later {
        hub.event(match event {
            Later::Closed(conn) => Event::Closed { conn },
            Later::LostAtHandOver => Event::LostAtHandOver,
            Later::SegmentReady(segment) => Event::SegmentReady { segment },
            Later::SegmentFailed(segment, reason) => Event::SegmentFailed { segment, reason },
            Later::Shutdown => Event::Shutdown,
        });
    }
    // All that made this turn due is handled; what comes from here on makes the next one due.
    hub.due.clear();
    let mut actions = hub.end_turn();
    for action in actions.drain(..) {
        super::perform::perform(hub, action);
    }
    hub.recycle(actions);
    hub.port.flush();
    hub.port.signal();
    hub.note_readiness();
    if hub.stopping.get() {
        hub.quiet.store(hub.is_quiet(), Ordering::Release);
    }
}
