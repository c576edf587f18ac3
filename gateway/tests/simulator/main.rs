//! The simulator: whole gateways of several cores, a stand-in for control and clients of every
//! encoding in one thread and in virtual time, all drawn from one seed; with crashes, torn writes, cut
//! links and dying clients, against an oracle of what must hold.
//!
//! `RINGWIRE_SIM_SEEDS=N` runs N seeds, `RINGWIRE_SIM_FROM=N` says from where on,
//! `RINGWIRE_SIM_SEED=N` runs that one, `RINGWIRE_SIM_TRACE=1` prints what happens.

mod client;
mod control;
mod disk;
mod entropy;
mod oracle;
mod plan;
mod random;
mod schedule;
mod trace;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use world::World;

/// Seeds when nothing else is said.
const SEEDS: u64 = 300;

/// What a run came to.
struct Outcome {
    digest: u64,
    counts: BTreeMap<&'static str, u64>,
    failure: Option<String>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one seed on a thread of its own, so that its hash maps are those of every other run of it.
fn run(seed: u64, print: bool) -> Outcome {
    let thread = std::thread::Builder::new()
        .name(format!("seed {seed}"))
        .stack_size(8 << 20);
    let handle = thread.spawn(move || {
        let mut world = World::new(seed, print);
        let failure = match catch_unwind(AssertUnwindSafe(|| world.run())) {
            Ok(Ok(())) => None,
            Ok(Err(violation)) => Some(format!("invariant {}: {}", violation.invariant, violation.what)),
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
                Some(format!("invariant 9 (no input panics a core): {said}"))
            }
        };
        let failure = failure.map(|what| {
            let tail = world.trace.tail();
            let at = world.now as f64 / 1e6;
            format!(
                "seed {seed} violates {what}\n  at {at:.6} s, after:\n{tail}\
                 replay: RINGWIRE_SIM_SEED={seed} RINGWIRE_SIM_TRACE=1 cargo test -p ringwire-gateway --test simulator seeds"
            )
        });
        let oracle = &world.oracle;
        let counts = BTreeMap::from([
            ("events", world.happened),
            ("virtual seconds", world.now / plan::SECOND),
            ("sessions", oracle.sessions.len() as u64),
            ("acknowledged", oracle.acknowledged),
            ("repeated answers", oracle.duplicates),
            ("pushes", oracle.pushes),
            ("refused", oracle.refused),
            ("changes", oracle.changes.len() as u64),
        ]);
        Outcome { digest: world.trace.digest(), counts, failure }
    });
    match handle.map(std::thread::JoinHandle::join) {
        Ok(Ok(outcome)) => outcome,
        _ => Outcome {
            digest: 0,
            counts: BTreeMap::new(),
            failure: Some(format!("seed {seed}: its thread died")),
        },
    }
}

/// Runs seeds on all processors. Returns the failures, in order of seeds.
fn sweep(from: u64, seeds: u64) -> Vec<String> {
    let begin = Instant::now();
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let results = Mutex::new((BTreeMap::<&str, u64>::new(), BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let outcome = run(seed, false);
                    let mut results = results.lock().expect("no worker panics");
                    for (name, count) in outcome.counts {
                        *results.0.entry(name).or_default() += count;
                    }
                    if let Some(failure) = outcome.failure {
                        results.1.insert(seed, failure);
                        stop.store(results.1.len() >= 5, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (counts, failures) = results.into_inner().expect("no worker panics");
    let done = next.load(Ordering::Relaxed).min(from + seeds) - from;
    let seconds = begin.elapsed().as_secs_f64();
    // Past the test harness, which keeps back what successful tests print.
    let line = format!(
        "{done} seeds in {seconds:.1} s: {:.0} seeds a minute; {counts:?}; {} failed\n",
        done as f64 * 60.0 / seconds,
        failures.len()
    );
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error");
    failures.into_values().collect()
}

#[test]
fn seeds_hold_the_invariants() {
    let print = std::env::var_os("RINGWIRE_SIM_TRACE").is_some();
    let failures = match number("RINGWIRE_SIM_SEED") {
        Some(seed) => run(seed, print).failure.into_iter().collect(),
        None => sweep(
            number("RINGWIRE_SIM_FROM").unwrap_or(1),
            number("RINGWIRE_SIM_SEEDS").unwrap_or(SEEDS),
        ),
    };
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 14, 159] {
        let (one, other) = (run(seed, false), run(seed, false));
        assert_eq!(
            (one.digest, one.counts),
            (other.digest, other.counts),
            "seed {seed}"
        );
    }
}
