//! How long an operation may take, and whether it is too late for a fee.

use crate::chain::TimedChain;
use lampkeeper_plugin_sdk::api::chain::{ChainStatus, EpochInfo, HealOp};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A block's time until it has been measured (wire 5.1).
const BLOCK_TIME_ASSUMED: Duration = Duration::from_secs(6);
/// How long an operation may take if nothing is known of its deadline (wire 5.1).
const OPERATION_TIME_UNKNOWN: Duration = Duration::from_secs(15 * 60);
/// How long an operation may take at most, whatever its deadline.
const OPERATION_TIME_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// Measures the time between blocks from what the chain says of itself.
#[derive(Debug, Default)]
pub(crate) struct BlockClock {
    first: Mutex<Option<(i64, i64)>>,
}

impl BlockClock {
    /// The mean time of a block since the first look.
    pub(crate) fn measure(&self, status: &ChainStatus) -> Duration {
        let now = (status.latest_height, status.latest_block_time_ms);
        let first = *self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(now);
        let (blocks, elapsed_ms) = (now.0.saturating_sub(first.0), now.1.saturating_sub(first.1));
        match (u32::try_from(blocks), u64::try_from(elapsed_ms)) {
            (Ok(blocks @ 1..), Ok(elapsed_ms)) => Duration::from_millis(elapsed_ms) / blocks,
            _ => BLOCK_TIME_ASSUMED,
        }
    }
}

/// Whether the chain's epoch has reached the operation's deadline (wire 5.7).
pub(crate) const fn is_past(heal_op: &HealOp, current_epoch: u64) -> bool {
    heal_op.deadline_epoch_id != 0 && current_epoch >= heal_op.deadline_epoch_id
}

/// Whether it is too late to pay for a claim or a vote. A chain that can't be asked does not make it late (wire 5.7).
pub(crate) async fn is_too_late(chain: &TimedChain, heal_op: &HealOp) -> bool {
    match chain.current_epoch().await {
        Ok(epoch) if heal_op.deadline_epoch_id != 0 => is_past(heal_op, epoch.epoch_id),
        Ok(_) | Err(_) => false,
    }
}

/// How long the operation may still take; `None` if its deadline has passed.
///
/// Anchors exist only for epochs that have begun, so the deadline's height follows from the epoch's length.
pub(crate) async fn time_left(chain: &TimedChain, clock: &BlockClock, heal_op: &HealOp) -> Option<Duration> {
    if heal_op.deadline_epoch_id == 0 {
        return Some(OPERATION_TIME_UNKNOWN);
    }
    let (Ok(epoch), Ok(status)) = (chain.current_epoch().await, chain.status().await) else {
        return Some(OPERATION_TIME_UNKNOWN);
    };
    remaining(heal_op, &epoch, &status, clock.measure(&status))
}

fn remaining(
    heal_op: &HealOp,
    epoch: &EpochInfo,
    status: &ChainStatus,
    block_time: Duration,
) -> Option<Duration> {
    if is_past(heal_op, epoch.epoch_id) {
        return None;
    }
    let epoch_blocks =
        epoch.epoch_end_height.saturating_sub(epoch.epoch_start_height).saturating_add(1).max(1);
    let whole_epochs = heal_op.deadline_epoch_id - epoch.epoch_id - 1;
    let of_this_epoch = epoch.epoch_end_height.saturating_sub(status.latest_height).max(0);
    let blocks = u64::try_from(epoch_blocks)
        .unwrap_or(1)
        .saturating_mul(whole_epochs)
        .saturating_add(u64::try_from(of_this_epoch).unwrap_or(0));
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    Some(block_time.saturating_mul(blocks).min(OPERATION_TIME_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(latest_height: i64, latest_block_time_ms: i64) -> ChainStatus {
        ChainStatus { chain_id: String::new(), latest_height, latest_block_time_ms }
    }

    #[test]
    fn the_time_left_is_what_the_epochs_leave() {
        let epoch = EpochInfo { epoch_id: 7, epoch_start_height: 701, epoch_end_height: 800 };
        let second = Duration::from_secs(1);
        // Deadline epoch, height, block time, seconds left.
        let table = [
            (7, 750, second, None),
            (6, 750, second, None),
            (8, 750, second, Some(50)),
            (8, 800, second, Some(0)),
            (8, 810, second, Some(0)),
            (10, 750, second, Some(250)),
            (10, 750, 4 * second, Some(1000)),
            (u64::MAX, 750, second, Some(OPERATION_TIME_MAX.as_secs())),
        ];
        for (deadline_epoch_id, height, block_time, seconds) in table {
            let heal_op = HealOp { deadline_epoch_id, ..HealOp::default() };
            let left = remaining(&heal_op, &epoch, &status(height, 0), block_time);
            assert_eq!(
                left,
                seconds.map(Duration::from_secs),
                "deadline {deadline_epoch_id}, height {height}"
            );
        }
    }

    #[test]
    fn the_deadline_passes_with_the_epoch_before_it() {
        // Wire 5.7: deadline, current epoch, past.
        for (deadline_epoch_id, current, past) in [(0, 9, false), (3, 2, false), (3, 3, true), (3, 4, true)] {
            assert_eq!(is_past(&HealOp { deadline_epoch_id, ..HealOp::default() }, current), past);
        }
    }

    #[test]
    fn block_time_is_measured() {
        let clock = BlockClock::default();
        assert_eq!(clock.measure(&status(10, 5000)), BLOCK_TIME_ASSUMED);
        assert_eq!(clock.measure(&status(10, 5000)), BLOCK_TIME_ASSUMED);
        assert_eq!(clock.measure(&status(14, 7000)), Duration::from_millis(500));
        assert_eq!(clock.measure(&status(3, 9000)), BLOCK_TIME_ASSUMED, "a chain that went back");
    }
}
