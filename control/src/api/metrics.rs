//! Counts of the HTTP API in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the duration histogram, seconds.
const BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];

/// What the API counts. Paths come from the route table only, so the number of series is bounded.
#[derive(Debug, Default)]
pub struct Metrics {
    by_path: Mutex<BTreeMap<(&'static str, i32), u64>>,
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
    connections: AtomicU64,
    refused: AtomicU64,
}

impl Metrics {
    /// One request was answered; `path` is a registered path or `other`.
    pub fn answered(&self, path: &'static str, code: i32, took: Duration) {
        *self
            .by_path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((path, code))
            .or_default() += 1;
        let seconds = took.as_secs_f64();
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if seconds <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// A connection was opened.
    pub fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was closed.
    pub fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection was refused because of the limit.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, as text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "# HELP ringwire_api_requests_total Requests answered, by route and errCode."
        )?;
        writeln!(out, "# TYPE ringwire_api_requests_total counter")?;
        for ((path, code), count) in self
            .by_path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            writeln!(
                out,
                "ringwire_api_requests_total{{path=\"{path}\",code=\"{code}\"}} {count}"
            )?;
        }
        writeln!(
            out,
            "# HELP ringwire_api_request_seconds Time from the request's headers to its answer."
        )?;
        writeln!(out, "# TYPE ringwire_api_request_seconds histogram")?;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            writeln!(
                out,
                "ringwire_api_request_seconds_bucket{{le=\"{bound}\"}} {}",
                bucket.load(Ordering::Relaxed)
            )?;
        }
        let count = self.count.load(Ordering::Relaxed);
        writeln!(
            out,
            "ringwire_api_request_seconds_bucket{{le=\"+Inf\"}} {count}"
        )?;
        writeln!(
            out,
            "ringwire_api_request_seconds_sum {}",
            self.micros.load(Ordering::Relaxed) as f64 / 1e6
        )?;
        writeln!(out, "ringwire_api_request_seconds_count {count}")?;
        writeln!(
            out,
            "# HELP ringwire_api_connections Open HTTP connections."
        )?;
        writeln!(out, "# TYPE ringwire_api_connections gauge")?;
        writeln!(
            out,
            "ringwire_api_connections {}",
            self.connections.load(Ordering::Relaxed)
        )?;
        writeln!(
            out,
            "# HELP ringwire_api_connections_refused_total Connections refused because of the limit."
        )?;
        writeln!(out, "# TYPE ringwire_api_connections_refused_total counter")?;
        writeln!(
            out,
            "ringwire_api_connections_refused_total {}",
            self.refused.load(Ordering::Relaxed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_under_its_route_and_in_every_wider_bucket() {
        let metrics = Metrics::default();
        metrics.answered("/x", 0, Duration::from_millis(3));
        metrics.answered("/x", 1001, Duration::from_secs(20));
        let text = metrics.text();
        assert!(
            text.contains("ringwire_api_requests_total{path=\"/x\",code=\"0\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("ringwire_api_requests_total{path=\"/x\",code=\"1001\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("_bucket{le=\"0.0025\"} 0\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.005\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"10\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"+Inf\"} 2\n"), "{text}");
    }
}
