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
}

/// Asks the chain for the caps, at most once a minute.
pub(crate) struct CapsCache {
    chain: Arc<dyn ChainReader>,
    scheduler: Arc<dyn Scheduler>,
    cached: Mutex<Option<(Moment, Caps)>>,
}

impl CapsCache {
    pub(crate) fn new(chain: Arc<dyn ChainReader>, scheduler: Arc<dyn Scheduler>) -> Self {
        Self { chain, scheduler, cached: Mutex::new(None) }
    }

    /// The caps; the defaults, uncached, if the chain can't be asked.
    pub(crate) async fn current(&self) -> Caps {
        let now = self.scheduler.now();
        let cached = *self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, caps)) = cached
            && now.since(at) < CACHE_FOR
        {
            return caps;
        }
        match self.chain.params().await {
            Ok(params) => {
                let caps = Caps::of(&params);
                *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, caps));
                caps
            }
            Err(_) => Caps::of(&Params::zeroed()),
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
}
