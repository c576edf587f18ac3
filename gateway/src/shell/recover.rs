//! Reading the journals back at the start.

use super::segments::SegmentPaths;
use crate::core::journal::{Recovered, Recovery, RecoveryError};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why the journals cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A folder or file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What they hold is not sound.
    #[error("{}: {error}", path.display())]
    Damaged {
        /// The file that is wrong or missing.
        path: PathBuf,
        /// What is wrong with it.
        error: RecoveryError,
    },
}

/// Reads every journal in the folder, one segment at a time, and logs what was found.
///
/// # Errors
/// [`JournalError`]: the gateway must not start.
pub fn recover(paths: &SegmentPaths, segment_bytes: u64) -> Result<Vec<Recovered>, JournalError> {
    let listing = |path: PathBuf| move |error| JournalError::Read { path, error };
    let damage = |error: RecoveryError| {
        let (journal, segment) = error.segment();
        JournalError::Damaged {
            path: paths.segment(journal, segment),
            error,
        }
    };
    let mut all = Vec::new();
    for journal in paths
        .journals()
        .map_err(listing(paths.folder().to_owned()))?
    {
        let mut recovery = Recovery::new(journal, segment_bytes);
        for segment in paths
            .segments(journal)
            .map_err(listing(paths.journal(journal)))?
        {
            let path = paths.segment(journal, segment);
            let bytes = read_durable(&path).map_err(listing(path))?;
            recovery.feed(segment, &bytes).map_err(damage)?;
        }
        let Some(recovered) = recovery.finish().map_err(damage)? else {
            continue;
        };
        let span = recovered.span;
        tracing::info!(
            journal,
            first = span.first,
            end = span.end,
            "journal read back"
        );
        if recovered.cut_bytes > 0 {
            let bytes = recovered.cut_bytes;
            tracing::warn!(
                journal,
                bytes,
                "an unfinished write at the end was never acknowledged and is cut off"
            );
        }
        all.push(recovered);
    }
    Ok(all)
}

/// Reads a file of which everything read is durable afterwards. After a crash of the process alone,
/// records that were written but not yet synced are found; from now on they count as committed.
fn read_durable(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    file.sync_data()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
