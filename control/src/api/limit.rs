//! Token buckets: a sustained rate with a burst, one bucket a key.
//!
//! The table is bounded: a bucket that has filled up again says nothing and is dropped; when all
//! buckets still say something and the table is full, newcomers share one bucket.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Buckets kept at most.
const MAX_BUCKETS: usize = 100_000;

/// Buckets of one kind.
#[derive(Debug)]
pub struct Limiter<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    by_key: HashMap<K, Bucket>,
    overflow: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, now: Instant, per_second: f64, burst: f64) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * per_second).min(burst);
        self.at = now;
    }

    fn take(&mut self) -> bool {
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

impl<K: Hash + Eq> Limiter<K> {
    /// `per` is the time after which one more is allowed, `burst` how many at once.
    pub fn new(per: Duration, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            per_second: 1.0 / per.as_secs_f64().max(1e-9),
            burst,
            buckets: Mutex::new(Buckets {
                by_key: HashMap::new(),
                overflow: Bucket {
                    tokens: burst,
                    at: Instant::now(),
                },
            }),
        }
    }

    /// Takes one from the key's bucket; false when there is none.
    pub fn take(&self, key: K, now: Instant) -> bool {
        let mut buckets = self.lock();
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.take()
    }

    /// Whether the key's bucket still has one, without taking it.
    pub fn has(&self, key: &K, now: Instant) -> bool {
        let mut buckets = self.lock();
        let buckets = &mut *buckets;
        let full = buckets.by_key.len() >= MAX_BUCKETS;
        let bucket = match buckets.by_key.get_mut(key) {
            Some(bucket) => bucket,
            None if full => &mut buckets.overflow,
            None => return true,
        };
        bucket.refill(now, self.per_second, self.burst);
        bucket.tokens >= 1.0
    }

    fn bucket<'a>(&self, buckets: &'a mut Buckets<K>, key: K, now: Instant) -> &'a mut Bucket {
        if buckets.by_key.len() >= MAX_BUCKETS && !buckets.by_key.contains_key(&key) {
            let (rate, burst) = (self.per_second, self.burst);
            buckets.by_key.retain(|_, b| {
                b.refill(now, rate, burst);
                b.tokens < burst
            });
        }
        let full = buckets.by_key.len() >= MAX_BUCKETS && !buckets.by_key.contains_key(&key);
        let bucket = if full {
            &mut buckets.overflow
        } else {
            buckets.by_key.entry(key).or_insert(Bucket {
                tokens: self.burst,
                at: now,
            })
        };
        bucket.refill(now, self.per_second, self.burst);
        bucket
    }

    fn lock(&self) -> MutexGuard<'_, Buckets<K>> {
        // A panic while the lock was held leaves nothing half done here.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let limiter = Limiter::new(Duration::from_millis(100), 3);
        let start = Instant::now();
        assert_eq!((0..5).filter(|_| limiter.take("a", start)).count(), 3);
        assert!(limiter.take("b", start), "another key has its own bucket");
        assert!(!limiter.take("a", start + Duration::from_millis(99)));
        assert!(limiter.take("a", start + Duration::from_millis(205)));
        assert!(limiter.take("a", start + Duration::from_millis(205)));
        assert!(!limiter.take("a", start + Duration::from_millis(205)));
    }

    #[test]
    fn looking_takes_nothing() {
        let limiter = Limiter::new(Duration::from_secs(1), 1);
        let start = Instant::now();
        assert!(limiter.has(&"a", start) && limiter.has(&"a", start));
        assert!(limiter.take("a", start));
        assert!(!limiter.has(&"a", start));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_full_buckets_first() {
        let limiter = Limiter::new(Duration::from_secs(1), 2);
        let start = Instant::now();
        for key in 0..MAX_BUCKETS {
            assert!(limiter.take(key, start));
        }
        // All hold something still: two newcomers share one bucket of two.
        assert!(limiter.take(MAX_BUCKETS, start));
        assert!(limiter.take(MAX_BUCKETS + 1, start));
        assert!(!limiter.take(MAX_BUCKETS + 2, start));
        // Later they are full again and make room.
        assert!(limiter.take(MAX_BUCKETS + 3, start + Duration::from_secs(5)));
        assert_eq!(limiter.lock().by_key.len(), 1);
    }
}
