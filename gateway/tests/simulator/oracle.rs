//! What must be true of a run, whatever happens in it. The oracle hears of everything that can be seen
//! from outside (what became durable, answers, pushes, what control stored) and compares.
//!
//! Names of invariants are the numbers of `ARCHITECTURE.md`.

use ringwire_link::message::KnownMessage;
use ringwire_protocol::pb::sdkws::MsgData;
use ringwire_protocol::slot::core_of;
use std::collections::{BTreeMap, BTreeSet};

/// Something that must not be.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

pub(crate) type Checked = Result<(), Violation>;

const DURABLE: &str = "1 (acknowledged is durable)";
const ORDER: &str = "2 (no gaps, no repeats, in order)";
const ONCE: &str = "3 (the same message once)";
const SYNC: &str = "4 (a login sync misses nothing)";
const JUDGED: &str = "facts (judged by the state that was acknowledged)";
const LIVE: &str = "liveness";

/// One message of one stream: conversation, sender, clientMsgID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) conversation: String,
    pub(crate) sender: String,
    pub(crate) client_msg_id: String,
}

impl Key {
    pub(crate) fn new(conversation: &str, sender: &str, client_msg_id: &str) -> Self {
        Self {
            conversation: conversation.into(),
            sender: sender.into(),
            client_msg_id: client_msg_id.into(),
        }
    }
}

/// What the server made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) seq: i64,
    pub(crate) server_msg_id: String,
    pub(crate) send_time: i64,
}

/// A successful answer.
#[derive(Debug, Clone)]
struct Answer {
    server_msg_id: String,
    send_time: i64,
    stored: bool,
}

/// A change of who may do or hear what.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) conversation: String,
    pub(crate) user: String,
    /// The user may no longer send there; `None` = the change says nothing of it.
    pub(crate) forbids: Option<bool>,
    /// The user's membership changes.
    pub(crate) membership: bool,
    pub(crate) begun: u64,
    /// Control boot and version.
    pub(crate) version: (u64, u64),
    /// Since when each core has applied it.
    pub(crate) applied: BTreeMap<u16, u64>,
}

/// What one session heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) opened: u64,
    pub(crate) alive: bool,
    last: BTreeMap<String, i64>,
    heard: BTreeSet<Key>,
    /// What the first 1001 answered.
    pub(crate) synced: Option<BTreeMap<String, i64>>,
}

/// All that is known of a run.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    durable: BTreeMap<Key, Given>,
    by_seq: BTreeMap<(String, i64), Key>,
    answers: BTreeMap<Key, Answer>,
    first_sent: BTreeMap<Key, u64>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) changes: Vec<Change>,
    /// Users who now and then get messages of conversations they are not in.
    pub(crate) onlookers: BTreeSet<(String, String)>,
    /// Tokens whose kick is durable, by fingerprint, and since when.
    kicked: BTreeMap<Vec<u8>, u64>,
    /// Cores of the present run.
    cores: u16,
    pub(crate) pushes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) duplicates: u64,
    pub(crate) refused: u64,
}

impl Oracle {
    /// A message is on disk: synced, recovered or stored.
    pub(crate) fn durable(&mut self, conversation: &str, known: &KnownMessage) -> Checked {
        let given = Given {
            seq: known.seq,
            server_msg_id: known.server_msg_id.clone(),
            send_time: known.send_time,
        };
        let key = Key::new(conversation, &known.send_id, &known.client_msg_id);
        let place = (conversation.to_string(), known.seq);
        if known.seq < 1 {
            return Err(Violation::new(
                ORDER,
                format!("{key:?} is stored with seq {}", known.seq),
            ));
        }
        if let Some(other) = self.by_seq.get(&place)
            && *other != key
        {
            return Err(Violation::new(
                ORDER,
                format!("{place:?} was given to {other:?} and to {key:?}"),
            ));
        }
        match self.durable.get(&key) {
            None => {
                self.by_seq.insert(place, key.clone());
                self.durable.insert(key, given);
                Ok(())
            }
            Some(before) if *before == given => Ok(()),
            Some(before) => Err(Violation::new(
                ONCE,
                format!("{key:?} is {before:?} and also {given:?}"),
            )),
        }
    }

    /// A client sends a message for the first time.
    pub(crate) fn sends(&mut self, key: Key, now: u64) {
        self.first_sent.entry(key).or_insert(now);
    }

