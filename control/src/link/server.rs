//! Accepting connections, and the life of one.

use super::Link;
use super::connection::{Connection, Reader, write_loop};
use super::journal::{Incoming, consume};
use super::outbox::publish_outbox;
use super::registry::Core;
use super::socket::Socket;
use crate::ports::TokenStates;
use ringwire_link::message::{Hello, JournalPosition};
use ringwire_link::{Frame, ToControl, ToGateway};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

/// Tokens in one part of a snapshot.
const TOKENS_A_PART: usize = 2000;

/// Pause after the system refused to accept (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound link, ready to serve.
pub struct Server {
    pub(super) link: Arc<Link>,
    pub(super) tokens: Arc<dyn TokenStates>,
    pub(super) socket: Socket,
    pub(super) journal: mpsc::UnboundedReceiver<Incoming>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Serves until `stop` is ready, then closes all connections and removes the socket. What cores
    /// streamed and did not see acknowledged they send again.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let Self {
            link,
            tokens,
            socket,
            journal,
        } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(consume(Arc::clone(&link), Arc::clone(&tokens), journal));
        tasks.spawn(publish_outbox(Arc::clone(&link)));
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = socket.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tasks.spawn(serve(Arc::clone(&link), Arc::clone(&tokens), stream));
                    }
                    Err(error) => {
                        error!(%error, "the link socket cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = tasks.join_next() => if let Err(error) = ended {
                    error!(%error, "a task of the link failed");
                },
            }
        }
        for core in link.registry.cores() {
            core.connection.close("control stops".into());
        }
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }
}

/// One connection, from preamble to end.
async fn serve(link: Arc<Link>, tokens: Arc<dyn TokenStates>, stream: UnixStream) {
    let (connection, outgoing) =
        Connection::new(link.next_connection.fetch_add(1, Ordering::Relaxed));
    let (reading, writing) = stream.into_split();
    let pace = link.settings.pace;
    let mut peer = Peer {
        link: Arc::clone(&link),
        tokens,
        connection: Arc::clone(&connection),
        core: None,
    };
    let write = write_loop(&connection, writing, outgoing, pace);
    let mut frames = Reader::new(Arc::clone(&connection), reading, pace);
    let read = async {
        while let Some(frame) = frames.next().await {
            peer.frame(frame).await;
        }
    };
    tokio::join!(write, read);
    peer.ended();
}

/// What one connection has told so far.
struct Peer {
    link: Arc<Link>,
    tokens: Arc<dyn TokenStates>,
    connection: Arc<Connection>,
    core: Option<Core>,
}

impl Peer {
    async fn frame(&mut self, frame: Frame<ToControl>) {
        match (&self.core, frame.body) {
            (None, ToControl::Hello(hello)) => self.hello(hello).await,
            (None, _) => self
                .connection
                .close("the first frame was not Hello".into()),
            (Some(_), ToControl::Hello(_)) => self.connection.close("a second Hello came".into()),
            (Some(_), ToControl::Heartbeat) => {}
            (Some(core), ToControl::FactsApplied { version }) => {
                core.connection.facts_applied(version)
            }
            (Some(core), ToControl::Presence { snapshot, users }) => {
                self.link
                    .presence
                    .report(&core.key, core.connection.id, snapshot, users);
            }
            (
                Some(core),
                ToControl::Journal {
                    journal,
                    from,
                    to,
                    bytes,
                },
            ) => {
                self.link
                    .received_journal(core, frame.correlation, journal, from, to, &bytes);
            }
            (
                Some(core),
                body @ (ToControl::Published { .. }
                | ToControl::Sessions { .. }
                | ToControl::Kicked { .. }),
            ) => {
                core.connection.answered(frame.correlation, body);
            }
            (Some(core), question) => self.link.asked(core, frame.correlation, question).await,
        }
    }

