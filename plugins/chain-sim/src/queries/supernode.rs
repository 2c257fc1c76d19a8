//! The supernode module's queries (chain 9.2).

use super::page::paginate;
use super::{PageQuery, Paged, QueryCode, QueryError};
use crate::address;
use crate::api::chain::SupernodeState;
use crate::state::State;
use crate::state::bank::SUPERNODE_MODULE;
use crate::state::supernodes::{SupernodeMetricsState, SupernodeRecord};
use serde::Serialize;

/// How many top supernodes are answered where no limit is given.
const DEFAULT_TOP_LIMIT: i32 = 25;

/// Whether a node takes part in rewards.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Eligibility {
    /// Whether it does.
    pub eligible: bool,
    /// Why, or why not.
    pub reason: &'static str,
    /// What it last reported to hold, in bytes.
    pub cascade_kademlia_db_bytes: f64,
    /// The weight of its next reward. Rewards are never paid here, so nothing was ever smoothed: it is the reported
    /// bytes, or 0 without a fresh report.
    pub smoothed_weight: f64,
}

/// The reward pool (chain 9.2). Rewards are collected here and never paid: the protocol page leaves that out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PoolState {
    /// What is in it, in ulume.
    pub balance_ulume: u64,
    /// Height of the last payment; 0 for none.
    pub last_distribution_height: i64,
    /// What was ever paid, in ulume.
    pub total_distributed_ulume: u64,
    /// Nodes that would be paid now.
    pub eligible_sn_count: u64,
}

/// A payment to a node; there is none here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Payout {}

impl State {
    /// `GetSuperNode`.
    ///
    /// # Errors
    /// InvalidArgument for an address that is none, NotFound.
    pub fn query_supernode(&self, validator_address: &str) -> Result<&SupernodeRecord, QueryError> {
        operator_is_valid(validator_address)?;
        self.supernode.supernodes.get(validator_address).ok_or_else(|| {
            QueryError::not_found(format!("no supernode found for validator {validator_address}"))
        })
    }

    /// `GetSuperNodeBySuperNodeAddress`, for any text.
    ///
    /// # Errors
    /// NotFound "supernode not found".
    pub fn query_supernode_by_account(&self, account: &str) -> Result<&SupernodeRecord, QueryError> {
        self.supernode
            .supernodes
            .by_account(account)
            .ok_or_else(|| QueryError::not_found("supernode not found"))
    }

    /// `ListSuperNodes`: all states, by operator bytes.
    ///
    /// # Errors
    /// A malformed page request.
    pub fn query_supernodes(&self, page: Option<&PageQuery>) -> Result<Paged<SupernodeRecord>, QueryError> {
        let page = paginate(page, |from| {
            self.supernode.supernodes.range_from(from).map(|(key, record)| (key.clone(), record))
        })?;
        Ok(page.filter_map(|record| Some(record.clone())))
    }

    /// `GetTopSuperNodesForBlock`.
    ///
    /// # Errors
    /// Unknown, for a height that is not positive.
    pub fn query_top_supernodes(
        &self,
        height: i32,
        limit: i32,
        state: &str,
    ) -> Result<Vec<&SupernodeRecord>, QueryError> {
        if height <= 0 {
            let message = format!("invalid block height {height}: invalid request");
            return Err(QueryError { code: QueryCode::Unknown, message });
        }
        let limit = if limit <= 0 { DEFAULT_TOP_LIMIT } else { limit };
        let filter = parse_state_filter(state);
        Ok(self.top_supernodes(i64::from(height), usize::try_from(limit).unwrap_or(0), filter))
    }

    /// The nodes closest to a height (chain 9.2, "Top supernodes"). Without a filter only POSTPONED and STORAGE_FULL
    /// nodes are left out.
    #[must_use]
    pub fn top_supernodes(
        &self,
        height: i64,
        limit: usize,
        filter: Option<SupernodeState>,
    ) -> Vec<&SupernodeRecord> {
        let block = *blake3::hash(height.to_string().as_bytes()).as_bytes();
        let mut ranked: Vec<([u8; 32], &SupernodeRecord)> = self
            .supernode
            .supernodes
            .iter()
            .filter(|node| node.state_at(height).is_some_and(|state| is_wanted(state, filter)))
            .map(|node| (distance(&block, &node.validator_address), node))
            .collect();
        ranked.sort_by(|(left, left_node), (right, right_node)| {
            left.cmp(right).then_with(|| left_node.validator_address.cmp(&right_node.validator_address))
        });
        ranked.into_iter().take(limit).map(|(_, node)| node).collect()
    }

    /// `GetMetrics`.
    ///
    /// # Errors
    /// InvalidArgument for an address that is none, NotFound.
    pub fn query_metrics(&self, validator_address: &str) -> Result<&SupernodeMetricsState, QueryError> {
        operator_is_valid(validator_address)?;
        self.supernode.metrics.get(validator_address).ok_or_else(|| {
            QueryError::not_found(format!("no metrics found for validator {validator_address}"))
        })
    }

