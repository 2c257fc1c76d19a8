//! The supernode module's queries (wire 2.8, chain 9.2).

use super::{page_query, paged, status};
use crate::records;
use crate::router::Router;
use lampkeeper_chain_sim::state::SupernodeParams;
use lampkeeper_proto::calls::supernode as calls;
use lampkeeper_proto::lumera::supernode::v1 as wire;

pub(super) fn answer(router: &mut Router) {
    router.answer(calls::PARAMS, |chain, _| {
        let params = chain.read(|state| params(&state.supernode.params));
        Ok(wire::QueryParamsResponse { params: Some(params) })
    });
    router.answer(calls::GET_SUPERNODE, |chain, request| {
        chain.read(|state| {
            let found = state.query_supernode(&request.validator_address).map_err(status)?;
            Ok(wire::QueryGetSuperNodeResponse { supernode: Some(records::supernode(found)) })
        })
    });
    router.answer(calls::GET_SUPERNODE_BY_ACCOUNT, |chain, request| {
        chain.read(|state| {
            let found = state.query_supernode_by_account(&request.supernode_address).map_err(status)?;
            Ok(wire::QueryGetSuperNodeBySuperNodeAddressResponse {
                supernode: Some(records::supernode(found)),
            })
        })
    });
    router.answer(calls::LIST_SUPERNODES, |chain, request| {
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_supernodes(page.as_ref())).map_err(status)?;
        let (supernodes, pagination) = paged(found, records::supernode);
        Ok(wire::QueryListSuperNodesResponse { supernodes, pagination })
    });
    router.answer(calls::GET_TOP_SUPERNODES_FOR_BLOCK, |chain, request| {
        chain.read(|state| {
            let found = state.query_top_supernodes(request.block_height, request.limit, &request.state);
            let supernodes = found.map_err(status)?.into_iter().map(records::supernode).collect();
            Ok(wire::QueryGetTopSuperNodesForBlockResponse { supernodes })
        })
    });
    rewards(router);
}

fn rewards(router: &mut Router) {
    router.answer(calls::GET_METRICS, |chain, request| {
        chain.read(|state| {
            let found = state.query_metrics(&request.validator_address).map_err(status)?;
            Ok(wire::QueryGetMetricsResponse { metrics_state: Some(records::metrics_state(found)) })
        })
    });
    router.answer(calls::POOL_STATE, |chain, _| {
        let pool = chain.read(|state| state.query_pool_state());
        Ok(wire::QueryPoolStateResponse {
            balance: vec![records::coin(pool.balance_ulume)],
            last_distribution_height: pool.last_distribution_height,
            total_distributed: vec![records::coin(pool.total_distributed_ulume)],
            eligible_sn_count: pool.eligible_sn_count,
        })
    });
    router.answer(calls::SN_ELIGIBILITY, |chain, request| {
        let found = chain.read(|state| state.query_eligibility(&request.validator_address));
        Ok(wire::QuerySnEligibilityResponse {
            eligible: found.eligible,
            reason: found.reason.to_owned(),
            cascade_kademlia_db_bytes: found.cascade_kademlia_db_bytes,
            smoothed_weight: found.smoothed_weight,
        })
    });
    router.answer(calls::PAYOUT_HISTORY, |chain, request| {
        let page = page_query(request.pagination);
        let found = chain.read(|state| state.query_payout_history(&request.validator_address, page.as_ref()));
        // There is no payment, so there is nothing to translate.
        let (entries, pagination) = paged(found.map_err(status)?, |payout| match *payout {});
        Ok(wire::QueryPayoutHistoryResponse { entries, pagination })
    });
}

fn params(params: &SupernodeParams) -> wire::Params {
    wire::Params {
        minimum_stake_for_sn: Some(records::coin(params.minimum_stake_for_sn_ulume)),
        metrics_freshness_max_blocks: params.metrics_freshness_max_blocks,
        min_supernode_version: params.min_supernode_version.clone(),
        max_storage_usage_percent: params.max_storage_usage_percent,
        required_open_ports: params.required_open_ports.clone(),
        reward_distribution: Some(wire::RewardDistribution {
            payment_period_blocks: params.payment_period_blocks,
            registration_fee_share_bps: params.registration_fee_share_bps,
            min_cascade_bytes_for_payment: params.min_cascade_bytes_for_payment,
            ..wire::RewardDistribution::default()
        }),
        ..wire::Params::default()
    }
}
