//! How long an operation may take, and whether it is too late for a fee.
//!
//! Only the chain's epoch says that a deadline has passed. When that will be is not guessed from the time between blocks:
//! blocks come in bursts, or not at all, and a guess that is too short gives up what could have been healed.

use crate::chain::TimedChain;
use lampkeeper_plugin_sdk::api::chain::HealOp;
use lampkeeper_plugin_sdk::futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// How long an operation may take while nothing is known of its deadline (wire 5.1).
const OPERATION_TIME_UNKNOWN: Duration = Duration::from_secs(15 * 60);
/// How long an operation may take at most, whatever its deadline.
const OPERATION_TIME_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// The longest time between two questions whether the deadline has passed.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Whether the chain's epoch has reached the operation's deadline (wire 5.7).
pub(crate) const fn is_past(heal_op: &HealOp, current_epoch: u64) -> bool {
    heal_op.deadline_epoch_id != 0 && current_epoch >= heal_op.deadline_epoch_id
}

/// Whether it is too late to work or to pay for a claim or a vote. A chain that can't be asked does not make it late
/// (wire 5.7).
pub(crate) async fn is_too_late(chain: &TimedChain, heal_op: &HealOp) -> bool {
    match chain.current_epoch().await {
        Ok(epoch) => is_past(heal_op, epoch.epoch_id),
        Err(_) => false,
    }
}

/// The work's outcome, or `None` if the operation's time was over first; the work is then dropped. The chain is asked
/// every `look_interval`, and at least once a minute.
pub(crate) async fn in_time<T>(
    chain: &TimedChain,
    heal_op: &HealOp,
    look_interval: Duration,
    work: impl Future<Output = T> + Send,
) -> Option<T> {
    match select(pin!(work), pin!(time_is_over(chain, heal_op, look_interval))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(((), _)) => None,
    }
}

/// Ends when the chain has reached the deadline, has told nothing of it for too long, or the longest time is over.
async fn time_is_over(chain: &TimedChain, heal_op: &HealOp, look_interval: Duration) {
    let scheduler = &*chain.scheduler;
    let begun = scheduler.now();
    let mut known_at = begun;
    loop {
        scheduler.sleep(look_interval.min(LOOK_INTERVAL_MAX)).await;
        if heal_op.deadline_epoch_id != 0
            && let Ok(epoch) = chain.current_epoch().await
        {
            if is_past(heal_op, epoch.epoch_id) {
                return;
            }
            known_at = scheduler.now();
        }
        let now = scheduler.now();
        if now.since(known_at) >= OPERATION_TIME_UNKNOWN || now.since(begun) >= OPERATION_TIME_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::{ChainError, EpochInfo};
    use lampkeeper_plugin_sdk::testkit::{MockChain, MockChainBuilder, VirtualScheduler};

    const LOOK: Duration = Duration::from_secs(30);

    fn epoch(epoch_id: u64) -> Result<EpochInfo, ChainError> {
        Ok(EpochInfo { epoch_id, epoch_start_height: 1, epoch_end_height: 2 })
    }

    fn silence() -> Result<EpochInfo, ChainError> {
        Err(ChainError::Unavailable { reason: "no node".to_owned() })
    }

    /// When the time of an operation with this deadline is over, in seconds.
    fn over_after_s(builder: MockChainBuilder, deadline_epoch_id: u64) -> u64 {
        let scheduler = VirtualScheduler::new(0);
        let client = builder.build();
        let chain = TimedChain { client, scheduler: scheduler.handle(), timeout: Duration::from_secs(10) };
        let heal_op = HealOp { deadline_epoch_id, ..HealOp::default() };
        let work = std::future::pending::<()>();
        assert_eq!(scheduler.block_on(in_time(&chain, &heal_op, LOOK, work)), None);
        chain.scheduler.now().since_start().as_secs()
    }

    #[test]
    fn time_is_over_when_the_chain_says_so() {
        let chain = || MockChain::builder("ann");
        let hours_4 = OPERATION_TIME_MAX.as_secs();
        // However blocks come: the epoch that ends an operation counts, and nothing else.
        let table = [
            ("at the next look", chain().current_epoch(epoch(8)), 8, 30),
            (
                "when it gets there",
                chain().current_epoch(epoch(7)).times(99).current_epoch(epoch(9)),
                8,
                3000,
            ),
            ("never", chain().current_epoch(epoch(7)).always(), 8, hours_4),
            ("the chain is silent", chain().current_epoch(silence()).always(), 8, 900),
            (
                "the chain was silent for a while",
                chain()
                    .current_epoch(silence())
                    .times(29)
                    .current_epoch(epoch(7))
                    .current_epoch(silence())
                    .times(30),
                8,
                1800,
            ),
            ("no deadline: the chain is not asked", chain(), 0, 900),
        ];
        for (name, chain, deadline_epoch_id, expected) in table {
            assert_eq!(over_after_s(chain, deadline_epoch_id), expected, "{name}");
        }
    }

    #[test]
    fn the_deadline_passes_with_the_epoch_before_it() {
        // Wire 5.7: deadline, current epoch, past.
        for (deadline_epoch_id, current, past) in [(0, 9, false), (3, 2, false), (3, 3, true), (3, 4, true)] {
            assert_eq!(is_past(&HealOp { deadline_epoch_id, ..HealOp::default() }, current), past);
        }
    }
}
