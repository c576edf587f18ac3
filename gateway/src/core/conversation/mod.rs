//! The way of a message through its owner core: lane, checks, duplicates, seq, journal, delivery.

mod ahead;
mod answers;
pub mod checks;
pub mod delivery;
pub mod lane;
mod once;
pub mod streams;
pub mod table;

use super::event::Now;
use super::facts::Waiter;
use super::journal::writer::Writer;
use super::journal::{Ordinal, Refusal, ordering_key};
use super::out::Out;
use super::owner::{Owner, Question};
use super::ring::SendReply;
use answers::Accepted;
pub(super) use answers::Release;
use bytes::Bytes;
use checks::{Rules, Verdict};
use delivery::{Delivery, Part, Receivers};
use lane::Job;
pub(super) use once::Unstored;
use prost::Message as _;
use ringwire_link::ToControl;
use ringwire_link::message::KnownMessage;
use ringwire_link::record::{MessageRecord, Record};
use ringwire_protocol::conversation_id::SESSION_GROUP;
use ringwire_protocol::error::{ApiError, ErrorCode};
use ringwire_protocol::pb::sdkws::MsgData;
use ringwire_protocol::slot;
use streams::Target;
use table::Sighting;

/// Status of a message on its way from its sender.
const STATUS_SENDING: i32 = 1;
/// Status of a message that the server took.
const STATUS_SENT: i32 = 2;

enum Progress {
    Done,
    Waiting,
}

fn unreachable_control() -> ApiError {
    ApiError::internal("control is not reachable")
}

/// How far a message was sequenced before, for one target.
type Seen = Option<(KnownMessage, Ordinal)>;

impl Owner {
    /// Takes a message that belongs to this core.
    pub(super) fn submit(&mut self, now: Now, mut job: Job, out: &mut Out) {
        if self.stopping {
            return self.refuse(
                job.origin,
                ApiError::internal("the gateway is stopping"),
                out,
            );
        }
        if self.lanes.busy(&job.lane) {
            if let Err(job) = self.lanes.push(job) {
                let error = ApiError::new(
                    ErrorCode::TooManyRequests,
                    "too many messages wait for this conversation",
                );
                self.refuse(job.origin, error, out);
            }
            return;
        }
        if let Progress::Waiting = self.attempt(now, &mut job, out)
            && let Err(job) = self.lanes.push(job)
        {
            let error = ApiError::new(ErrorCode::TooManyRequests, "too many messages wait");
            self.refuse(job.origin, error, out);
        }
    }

    /// A fresh number for a job.
    pub(super) fn job_number(&mut self) -> u64 {
        self.jobs += 1;
        self.jobs
    }

    /// Goes on with a lane until its first message has to wait again.
    pub(super) fn advance(&mut self, now: Now, lane: &str, out: &mut Out) {
        while let Some(mut job) = self.lanes.pop(lane) {
            if let Progress::Waiting = self.attempt(now, &mut job, out) {
                self.lanes.put_back(job);
                return;
            }
        }
    }

    /// Something these waited for is here.
    pub(super) fn wake(&mut self, now: Now, waiters: &[Waiter], out: &mut Out) {
        for waiter in waiters {
            if self.lanes.first(waiter).is_some() {
                self.advance(now, &waiter.lane, out);
            }
        }
    }

    /// Something these waited for will not come.
    pub(super) fn fail(&mut self, now: Now, waiters: &[Waiter], error: &ApiError, out: &mut Out) {
        for waiter in waiters {
            if self.lanes.first(waiter).is_some()
                && let Some(job) = self.lanes.pop(&waiter.lane)
            {
                self.refuse(job.origin, error.clone(), out);
                self.advance(now, &waiter.lane, out);
            }
        }
    }

    /// Brings the first message of a lane as far as it gets.
    fn attempt(&mut self, now: Now, job: &mut Job, out: &mut Out) -> Progress {
        match self.try_to_send(now, job, out) {
            Ok(progress) => progress,
            Err(error) => {
                self.refuse(job.origin, error, out);
                Progress::Done
            }
        }
    }

