//! Gas and what it costs (wire 10.6, "simulated gas", "fee").
//!
//! Owns the arithmetic, in integers throughout, and the budget that stops a runaway. When gas is bought is the sender's
//! business.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// The most decimals of a gas price, as the chain's own decimals have.
const DECIMALS_MAX: usize = 18;
/// The most digits before the point.
const DIGITS_MAX: usize = 18;

/// The price of a unit of gas: `mantissa / 10^decimals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GasPrice {
    mantissa: u128,
    decimals: u32,
}

impl GasPrice {
    /// Reads a plain decimal, or one with its coin, which then has to be that of fees.
    pub(crate) fn parse(text: &str, denom: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is not a price of gas: write a decimal such as `0.025{denom}`");
        let end = text.find(|character: char| character != '.' && !character.is_ascii_digit());
        let (number, coin) = text.split_at(end.unwrap_or(text.len()));
        if !coin.is_empty() && coin != denom {
            return Err(format!("`{text}` is in another coin than fees, which are paid in {denom}"));
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_too_long = whole.len() > DIGITS_MAX || fraction.len() > DECIMALS_MAX;
        if whole.is_empty() || is_too_long || (number.contains('.') && fraction.is_empty()) {
            return Err(refused());
        }
        let mantissa = format!("{whole}{fraction}").parse().map_err(|_| refused())?;
        let decimals = u32::try_from(fraction.len()).map_err(|_| refused())?;
        Ok(Self { mantissa, decimals })
    }

    /// `ceil(price × gas)`, at least 1.
    pub(crate) fn fee(self, gas: u64) -> u64 {
        let cost = self.mantissa.saturating_mul(u128::from(gas)).div_ceil(10_u128.pow(self.decimals));
        u64::try_from(cost).unwrap_or(u64::MAX).max(1)
    }
}

/// A factor in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percent(pub(crate) u64);

impl Percent {
    /// `⌊value × factor⌋`.
    pub(crate) fn of(self, value: u64) -> u64 {
        let product = u128::from(value) * u128::from(self.0) / 100;
        u64::try_from(product).unwrap_or(u64::MAX)
    }

    /// The factor after gas did not suffice: 1.3 times as much (wire 10.6), at least one percent more.
    pub(crate) fn raised(self) -> Self {
        Self((self.0.saturating_mul(130) / 100).max(self.0.saturating_add(1)))
    }
}

/// Parts of a budget's window: what was set aside within one of them is remembered as one sum.
const WINDOW_PARTS: i64 = 1024;

/// What was set aside at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// How much.
    pub(crate) fee: u64,
}

/// What may be spent on fees within a span of time. It is the wall clock's, because it goes on after a restart.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    window_ms: i64,
    /// The latest time that was seen: a clock that is set back frees nothing and holds nothing up.
    now_ms: i64,
    /// Oldest first; at most one entry for each part of the window.
    spent: VecDeque<Spent>,
}

impl Budget {
    /// A budget of which so much is used already.
    pub(crate) fn new(limit: u64, window: Duration, earlier: Vec<Spent>, now_ms: i64) -> Self {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let mut budget = Self { limit, window_ms, now_ms, spent: VecDeque::new() };
        for Spent { at_ms, fee } in earlier {
            // What seems to be of the future is of now: the clock was set back.
            budget.add(fee, at_ms.min(now_ms));
        }
        budget
    }

    fn forget_old(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        let oldest = self.now_ms.saturating_sub(self.window_ms);
        while self.spent.front().is_some_and(|spent| spent.at_ms < oldest) {
            self.spent.pop_front();
        }
    }

    fn add(&mut self, fee: u64, at_ms: i64) {
        let part_ms = (self.window_ms / WINDOW_PARTS).max(1);
        match self.spent.back_mut() {
            Some(last) if last.at_ms / part_ms >= at_ms / part_ms => {
                // As if all of it were of the later time, so that none of it is forgotten early.
                last.fee = last.fee.saturating_add(fee);
                last.at_ms = last.at_ms.max(at_ms);
            }
            _ => self.spent.push_back(Spent { at_ms, fee }),
        }
    }

    /// What is left of the budget.
    pub(crate) fn left(&mut self, now_ms: i64) -> u64 {
        self.forget_old(now_ms);
        let spent = self.spent.iter().fold(0_u64, |sum, spent| sum.saturating_add(spent.fee));
        self.limit.saturating_sub(spent)
    }

