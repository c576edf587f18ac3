//! The conversations of an owner core: where their seqs stand, and which messages are known.

use super::ahead::Ahead;
use crate::core::facts::Waiter;
use crate::core::facts::clock::Clock;
use crate::core::journal::{ConversationHead, Ordinal};
use ringwire_link::message::{CLOCK_SLACK_MS, ConversationState, KnownMessage};
use std::collections::{BTreeMap, HashMap, VecDeque};
use xxhash_rust::xxh3::Xxh3;

/// Known messages younger than this are kept beyond the configured tail, milliseconds, so that in a
/// busy conversation a retry seldom has to be looked up in the database.
const KEEP_MS: i64 = 30_000;

/// Most stored messages known of a conversation, however young.
const KEEP_MESSAGES: usize = 8_192;

/// A last send time further ahead than this was set by somebody; it no longer pulls others along.
const AHEAD_MS: i64 = 60_000;

/// Ordinal of records in a journal of another core: this core never learns when they are stored, so
/// they stay known as long as the process lives.
const FOREIGN: Ordinal = Ordinal::MAX;

/// Ordinal of everything recovered from the own journal.
const RECOVERED: Ordinal = 1;

/// Conversations trimmed in one turn at most.
const TRIM_STEPS: usize = 64;

/// Most ids of one question to control.
const MAX_IDS: usize = 1_000;

#[derive(Debug)]
struct Known {
    message: KnownMessage,
    /// Record that made it durable; 0 = stored already when it became known.
    ordinal: Ordinal,
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    /// Highest seq given.
    pub max_seq: i64,
    last_send_time: i64,
    /// Ascending by seq.
    known: VecDeque<Known>,
    /// Hash of sender and clientMsgID -> seq.
    index: HashMap<u64, i64>,
    /// Every message sent at this time or later is in `known`; `i64::MIN` = every message at all.
    covered_from: i64,
    /// Senders of messages not in `known` whose clocks ran ahead.
    ahead: Ahead,
    /// The newest record of this conversation in this core's journal; 0 = none.
    last_ordinal: Ordinal,
    /// Some records stand in a journal of another core.
    foreign: bool,
    /// It stands in the queue of those to be trimmed.
    queued: bool,
    /// Control said how far it has stored the conversation. What recovery finds need not be the
    /// newest: while the gateway ran with another number of cores, another journal may have held
    /// newer records, stored and given back since.
    confirmed: bool,
    /// Its state is on the way from control, or here and those who wait for it have not seen it yet.
    /// Control may have read it before it stored what is known here, so forgetting the conversation
    /// now would give its last seqs a second time.
    asked: bool,
}

fn hash(send_id: &str, client_msg_id: &str) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(send_id.as_bytes());
    hasher.update(&[0]);
    hasher.update(client_msg_id.as_bytes());
    hasher.digest()
}

/// What the table says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// Sent before; the record of this core that makes it durable (0 when that happened elsewhere).
    Known(KnownMessage, Ordinal),
    /// Never sent.
    New,
    /// Possibly older than what the table covers.
    Unsure,
}

impl Conversation {
    fn new(max_seq: i64, last_send_time: i64, known: Vec<KnownMessage>, ordinal: Ordinal) -> Self {
        let complete = max_seq == known.len() as i64;
        let covered_from = match known.first() {
            _ if complete => i64::MIN,
            Some(oldest) => oldest.send_time,
            None => i64::MAX,
        };
        let mut conversation = Self {
            max_seq,
            last_send_time,
            known: VecDeque::with_capacity(known.len()),
            index: HashMap::with_capacity(known.len()),
            covered_from,
            ahead: Ahead::default(),
            last_ordinal: if ordinal == FOREIGN { 0 } else { ordinal },
            foreign: ordinal == FOREIGN,
            queued: false,
            confirmed: true,
            asked: false,
        };
        for message in known {
            conversation.remember(message, ordinal);
        }
        conversation
    }

    /// Adds what control has stored to what recovery found in the journals.
    fn confirm(&mut self, state: ConversationState) {
        let mut all: BTreeMap<i64, Known> =
            self.known.drain(..).map(|k| (k.message.seq, k)).collect();
        self.ahead.learn(state.ahead);
        for message in state.recent {
            all.entry(message.seq).or_insert(Known {
                message,
                ordinal: 0,
            });
        }
        if state.max_seq > self.max_seq {
            self.max_seq = state.max_seq;
            self.last_send_time = state.max_send_time;
        }
        // Covered is what stands unbroken below the newest message.
        let mut next = self.max_seq;
        self.covered_from = i64::MAX;
        for known in all.values().rev() {
            if known.message.seq != next {
                break;
            }
            self.covered_from = known.message.send_time;
            next -= 1;
        }
        if next == 0 {
            self.covered_from = i64::MIN;
        }
        self.index.clear();
        for Known { message, ordinal } in all.into_values() {
            self.remember(message, ordinal);
        }
        self.confirmed = true;
    }