    fn try_to_send(
        &mut self,
        now: Now,
        job: &mut Job,
        out: &mut Out,
    ) -> Result<Progress, ApiError> {
        let targets = streams::targets(&job.msg)?;
        // The first answer stands whatever the facts say by now, and giving it again needs no control.
        if let Some(seen) = self.remembered(now, &job.msg, &targets) {
            self.answer_duplicate(job, seen, out);
            return Ok(Progress::Done);
        }
        let mut no_offline_push = false;
        let mut missing = Vec::new();
        if job.check {
            let rules = Rules {
                admins: &self.config.admin_user_ids,
                friend_verify: self.config.friend_verify,
                now: now.unix_ms,
            };
            match checks::judge(&job.msg, rules, &mut self.facts) {
                Verdict::Accepted {
                    no_offline_push: quiet,
                } => no_offline_push = quiet,
                Verdict::Refused(error) => return Err(error),
                Verdict::Missing(keys) => missing = keys,
            }
        }
        let stored = || {
            targets
                .iter()
                .filter(|t| t.stored)
                .map(|t| t.conversation_id.as_str())
        };
        let closed: Vec<&str> = stored()
            .filter(|id| !self.conversations.ready(id))
            .collect();
        if !missing.is_empty() || !closed.is_empty() {
            if !self.linked {
                return Err(unreachable_control());
            }
            let waiter = job.waiter();
            missing
                .into_iter()
                .for_each(|key| self.facts.want(key, &waiter));
            closed
                .into_iter()
                .for_each(|id| self.conversations.want(id, &waiter));
            return Ok(Progress::Waiting);
        }
        let mut seen = Vec::with_capacity(targets.len());
        for target in &targets {
            match self.sighting(now, job, target, out)? {
                Some(sighting) => seen.push(sighting),
                None => return Ok(Progress::Waiting),
            }
        }
        if no_offline_push {
            job.msg.options.insert("offlinePush".into(), false);
        }
        if let Some(first) = self.published_before(now, job, &targets) {
            self.answer_duplicate(job, vec![Some(first)], out);
            return Ok(Progress::Done);
        }
        let unsaid = |(target, seen): (&Target, &Seen)| target.stored && seen.is_none();
        let sequenced_before = seen.iter().any(Option::is_some);
        if sequenced_before && !targets.iter().zip(&seen).any(unsaid) {
            self.answer_duplicate(job, seen, out);
        } else {
            self.sequence(now, job, &targets, &seen, out)?;
        }
        Ok(Progress::Done)
    }

    /// What was answered before to a message that all its stored targets still know.
    fn remembered(&mut self, now: Now, msg: &MsgData, targets: &[Target]) -> Option<Vec<Seen>> {
        if msg.client_msg_id.is_empty() || !targets.iter().any(|t| t.stored) {
            return None;
        }
        let look_up = |target: &Target| {
            if !target.stored {
                return Some(None);
            }
            let conversation = self.conversations.get(&target.conversation_id)?;
            let (sender, id) = (&msg.send_id, &msg.client_msg_id);
            match conversation.look_up(sender, id, msg.create_time, now.unix_ms) {
                Sighting::Known(message, ordinal) => Some(Some((message, ordinal))),
                Sighting::New | Sighting::Unsure => None,
            }
        };
        targets.iter().map(look_up).collect()
    }

    /// Whether the message was sequenced for this target before; `None` = control was asked.
    fn sighting(
        &mut self,
        now: Now,
        job: &mut Job,
        target: &Target,
        out: &mut Out,
    ) -> Result<Option<Seen>, ApiError> {
        let (msg, id) = (&job.msg, target.conversation_id.as_str());
        if !target.stored || msg.client_msg_id.is_empty() {
            return Ok(Some(None));
        }
        let Some(conversation) = self.conversations.get(id) else {
            return Ok(Some(None));
        };
        match conversation.look_up(
            &msg.send_id,
            &msg.client_msg_id,
            msg.create_time,
            now.unix_ms,
        ) {
            Sighting::Known(message, ordinal) => return Ok(Some(Some((message, ordinal)))),
            Sighting::New => return Ok(Some(None)),
            Sighting::Unsure => {}
        }
        if let Some((_, found)) = job.found.iter().find(|(of, _)| of == id) {
            return Ok(Some(found.clone().map(|message| (message, 0))));
        }
        if job.asking.is_some() {
            return Ok(None);
        }
        if !self.linked {
            return Err(unreachable_control());
        }
        job.asking = Some(id.to_string());
        let question = ToControl::FindDuplicate {
            conversation_id: id.to_string(),
            send_id: msg.send_id.clone(),
            client_msg_id: msg.client_msg_id.clone(),
        };
        self.ask(now, Question::Duplicate(job.waiter()), question, out);
        Ok(None)
    }

