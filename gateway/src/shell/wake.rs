//! Waking a core from another thread: one eventfd a core, signalled only when the core sleeps.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// The wake-up of one core.
///
/// Protocol: a producer makes its work visible, then calls [`Wake::signal`]; the core calls
/// [`Wake::fall_asleep`], then looks for work once more. The two sequentially consistent fences make
/// sure that at least one of them sees the other, so no work is left behind a sleeping core.
#[derive(Debug)]
pub(crate) struct Wake {
    asleep: AtomicBool,
    eventfd: File,
}

impl Wake {
    /// A core that is awake.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: plain system call without pointers; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else owns it.
        let eventfd = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self {
            asleep: AtomicBool::new(false),
            eventfd,
        })
    }

    /// Wakes the core if it sleeps.
    pub(crate) fn signal(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            // Fails only when the counter would overflow, and then the core is signalled anyway.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// Says that the core is about to wait; it must look for work once more afterwards.
    pub(crate) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the core runs and will look for work before it waits again.
    pub(crate) fn stay_awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// A descriptor to read wake-ups from. It blocks, so that io_uring waits on it.
    pub(crate) fn reader(&self) -> io::Result<File> {
        self.eventfd.try_clone()
    }
}
