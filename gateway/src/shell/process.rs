//! What belongs to the process as a whole: signals, limits, the end.

use super::{die, exit};
use std::io;
use std::sync::mpsc;

/// Takes SIGTERM and SIGINT: the first one is received from the returned channel, a second one ends
/// the process at once. Call it before any other thread is started, so that all of them inherit the
/// blocked signals.
///
/// # Errors
/// Of blocking the signals or starting the thread.
pub fn signals() -> io::Result<mpsc::Receiver<&'static str>> {
    // SAFETY: `sigset_t` is plain data; it is initialised by `sigemptyset` before any other use.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: all three calls get a valid set that outlives them; the old mask is not asked for.
    let blocked = unsafe {
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
    };
    if blocked != 0 {
        return Err(io::Error::from_raw_os_error(blocked));
    }
    let (tell, told) = mpsc::channel();
    let wait = move || {
        let mut first = true;
        loop {
            let mut signal = 0;
            // SAFETY: the set was initialised above and is blocked in this thread; `signal` is writable.
            if unsafe { libc::sigwait(&set, &mut signal) } != 0 {
                continue;
            }
            if !std::mem::take(&mut first) {
                die(exit::UNCLEAN, "second signal: ending at once");
            }
            let name = if signal == libc::SIGINT {
                "SIGINT"
            } else {
                "SIGTERM"
            };
            // Fails when the process is already ending.
            let _ = tell.send(name);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)?;
    Ok(told)
}

/// Raises the number of descriptors this process may open as far as it may, and returns it.
///
/// # Errors
/// Of asking for the limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable and outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: `wanted` is readable and outlives the call.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) } == 0;
    Ok(if raised {
        wanted.rlim_cur
    } else {
        limit.rlim_cur
    })
}

/// Makes a file that may not grow further (`ulimit -f`) an error of the write instead of a signal that
/// ends the process: to the journal it is the same as a disk without room.
pub fn ignore_file_size_signal() {
    // SAFETY: no handler is installed, so none can run in a wrong context.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Makes a panic anywhere end the process: a core that is gone would leave its users without answer
/// while the rest seems well. The journal makes that safe.
pub fn die_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        die(exit::FATAL, &format!("defect: {panic}"))
    }));
}
