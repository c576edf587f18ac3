//! The committer of a core: journal writes made durable through io_uring, one at a time, and reads.
//!
//! Making and recycling segment files may block for long, so that goes to a thread of its own
//! ([`super::segments`]). A write or sync that fails ends the process: after a failed sync nobody
//! knows what the disk holds, and a retry can report success for bytes that are lost.

use super::accept::is_exhaustion;
use super::counters::add;
use super::hub::Hub;
use super::notify::Notify;
use super::segments::{Job, SegmentPaths};
use super::{Machine, die, exit};
use crate::core::Event;
use bytes::Bytes;
use monoio::fs::File;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

/// Open segment files kept for reading beside the newest.
const OPEN_FILES: usize = 8;

/// A read of the journal.
#[derive(Debug)]
pub(crate) struct ReadRequest {
    pub(crate) journal: u16,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) position: u64,
}

struct WriteRequest {
    segment: u64,
    offset: u64,
    bytes: Bytes,
}

/// Queues towards the two journal tasks of a core.
pub(crate) struct Committer {
    journal: u16,
    paths: SegmentPaths,
    jobs: mpsc::Sender<Job>,
    write: RefCell<Option<WriteRequest>>,
    write_due: Notify,
    read: RefCell<Option<ReadRequest>>,
    read_due: Notify,
    files: RefCell<HashMap<(u16, u64), Rc<File>>>,
    /// Things in progress: writes, reads, segments being made.
    busy: Cell<usize>,
}

impl Committer {
    /// For the journal of this number; `jobs` leads to its segment thread.
    pub(crate) fn new(journal: u16, paths: SegmentPaths, jobs: mpsc::Sender<Job>) -> Self {
        Self {
            journal,
            paths,
            jobs,
            write: RefCell::default(),
            write_due: Notify::default(),
            read: RefCell::default(),
            read_due: Notify::default(),
            files: RefCell::default(),
            busy: Cell::new(0),
        }
    }

    pub(crate) fn write(&self, segment: u64, offset: u64, bytes: Bytes) {
        self.begin();
        if self
            .write
            .borrow_mut()
            .replace(WriteRequest {
                segment,
                offset,
                bytes,
            })
            .is_some()
        {
            die(exit::FATAL, "a core asked for two journal writes at once");
        }
        self.write_due.notify();
    }

    pub(crate) fn read(&self, request: ReadRequest) {
        self.begin();
        if self.read.borrow_mut().replace(request).is_some() {
            die(exit::FATAL, "a core asked for two journal reads at once");
        }
        self.read_due.notify();
    }

    pub(crate) fn create(&self, segment: u64) {
        self.begin();
        self.job(Job::Create { segment });
    }

    pub(crate) fn release(&self, journal: u16, segment: u64) {
        self.files.borrow_mut().remove(&(journal, segment));
        self.job(Job::Release { journal, segment });
    }

    /// The segment thread has answered a create.
    pub(crate) fn segment_done(&self) {
        self.end();
    }

    /// Whether nothing is in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.get() == 0
    }

    fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    fn end(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
    }

    fn job(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            die(exit::FATAL, "the segment thread is gone");
        }
    }

    /// The file of a segment; waits for a descriptor when there is none, which harms nothing yet.
    async fn opened(&self, journal: u16, segment: u64) -> io::Result<Rc<File>> {
        loop {
            match self.file(journal, segment) {
                Err(error) if is_exhaustion(&error) => {
                    tracing::error!(journal, segment, %error, "cannot open a segment; trying again");
                    monoio::time::sleep(Duration::from_millis(50)).await;
                }
                other => return other,
            }
        }
    }

    /// The file of a segment, opened when first used.
    fn file(&self, journal: u16, segment: u64) -> io::Result<Rc<File>> {
        let mut files = self.files.borrow_mut();
        if let Some(file) = files.get(&(journal, segment)) {
            return Ok(file.clone());
        }
        if files.len() >= OPEN_FILES {
            // The oldest is the least likely to be needed again: writes and reads only move on.
            let oldest = files.keys().min_by_key(|(_, segment)| *segment).copied();
            oldest.and_then(|key| files.remove(&key));
        }
        let path = self.paths.segment(journal, segment);
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)?;
        let file = Rc::new(File::from_std(file)?);
        files.insert((journal, segment), file.clone());
        Ok(file)
    }
}

/// Writes and syncs, one at a time, for as long as the core runs.
pub(crate) async fn commits<M: Machine>(hub: Rc<Hub<M>>) {
    let committer = &hub.committer;
    loop {
        committer.write_due.taken().await;
        let Some(WriteRequest {
            segment,
            offset,
            bytes,
        }) = committer.write.borrow_mut().take()
        else {
            continue;
        };
        let length = bytes.len() as u64;
        let done = async {
            let file = committer.opened(committer.journal, segment).await?;
            file.write_all_at(bytes, offset).await.0?;
            file.sync_data().await
        };
        if let Err(error) = done.await {
            let journal = committer.journal;
            die(
                exit::JOURNAL_IO,
                &format!("journal {journal}, segment {segment}: write failed: {error}"),
            );
        }
        committer.end();
        add(&hub.counters.journal_writes, 1);
        add(&hub.counters.journal_bytes, length);
        hub.event(Event::JournalSynced);
    }
}

/// Reads, one at a time, for as long as the core runs.
pub(crate) async fn reads<M: Machine>(hub: Rc<Hub<M>>) {
    let committer = &hub.committer;
    loop {
        committer.read_due.taken().await;
        let Some(request) = committer.read.borrow_mut().take() else {
            continue;
        };
        let ReadRequest {
            journal,
            segment,
            offset,
            length,
            position,
        } = request;
        let read = async {
            let file = committer.opened(journal, segment).await?;
            let (result, bytes) = file.read_exact_at(Vec::with_capacity(length), offset).await;
            result.map(|()| bytes)
        };
        match read.await {
            Ok(bytes) => {
                committer.end();
                hub.event(Event::JournalRead {
                    position,
                    bytes: bytes.into(),
                });
            }
            Err(error) => {
                die(
                    exit::JOURNAL_IO,
                    &format!("journal {journal}, segment {segment}: read failed: {error}"),
                );
            }
        }
    }
}
