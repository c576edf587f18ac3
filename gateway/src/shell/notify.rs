//! A flag that a task of the same thread waits for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Set any number of times, taken once; one waiter.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Notify {
    /// Sets the flag and wakes the waiter. Returns whether it was not set before.
    pub(crate) fn notify(&self) -> bool {
        let fresh = !self.set.replace(true);
        if fresh && let Some(waker) = self.waiter.borrow().as_ref() {
            waker.wake_by_ref();
        }
        fresh
    }

    /// Sets the flag without waking: whoever calls this is going to look anyway.
    pub(crate) fn hold(&self) {
        self.set.set(true);
    }

    /// Takes the flag without waiting.
    pub(crate) fn clear(&self) {
        self.set.set(false);
    }

    /// Takes the flag, or remembers who waits for it.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.set.take() {
            return Poll::Ready(());
        }
        let mut waiter = self.waiter.borrow_mut();
        if !waiter.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waiter = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the flag and takes it.
    pub(crate) async fn taken(&self) {
        poll_fn(|cx| self.poll_take(cx)).await;
    }
}

/// Wakes a task whose futures look at cells of their own.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    waiter: RefCell<Option<Waker>>,
}

impl Watch {
    /// Something changed: look again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waiter.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Waits until `ready`. Several futures of one task may wait at once.
    pub(crate) async fn until(&self, mut ready: impl FnMut() -> bool) {
        poll_fn(|cx| {
            if ready() {
                return Poll::Ready(());
            }
            let mut waiter = self.waiter.borrow_mut();
            if !waiter.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                *waiter = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// The outcome of whichever future is ready first; the first one wins a tie.
pub(crate) async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let mut first = std::pin::pin!(first);
    let mut second = std::pin::pin!(second);
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Pending => second.as_mut().poll(cx),
        ready => ready,
    })
    .await
}
