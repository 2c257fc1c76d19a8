//! Gas and what it costs (wire 10.6, "simulated gas", "fee").
//!
//! Owns the arithmetic, in integers throughout, and the budget that stops a runaway. When gas is bought is the sender's
//! business.

use lampkeeper_plugin_sdk::api::scheduler::Moment;
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

/// What may be spent on fees within a span of time.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    window: Duration,
    /// When something was set aside, and how much; oldest first.
    spent: VecDeque<(Moment, u64)>,
}

impl Budget {
    pub(crate) fn new(limit: u64, window: Duration) -> Self {
        Self { limit, window, spent: VecDeque::new() }
    }

    fn forget_old(&mut self, now: Moment) {
        while self.spent.front().is_some_and(|(at, _)| now.since(*at) > self.window) {
            self.spent.pop_front();
        }
    }

    /// What is left of the budget.
    pub(crate) fn left(&mut self, now: Moment) -> u64 {
        self.forget_old(now);
        let spent = self.spent.iter().fold(0_u64, |sum, (_, fee)| sum.saturating_add(*fee));
        self.limit.saturating_sub(spent)
    }

    /// Sets a fee aside; what is left if that is too little.
    pub(crate) fn reserve(&mut self, fee: u64, now: Moment) -> Result<(), u64> {
        let left = self.left(now);
        if fee > left {
            return Err(left);
        }
        self.spent.push_back((now, fee));
        Ok(())
    }

    /// Gives back a fee that was certainly not paid.
    pub(crate) fn release(&mut self, fee: u64) {
        if let Some(position) = self.spent.iter().rposition(|(_, spent)| *spent == fee) {
            self.spent.remove(position);
        }
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
        let at = |seconds| Moment::from_start(Duration::from_secs(seconds));
        let mut budget = Budget::new(100, Duration::from_secs(10));
        budget.reserve(60, at(0)).unwrap();
        budget.reserve(40, at(5)).unwrap();
        assert_eq!(budget.reserve(1, at(10)), Err(0));
        assert_eq!(budget.left(at(11)), 60, "the first is older than the window");
        budget.release(40);
        assert_eq!(budget.left(at(11)), 100);
    }
}
