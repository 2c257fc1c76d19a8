//! Scenarios of a running chain through the clients of its nodes: blocks by the scheduler, messages by the seam.

use crate::support::{plant_nodes, row};
use lampkeeper_chain_sim::chain::{SimChain, SimChainClient, SimChainOptions};
use lampkeeper_chain_sim::{ChainConfig, State};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, ChainMessage, ChainReader, EnforcementMode, EpochReportMessage, HealClaimMessage, HealOp,
    HealOpStatus, HealVerificationMessage, PageRequest, Params, RecheckEvidenceMessage, RejectionReason,
    StorageChallengeObservation, SupernodeState,
};
use lampkeeper_plugin_sdk::protocol::words::ResultClass;
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use std::sync::Arc;

const NODES: [&str; 3] = ["sn-a", "sn-b", "sn-c"];
const TICKET: &str = "ticket-live";

/// Three ACTIVE nodes, epochs of twelve blocks, everybody a target.
fn network(scheduler: &VirtualScheduler, change: impl FnOnce(&mut Params)) -> Arc<SimChain> {
    let mut params = Params {
        epoch_length_blocks: 12,
        storage_truth_enforcement_mode: EnforcementMode::Soft,
        storage_truth_challenge_target_divisor: 1,
        consecutive_epochs_to_postpone: 100,
        storage_truth_node_suspicion_decay_per_epoch: 1000,
        ..Params::default()
    };
    change(&mut params);
    let mut state = State::new(ChainConfig { params, ..ChainConfig::default() });
    plant_nodes(&mut state, &NODES, SupernodeState::Active);
    let chain = SimChain::new(state, SimChainOptions::default(), scheduler.handle());
    chain.start();
    chain
}

/// The first node reports one result about its target, which is answered.
async fn accuse(chain: &Arc<SimChain>, result_class: ResultClass) -> String {
    chain.wait_for_height(13).await;
    let client = chain.client(NODES[0]);
    let epoch_id = client.current_epoch().await.unwrap().epoch_id;
    let assigned = client.assigned_targets(NODES[0], epoch_id).await.unwrap();
    let target = assigned.target_supernode_accounts[0].clone();
    let result = row(|row| {
        row.target_supernode_account.clone_from(&target);
        row.challenger_supernode_account = NODES[0].to_owned();
        row.ticket_id = TICKET.to_owned();
        row.transcript_hash = "seed".to_owned();
        row.result_class = result_class;
    });
    let observation = StorageChallengeObservation {
        target_supernode_account: target.clone(),
        port_states: vec![Default::default(); assigned.required_open_ports.len()],
    };
    let report = EpochReportMessage {
        epoch_id,
        storage_challenge_observations: vec![observation],
        storage_proof_results: vec![result],
        ..EpochReportMessage::default()
    };
    client.submit(ChainMessage::EpochReport(report)).await.unwrap();
    target
}

fn recheck(target: &str) -> ChainMessage {
    ChainMessage::RecheckEvidence(RecheckEvidenceMessage {
        epoch_id: 1,
        challenged_supernode_account: target.to_owned(),
        ticket_id: TICKET.to_owned(),
        challenged_result_transcript_hash: "seed".to_owned(),
        recheck_transcript_hash: "recheck".to_owned(),
        recheck_result_class: ResultClass::RecheckConfirmedFail,
        details: String::new(),
    })
}

/// A node that is neither the accuser nor the accused.
fn third(chain: &Arc<SimChain>, target: &str) -> SimChainClient {
    let name = NODES.into_iter().skip(1).find(|node| *node != target).unwrap_or_default();
    chain.client(name)
}