    fn remember(&mut self, message: KnownMessage, ordinal: Ordinal) {
        if !message.client_msg_id.is_empty() {
            self.index
                .insert(hash(&message.send_id, &message.client_msg_id), message.seq);
        }
        self.known.push_back(Known { message, ordinal });
    }

    /// Whether this message was sent before.
    pub fn look_up(
        &self,
        send_id: &str,
        client_msg_id: &str,
        create_time: i64,
        now: i64,
    ) -> Sighting {
        let found = self
            .index
            .get(&hash(send_id, client_msg_id))
            .and_then(|seq| {
                let at = self.known.partition_point(|k| k.message.seq < *seq);
                self.known.get(at)
            });
        if let Some(known) = found
            && known.message.send_id == send_id
            && known.message.client_msg_id == client_msg_id
        {
            let ordinal = if known.ordinal == FOREIGN {
                0
            } else {
                known.ordinal
            };
            return Sighting::Known(known.message.clone(), ordinal);
        }
        let covered = self.covered_from == i64::MIN
            || (create_time > self.covered_from.saturating_add(CLOCK_SLACK_MS)
                && create_time <= now + CLOCK_SLACK_MS
                && create_time > self.ahead.of(send_id));
        if covered {
            Sighting::New
        } else {
            Sighting::Unsure
        }
    }

    /// The sendTime of a message sequenced now: never before that of the one before it.
    pub fn send_time(&self, now: i64) -> i64 {
        if self.last_send_time > now + AHEAD_MS {
            now
        } else {
            now.max(self.last_send_time)
        }
    }

    /// Takes the next seq for a message.
    pub fn append(&mut self, message: KnownMessage, ordinal: Ordinal) {
        debug_assert_eq!(message.seq, self.max_seq + 1);
        self.max_seq = message.seq;
        self.last_send_time = message.send_time;
        self.last_ordinal = ordinal;
        if self.known.is_empty() && self.covered_from == i64::MAX {
            self.covered_from = message.send_time;
        }
        self.remember(message, ordinal);
    }

    /// The newest record of this conversation in this core's journal; 0 = none.
    pub fn last_ordinal(&self) -> Ordinal {
        self.last_ordinal
    }

    /// Whether control has stored everything of it, so that it may be forgotten.
    fn stored(&self, stored: Ordinal) -> bool {
        !self.foreign && !self.asked && self.last_ordinal <= stored
    }

    /// Forgets the oldest stored messages beyond `tail`.
    fn trim(&mut self, tail: usize, stored: Ordinal, now: i64) {
        while self.known.len() > tail
            && let Some(oldest) = self.known.front()
            && oldest.ordinal <= stored
            && (oldest.message.send_time < now - KEEP_MS || self.known.len() > KEEP_MESSAGES)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.known.pop_front() else {
            return;
        };
        let key = hash(&oldest.message.send_id, &oldest.message.client_msg_id);
        if self.index.get(&key) == Some(&oldest.message.seq) {
            self.index.remove(&key);
        }
        if oldest.message.is_ahead() {
            self.ahead
                .add(&oldest.message.send_id, oldest.message.create_time);
        }
        // Send times set by admins need not ascend: cover only what is after every forgotten one.
        let next = self.known.front().map_or(i64::MAX, |k| k.message.send_time);
        self.covered_from = self.covered_from.max(next).max(oldest.message.send_time);
    }
}

/// All conversations held by a core.
#[derive(Debug)]
pub struct Conversations {
    held: Clock<String, Conversation>,
    opening: HashMap<String, Vec<Waiter>>,
    wanted: Vec<String>,
    tail: usize,
    /// Conversations that know more than the tail, and when to look at them.
    due: VecDeque<(i64, String)>,
}

impl Conversations {
    /// With what recovery found. More than `limit` are held only while control has not stored them.
    pub fn new(limit: usize, tail: usize, recovered: Vec<(String, ConversationHead)>) -> Self {
        let mut held = Clock::new(limit);
        for (id, head) in recovered {
            let ordinal = if head.foreign { FOREIGN } else { RECOVERED };
            let mut conversation =
                Conversation::new(head.max_seq, head.last_send_time, head.recent, ordinal);
            conversation.confirmed = false;
            held.insert(id, conversation, |_| false);
        }
        Self {
            held,
            opening: HashMap::new(),
            wanted: Vec::new(),
            tail,
            due: VecDeque::new(),
        }
    }

