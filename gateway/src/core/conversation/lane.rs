//! Lanes: messages of one ordering key wait in line, so that none overtakes another that waits for
//! facts, for the conversation's state or for a duplicate check.

use crate::core::event::{ConnId, CoreId};
use crate::core::facts::Waiter;
use prost::Message as _;
use ringwire_link::message::KnownMessage;
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::{HashMap, VecDeque};

/// Most messages waiting in one lane; beyond it they are refused.
pub const MAX_LANE: usize = 1_024;

/// Most messages waiting in all lanes of a core; beyond it they are refused.
pub const MAX_WAITING: usize = 65_536;

/// Most bytes of messages waiting in all lanes of a core; beyond it they are refused. A single message
/// always fits.
pub const MAX_WAITING_BYTES: usize = 256 << 20;

/// Who gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A session.
    Session {
        /// Its home core.
        home: CoreId,
        /// Itself.
        conn: ConnId,
        /// Its request.
        request: u64,
    },
    /// Control.
    Control {
        /// Core whose link the question came by.
        core: CoreId,
        /// That core's number of the question.
        number: u64,
    },
}

/// A message on its way to its seq.
#[derive(Debug)]
pub struct Job {
    /// Unique on this core.
    pub number: u64,
    /// Its lane.
    pub lane: String,
    /// Who gets the answer.
    pub origin: Origin,
    /// operationID.
    pub operation_id: String,
    /// A sendTime that it brings is kept.
    pub may_set_time: bool,
    /// Its permission is to be checked.
    pub check: bool,
    /// Users who get the push beside the ordinary receivers.
    pub also: Vec<String>,
    /// The message.
    pub msg: MsgData,
    /// Conversation whose stored messages control is searching for this one.
    pub asking: Option<String>,
    /// What such searches found, by conversation.
    pub found: Vec<(String, Option<KnownMessage>)>,
}

impl Job {
    /// For those who wake it.
    pub fn waiter(&self) -> Waiter {
        Waiter {
            lane: self.lane.clone(),
            job: self.number,
        }
    }
}

/// A message in its lane, and what it is counted as.
#[derive(Debug)]
struct Waiting {
    job: Job,
    bytes: usize,
}

impl From<Job> for Waiting {
    fn from(job: Job) -> Self {
        let bytes = job.msg.encoded_len();
        Self { job, bytes }
    }
}

/// The lanes in which something waits.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<String, VecDeque<Waiting>>,
    waiting: usize,
    waiting_bytes: usize,
}

impl Lanes {
    /// Messages waiting.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether something waits in this lane.
    pub fn busy(&self, lane: &str) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Puts a message at the end of its lane.
    ///
    /// # Errors
    /// The message, when too many wait.
    pub fn push(&mut self, job: Job) -> Result<(), Box<Job>> {
        let full = self
            .lanes
            .get(&job.lane)
            .is_some_and(|lane| lane.len() >= MAX_LANE);
        if full || self.waiting >= MAX_WAITING || self.waiting_bytes >= MAX_WAITING_BYTES {
            return Err(Box::new(job));
        }
        let waiting = self.count(job);
        self.lane(&waiting.job.lane).push_back(waiting);
        Ok(())
    }

    /// Puts back the message that is first in its lane.
    pub fn put_back(&mut self, job: Job) {
        let waiting = self.count(job);
        self.lane(&waiting.job.lane).push_front(waiting);
    }

    fn count(&mut self, job: Job) -> Waiting {
        let waiting = Waiting::from(job);
        self.waiting += 1;
        self.waiting_bytes += waiting.bytes;
        waiting
    }

    fn lane(&mut self, lane: &str) -> &mut VecDeque<Waiting> {
        self.lanes.entry(lane.to_owned()).or_default()
    }

    /// Takes the first message of a lane; the lane is closed when none is left.
    pub fn pop(&mut self, lane: &str) -> Option<Job> {
        let Some(Waiting { job, bytes }) = self.lanes.get_mut(lane)?.pop_front() else {
            self.lanes.remove(lane);
            return None;
        };
        self.waiting -= 1;
        self.waiting_bytes -= bytes;
        Some(job)
    }

    /// The message, if it is first in its lane.
    pub fn first(&mut self, waiter: &Waiter) -> Option<&mut Job> {
        self.lanes
            .get_mut(&waiter.lane)?
            .front_mut()
            .map(|waiting| &mut waiting.job)
            .filter(|job| job.number == waiter.job)
    }

    /// Takes everything.
    pub fn drain(&mut self) -> Vec<Job> {
        (self.waiting, self.waiting_bytes) = (0, 0);
        let lanes = self.lanes.drain().flat_map(|(_, lane)| lane);
        lanes.map(|waiting| waiting.job).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u64, bytes: usize) -> Job {
        Job {
            number,
            lane: number.to_string(),
            origin: Origin::Control { core: 0, number },
            operation_id: String::new(),
            may_set_time: false,
            check: false,
            also: Vec::new(),
            msg: MsgData {
                content: vec![0; bytes].into(),
                ..MsgData::default()
            },
            asking: None,
            found: Vec::new(),
        }
    }

    #[test]
    fn waiting_messages_are_bounded_by_their_bytes() {
        const BYTES: usize = 16 << 20;
        let mut lanes = Lanes::default();
        let fit = (0..).find(|n| lanes.push(job(*n, BYTES)).is_err());
        assert_eq!(fit, Some((MAX_WAITING_BYTES / BYTES) as u64));
        let mut first = lanes.pop("0").expect("waits");
        assert!(lanes.pop("0").is_none());
        // It may change on its way without upsetting the count.
        first.msg.options.insert("offlinePush".into(), false);
        lanes.put_back(first);
        assert!(lanes.push(job(100, 1)).is_err());
        for lane in 0..lanes.waiting() {
            assert!(lanes.pop(&lane.to_string()).is_some());
        }
        assert_eq!((lanes.waiting, lanes.waiting_bytes), (0, 0));
    }
}