/// S32, S33: an invalid transcript scores nothing; its confirmation does; neither side may confirm it itself.
#[test]
fn a_recheck_by_a_third_node_confirms_an_accusation() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler, |params| params.storage_truth_node_suspicion_threshold_postpone = 100);
    scheduler.block_on(async {
        let target = accuse(&chain, ResultClass::InvalidTranscript).await;
        let client = third(&chain, &target);
        assert!(client.node_suspicion(&target).await.unwrap_err().is_not_found());
        for own in [NODES[0], &target] {
            let refused = chain.client(own).submit(recheck(&target)).await.unwrap_err();
            assert_eq!(refused.rejection(), Some(RejectionReason::InvalidRecheckEvidence), "{own}");
        }
        client.submit(recheck(&target)).await.unwrap();
        assert_eq!(client.node_suspicion(&target).await.unwrap().suspicion_score, 15);
        assert_eq!(client.ticket_deterioration(TICKET).await.unwrap().deterioration_score, 8);
        let again = client.submit(recheck(&target)).await.unwrap_err();
        assert_eq!(again.rejection(), Some(RejectionReason::RecheckAlreadySubmitted));
    });
}

/// S49, S50: the same accusation postpones in SOFT and not in SHADOW.
#[test]
fn only_an_enforcing_mode_postpones() {
    for (mode, expected) in [
        (EnforcementMode::Soft, SupernodeState::Postponed),
        (EnforcementMode::Shadow, SupernodeState::Active),
    ] {
        let scheduler = VirtualScheduler::new(1);
        let chain = network(&scheduler, |params| {
            params.storage_truth_enforcement_mode = mode;
            params.storage_truth_node_suspicion_threshold_watch = 5;
            params.storage_truth_node_suspicion_threshold_probation = 8;
            params.storage_truth_node_suspicion_threshold_postpone = 10;
        });
        scheduler.block_on(async {
            let target = accuse(&chain, ResultClass::HashMismatch).await;
            let client = third(&chain, &target);
            client.submit(recheck(&target)).await.unwrap();
            assert_eq!(client.node_suspicion(&target).await.unwrap().suspicion_score, 41, "{mode:?}");
            chain.wait_for_height(25).await;
            assert_eq!(client.supernode(&target).await.unwrap().state, expected, "{mode:?}");
            let own = client.supernode(client.account_address()).await.unwrap();
            assert_eq!(own.state, SupernodeState::Active, "the rechecker in {mode:?}");
        });
    }
}

/// S58: an operation is scheduled at the close, claimed and verified, and the ticket is down to 8.
#[test]
fn a_heal_goes_from_the_close_of_an_epoch_to_verified() {
    let scheduler = VirtualScheduler::new(1);
    let chain = network(&scheduler, |params| {
        params.storage_truth_ticket_deterioration_heal_threshold = 10;
        params.storage_truth_node_suspicion_threshold_watch = 500;
        params.storage_truth_node_suspicion_threshold_probation = 600;
        params.storage_truth_node_suspicion_threshold_postpone = 1000;
        params.storage_truth_node_suspicion_threshold_strong_postpone = 2000;
    });
    scheduler.block_on(async {
        accuse(&chain, ResultClass::HashMismatch).await;
        let reader = chain.client(NODES[0]);
        assert_eq!(reader.ticket_deterioration(TICKET).await.unwrap().deterioration_score, 12);
        chain.wait_for_height(25).await;
        let page = reader.heal_ops_by_status(HealOpStatus::Scheduled, PageRequest::default()).await.unwrap();
        let [HealOp { heal_op_id, healer_supernode_account: healer, verifier_supernode_accounts, .. }] =
            &page.items[..]
        else {
            panic!("one operation: {page:?}");
        };
        let claim = HealClaimMessage {
            heal_op_id: *heal_op_id,
            ticket_id: TICKET.to_owned(),
            heal_manifest_hash: "manifest".to_owned(),
            details: String::new(),
        };
        chain.client(healer).submit(ChainMessage::HealClaim(claim)).await.unwrap();
        for verifier in verifier_supernode_accounts {
            let vote = HealVerificationMessage {
                heal_op_id: *heal_op_id,
                verified: true,
                verification_hash: "manifest".to_owned(),
                details: String::new(),
            };
            chain.client(verifier).submit(ChainMessage::HealVerification(vote)).await.unwrap();
        }
        assert_eq!(reader.heal_op(*heal_op_id).await.unwrap().status, HealOpStatus::Verified);
        assert_eq!(reader.ticket_deterioration(TICKET).await.unwrap().deterioration_score, 8);
    });
}
