//! What the link counts, in the Prometheus text format.

use super::Link;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

impl Link {
    /// Lines for `/metrics`: connected cores, how far journals are stored, what waits.
    pub async fn metrics(&self) -> String {
        let outbox = self.stores.outbox.count().await.ok();
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_metrics(outbox, &mut out);
        out
    }

    fn write_metrics(&self, outbox: Option<i64>, out: &mut String) -> std::fmt::Result {
        let head = |name: &str, kind: &str, help: &str| {
            format!("# HELP ringwire_{name} {help}\n# TYPE ringwire_{name} {kind}\n")
        };
        let cores = self.registry.cores();
        out.push_str(&head("link_cores", "gauge", "Gateway cores connected."));
        writeln!(out, "ringwire_link_cores {}", cores.len())?;
        out.push_str(&head(
            "link_unstored_bytes",
            "gauge",
            "Journal bytes received and not yet stored.",
        ));
        for core in &cores {
            let bytes = core.connection.unstored.load(Ordering::Relaxed);
            let (gateway, core) = (&core.key.gateway, core.key.core);
            writeln!(
                out,
                "ringwire_link_unstored_bytes{{gateway=\"{gateway}\",core=\"{core}\"}} {bytes}"
            )?;
        }
        out.push_str(&head(
            "journal_stored_position",
            "counter",
            "Bytes of a journal that are in the database.",
        ));
        for (gateway, at) in self.stored.all() {
            writeln!(
                out,
                "ringwire_journal_stored_position{{gateway=\"{gateway}\",journal=\"{}\"}} {}",
                at.journal, at.position
            )?;
        }
        out.push_str(&head(
            "facts_version",
            "counter",
            "Changes of facts published since control started.",
        ));
        writeln!(out, "ringwire_facts_version {}", self.registry.version())?;
        // Left out when the database does not answer: a wrong number would be worse than none.
        if let Some(rows) = outbox {
            out.push_str(&head(
                "outbox_rows",
                "gauge",
                "Messages that wait to be published.",
            ));
            writeln!(out, "ringwire_outbox_rows {rows}")?;
        }
        Ok(())
    }
}
