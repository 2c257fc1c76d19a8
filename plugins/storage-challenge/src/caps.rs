//! How much one request may ask for (wire 3.3).
//!
//! Owns the cache of the chain's two parameters. The hard caps hold whatever the chain says.

use lampkeeper_plugin_sdk::api::chain::{ChainReader, Params};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most bytes of ranges in one answer, whatever the chain allows (wire 1.2).
pub(crate) const AGGREGATE_LEN_BYTES_MAX: u64 = 16_384;
/// The most ranges in one request, whatever the chain allows (wire 1.2).
pub(crate) const RANGES_MAX: u64 = 16;
/// Ranges, when the chain has no value or can't be asked.
const RANGES_DEFAULT: u64 = 4;
/// Length of a range, when the chain has no value or can't be asked.
const RANGE_LEN_BYTES_DEFAULT: u64 = 256;
/// How long the chain's values are used without asking again.
const CACHE_FOR: Duration = Duration::from_secs(60);
/// How long they are used for a request that does not fit them.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The caps in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// Ranges in a request.
    pub(crate) ranges: u64,
    /// Bytes of each range.
    pub(crate) range_len_bytes: u64,
    /// Bytes of all ranges.
    pub(crate) aggregate_len_bytes: u64,
}

impl Caps {
    pub(crate) fn of(params: &Params) -> Self {
        let or = |value: u32, default| if value == 0 { default } else { u64::from(value) };
        let ranges = or(params.storage_truth_compound_ranges_per_artifact, RANGES_DEFAULT);
        let range_len_bytes = or(params.storage_truth_compound_range_len_bytes, RANGE_LEN_BYTES_DEFAULT);
        let aggregate_len_bytes = ranges.saturating_mul(range_len_bytes).min(AGGREGATE_LEN_BYTES_MAX);
        Self { ranges, range_len_bytes, aggregate_len_bytes }
    }

    /// The number and the length of ranges that a challenge of an artifact asks for.
    ///
    /// The chain bounds neither parameter. A product above the hard cap would be refused by every target and count
    /// against it, so the ranges are shortened and thinned out until they fit (closes the weakness of wire 3.3).
    pub(crate) fn ranges_for(self, artifact_len_bytes: u64) -> (u32, u64) {
        let range_len_bytes =
            self.range_len_bytes.min(AGGREGATE_LEN_BYTES_MAX).min(artifact_len_bytes).max(1);
        let ranges = self.ranges.min(RANGES_MAX).min(AGGREGATE_LEN_BYTES_MAX / range_len_bytes).max(1);
        (u32::try_from(ranges).unwrap_or(1), range_len_bytes)
    }

    /// The starts of ranges that together cover a whole artifact, in requests that are within the caps, and the length of
    /// each. The last range is moved back to end with the artifact, because all have one length (wire 3.2, step 6).
    pub(crate) fn cover(self, artifact_len_bytes: u64) -> (Vec<Vec<u64>>, u64) {
        let (ranges, range_len_bytes) = self.ranges_for(artifact_len_bytes);
        let last = artifact_len_bytes.saturating_sub(range_len_bytes);
        let starts: Vec<u64> = (0..artifact_len_bytes.div_ceil(range_len_bytes))
            .map(|number| (number * range_len_bytes).min(last))
            .collect();
        (starts.chunks(ranges as usize).map(<[u64]>::to_vec).collect(), range_len_bytes)
    }

    /// Whether this many ranges of this length are within the caps.
    pub(crate) const fn allow(self, count: u64, range_len_bytes: u64) -> bool {
        count <= self.ranges
            && range_len_bytes <= self.range_len_bytes
            && count.saturating_mul(range_len_bytes) <= self.aggregate_len_bytes
    }
}

/// The caps, and whether the chain has ever said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapsInForce {
    pub(crate) caps: Caps,
    /// Whether these are the chain's own, as of [`ASK_AGAIN_AFTER`] ago or later.
    pub(crate) is_certain: bool,
}

/// Asks the chain for the caps, at most once a minute unless a request does not fit.
pub(crate) struct CapsCache {
    chain: Arc<dyn ChainReader>,
    scheduler: Arc<dyn Scheduler>,
    cached: Mutex<Option<(Moment, Caps)>>,
}

impl CapsCache {
    pub(crate) fn new(chain: Arc<dyn ChainReader>, scheduler: Arc<dyn Scheduler>) -> Self {
        Self { chain, scheduler, cached: Mutex::new(None) }
    }

    /// The caps for a request of this many ranges of this length.
    ///
    /// If it does not fit what is remembered, the parameters may have been raised meanwhile: refusing it at once would
    /// earn us a row, so the chain is asked again. If the chain can't be asked, the last known caps stay in force, or
    /// the defaults.
    pub(crate) async fn for_request(&self, count: u64, range_len_bytes: u64) -> CapsInForce {
        let now = self.scheduler.now();
        let cached = *self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, caps)) = cached {
            let age = now.since(at);
            if age < ASK_AGAIN_AFTER || (age < CACHE_FOR && caps.allow(count, range_len_bytes)) {
                return CapsInForce { caps, is_certain: true };
            }
        }
        match self.chain.params().await {
            Ok(params) => {
                let caps = Caps::of(&params);
                *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, caps));
                CapsInForce { caps, is_certain: true }
            }
            Err(_) => {
                let caps = cached.map_or_else(|| Caps::of(&Params::zeroed()), |(_, caps)| caps);
                CapsInForce { caps, is_certain: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_parameter_makes_every_target_refuse() {
        for (ranges, len, artifact, expected) in [
            (4, 256, 65_532, (4, 256)),
            (0, 0, 65_532, (4, 256)),
            (4, 256, 100, (4, 100)),
            (1000, 256, 65_532, (16, 256)),
            (4, 65_536, 65_532, (1, 16_384)),
            (16, 4096, 65_532, (4, 4096)),
        ] {
            let params = Params {
                storage_truth_compound_ranges_per_artifact: ranges,
                storage_truth_compound_range_len_bytes: len,
                ..Params::default()
            };
            let (count, range_len) = Caps::of(&params).ranges_for(artifact);
            assert_eq!((count, range_len), expected, "{ranges} x {len} of {artifact}");
            assert!(u64::from(count) * range_len <= AGGREGATE_LEN_BYTES_MAX);
        }
    }

    #[test]
    fn a_cover_has_every_byte_and_every_request_is_within_the_caps() {
        // Ranges and their length as the chain has them, the artifact, requests.
        for (ranges, len, artifact, requests) in [
            (4, 256, 65_532, 64),
            (4, 256, 65_536, 64),
            (16, 1024, 65_532, 4),
            (1, 65_536, 65_532, 4),
            (16, 65_536, 65_532, 4),
            (4, 256, 1, 1),
            (4, 256, 257, 1),
        ] {
            let params = Params {
                storage_truth_compound_ranges_per_artifact: ranges,
                storage_truth_compound_range_len_bytes: len,
                ..Params::default()
            };
            let caps = Caps::of(&params);
            let (cover, range_len) = caps.cover(artifact);
            assert_eq!(cover.len(), requests, "{ranges} x {len} of {artifact}");
            assert!(cover.iter().all(|starts| caps.allow(starts.len() as u64, range_len)));
            let mut covered = 0;
            for start in cover.into_iter().flatten() {
                assert!(start <= covered, "no gap before {start}");
                covered = start + range_len;
            }
            assert_eq!(covered, artifact);
        }
    }
}
