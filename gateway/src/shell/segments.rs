//! Segment files: where they are, how they are made, recycled and removed.

use super::rings::{Mail, Rings};
use crate::core::CoreId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

/// Finished segments of a journal kept to be used again.
const SPARES: usize = 2;

/// Names of the journal files.
#[derive(Debug, Clone)]
pub struct SegmentPaths {
    folder: PathBuf,
}

impl SegmentPaths {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder of all journals.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of one journal.
    pub fn journal(&self, journal: u16) -> PathBuf {
        self.folder.join(format!("journal-{journal}"))
    }

    /// The file of one segment.
    pub fn segment(&self, journal: u16, segment: u64) -> PathBuf {
        self.journal(journal).join(format!("{segment:016}.segment"))
    }

    fn spare(&self, journal: u16, n: usize) -> PathBuf {
        self.journal(journal).join(format!("{n}.spare"))
    }

    /// Numbers of the journals found, ascending.
    ///
    /// # Errors
    /// Of reading the folder.
    pub fn journals(&self) -> io::Result<Vec<u16>> {
        numbers(&self.folder, |name| name.strip_prefix("journal-"))
    }

    /// Numbers of a journal's segments found, ascending. None when the journal does not exist.
    ///
    /// # Errors
    /// Of reading the folder.
    pub fn segments(&self, journal: u16) -> io::Result<Vec<u64>> {
        match numbers(&self.journal(journal), |name| name.strip_suffix(".segment")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }
}

fn numbers<T: std::str::FromStr + Ord>(
    folder: &Path,
    part: fn(&str) -> Option<&str>,
) -> io::Result<Vec<T>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(part).and_then(|n| n.parse().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Keeps a second gateway off the folder for as long as the returned file is open.
///
/// # Errors
/// When the folder cannot be made or another process holds it.
pub fn lock_folder(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another gateway uses this folder",
        )),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Writes the header of a segment: journal, segment.
pub type HeaderOf = Arc<dyn Fn(u16, u64) -> Vec<u8> + Send + Sync>;

/// Something for the segment thread.
#[derive(Debug)]
pub(crate) enum Job {
    /// Make a segment of the own journal; answered by [`Mail::Segment`].
    Create { segment: u64 },
    /// A segment is stored in full.
    Release { journal: u16, segment: u64 },
}

/// Makes and removes segment files of one core.
pub(crate) struct SegmentStore {
    pub(crate) journal: u16,
    pub(crate) paths: SegmentPaths,
    pub(crate) segment_bytes: u64,
    pub(crate) header: HeaderOf,
}

impl SegmentStore {
    /// Works off jobs until the core is gone.
    pub(crate) fn run(self, core: CoreId, jobs: &mpsc::Receiver<Job>, rings: &Rings) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Create { segment } => {
                    let result = self.create(segment).map_err(|e| e.to_string());
                    rings.post(core, Mail::Segment { segment, result });
                }
                Job::Release { journal, segment } => {
                    // A file that stays is found and streamed again after a restart, which is harmless.
                    if let Err(error) = self.release(journal, segment) {
                        tracing::warn!(journal, segment, %error, "cannot remove a stored segment");
                    }
                }
            }
        }
    }

    /// Makes a segment: its full size is on the disk and its directory entry is durable afterwards.
    fn create(&self, segment: u64) -> io::Result<()> {
        let folder = self.paths.journal(self.journal);
        fs::create_dir_all(&folder)?;
        let header = (self.header)(self.journal, segment);
        let made = match self.take_spare() {
            Some(spare) => spare,
            None => folder.join("next.new"),
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&made)?;
        // What a crash left behind may be of another size.
        file.set_len(self.segment_bytes)?;
        allocate(&file, self.segment_bytes)?;
        file.write_all(&header)?;
        file.sync_all()?;
        fs::rename(&made, self.paths.segment(self.journal, segment))?;
        sync_folder(&folder)?;
        // The journal's own folder may be new.
        sync_folder(&self.paths.folder)
    }

    fn take_spare(&self) -> Option<PathBuf> {
        let fits = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.len() == self.segment_bytes);
        (0..SPARES)
            .map(|n| self.paths.spare(self.journal, n))
            .find(fits)
    }

    fn release(&self, journal: u16, segment: u64) -> io::Result<()> {
        let path = self.paths.segment(journal, segment);
        let free = (0..SPARES)
            .map(|n| self.paths.spare(self.journal, n))
            .find(|spare| !spare.exists());
        match free {
            Some(spare) if journal == self.journal => {
                fs::rename(&path, spare)?;
                // Before the file gets another header its old name must be gone for good: else a crash
                // could bring back the old name with the wrong header inside.
                sync_folder(&self.paths.journal(journal))
            }
            _ => fs::remove_file(path),
        }
    }
}

/// Reserves the whole file, so that later writes neither fail for space nor change its size.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: plain system call on a descriptor that `file` keeps open.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // Some file systems cannot reserve; a full disk then shows as a failed write.
            e if e.raw_os_error() == Some(libc::EOPNOTSUPP) => file.set_len(bytes),
            e => Err(e),
        },
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> SegmentStore {
        SegmentStore {
            journal: 0,
            paths: SegmentPaths::new(folder),
            segment_bytes: 1 << 20,
            header: Arc::new(|journal, segment| format!("head {journal} {segment}").into_bytes()),
        }
    }

    #[test]
    fn a_segment_has_its_full_size_and_header() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.create(7).unwrap();
        assert_eq!(store.paths.journals().unwrap(), [0]);
        assert_eq!(store.paths.segments(0).unwrap(), [7]);
        let bytes = fs::read(store.paths.segment(0, 7)).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert!(bytes.starts_with(b"head 0 7"));
    }

    #[test]
    fn an_unfinished_segment_of_another_size_becomes_one_of_this_size() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        fs::create_dir_all(store.paths.journal(0)).unwrap();
        fs::write(store.paths.journal(0).join("next.new"), vec![7; 2 << 20]).unwrap();
        store.create(0).unwrap();
        let length = fs::metadata(store.paths.segment(0, 0)).unwrap().len();
        assert_eq!(length, 1 << 20);
    }

    #[test]
    fn released_segments_are_used_again_and_no_more_than_needed_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        for segment in 0..4 {
            store.create(segment).unwrap();
        }
        for segment in 0..4 {
            store.release(0, segment).unwrap();
        }
        assert_eq!(store.paths.segments(0).unwrap(), [] as [u64; 0]);
        let left = || fs::read_dir(store.paths.journal(0)).unwrap().count();
        assert_eq!(left(), SPARES);
        store.create(4).unwrap();
        assert_eq!(left(), SPARES, "one spare became the segment");
        assert!(
            fs::read(store.paths.segment(0, 4))
                .unwrap()
                .starts_with(b"head 0 4")
        );
    }

    #[test]
    fn segments_of_an_orphan_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (own, mut orphan) = (store(folder.path()), store(folder.path()));
        orphan.journal = 5;
        orphan.create(0).unwrap();
        own.release(5, 0).unwrap();
        assert_eq!(own.paths.segments(5).unwrap(), [] as [u64; 0]);
    }

    #[test]
    fn one_folder_serves_one_gateway() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock_folder(folder.path()).unwrap();
        assert_eq!(
            lock_folder(folder.path()).unwrap_err().kind(),
            io::ErrorKind::ResourceBusy
        );
        drop(held);
        lock_folder(folder.path()).unwrap();
    }
}