    /// Somebody was told that his message is accepted. `owner` is the core that judged it.
    pub(crate) fn acknowledged(
        &mut self,
        key: Key,
        server_msg_id: &str,
        send_time: i64,
        stored: bool,
        owner: u16,
    ) -> Checked {
        if stored {
            match self.durable.get(&key) {
                None => {
                    return Err(Violation::new(
                        DURABLE,
                        format!("{key:?} is acknowledged but not on disk"),
                    ));
                }
                Some(given)
                    if given.server_msg_id != server_msg_id || given.send_time != send_time =>
                {
                    let answer = (server_msg_id, send_time);
                    return Err(Violation::new(
                        ONCE,
                        format!("{key:?} is {given:?} but was answered {answer:?}"),
                    ));
                }
                Some(_) => {}
            }
        }
        let sent = self.first_sent.get(&key).copied().unwrap_or(0);
        let latest = self.changes.iter().rfind(|c| {
            c.forbids.is_some() && c.conversation == key.conversation && c.user == key.sender
        });
        if let Some(change) = latest
            && change.forbids == Some(true)
            && change.applied.get(&owner).is_some_and(|at| *at <= sent)
        {
            return Err(Violation::new(
                JUDGED,
                format!("{key:?}, sent after {change:?} was in force, was accepted"),
            ));
        }
        let answer = Answer {
            server_msg_id: server_msg_id.into(),
            send_time,
            stored,
        };
        match self.answers.get(&key) {
            None => {
                self.acknowledged += 1;
                self.answers.insert(key, answer);
            }
            Some(_) if !stored => {}
            Some(before)
                if before.server_msg_id == server_msg_id && before.send_time == send_time =>
            {
                self.duplicates += 1;
            }
            Some(before) => {
                return Err(Violation::new(
                    ONCE,
                    format!("{key:?} was answered {before:?} and then {answer:?}"),
                ));
            }
        }
        Ok(())
    }

    /// A session opens; its connection was begun at `now`. Returns its number.
    pub(crate) fn opened(
        &mut self,
        user: &str,
        now: u64,
        token: &[u8],
    ) -> Result<usize, Violation> {
        if self.kicked.get(token).is_some_and(|at| *at <= now) {
            return Err(Violation::new(
                DURABLE,
                format!("a token of {user} whose kick is durable opened a session"),
            ));
        }
        self.sessions.push(Session {
            user: user.into(),
            opened: now,
            alive: true,
            ..Session::default()
        });
        Ok(self.sessions.len() - 1)
    }

    /// Tokens out of force for good.
    pub(crate) fn kicked(&mut self, tokens: impl IntoIterator<Item = Vec<u8>>, now: u64) {
        for token in tokens {
            self.kicked.entry(token).or_insert(now);
        }
    }

    /// The core that orders this lane.
    pub(crate) fn owner(&self, lane: &str) -> u16 {
        core_of(lane, self.cores)
    }

    /// A message sent at `sent` is refused because of what its sender may not do.
    pub(crate) fn refused(&mut self, key: &Key, code: i32, sent: u64, owner: u16) -> Checked {
        self.refused += 1;
        let latest = self.changes.iter().rfind(|c| {
            c.forbids.is_some() && c.conversation == key.conversation && c.user == key.sender
        });
        let allowed = match latest {
            None => true,
            Some(change) => {
                change.forbids == Some(false)
                    && change.applied.get(&owner).is_some_and(|at| *at <= sent)
            }
        };
        if allowed {
            return Err(Violation::new(
                JUDGED,
                format!("{key:?} was refused with {code}, after {latest:?}"),
            ));
        }
        Ok(())
    }

    /// Whether the user's membership behind this conversation may have been unclear since `from`.
    fn unsure(&self, conversation: &str, user: &str, from: u64) -> bool {
        let chat = conversation
            .strip_prefix("n_")
            .map(|group| format!("sg_{group}"));
        let chat = chat.as_deref().unwrap_or(conversation);
        let home = core_of(user, self.cores);
        self.changes
            .iter()
            .filter(|c| c.membership && c.conversation == chat && c.user == user)
            .any(|c| c.begun >= from || c.applied.get(&home).is_none_or(|at| *at >= from))
    }

    /// The gateway starts: cores know nothing, so whatever they learn is new.
    pub(crate) fn restarted(&mut self, cores: u16, now: u64) {
        self.cores = cores;
        self.sessions
            .iter_mut()
            .for_each(|session| session.alive = false);
        for change in &mut self.changes {
            for core in 0..cores {
                change.applied.entry(core).or_insert(now);
            }
        }
    }

