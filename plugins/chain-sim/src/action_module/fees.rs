//! How the price of a finalised action is shared out (chain Appendix C, FinalizeAction 8).

use crate::address;
use crate::state::State;
use crate::state::actions::Action;
use crate::state::bank::{ACTION_MODULE, COMMUNITY_POOL, SUPERNODE_MODULE};
use std::collections::BTreeSet;

/// What a price is split into, in ulume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    reward_pool: u64,
    community_pool: u64,
    each_supernode: u64,
}

impl Shares {
    fn of(price: u64, reward_bps: u64, foundation_bps: u64, supernodes: usize) -> Self {
        let reward_pool = share(price, reward_bps);
        let rest = price - reward_pool;
        let community_pool = share(rest, foundation_bps);
        let divisor = u64::try_from(supernodes.max(1)).unwrap_or(u64::MAX);
        Self { reward_pool, community_pool, each_supernode: ((rest - community_pool) / divisor).max(1) }
    }
}

/// `trunc(amount·bps/10000)`, at most the amount.
fn share(amount: u64, bps: u64) -> u64 {
    let share = u128::from(amount) * u128::from(bps.min(10_000)) / 10_000;
    u64::try_from(share).unwrap_or(amount)
}

impl State {
    pub(crate) fn distribute_fees(&mut self, done: &Action) {
        let supernodes: BTreeSet<&str> = done.supernodes.iter().map(String::as_str).collect();
        let shares = Shares::of(
            done.price_ulume,
            self.supernode.params.registration_fee_share_bps,
            self.action.params.foundation_fee_share_bps,
            supernodes.len(),
        );
        let module = address::module_account(ACTION_MODULE);
        let mut payments = vec![
            (address::module_account(SUPERNODE_MODULE), shares.reward_pool),
            (address::module_account(COMMUNITY_POOL), shares.community_pool),
        ];
        payments.extend(supernodes.into_iter().map(|account| (account.to_owned(), shares.each_supernode)));
        for (to, amount) in payments {
            // A planted action may not have been paid for; then the module pays as far as its coins last.
            let amount = amount.min(self.bank.balance_ulume(&module));
            let paid = self.bank.transfer(&module, &to, amount);
            debug_assert!(paid, "the amount was cut to the balance");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_agree_with_the_published_example() {
        let shares = Shares::of(1000, 200, 1000, 1);
        assert_eq!(shares, Shares { reward_pool: 20, community_pool: 98, each_supernode: 882 });
    }

    #[test]
    fn every_supernode_gets_something_and_nothing_is_minted_by_rounding() {
        let shares = Shares::of(1000, 200, 0, 3);
        assert_eq!(shares, Shares { reward_pool: 20, community_pool: 0, each_supernode: 326 });
        assert_eq!(Shares::of(1, 0, 10_000, 2).each_supernode, 1);
    }
}
