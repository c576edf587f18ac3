//! The core's connection to control: a Unix socket that is connected again whenever it is lost.

use super::Machine;
use super::counters::add;
use super::hub::Hub;
use super::notify::{Notify, race};
use crate::core::Event;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, Splitable};
use monoio::net::UnixStream;
use monoio::time::{Instant, sleep, sleep_until};
use ringwire_link::frame::{self, LinkError, PREAMBLE_LEN, preamble};
use ringwire_link::message::{HEARTBEAT_MS, SILENCE_MS};
use ringwire_link::{FrameDecoder, ToControl, ToGateway};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Bytes that may wait for control. Beyond it the link is dropped and connected again: the journal is
/// then streamed again from where control is, and every question in flight is answered by LinkDown.
const QUEUE_MAX: usize = 64 << 20;

/// A send buffer that grew larger than this is not kept.
const KEEP_BUFFER: usize = 1 << 20;

const READ_BUFFER: usize = 128 << 10;

/// Pauses between attempts: doubled from the first to the last, each shortened by up to half at random.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Pause after control refused this gateway or speaks another version: only people can change that.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Frames on their way to control.
#[derive(Debug, Default)]
pub(crate) struct LinkQueue {
    up: Cell<bool>,
    bytes: RefCell<Vec<u8>>,
    sending: Cell<usize>,
    too_long: Cell<bool>,
    due: Notify,
}

impl LinkQueue {
    /// Queues a frame; false when the link is down and the frame is dropped.
    pub(crate) fn push(&self, correlation: u64, body: &ToControl) -> bool {
        if !self.up.get() {
            return false;
        }
        let mut bytes = self.bytes.borrow_mut();
        if let Err(error) = frame::encode(correlation, body, &mut bytes) {
            // Whoever asked will time out; every frame that cores make is far below the limit.
            tracing::error!(%error, "a frame for control cannot be encoded");
        }
        if bytes.len() + self.sending.get() > QUEUE_MAX {
            self.too_long.set(true);
        }
        self.due.notify();
        true
    }

    /// Bytes not yet written to the socket.
    pub(crate) fn queued(&self) -> usize {
        self.bytes.borrow().len() + self.sending.get()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.get()
    }

    fn clear(&self) {
        self.up.set(false);
        *self.bytes.borrow_mut() = Vec::new();
        self.sending.set(0);
        self.too_long.set(false);
        self.due.clear();
    }
}

/// Why a connection to control ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("control closed the link")]
    Closed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Frame(#[from] LinkError),
    #[error("control refused this gateway: {0}")]
    Refused(String),
    #[error("control was silent for {} s", SILENCE_MS / 1000)]
    Silent,
    #[error("more than {} MiB wait for control", QUEUE_MAX >> 20)]
    Slow,
}

impl Lost {
    fn needs_people(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::Frame(LinkError::Version { .. } | LinkError::NotALink)
        )
    }
}

