//! Answers and pushes: what waits for a commit, and how it goes out.

use super::delivery::Delivery;
use super::lane::Origin;
use crate::core::journal::Ordinal;
use crate::core::out::Out;
use crate::core::owner::Owner;
use crate::core::ring::{RingItem, SendDone, SendReply};
use ringwire_link::ToControl;
use ringwire_protocol::error::ApiError;

/// An accepted message's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::core) struct Accepted {
    pub(super) reply: SendReply,
    pub(super) seq: i64,
    pub(super) duplicate: bool,
}

/// What waits for a commit.
#[derive(Debug)]
pub(in crate::core) enum Release {
    /// An answer.
    Answer(Origin, Accepted),
    /// A push.
    Deliver(Delivery),
}

impl Owner {
    /// Keeps something until a record is durable, behind all that waits for the same record.
    pub(super) fn release_after(&mut self, ordinal: Ordinal, release: Release) {
        // Nearly always at the end: only what is not a new record itself waits for an older one.
        let at = self
            .releases
            .partition_point(|(other, _)| *other <= ordinal);
        self.releases.insert(at, (ordinal, release));
    }

    /// Everything up to this record is durable: lets go what waited for it, in order.
    pub(in crate::core) fn release(&mut self, committed: Ordinal, out: &mut Out) {
        let mut gathered: Option<Delivery> = None;
        while self
            .releases
            .front()
            .is_some_and(|(ordinal, _)| *ordinal <= committed)
            && let Some((_, release)) = self.releases.pop_front()
        {
            let delivery = match release {
                // An answer goes out before the push of its message, whatever is gathered.
                Release::Answer(origin, accepted) => {
                    self.answer(origin, Ok(accepted), out);
                    continue;
                }
                Release::Deliver(delivery) => delivery,
            };
            gathered = Some(match gathered.take() {
                None => delivery,
                Some(mut before) => match before.join(delivery) {
                    Ok(()) => before,
                    Err(delivery) => {
                        before.send(self.config.cores, out);
                        delivery
                    }
                },
            });
        }
        if let Some(delivery) = gathered {
            delivery.send(self.config.cores, out);
        }
    }

    /// Refuses a message.
    pub(in crate::core) fn refuse(&mut self, origin: Origin, error: ApiError, out: &mut Out) {
        self.stats.refused += 1;
        self.answer(origin, Err(error), out);
    }

    pub(super) fn answer(
        &mut self,
        origin: Origin,
        result: Result<Accepted, ApiError>,
        out: &mut Out,
    ) {
        match origin {
            Origin::Session {
                home,
                conn,
                request,
            } => {
                let result = result.map(|accepted| accepted.reply);
                out.ring(
                    home,
                    RingItem::SendDone(Box::new(SendDone {
                        conn,
                        request,
                        result,
                    })),
                );
            }
            Origin::Control { core, number } => {
                let answer = match result {
                    Ok(accepted) => ToControl::Published {
                        err_code: 0,
                        err_detail: String::new(),
                        server_msg_id: accepted.reply.server_msg_id,
                        send_time: accepted.reply.send_time,
                        seq: accepted.seq,
                        duplicate: accepted.duplicate,
                    },
                    Err(error) => ToControl::Published {
                        err_code: error.code,
                        err_detail: error.detail.into_owned(),
                        server_msg_id: String::new(),
                        send_time: 0,
                        seq: 0,
                        duplicate: false,
                    },
                };
                if core == self.config.core {
                    self.answer_publish(number, answer, out);
                } else {
                    out.ring(
                        core,
                        RingItem::PublishDone {
                            number,
                            answer: Box::new(answer),
                        },
                    );
                }
            }
        }
    }
}