    /// Control answered whether it has stored a message.
    pub(super) fn duplicate_answered(
        &mut self,
        now: Now,
        waiter: &Waiter,
        found: Result<Option<KnownMessage>, String>,
        out: &mut Out,
    ) {
        let Some(job) = self.lanes.first(waiter) else {
            return;
        };
        match (found, job.asking.take()) {
            (Ok(found), Some(conversation)) => {
                job.found.push((conversation, found));
                self.advance(now, &waiter.lane, out);
            }
            _ => {
                let error = ApiError::internal("control could not look for a duplicate");
                self.fail(now, std::slice::from_ref(waiter), &error, out);
            }
        }
    }

    /// Whether control published this message before, of which nothing is stored.
    fn published_before(
        &mut self,
        now: Now,
        job: &Job,
        targets: &[Target],
    ) -> Option<(KnownMessage, Ordinal)> {
        if !once::applies(job, targets) {
            return None;
        }
        let target = targets.last()?;
        self.unstored
            .look_up(now, &target.conversation_id, &job.msg)
            .cloned()
    }

    /// Gives the first answer again, once it is durable.
    fn answer_duplicate(&mut self, job: &Job, seen: Vec<Seen>, out: &mut Out) {
        let Some((message, _)) = seen.iter().flatten().last() else {
            return;
        };
        let ordinal = seen
            .iter()
            .flatten()
            .map(|(_, ordinal)| *ordinal)
            .max()
            .unwrap_or(0);
        let reply = SendReply {
            server_msg_id: message.server_msg_id.clone(),
            client_msg_id: message.client_msg_id.clone(),
            send_time: message.send_time,
        };
        self.stats.duplicates += 1;
        let accepted = Accepted {
            reply,
            seq: message.seq,
            duplicate: true,
        };
        if ordinal > self.journal.writer().committed() {
            self.release_after(ordinal, Release::Answer(job.origin, accepted));
        } else {
            self.answer(job.origin, Ok(accepted), out);
        }
    }