    /// A session got a message.
    pub(crate) fn pushed(&mut self, session: usize, conversation: &str, msg: &MsgData) -> Checked {
        self.pushes += 1;
        let key = Key::new(conversation, &msg.send_id, &msg.client_msg_id);
        if msg.seq == 0 {
            return Ok(());
        }
        let fits = self.durable.get(&key).is_some_and(|given| {
            given.seq == msg.seq
                && given.server_msg_id == msg.server_msg_id
                && given.send_time == msg.send_time
        });
        if !fits {
            let what = format!(
                "{key:?} was pushed as seq {}, on disk is {:?}",
                msg.seq,
                self.durable.get(&key)
            );
            return Err(Violation::new(DURABLE, what));
        }
        let Some(heard) = self.sessions.get(session) else {
            return Ok(());
        };
        let last = heard.last.get(conversation).copied();
        let synced = heard
            .synced
            .as_ref()
            .map(|max| max.get(conversation).copied().unwrap_or(0));
        let name = format!("session {session} of {}", heard.user);
        if last.is_some_and(|last| msg.seq <= last) {
            return Err(Violation::new(
                ORDER,
                format!("{name} got {conversation} seq {} after {last:?}", msg.seq),
            ));
        }
        let expected = match (last, synced) {
            (Some(last), synced) => Some(synced.unwrap_or(0).max(last)),
            (None, synced) => synced,
        };
        if expected.is_some_and(|expected| msg.seq > expected + 1)
            && !self.unsure(conversation, &heard.user, heard.opened)
            && !self
                .onlookers
                .contains(&(conversation.to_string(), heard.user.clone()))
        {
            let what = format!(
                "{name} got {conversation} seq {}, had {last:?}, 1001 said {synced:?}",
                msg.seq
            );
            return Err(Violation::new(SYNC, what));
        }
        let Some(heard) = self.sessions.get_mut(session) else {
            return Ok(());
        };
        heard.last.insert(conversation.into(), msg.seq);
        if !heard.heard.insert(key.clone()) {
            return Err(Violation::new(ONCE, format!("{name} got {key:?} twice")));
        }
        Ok(())
    }

    /// A session's first 1001 was answered.
    pub(crate) fn synced(&mut self, session: usize, max: BTreeMap<String, i64>) -> Checked {
        for (conversation, max) in &max {
            if let Some(missing) =
                (1..=*max).find(|seq| !self.by_seq.contains_key(&(conversation.clone(), *seq)))
            {
                return Err(Violation::new(
                    ORDER,
                    format!("1001 said {conversation} {max}, but {missing} is no message"),
                ));
            }
        }
        if let Some(session) = self.sessions.get_mut(session) {
            session.synced.get_or_insert(max);
        }
        Ok(())
    }

    /// A core has applied all changes up to this version.
    pub(crate) fn applied(&mut self, core: u16, version: (u64, u64), now: u64) {
        for change in &mut self.changes {
            if change.version.0 == version.0 && change.version.1 <= version.1 {
                change.applied.entry(core).or_insert(now);
            }
        }
    }

    /// Everything has come to rest: what is stored is what was promised, and all was delivered.
    /// `stored` is control's store, `members` tells who is in a conversation.
    pub(crate) fn rest(
        &self,
        stored: &BTreeMap<String, BTreeMap<i64, KnownMessage>>,
        party: impl Fn(&str, &str) -> bool,
    ) -> Checked {
        for (conversation, messages) in stored {
            for (place, seq) in messages.keys().enumerate() {
                if *seq != place as i64 + 1 {
                    return Err(Violation::new(
                        ORDER,
                        format!("{conversation} has seq {seq} in place {}", place + 1),
                    ));
                }
            }
            let mut keys = BTreeSet::new();
            for message in messages.values() {
                let key = Key::new(conversation, &message.send_id, &message.client_msg_id);
                if !message.client_msg_id.is_empty() && !keys.insert(key.clone()) {
                    return Err(Violation::new(ONCE, format!("{key:?} is stored twice")));
                }
            }
        }
        for (key, given) in &self.durable {
            let row = stored
                .get(&key.conversation)
                .and_then(|messages| messages.get(&given.seq));
            let same = row.is_some_and(|row| {
                row.send_id == key.sender
                    && row.client_msg_id == key.client_msg_id
                    && row.server_msg_id == given.server_msg_id
                    && row.send_time == given.send_time
            });
            if !same {
                return Err(Violation::new(
                    DURABLE,
                    format!("{key:?} was {given:?}, the store has {row:?}"),
                ));
            }
        }
        for (key, answer) in &self.answers {
            if answer.stored && !self.durable.contains_key(key) {
                return Err(Violation::new(
                    DURABLE,
                    format!("{key:?} was answered {answer:?} and is gone"),
                ));
            }
        }
        for (number, session) in self
            .sessions
            .iter()
            .enumerate()
            .filter(|(_, session)| session.alive)
        {
            let Some(synced) = &session.synced else {
                continue;
            };
            for ((conversation, seq), key) in &self.by_seq {
                let max = synced.get(conversation).copied().unwrap_or(0);
                if *seq <= max || session.heard.contains(key) || !party(conversation, &session.user)
                {
                    continue;
                }
                if !self.unsure(conversation, &session.user, session.opened) {
                    let what = format!(
                        "session {number} of {} was told {max} of {conversation} and never got seq {seq}",
                        session.user
                    );
                    return Err(Violation::new(SYNC, what));
                }
            }
        }
        Ok(())
    }
}

/// Something that should have happened by now did not.
pub(crate) fn stuck(what: impl Into<String>) -> Violation {
    Violation::new(LIVE, what)
}

#[cfg(test)]
mod tests;
