//! The action module's queries (chain 9.3).

use super::page::paginate;
use super::{PageQuery, Paged, QueryError};
use crate::address;
use crate::api::TicketId;
use crate::api::chain::TicketState;
use crate::state::State;
use crate::state::actions::{Action, action_number};
use serde::{Deserialize, Serialize};

/// Which actions are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionFilter {
    /// Only those of this type; unspecified means all.
    pub action_type: ActionType,
    /// Only those in this state; unspecified means all.
    pub state: TicketState,
    /// Only those that were requested at this height.
    pub block_height: Option<i64>,
}

/// A type of action (chain Appendix C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActionType {
    /// Any.
    #[default]
    Unspecified,
    /// Not simulated: there is none.
    Sense,
    /// All actions that there are.
    Cascade,
}

impl ActionFilter {
    fn matches(self, action: &Action) -> bool {
        self.action_type != ActionType::Sense
            && (self.state == TicketState::Unspecified || action.state == self.state)
            && self.block_height.is_none_or(|height| action.block_height == height)
    }
}

/// Which list of actions is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionList<'a> {
    /// Those that an account finalised.
    OfSupernode(&'a str),
    /// Those that an account asked for.
    OfCreator(&'a str),
}

/// A position in a list by number: the key of a page is the id as text.
fn position(key: &[u8]) -> (u64, TicketId) {
    match std::str::from_utf8(key) {
        Ok(id) if !id.is_empty() => action_number(id),
        _ => (0, TicketId::new()),
    }
}

fn keyed(action: &Action) -> (Vec<u8>, &Action) {
    (action.action_id.clone().into_bytes(), action)
}

impl State {
    /// `GetAction`.
    ///
    /// # Errors
    /// NotFound "failed to get action by ID".
    pub fn query_action(&self, action_id: &str) -> Result<&Action, QueryError> {
        self.action.actions.get(action_id).ok_or_else(|| QueryError::not_found("failed to get action by ID"))
    }

    /// `GetActionFee`: the bare amount in ulume, for a size in KiB.
    ///
    /// # Errors
    /// InvalidArgument for a size that is no number, or too large.
    pub fn query_action_fee(&self, data_size_kb: &str) -> Result<String, QueryError> {
        let invalid = || QueryError::invalid_argument(format!("invalid data_size: {data_size_kb:?}"));
        let size: u64 = data_size_kb.parse().map_err(|_| invalid())?;
        let params = &self.action.params;
        let fee = u128::from(params.base_action_fee_ulume)
            + u128::from(params.fee_per_kbyte_ulume) * u128::from(size);
        Ok(fee.to_string())
    }

    /// `ListActionsBySuperNode` and `ListActionsByCreator`, by ascending number.
    ///
    /// # Errors
    /// InvalidArgument without an address, or for a creator that is none.
    pub fn query_action_list(
        &self,
        list: ActionList<'_>,
        page: Option<&PageQuery>,
    ) -> Result<Paged<Action>, QueryError> {
        let page = match list {
            ActionList::OfSupernode("") => {
                return Err(QueryError::invalid_argument("supernode address must be provided"));
            }
            ActionList::OfCreator(creator) if !address::is_account(creator) => {
                return Err(QueryError::invalid_argument(format!("invalid creator address {creator:?}")));
            }
            ActionList::OfSupernode(account) => paginate(page, |from| {
                self.action.actions.of_supernode_from(account, position(from)).map(keyed)
            }),
            ActionList::OfCreator(creator) => {
                paginate(page, |from| self.action.actions.of_creator_from(creator, position(from)).map(keyed))
            }
        };
        Ok(page?.filter_map(|action| Some(action.clone())))
    }

    /// `ListActions`, and with a filter `ListExpiredActions` and `ListActionsByBlockHeight`: in the order of the ids as text; reversed, by descending number with the offset as key.
    ///
    /// # Errors
    /// A malformed page request.
    pub fn query_actions(
        &self,
        filter: ActionFilter,
        page: Option<&PageQuery>,
    ) -> Result<Paged<Action>, QueryError> {
        let matches = |action: &&Action| filter.matches(action);
        let page = match page {
            Some(request) if request.reverse => paginate_by_offset(request, || {
                self.action.actions.by_number_from(position(&[])).rev().filter(matches)
            }),
            _ => paginate(page, |from| {
                let from = String::from_utf8_lossy(from).into_owned();
                self.action
                    .actions
                    .range_from(&from)
                    .filter(matches)
                    .map(keyed)
                    .collect::<Vec<_>>()
                    .into_iter()
            }),
        };
        Ok(page?.filter_map(|action| Some(action.clone())))
    }

    /// All actions by ascending number, from a page key on; at most `limit`, with the key of the next page.
    #[must_use]
    pub fn actions_by_number(&self, key: &[u8], limit: usize) -> (Vec<&Action>, Option<Vec<u8>>) {
        let mut actions: Vec<&Action> =
            self.action.actions.by_number_from(position(key)).take(limit.saturating_add(1)).collect();
        let next = (actions.len() > limit).then(|| actions.pop()).flatten();
        (actions, next.map(|action| action.action_id.clone().into_bytes()))
    }
}

/// Pages whose key is the number of items before them.
fn paginate_by_offset<'a, I: Iterator<Item = &'a Action>>(
    request: &PageQuery,
    actions: impl Fn() -> I,
) -> Result<Paged<&'a Action>, QueryError> {
    let mut request = PageQuery { reverse: false, ..request.clone() };
    if !request.key.is_empty() {
        if request.offset > 0 {
            return Err(QueryError::internal("invalid request, either offset or key is expected, got both"));
        }
        let Ok(bytes) = <[u8; 8]>::try_from(request.key.as_slice()) else {
            return Err(QueryError::internal("invalid page key: expected 8 bytes"));
        };
        request.offset = u64::from_be_bytes(bytes);
        request.key.clear();
    }
    let numbered: Vec<_> =
        (0_u64..).zip(actions()).map(|(offset, action)| (offset.to_be_bytes().to_vec(), action)).collect();
    paginate(Some(&request), |_| numbered.clone().into_iter())
}