    /// `SNEligibility`, which never fails.
    #[must_use]
    pub fn query_eligibility(&self, validator_address: &str) -> Eligibility {
        let ineligible = |reason| Eligibility { reason, ..Eligibility::default() };
        if validator_address.is_empty() {
            return ineligible("validator_address is required");
        }
        if address::decode(address::OPERATOR_PREFIX, validator_address).is_none() {
            return ineligible("invalid validator address");
        }
        let Some(node) = self.supernode.supernodes.get(validator_address) else {
            return ineligible("supernode not found");
        };
        if node.states.is_empty() {
            return ineligible("supernode has no state history");
        }
        if !matches!(node.state(), SupernodeState::Active | SupernodeState::StorageFull) {
            return ineligible("supernode state is not eligible");
        }
        let account = node.supernode_account.as_str();
        let mut latest_first = self.audit.reports.by_epoch.values().rev();
        let Some(report) = latest_first.find_map(|reports| reports.get(account)) else {
            return ineligible("no audit epoch report found");
        };
        let params = &self.supernode.params;
        let bytes = report.host_report.cascade_kademlia_db_bytes;
        let age = u64::try_from(self.height.saturating_sub(report.report_height)).unwrap_or(0);
        let freshness = params.metrics_freshness_max_blocks;
        let is_from_past = (1..=self.height).contains(&report.report_height);
        if !is_from_past || (freshness != 0 && age > freshness) {
            return Eligibility { cascade_kademlia_db_bytes: bytes, ..ineligible("audit report is stale") };
        }
        let eligible = bytes >= params.min_cascade_bytes_for_payment as f64;
        let reason = if eligible { "eligible" } else { "cascade bytes below minimum threshold" };
        Eligibility { eligible, reason, cascade_kademlia_db_bytes: bytes, smoothed_weight: bytes }
    }

    /// `PoolState`.
    #[must_use]
    pub fn query_pool_state(&self) -> PoolState {
        let nodes = self.supernode.supernodes.iter();
        let eligible = nodes.filter(|node| self.query_eligibility(&node.validator_address).eligible);
        PoolState {
            balance_ulume: self.bank.module_balance_ulume(SUPERNODE_MODULE),
            eligible_sn_count: u64::try_from(eligible.count()).unwrap_or(u64::MAX),
            ..PoolState::default()
        }
    }

    /// `PayoutHistory`, which is empty for everybody.
    ///
    /// # Errors
    /// InvalidArgument without an address; a malformed page request.
    pub fn query_payout_history(
        &self,
        validator_address: &str,
        page: Option<&PageQuery>,
    ) -> Result<Paged<Payout>, QueryError> {
        if validator_address.is_empty() {
            return Err(QueryError::invalid_argument("validator_address is required"));
        }
        paginate(page, |_| std::iter::empty())
    }
}

fn operator_is_valid(validator_address: &str) -> Result<(), QueryError> {
    match address::decode(address::OPERATOR_PREFIX, validator_address) {
        Some(_) => Ok(()),
        None => Err(QueryError::invalid_argument(format!("invalid validator address {validator_address:?}"))),
    }
}

fn is_wanted(state: SupernodeState, filter: Option<SupernodeState>) -> bool {
    match filter {
        Some(wanted) => state == wanted,
        None => !matches!(state, SupernodeState::Postponed | SupernodeState::StorageFull),
    }
}

/// Empty and unknown names mean no filter.
fn parse_state_filter(text: &str) -> Option<SupernodeState> {
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("SUPERNODE_STATE_").unwrap_or(&name);
    [
        SupernodeState::Active,
        SupernodeState::Disabled,
        SupernodeState::Stopped,
        SupernodeState::Penalized,
        SupernodeState::Postponed,
        SupernodeState::StorageFull,
    ]
    .into_iter()
    .find(|state| state.name() == name)
}

/// `BLAKE3(height) XOR BLAKE3(operator bytes)`.
fn distance(block: &[u8; 32], validator_address: &str) -> [u8; 32] {
    let operator = blake3::hash(&address::operator_key(validator_address));
    std::array::from_fn(|index| block[index] ^ operator.as_bytes()[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_agree_with_the_published_distances() {
        let block = *blake3::hash(b"100").as_bytes();
        assert_eq!(hex::encode(block), "abcfe76e6ab933c067566735afe60950b13af3bf428307ed95ae8ee0d9f912c4");
        for (byte, expected) in [(0x22, "7a8fdcd2"), (0x33, "4aa99ed6"), (0x11, "fa3d042a")] {
            let operator = address::operator(&[byte; 20]);
            assert_eq!(hex::encode(&distance(&block, &operator)[..4]), expected, "{byte:x}");
        }
    }

    #[test]
    fn filters_are_forgiving() {
        for (text, expected) in [
            (" active ", Some(SupernodeState::Active)),
            ("SUPERNODE_STATE_STORAGE_FULL", Some(SupernodeState::StorageFull)),
            ("", None),
            ("nonsense", None),
            ("UNSPECIFIED", None),
        ] {
            assert_eq!(parse_state_filter(text), expected, "{text:?}");
        }
    }
}
