//! Lanes: messages of one ordering key wait in line, so that none overtakes another that waits for
//! facts, for the conversation's state or for a duplicate check.

use crate::core::event::{ConnId, CoreId};
use crate::core::facts::Waiter;
use ringwire_link::message::KnownMessage;
use ringwire_protocol::pb::sdkws::MsgData;
use std::collections::{HashMap, VecDeque};

/// Most messages waiting in one lane; beyond it they are refused.
pub const MAX_LANE: usize = 1_024;

/// Most messages waiting in all lanes of a core; beyond it they are refused.
pub const MAX_WAITING: usize = 65_536;

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

/// The lanes in which something waits.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: HashMap<String, VecDeque<Job>>,
    waiting: usize,
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
        if full || self.waiting >= MAX_WAITING {
            return Err(Box::new(job));
        }
        self.waiting += 1;
        self.lanes
            .entry(job.lane.clone())
            .or_default()
            .push_back(job);
        Ok(())
    }

    /// Puts back the message that is first in its lane.
    pub fn put_back(&mut self, job: Job) {
        self.waiting += 1;
        self.lanes
            .entry(job.lane.clone())
            .or_default()
            .push_front(job);
    }

    /// Takes the first message of a lane; the lane is closed when none is left.
    pub fn pop(&mut self, lane: &str) -> Option<Job> {
        let job = self.lanes.get_mut(lane)?.pop_front();
        if job.is_some() {
            self.waiting -= 1;
        } else {
            self.lanes.remove(lane);
        }
        job
    }

    /// The message, if it is first in its lane.
    pub fn first(&mut self, waiter: &Waiter) -> Option<&mut Job> {
        self.lanes
            .get_mut(&waiter.lane)?
            .front_mut()
            .filter(|job| job.number == waiter.job)
    }

    /// Takes everything.
    pub fn drain(&mut self) -> Vec<Job> {
        self.waiting = 0;
        self.lanes.drain().flat_map(|(_, lane)| lane).collect()
    }
}
