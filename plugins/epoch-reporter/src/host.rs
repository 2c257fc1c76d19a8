//! What the node reports of itself (wire 7.3).
//!
//! Owns the translation of the store's usage. Two things differ from the page on purpose: the disk usage is always the
//! measured one, never the value that would move this node into or out of a state, and the bytes of the store are given,
//! because the chain copies the field into the record that payouts are weighed by.

use lampkeeper_plugin_sdk::api::chain::HostReport;
use lampkeeper_plugin_sdk::api::store::StoreUsage;

/// The report for a usage; `None` reads as "unknown" on the chain.
pub(crate) fn host_report(usage: Option<StoreUsage>) -> HostReport {
    let usage = usage.unwrap_or_default();
    HostReport {
        disk_usage_percent: disk_usage_percent(&usage),
        cascade_kademlia_db_bytes: usage.artifact_bytes as f64,
        ..HostReport::default()
    }
}

/// Share of the artifact volume in use; 0 if its size is not known.
fn disk_usage_percent(usage: &StoreUsage) -> f64 {
    if usage.volume_total_bytes == 0 {
        return 0.0;
    }
    let used_bytes = usage.volume_total_bytes.saturating_sub(usage.volume_free_bytes);
    used_bytes as f64 / usage.volume_total_bytes as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_reported_as_it_is() {
        let usage = |volume_total_bytes, volume_free_bytes, artifact_bytes| StoreUsage {
            artifact_count: 1,
            artifact_bytes,
            volume_total_bytes,
            volume_free_bytes,
        };
        // Usage, percentage, bytes. Every percentage is within what the chain accepts (chain 4.2, step 5).
        let table = [
            (None, 0.0, 0.0),
            (Some(usage(0, 0, 7)), 0.0, 7.0),           // size unknown
            (Some(usage(1000, 1000, 0)), 0.0, 0.0),     // empty
            (Some(usage(1000, 250, 500)), 75.0, 500.0), // the ordinary case
            (Some(usage(1000, 50, 500)), 95.0, 500.0),  // above the chain's limit of 90, and not hidden
            (Some(usage(1000, 0, 900)), 100.0, 900.0),  // full
            (Some(usage(1000, 2000, 0)), 0.0, 0.0),     // more free than there is
            (Some(usage(u64::MAX, 0, u64::MAX)), 100.0, u64::MAX as f64),
        ];
        for (usage, percent, bytes) in table {
            let report = host_report(usage);
            assert_eq!(report.disk_usage_percent, percent, "{usage:?}");
            assert_eq!(report.cascade_kademlia_db_bytes, bytes, "{usage:?}");
            assert!((0.0..=100.0).contains(&report.disk_usage_percent));
            let nothing_else =
                HostReport { disk_usage_percent: 0.0, cascade_kademlia_db_bytes: 0.0, ..report };
            assert_eq!(nothing_else, HostReport::default());
        }
    }
}
