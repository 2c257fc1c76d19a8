//! The action module's queries (wire 2.7, chain 9.3).

use super::{page_query, paged, status};
use crate::records;
use crate::router::Router;
use lampkeeper_chain_sim::queries::{ActionFilter, ActionList, ActionType};
use lampkeeper_chain_sim::state::ActionParams;
use lampkeeper_plugin_sdk::api::chain::TicketState;
use lampkeeper_proto::calls::action as calls;
use lampkeeper_proto::lumera::action::v1 as wire;
use tonic::Status;

pub(super) fn answer(router: &mut Router) {
    router.answer(calls::PARAMS, |chain, _| {
        let params = chain.read(|state| params(&state.action.params));
        Ok(wire::QueryParamsResponse { params: Some(params) })
    });
    router.answer(calls::GET_ACTION, |chain, request| {
        chain.read(|state| {
            let found = state.query_action(&request.action_id).map_err(status)?;
            Ok(wire::QueryGetActionResponse { action: Some(records::action(found)) })
        })
    });
    router.answer(calls::GET_ACTION_FEE, |chain, request| {
        let amount = chain.read(|state| state.query_action_fee(&request.data_size)).map_err(status)?;
        Ok(wire::QueryGetActionFeeResponse { amount })
    });
    lists(router);
    router.answer(calls::QUERY_ACTION_BY_METADATA, |_, _| {
        Err(Status::unimplemented("the simulated chain does not search in metadata"))
    });
}

fn lists(router: &mut Router) {
    router.answer(calls::LIST_ACTIONS, |chain, request| {
        let filter = ActionFilter {
            action_type: action_type(request.action_type),
            state: records::ticket_state_of(request.action_state),
            ..ActionFilter::default()
        };
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_actions(filter, page.as_ref())).map_err(status)?;
        let total = found.total;
        let (actions, pagination) = paged(found, records::action);
        Ok(wire::QueryListActionsResponse { actions, pagination, total })
    });
    router.answer(calls::LIST_ACTIONS_BY_CREATOR, |chain, request| {
        let page = page_query(request.pagination);
        let list = ActionList::OfCreator(&request.creator);
        let found = chain.read(|state| state.query_action_list(list, page.as_ref())).map_err(status)?;
        let total = found.total;
        let (actions, pagination) = paged(found, records::action);
        Ok(wire::QueryListActionsByCreatorResponse { actions, pagination, total })
    });
    router.answer(calls::LIST_ACTIONS_BY_SUPERNODE, |chain, request| {
        let page = page_query(request.pagination);
        let list = ActionList::OfSupernode(&request.super_node_address);
        let found = chain.read(|state| state.query_action_list(list, page.as_ref())).map_err(status)?;
        let total = found.total;
        let (actions, pagination) = paged(found, records::action);
        Ok(wire::QueryListActionsBySuperNodeResponse { actions, pagination, total })
    });
    router.answer(calls::LIST_ACTIONS_BY_BLOCK_HEIGHT, |chain, request| {
        let filter = ActionFilter { block_height: Some(request.block_height), ..ActionFilter::default() };
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_actions(filter, page.as_ref())).map_err(status)?;
        let total = found.total;
        let (actions, pagination) = paged(found, records::action);
        Ok(wire::QueryListActionsByBlockHeightResponse { actions, pagination, total })
    });
    router.answer(calls::LIST_EXPIRED_ACTIONS, |chain, request| {
        let filter = ActionFilter { state: TicketState::Expired, ..ActionFilter::default() };
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_actions(filter, page.as_ref())).map_err(status)?;
        let total = found.total;
        let (actions, pagination) = paged(found, records::action);
        Ok(wire::QueryListExpiredActionsResponse { actions, pagination, total })
    });
}

fn action_type(number: i32) -> ActionType {
    match number {
        1 => ActionType::Sense,
        2 => ActionType::Cascade,
        _ => ActionType::Unspecified,
    }
}

/// A share in ten-thousandths as the chain's decimal.
fn share(bps: u64) -> String {
    format!("{}.{:04}00000000000000", bps / 10_000, bps % 10_000)
}

fn params(params: &ActionParams) -> wire::Params {
    let defaults = wire::Params {
        // What no rule of the simulation reads has the chain's defaults (chain Appendix C).
        max_actions_per_block: 10,
        min_super_nodes: 3,
        max_dd_and_fingerprints: 50,
        min_processing_time: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        max_processing_time: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        super_node_fee_share: share(10_000),
        ..wire::Params::default()
    };
    wire::Params {
        base_action_fee: Some(records::coin(params.base_action_fee_ulume)),
        fee_per_kbyte: Some(records::coin(params.fee_per_kbyte_ulume)),
        max_raptor_q_symbols: params.max_raptor_q_symbols,
        expiration_duration: Some(prost_types::Duration { seconds: params.expiration_duration_s, nanos: 0 }),
        foundation_fee_share: share(params.foundation_fee_share_bps),
        svc_challenge_count: params.svc_challenge_count,
        svc_min_chunks_for_challenge: params.svc_min_chunks_for_challenge,
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_eighteen_decimals() {
        assert_eq!(share(10_000), "1.000000000000000000");
        assert_eq!(share(205), "0.020500000000000000");
    }
}
