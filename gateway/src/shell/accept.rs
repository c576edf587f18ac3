//! The listener of a core.

use super::Machine;
use super::conn;
use super::counters::add;
use super::hub::Hub;
use super::notify::race;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// Connections the kernel keeps ready for a core that is busy. The kernel's own limit may be lower.
const BACKLOG: i32 = 4096;

/// Pause when there are no more descriptors or no memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// One listener a core, all on the same address; the kernel spreads connections over them. Port 0 is
/// chosen once.
pub(crate) fn listeners(address: SocketAddr, cores: u16) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Sockets that share a port would also share it with another gateway, which would then get some
        // of the connections: one that does not share finds out.
        let alone = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        alone.set_reuse_address(true)?;
        alone.bind(&address.into())?;
    }
    let first = listener(address)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..cores {
        all.push(listener(address)?);
    }
    Ok(all)
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the process stops. Closing the listener then lets the kernel refuse at once.
pub(crate) async fn accept<M: Machine + 'static>(hub: Rc<Hub<M>>, listener: TcpListener) {
    let listener = match monoio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => super::die(
            super::exit::START,
            &format!("cannot use the listener: {error}"),
        ),
    };
    let mut exhausted = false;
    loop {
        if !hub.sockets.have_room() && !hub.stopping.get() {
            pause(&hub, &mut exhausted, "as many sockets as allowed are open").await;
            continue;
        }
        let accepted = race(async { Some(listener.accept().await) }, async {
            hub.stop_accepting.taken().await;
            None
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => {
                exhausted = false;
                add(&hub.counters.accepted, 1);
                // SAFETY: `stream` owns the descriptor and outlives the borrow.
                let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
                // Fails only when the peer is gone already, which reading will tell.
                let _ = SockRef::from(&fd).set_tcp_nodelay(true);
                conn::begin(&hub, stream, peer);
            }
            Some(Err(error)) => {
                add(&hub.counters.accept_errors, 1);
                if is_exhaustion(&error) {
                    pause(&hub, &mut exhausted, &error).await;
                } else {
                    tracing::debug!(core = hub.me, %error, "accept failed");
                }
            }
        }
    }
}

async fn pause<M: Machine>(hub: &Hub<M>, told: &mut bool, reason: impl std::fmt::Display) {
    if !std::mem::replace(told, true) {
        tracing::error!(core = hub.me, %reason, "cannot accept connections; trying again");
    }
    monoio::time::sleep(EXHAUSTED_PAUSE).await;
}

pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