    /// Gives seqs, writes records, and leaves answer and push to the commit.
    fn sequence(
        &mut self,
        now: Now,
        job: &mut Job,
        targets: &[Target],
        seen: &[Seen],
        out: &mut Out,
    ) -> Result<(), ApiError> {
        let first = seen
            .iter()
            .flatten()
            .next()
            .map(|(message, _)| message.clone());
        let once = once::applies(job, targets);
        let mut msg = std::mem::take(&mut job.msg);
        if let Some(first) = &first {
            msg.server_msg_id.clone_from(&first.server_msg_id);
            msg.send_time = first.send_time;
        } else {
            msg.server_msg_id = self.server_ids.fresh();
            if !job.may_set_time || msg.send_time == 0 {
                let of = |t: &Target| {
                    self.conversations
                        .get(&t.conversation_id)
                        .map(|c| c.send_time(now.unix_ms))
                };
                msg.send_time = targets.iter().filter_map(of).max().unwrap_or(now.unix_ms);
            }
        }
        if msg.status == STATUS_SENDING {
            msg.status = STATUS_SENT;
        }
        let reply = SendReply {
            server_msg_id: msg.server_msg_id.clone(),
            client_msg_id: msg.client_msg_id.clone(),
            send_time: msg.send_time,
        };
        let receivers = receivers(&msg, std::mem::take(&mut job.also));
        // What is not stored must not overtake what came before it in its lane and waits for the disk.
        let mut wait_for = 0;
        if !targets.iter().any(|t| t.stored) {
            for id in [streams::chat_id(&msg)?, streams::notification_id(&msg)] {
                wait_for =
                    wait_for.max(self.conversations.get(&id).map_or(0, |c| c.last_ordinal()));
            }
        }

        if once && let Some(target) = targets.last() {
            self.unstored
                .add(now, &target.conversation_id, &msg, wait_for);
        }

        let mut parts = Vec::with_capacity(targets.len());
        let mut records = Vec::with_capacity(targets.len());
        let mut seq = 0;
        for ((target, seen), mut msg) in targets.iter().zip(seen).zip(streams::shaped(msg, targets))
        {
            if seen.is_some() {
                continue;
            }
            let conversation = if target.stored {
                self.conversations.get(&target.conversation_id)
            } else {
                None
            };
            msg.seq = conversation.map_or(0, |c| c.max_seq + 1);
            let message = Bytes::from(msg.encode_to_vec());
            if target.stored {
                seq = msg.seq;
                let record = Record::Message(MessageRecord {
                    conversation_id: target.conversation_id.clone(),
                    msg: message.clone(),
                    operation_id: job.operation_id.clone(),
                });
                let known = KnownMessage {
                    send_id: msg.send_id,
                    client_msg_id: msg.client_msg_id,
                    server_msg_id: msg.server_msg_id,
                    send_time: msg.send_time,
                    create_time: msg.create_time,
                    seq,
                };
                records.push((Writer::record_len(&record), record, known));
            }
            parts.push(Part {
                conversation_id: target.conversation_id.clone(),
                notification: target.notification,
                messages: vec![message],
            });
        }
        let lengths: Vec<usize> = records.iter().map(|(length, ..)| *length).collect();
        if !lengths.is_empty() {
            self.journal.writer().room(&lengths).map_err(refusal)?;
        }
        // From here on nothing fails: seqs are given.
        let stored = self.journal.writer().stored_ordinal();
        for (_, record, known) in records {
            let Record::Message(message) = &record else {
                continue;
            };
            let id = message.conversation_id.clone();
            let ordinal = self.journal.push(record);
            if let Some(conversation) = self.conversations.get(&id) {
                conversation.append(known, ordinal);
            }
            self.conversations.trim_later(&id, stored, now.unix_ms);
            wait_for = ordinal;
        }
        self.stats.accepted += 1;
        let accepted = Accepted {
            reply,
            seq,
            duplicate: false,
        };
        let delivery = Delivery {
            receivers,
            operation_id: job.operation_id.clone(),
            parts,
        };
        if wait_for > self.journal.writer().committed() {
            self.release_after(wait_for, Release::Answer(job.origin, accepted));
            self.release_after(wait_for, Release::Deliver(delivery));
        } else {
            self.answer(job.origin, Ok(accepted), out);
            delivery.send(self.config.cores, out);
        }
        Ok(())
    }

    /// The core that orders a message.
    pub(super) fn owner_of(&self, lane: &str) -> u16 {
        slot::core_of(lane, self.config.cores)
    }
}

/// Lane of a message.
///
/// # Errors
/// 1001 when its sessionType cannot be sent.
pub(super) fn lane_of(msg: &MsgData) -> Result<String, ApiError> {
    streams::chat_id(msg).map(|_| ordering_key(msg))
}

fn refusal(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::TooLarge => ApiError::args(refusal.to_string()),
        Refusal::Full | Refusal::Busy => ApiError::internal(refusal.to_string()),
    }
}

/// Who gets the push (spec: message.md 6.7).
fn receivers(msg: &MsgData, also: Vec<String>) -> Receivers {
    if msg.session_type == SESSION_GROUP {
        return Receivers::Group {
            group_id: msg.group_id.clone(),
            also,
        };
    }
    let mut users = vec![msg.recv_id.clone()];
    let sender = checks::option(msg, "senderSync").then(|| msg.send_id.clone());
    for user in sender.into_iter().chain(also) {
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Receivers::Users(users)
}
