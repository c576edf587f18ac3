//! One committer per disk, or one per core?
//!
//! Compares, in one run and in alternating rounds, how many records become durable per second when
//!
//! - `one`: a single thread writes what W writers gathered into one file and syncs it, and
//! - `each`: W threads write and sync a file of their own at the same time,
//!
//! each sync making the same number of records durable per writer. Prints both rates and their
//! ratio; the ratio, not the rates, is the result.
//!
//! `cargo bench -p ringwire-benches --bench committers -- [DIR]` (default: the target folder)

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE_BYTES: u64 = 64 << 20;
const RECORD_BYTES: usize = 512;
const ROUND: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

fn main() -> io::Result<()> {
    let dir = std::env::args()
        .skip(1)
        .find(|a| !a.starts_with('-'))
        .map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
            PathBuf::from,
        );
    println!(
        "records of {RECORD_BYTES} bytes, files of {} MiB in {}",
        FILE_BYTES >> 20,
        dir.display()
    );
    println!(
        "{:>7} {:>14} {:>14} {:>14} {:>12}",
        "writers", "records/sync", "one rec/s", "each rec/s", "each / one"
    );
    for writers in [1usize, 2, 4] {
        for records in [1usize, 16, 128] {
            let files = open_files(&dir, writers)?;
            let (mut one, mut each) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                one.push(run(&files[..1], records * writers)?);
                each.push(run(&files, records)?);
            }
            let (one, each) = (median(one), median(each));
            println!(
                "{writers:>7} {records:>14} {one:>14.0} {each:>14.0} {:>12.2}",
                each / one
            );
        }
    }
    Ok(())
}

fn open_files(dir: &Path, count: usize) -> io::Result<Vec<File>> {
    let zeros = vec![0u8; 1 << 20];
    let open = |index: usize| {
        let path = dir.join(format!("committers-{index}.tmp"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)?;
        for offset in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset)?;
        }
        file.sync_all()?;
        // The file lives on through its descriptor and leaves nothing behind.
        std::fs::remove_file(&path)?;
        Ok(file)
    };
    (0..count).map(open).collect()
}

/// Records made durable per second by one thread a file, each sync covering `records` records.
fn run(files: &[File], records: usize) -> io::Result<f64> {
    let batch = vec![0x5a; RECORD_BYTES * records];
    let started = Instant::now();
    let counts: Vec<io::Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(|| commit_until(file, &batch, started)))
            .collect();
        threads
            .into_iter()
            .map(|t| {
                t.join()
                    .unwrap_or_else(|_| Err(io::Error::other("a writer panicked")))
            })
            .collect()
    });
    let syncs = counts.into_iter().sum::<io::Result<u64>>()?;
    Ok(syncs as f64 * records as f64 / started.elapsed().as_secs_f64())
}

fn commit_until(file: &File, batch: &[u8], started: Instant) -> io::Result<u64> {
    let mut offset = 0;
    let mut syncs = 0;
    while started.elapsed() < ROUND {
        file.write_all_at(batch, offset)?;
        file.sync_data()?;
        syncs += 1;
        offset += batch.len() as u64;
        if offset + batch.len() as u64 > FILE_BYTES {
            offset = 0;
        }
    }
    Ok(syncs)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