    /// Conversations held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// A conversation, if it is held.
    pub fn get(&mut self, id: &str) -> Option<&mut Conversation> {
        self.held.get(id)
    }

    /// Whether messages of the conversation can be sequenced without asking control first.
    pub fn ready(&mut self, id: &str) -> bool {
        self.held.get(id).is_some_and(|c| c.confirmed)
    }

    /// `waiter` needs this conversation: its state is asked for unless that is under way.
    pub fn want(&mut self, id: &str, waiter: &Waiter) {
        if let Some(waiters) = self.opening.get_mut(id) {
            if !waiters.contains(waiter) {
                waiters.push(waiter.clone());
            }
            return;
        }
        if let Some(recovered) = self.held.peek(id) {
            recovered.asked = true;
        }
        self.wanted.push(id.to_string());
        self.opening.insert(id.to_string(), vec![waiter.clone()]);
    }

    /// The next question to control, if any.
    pub fn question(&mut self) -> Option<Vec<String>> {
        if self.wanted.is_empty() {
            return None;
        }
        let ids = self.wanted.len().min(MAX_IDS);
        Some(self.wanted.drain(..ids).collect())
    }

    /// Control answered a question: who may go on, and who may not. When they have, the conversations
    /// are to be let go by [`Conversations::served`].
    pub fn arrived(
        &mut self,
        ids: &[String],
        answer: Result<Vec<ConversationState>, String>,
        stored: Ordinal,
    ) -> (Vec<Waiter>, Vec<Waiter>) {
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        let states = match answer {
            Ok(states) if states.len() == ids.len() => states.into_iter().map(Some).collect(),
            _ => vec![None; ids.len()],
        };
        for (id, state) in ids.iter().zip(states) {
            let Some(waiters) = self.opening.remove(id) else {
                continue;
            };
            match state {
                Some(state) => {
                    if let Some(recovered) = self.held.get(id) {
                        recovered.confirm(state);
                    } else {
                        let mut conversation =
                            Conversation::new(state.max_seq, state.max_send_time, state.recent, 0);
                        conversation.ahead.learn(state.ahead);
                        conversation.asked = true;
                        self.held
                            .insert(id.clone(), conversation, |c| c.stored(stored));
                        // A message that goes to two streams needs both at once.
                        self.held.get(id);
                    }
                    ready.extend(waiters);
                }
                None => failed.extend(waiters),
            }
        }
        (ready, failed)
    }

    /// Those who waited for these conversations have had their turn.
    pub fn served(&mut self, ids: &[String]) {
        for id in ids {
            if !self.opening.contains_key(id)
                && let Some(conversation) = self.held.peek(id)
            {
                conversation.asked = false;
            }
        }
    }

    /// The link is lost: nothing under way will be answered.
    pub fn link_down(&mut self) -> Vec<Waiter> {
        self.wanted.clear();
        let mut all = Vec::new();
        for (id, waiters) in self.opening.drain() {
            if let Some(recovered) = self.held.peek(&id) {
                recovered.asked = false;
            }
            all.extend(waiters);
        }
        all
    }

    /// A message was added: sees to it that the oldest are forgotten in time.
    pub fn trim_later(&mut self, id: &str, stored: Ordinal, now: i64) {
        let Some(conversation) = self.held.get(id) else {
            return;
        };
        if conversation.known.len() > KEEP_MESSAGES {
            conversation.trim(self.tail, stored, now);
        }
        if conversation.known.len() > self.tail && !conversation.queued {
            conversation.queued = true;
            self.due.push_back((now + KEEP_MS, id.to_string()));
        }
    }

    /// Forgets what need not be known any more of a few conversations whose time has come.
    pub fn trim_due(&mut self, stored: Ordinal, now: i64) {
        for _ in 0..TRIM_STEPS {
            let Some((_, id)) = self.due.pop_front_if(|(at, _)| *at <= now) else {
                return;
            };
            let Some(conversation) = self.held.peek(&id) else {
                continue;
            };
            conversation.trim(self.tail, stored, now);
            conversation.queued = conversation.known.len() > self.tail;
            if conversation.queued {
                // Not stored yet, or too young: another look later.
                self.due.push_back((now + KEEP_MS / 10, id));
            }
        }
    }

    /// Stored messages of the conversation changed: only what control has not stored stays known.
    pub fn forget_stored(&mut self, id: &str, stored: Ordinal) {
        let Some(conversation) = self.held.get(id) else {
            return;
        };
        if conversation.stored(stored) {
            self.held.remove(id);
            return;
        }
        while conversation
            .known
            .front()
            .is_some_and(|k| k.ordinal <= stored)
        {
            conversation.forget_oldest();
        }
    }
}

#[cfg(test)]
mod tests;