/// Keeps the link up for as long as the core runs.
pub(crate) async fn link<M: Machine>(hub: Rc<Hub<M>>, socket: PathBuf) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let lost = match UnixStream::connect(&socket).await {
            Ok(stream) => serve(&hub, stream).await,
            Err(error) => Lost::Io(error),
        };
        let was_up = hub.link.is_up();
        hub.link.clear();
        hub.counters.link_up.set(0);
        if was_up {
            hub.event(Event::LinkDown);
            pause = FIRST_PAUSE;
        }
        let core = hub.me;
        if lost.needs_people() {
            tracing::error!(core, reason = %lost, "link to control is not possible; trying again slowly");
            pause = REFUSED_PAUSE;
        } else if was_up || !told {
            tracing::warn!(core, reason = %lost, "no link to control; trying again");
        } else {
            tracing::debug!(core, reason = %lost, "still no link to control");
        }
        told = true;
        sleep(shortened(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// At least half of the pause, so that many cores do not come back in step.
fn shortened(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the pause is simply whole.
    let _ = getrandom::fill(&mut random);
    let part = u32::from(u16::from_le_bytes(random));
    pause - pause / 2 * part / (1 << 16)
}

async fn serve<M: Machine>(hub: &Hub<M>, stream: UnixStream) -> Lost {
    let (mut reader, mut writer) = stream.into_split();
    if let (Err(error), _) = writer.write_all(preamble().to_vec()).await {
        return Lost::Io(error);
    }
    let heard = Cell::new(Instant::now());
    let reading = async {
        match read(hub, &mut reader, &heard).await {
            Ok(never) => never,
            Err(lost) => lost,
        }
    };
    let writing = async {
        match write(hub, &mut writer).await {
            Ok(never) => never,
            Err(lost) => lost,
        }
    };
    race(reading, race(writing, silence(&heard))).await
}

async fn silence(heard: &Cell<Instant>) -> Lost {
    loop {
        let end = heard.get() + Duration::from_millis(SILENCE_MS);
        if Instant::now() >= end {
            return Lost::Silent;
        }
        sleep_until(end).await;
    }
}

async fn read<M: Machine>(
    hub: &Hub<M>,
    reader: &mut impl AsyncReadRent,
    heard: &Cell<Instant>,
) -> Result<Lost, Lost> {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; READ_BUFFER];
    let mut greeting = PREAMBLE_LEN;
    loop {
        let (result, bytes) = reader.read(buffer).await;
        buffer = bytes;
        let n = result?;
        if n == 0 {
            return Err(Lost::Closed);
        }
        heard.set(Instant::now());
        decoder.extend(&buffer[..n]);
        greeting = greeting.saturating_sub(n);
        // Checks the preamble too, before anything is said to the core.
        let mut next = decoder.next::<ToGateway>()?;
        if greeting == 0 && !hub.link.is_up() {
            hub.link.up.set(true);
            hub.counters.link_up.set(1);
            add(&hub.counters.link_connects, 1);
            tracing::info!(core = hub.me, "link to control is up");
            hub.event(Event::LinkUp);
        }
        while let Some(frame) = next {
            match frame.body {
                ToGateway::Heartbeat => {}
                ToGateway::Refused { reason } => return Err(Lost::Refused(reason)),
                body => hub.event(Event::Link {
                    correlation: frame.correlation,
                    body,
                }),
            }
            next = decoder.next::<ToGateway>()?;
        }
    }
}

async fn write<M: Machine>(
    hub: &Hub<M>,
    writer: &mut impl AsyncWriteRentExt,
) -> Result<Lost, Lost> {
    let link = &hub.link;
    let mut spare = Vec::new();
    loop {
        let due = race(
            async {
                link.due.taken().await;
                true
            },
            async {
                sleep(Duration::from_millis(HEARTBEAT_MS)).await;
                false
            },
        );
        if !due.await && link.is_up() {
            link.push(0, &ToControl::Heartbeat);
        }
        if link.too_long.get() {
            return Err(Lost::Slow);
        }
        let bytes = std::mem::replace(&mut *link.bytes.borrow_mut(), spare);
        link.sending.set(bytes.len());
        let send = async {
            let (result, bytes) = writer.write_all(bytes).await;
            result.map(|_| bytes).map_err(Lost::Io)
        };
        // A write that does not end must not hide that too much is waiting behind it.
        let overrun = async {
            loop {
                link.due.taken().await;
                if link.too_long.get() {
                    return Err(Lost::Slow);
                }
            }
        };
        spare = race(send, overrun).await?;
        link.sending.set(0);
        spare.clear();
        if spare.capacity() > KEEP_BUFFER {
            spare = Vec::new();
        }
        // The watch for an overrun may have taken the flag of what came meanwhile.
        if !link.bytes.borrow().is_empty() {
            link.due.notify();
        }
        if hub.stopping.get() {
            hub.make_due();
        }
    }
}