    async fn hello(&mut self, hello: Hello) {
        let link = &self.link;
        match link.admit(&hello, &self.connection).await {
            Ok(core) => {
                info!(
                    gateway = hello.gateway,
                    core = hello.core,
                    cores = hello.cores,
                    epoch = hello.epoch,
                    "core connected"
                );
                let snapshot =
                    send_tokens(Arc::clone(link), Arc::clone(&self.tokens), core.clone());
                tokio::spawn(snapshot);
                self.core = Some(core);
                link.outbox_wake.notify_one();
            }
            Err(NotAdmitted::Refused(reason)) => {
                error!(
                    gateway = hello.gateway,
                    core = hello.core,
                    reason,
                    "core refused"
                );
                self.connection.send(
                    0,
                    &ToGateway::Refused {
                        reason: reason.clone(),
                    },
                );
                self.connection.close(reason);
            }
            // Not the core's fault: it may come back at once.
            Err(NotAdmitted::Store(error)) => self.connection.close(error),
        }
    }

    fn ended(self) {
        let reason = self.connection.reason();
        let Some(core) = self.core else {
            warn!(reason, "a link connection ended before its core was known");
            return;
        };
        warn!(
            gateway = core.key.gateway,
            core = core.key.core,
            reason,
            "core disconnected"
        );
        self.link.registry.gone(&core);
        tokio::spawn(async move {
            tokio::time::sleep(self.link.settings.presence_grace).await;
            self.link.presence.forget(&core.key, core.connection.id);
        });
    }
}

enum NotAdmitted {
    Refused(String),
    Store(String),
}

impl Link {
    async fn admit(
        &self,
        hello: &Hello,
        connection: &Arc<Connection>,
    ) -> Result<Core, NotAdmitted> {
        let store_error = |error: crate::store::StoreError| {
            NotAdmitted::Store(format!("the database does not answer: {error}"))
        };
        self.registry
            .may_connect(hello)
            .map_err(NotAdmitted::Refused)?;
        let known = self.stores.journal.gateways().await.map_err(store_error)?;
        if let Some((other, _)) = known.iter().find(|(name, _)| *name != hello.gateway) {
            // Its journals may hold messages that are not stored; without them this gateway would
            // give their seqs again.
            return Err(NotAdmitted::Refused(format!(
                "the database belongs to gateway {other}, not to {}: set gateway.name back, or see \
                 `ringwire-control forget-gateway`",
                hello.gateway
            )));
        }
        let highest = self
            .stores
            .journal
            .raise_epoch(&hello.gateway, hello.epoch)
            .await
            .map_err(store_error)?;
        if highest > hello.epoch {
            return Err(NotAdmitted::Refused(format!(
                "gateway {} writes with owner epoch {}, but {highest} was seen: its journals were replaced; see `ringwire-control forget-gateway`",
                hello.gateway, hello.epoch
            )));
        }
        for at in self
            .stores
            .journal
            .positions(&hello.gateway)
            .await
            .map_err(store_error)?
        {
            self.stored.raise(&hello.gateway, at);
        }
        for begin in &hello.journals {
            let known = self.stored.get(&hello.gateway, begin.journal);
            let position = self
                .stored
                .resume(&hello.gateway, begin.journal, begin.position)
                .map_err(NotAdmitted::Refused)?;
            if known.is_none() && position > 0 {
                let at = JournalPosition {
                    journal: begin.journal,
                    position,
                };
                self.stores
                    .journal
                    .set_position(&hello.gateway, at)
                    .await
                    .map_err(store_error)?;
            }
        }
        self.registry
            .admit(hello, connection, &self.stored)
            .map_err(NotAdmitted::Refused)
    }
}

async fn send_tokens(link: Arc<Link>, tokens: Arc<dyn TokenStates>, core: Core) {
    let home = core.clone();
    let mut rest = tokens
        .snapshot(&move |user_id: &str| home.is_home_of(user_id))
        .await
        .into_iter();
    loop {
        if !core.connection.wait_for_room().await {
            return;
        }
        let part: Vec<_> = rest.by_ref().take(TOKENS_A_PART).collect();
        let done = rest.len() == 0;
        link.registry.send_tokens(&core.connection, part, done);
        if done {
            return;
        }
    }
}