    /// Sets a fee aside; what is left if that is too little.
    pub(crate) fn reserve(&mut self, fee: u64, now_ms: i64) -> Result<(), u64> {
        let left = self.left(now_ms);
        if fee > left {
            return Err(left);
        }
        self.add(fee, self.now_ms);
        Ok(())
    }

    /// Gives back a fee that was certainly not paid: of what was set aside last.
    pub(crate) fn release(&mut self, fee: u64) {
        let mut open = fee;
        while open > 0 {
            let Some(last) = self.spent.back_mut() else { return };
            let taken = open.min(last.fee);
            last.fee -= taken;
            open -= taken;
            if last.fee == 0 {
                self.spent.pop_back();
            }
        }
    }

    /// What was set aside and is not forgotten, oldest first.
    pub(crate) fn spent(&self) -> Vec<Spent> {
        self.spent.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimals_with_or_without_their_coin() {
        for (text, gas, fee) in [
            ("0.025ulume", 100_000, 2500),
            ("0.025", 100_000, 2500),
            ("0.025", 1, 1),
            ("0.0251", 1000, 26),
            ("0", 1_000_000, 1),
            ("3ulume", 7, 21),
            ("0.000000000000000001", u64::MAX, 19),
            ("999999999999999999", u64::MAX, u64::MAX),
        ] {
            assert_eq!(GasPrice::parse(text, "ulume").unwrap().fee(gas), fee, "{text} × {gas}");
        }
        for text in ["", "ulume", ".5", "5.", "1e3", "-1", "1uatom", "0.0000000000000000001", "1.2.3ulume"] {
            assert!(GasPrice::parse(text, "ulume").is_err(), "{text}");
        }
    }

    #[test]
    fn gas_is_adjusted_downwards_and_raised_by_three_tenths() {
        assert_eq!(Percent(130).of(99_999), 129_998);
        assert_eq!(Percent(130).raised(), Percent(169));
        assert_eq!(Percent(100).raised().raised(), Percent(169));
        assert_eq!(Percent(130).of(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_budget_runs_out_and_comes_back() {
        let mut budget = Budget::new(100, Duration::from_secs(10), Vec::new(), 0);
        budget.reserve(60, 0).unwrap();
        budget.reserve(40, 5000).unwrap();
        assert_eq!(budget.reserve(1, 10_000), Err(0));
        assert_eq!(budget.left(11_000), 60, "the first is older than the window");
        budget.release(40);
        assert_eq!(budget.left(11_000), 100);
    }

    #[test]
    fn a_budget_goes_on_with_what_was_spent_before() {
        let window = Duration::from_secs(10);
        let mut before = Budget::new(100, window, Vec::new(), 0);
        before.reserve(30, 1000).unwrap();
        before.reserve(50, 9000).unwrap();
        let mut after = Budget::new(100, window, before.spent(), 10_000);
        assert_eq!(after.left(10_000), 20);
        assert_eq!(after.left(11_001), 50);
        // The clock was set back before the restart: nothing is spent in the future, and nothing is forgotten.
        let mut set_back = Budget::new(100, window, before.spent(), 500);
        assert_eq!(set_back.left(500), 20);
        assert_eq!(set_back.left(10_501), 100);
    }

    #[test]
    fn a_clock_that_goes_back_frees_nothing() {
        let mut budget = Budget::new(100, Duration::from_secs(10), Vec::new(), 50_000);
        budget.reserve(60, 50_000).unwrap();
        budget.reserve(40, 1000).unwrap();
        assert_eq!(budget.reserve(1, 1000), Err(0));
        assert_eq!(budget.left(60_001), 100);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut budget = Budget::new(u64::MAX, Duration::from_secs(1024), Vec::new(), 0);
        (0..100_000).for_each(|number| budget.reserve(1, number * 20).unwrap());
        assert!(budget.spent().len() <= 1026, "{} entries", budget.spent().len());
        let left = budget.left(99_999 * 20);
        assert!((51_200..=51_300).contains(&(u64::MAX - left)), "{}", u64::MAX - left);
        budget.release(50_000);
        assert!(budget.left(99_999 * 20) - left == 50_000);
    }
}
