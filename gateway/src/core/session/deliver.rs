//! Pushes to sessions (spec: gateway.md 7).

use super::conn::ConnKey;
use super::home::Home;
use crate::core::fanout::PushFrames;
use crate::core::out::Out;
use crate::core::ring::Push;
use ringwire_protocol::platform::Platform;

impl Home {
    /// To all sessions of these users.
    pub(super) fn deliver(&mut self, users: &[String], push: &Push, out: &mut Out) {
        let mut frames = PushFrames::of_message(push);
        for user in users {
            if let Some(user_key) = self.by_name.get(user.as_str()).copied() {
                self.push_to_user(user_key, &mut frames, out);
            }
        }
        self.account(&frames, push);
    }

    /// To all sessions of a group's members, and of a few others.
    pub(super) fn deliver_group(
        &mut self,
        group_id: &str,
        also: &[String],
        push: &Push,
        out: &mut Out,
    ) {
        if also.is_empty() && self.groups.members(group_id).next().is_none() {
            return;
        }
        let mut frames = PushFrames::of_message(push);
        let mut receivers = std::mem::take(&mut self.receivers);
        receivers.extend(self.groups.members(group_id));
        for user in also {
            if let Some(user_key) = self.by_name.get(user.as_str()).copied()
                && !receivers.contains(&user_key)
            {
                receivers.push(user_key);
            }
        }
        for user_key in receivers.drain(..) {
            self.push_to_user(user_key, &mut frames, out);
        }
        self.receivers = receivers;
        self.account(&frames, push);
    }

    fn account(&mut self, frames: &PushFrames, push: &Push) {
        self.stats.pushes_encoded += frames.encoded();
        if frames.too_large() {
            let (operation, bytes) = (&push.operation_id, push.payload.len());
            tracing::warn!(
                operation,
                bytes,
                "push is larger than clients read and is not sent to all"
            );
        }
    }

    fn push_to_user(&mut self, user_key: usize, frames: &mut PushFrames, out: &mut Out) {
        // By index: a session that is closed as too slow leaves the list on the way.
        let mut at = 0;
        while let Some(key) = self
            .users
            .get(user_key)
            .and_then(|user| user.sessions.get(at))
            .copied()
        {
            self.push_message_to(key, frames, out);
            if self
                .users
                .get(user_key)
                .and_then(|user| user.sessions.get(at))
                == Some(&key)
            {
                at += 1;
            }
        }
    }

    /// A message to one session. iOS in background gets none: the system's push wakes it.
    fn push_message_to(&mut self, key: ConnKey, frames: &mut PushFrames, out: &mut Out) {
        let asleep = self
            .conns
            .get(key)
            .and_then(|c| c.session())
            .is_some_and(|s| s.background && s.platform == Platform::Ios);
        if asleep {
            self.stats.pushes_background += 1;
        } else {
            self.push_to(key, frames, out);
        }
    }

    /// To one session.
    pub(super) fn push_to(&mut self, key: ConnKey, frames: &mut PushFrames, out: &mut Out) {
        let Some(session) = self.conns.get(key).and_then(|c| c.session()) else {
            return;
        };
        match frames.frame(&mut self.codec, session.encoding, session.gzip) {
            Some(frame) => {
                self.stats.pushes += 1;
                self.enqueue(key, frame, out);
            }
            None => self.stats.pushes_too_large += 1,
        }
    }
}
