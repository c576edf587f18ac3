//! The journals of the gateway process on the simulated disk.

use super::faults::Fault;
use super::gateway::{Input, Writing, damaged, state, state_of};
use super::{Happening, World, say};
use crate::control::store::known;
use crate::disk::Unsynced;
use crate::oracle::{Checked, Violation};
use bytes::Bytes;
use prost::Message as _;
use ringwire_gateway::core::journal::{Recovered, Recovery};
use ringwire_link::record::{self, Record};
use ringwire_protocol::pb::sdkws::MsgData;

impl World {
    /// Reads all journals back, as they are on the disk.
    pub(super) fn recover(&mut self) -> Result<Vec<Recovered>, Violation> {
        let size = self.plan.limits.journal_segment_bytes;
        let mut all = Vec::new();
        let mut files = self.disk.files().peekable();
        while let Some((number, ..)) = files.peek().copied() {
            let mut recovery = Recovery::new(number, size);
            while let Some((_, segment, bytes)) = files.next_if(|(journal, ..)| *journal == number)
            {
                recovery.feed(segment, bytes).map_err(damaged)?;
            }
            all.extend(recovery.finish().map_err(damaged)?);
        }
        Ok(all)
    }

    /// A core writes, and syncs.
    pub(super) fn journal_write(
        &mut self,
        run: u64,
        core: u16,
        segment: u64,
        offset: u64,
        bytes: Bytes,
    ) -> Checked {
        let size = self.plan.limits.journal_segment_bytes;
        let mut writing = Writing {
            write: Unsynced {
                segment,
                offset,
                bytes,
            },
            messages: Vec::new(),
            kicks: Vec::new(),
        };
        let (bytes, mut at) = (writing.write.bytes.clone(), 0);
        while let Ok((_, record, length)) =
            record::read(&bytes[at..], segment * size + offset + at as u64)
        {
            at += length;
            match record {
                Record::Message(message) => {
                    let msg = MsgData::decode(message.msg).map_err(damaged)?;
                    writing
                        .messages
                        .push((message.conversation_id, known(&msg)));
                }
                Record::TokenKick(kick) => writing.kicks.extend(kick.tokens),
            }
        }
        let Some(state) = state_of(&mut self.gateway, core) else {
            return Ok(());
        };
        if state.writing.replace(writing).is_some() {
            return Err(damaged("two journal writes at once"));
        }
        let delay = self.random.delay(self.plan.sync_time);
        if std::mem::take(&mut self.crash_armed) {
            let before = self.random.below(delay);
            self.after(before, Happening::Fault(Fault::CrashNow));
        }
        self.after(delay, Happening::Synced { run, core });
        Ok(())
    }

    /// A write and its sync are complete.
    pub(super) fn synced(&mut self, run: u64, core: u16) -> Checked {
        let Some(state) = state(&mut self.gateway, run, core) else {
            return Ok(());
        };
        let Some(writing) = state.writing.take() else {
            return Ok(());
        };
        if !self.disk.synced(core, &writing.write) {
            return Err(damaged(format!(
                "core {core} wrote where there is no segment: {:?}",
                writing.write
            )));
        }
        for (conversation, message) in &writing.messages {
            say!(
                self,
                "core {core} synced {conversation} {} {}",
                message.seq,
                message.client_msg_id
            );
            self.oracle.durable(conversation, message)?;
        }
        self.oracle.kicked(writing.kicks, self.now);
        self.input(run, core, Input::Synced);
        Ok(())
    }

    pub(super) fn created(&mut self, run: u64, core: u16, segment: u64) {
        let Some(epoch) = self
            .gateway
            .as_ref()
            .filter(|g| g.run == run)
            .map(|g| g.epoch)
        else {
            return;
        };
        if self.disk.full {
            return self.input(run, core, Input::SegmentFailed { segment });
        }
        let size = self.plan.limits.journal_segment_bytes;
        self.disk
            .create(&mut self.random, core, segment, size, epoch);
        self.input(run, core, Input::SegmentReady { segment });
    }

    pub(super) fn journal_read(
        &mut self,
        run: u64,
        core: u16,
        journal: u16,
        (segment, offset): (u64, u64),
        length: usize,
        position: u64,
    ) -> Checked {
        if self.gateway.as_ref().is_none_or(|g| g.run != run) {
            return Ok(());
        }
        match self.disk.read(journal, segment, offset, length) {
            Some(bytes) if !self.disk.is_released(journal, segment) => {
                self.input(run, core, Input::Read { position, bytes });
                Ok(())
            }
            _ => Err(damaged(format!(
                "core {core} reads journal {journal} at {position}, which is not there"
            ))),
        }
    }
}
