//! A disk that loses what was not synced, by sectors and in any order.

use crate::random::Random;
use bytes::Bytes;
use ringwire_gateway::core::journal::layout;
use std::collections::BTreeMap;

/// What the device writes as one.
const SECTOR: usize = 512;

/// A write under way.
#[derive(Debug, Clone)]
pub(crate) struct Unsynced {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

/// The files of all journals.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<(u16, u64), Vec<u8>>,
    /// Content of released files, from which new ones of the same journal may be made.
    recycled: BTreeMap<u16, Vec<Vec<u8>>>,
    /// Releases that a crash may undo, oldest first.
    releasing: Vec<(u16, u64)>,
    pub(crate) full: bool,
}

impl Disk {
    /// Makes a segment file.
    pub(crate) fn create(
        &mut self,
        random: &mut Random,
        journal: u16,
        segment: u64,
        size: u64,
        epoch: u32,
    ) {
        let recycled = self.recycled.entry(journal).or_default();
        let mut file = if random.chance(700) {
            recycled.pop()
        } else {
            None
        }
        .unwrap_or_default();
        file.resize(size as usize, 0);
        file[..layout::HEADER_LEN].copy_from_slice(&layout::header(journal, segment, size, epoch));
        self.files.insert((journal, segment), file);
    }

    /// The write and its sync are complete.
    pub(crate) fn synced(&mut self, journal: u16, write: &Unsynced) -> bool {
        let Some(file) = self.files.get_mut(&(journal, write.segment)) else {
            return false;
        };
        let at = write.offset as usize;
        match file.get_mut(at..at + write.bytes.len()) {
            Some(place) => place.copy_from_slice(&write.bytes),
            None => return false,
        }
        true
    }

    /// The power fails during a write: any of its sectors may be on the disk.
    pub(crate) fn torn(&mut self, random: &mut Random, journal: u16, write: &Unsynced) {
        let Some(file) = self.files.get_mut(&(journal, write.segment)) else {
            return;
        };
        let luck = *random.pick(&[0, 200, 500, 800, 1_000]);
        let (start, end) = (
            write.offset as usize,
            write.offset as usize + write.bytes.len(),
        );
        let mut at = start;
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if random.chance(luck) {
                file[at..next].copy_from_slice(&write.bytes[at - start..next - start]);
            }
            at = next;
        }
    }

    pub(crate) fn read(
        &self,
        journal: u16,
        segment: u64,
        offset: u64,
        length: usize,
    ) -> Option<Bytes> {
        let file = self.files.get(&(journal, segment))?;
        file.get(offset as usize..offset as usize + length)
            .map(Bytes::copy_from_slice)
    }

    /// The file may go; a crash in the next moment may bring it back.
    pub(crate) fn release(&mut self, journal: u16, segment: u64) -> bool {
        self.releasing.push((journal, segment));
        if self.releasing.len() > 2 {
            let (journal, segment) = self.releasing.remove(0);
            return self.remove(journal, segment);
        }
        self.files.contains_key(&(journal, segment))
    }

    fn remove(&mut self, journal: u16, segment: u64) -> bool {
        let Some(file) = self.files.remove(&(journal, segment)) else {
            return false;
        };
        self.recycled.entry(journal).or_default().push(file);
        true
    }

    /// Files the crash did not bring back are gone.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let keep = random.index(self.releasing.len() + 1);
        for (journal, segment) in std::mem::take(&mut self.releasing).into_iter().take(keep) {
            self.remove(journal, segment);
        }
    }

    pub(crate) fn is_released(&self, journal: u16, segment: u64) -> bool {
        self.releasing.contains(&(journal, segment))
    }

    /// All files, by journal and segment.
    pub(crate) fn files(&self) -> impl Iterator<Item = (u16, u64, &[u8])> {
        self.files
            .iter()
            .map(|((journal, segment), file)| (*journal, *segment, file.as_slice()))
    }
}
