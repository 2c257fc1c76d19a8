//! The simulated chain does what every chain client has to do.

use async_trait::async_trait;
use lampkeeper_chain_sim::chain::{SimChain, SimChainOptions};
use lampkeeper_chain_sim::injection::{CallFault, CallRule, InjectedError, InjectionPlan};
use lampkeeper_chain_sim::state::actions::Action;
use lampkeeper_chain_sim::state::supernodes::SupernodeRecord;
use lampkeeper_chain_sim::{ChainConfig, State, address};
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, HealOp, HealOpStatus, NodeSuspicion, ReporterReliability, SupernodeState,
    TicketDeterioration, TicketState,
};
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use lampkeeper_plugin_sdk::testkit::conformance::{self, ChainFixture, ForcedFault};
use std::sync::Arc;

const NODES: [&str; 5] = ["node-1", "node-2", "node-3", "node-4", "node-5"];
/// The account of the client under test.
const SELF: &str = "node-1";
/// Operations 1 to 6 are in the statuses of the same number; these two wait for the client.
const TO_CLAIM: u64 = 7;
const TO_VERIFY: u64 = 8;

fn account(name: &str) -> String {
    address::labelled_account(name)
}

fn heal_op(heal_op_id: u64, status: HealOpStatus, healer: &str, verifiers: &[&str]) -> HealOp {
    HealOp {
        heal_op_id,
        ticket_id: format!("{}", heal_op_id % 3),
        healer_supernode_account: account(healer),
        verifier_supernode_accounts: verifiers.iter().map(|name| account(name)).collect(),
        status,
        deadline_epoch_id: 99,
        result_hash: if status == HealOpStatus::HealerReported { "claimed" } else { "" }.to_owned(),
        ..HealOp::default()
    }
}

fn state() -> State {
    let mut state = State::new(ChainConfig::default());
    for name in NODES {
        let address = account(name);
        let operator = address::operator_of_account(&address).unwrap_or_default();
        let record = SupernodeRecord::planted(&operator, &address, SupernodeState::Active, 0);
        state.supernode.supernodes.insert(record);
        state.bank.mint(&address, 1);
    }
    for number in [1, 2, 3, 10, 11] {
        state.action.actions.insert(Action {
            action_id: number.to_string(),
            state: TicketState::Done,
            supernodes: vec![account(if number == 2 { "node-3" } else { "node-2" })],
            ..Action::default()
        });
    }
    for status in HealOpStatus::ALL.into_iter().skip(1) {
        let id = u64::try_from(status.number()).unwrap_or(0);
        state.audit.heal_ops.insert(heal_op(id, status, "node-2", &["node-3"]));
    }
    state.audit.heal_ops.insert(heal_op(TO_CLAIM, HealOpStatus::Scheduled, SELF, &["node-2", "node-3"]));
    let to_verify = heal_op(TO_VERIFY, HealOpStatus::HealerReported, "node-2", &[SELF, "node-3"]);
    state.audit.heal_ops.insert(to_verify);
    let suspicion = NodeSuspicion { supernode_account: account("node-2"), ..NodeSuspicion::default() };
    state.audit.suspicion.insert(account("node-2"), suspicion);
    let reliability = ReporterReliability {
        reporter_supernode_account: account("node-3"),
        ..ReporterReliability::default()
    };
    state.audit.reliability.insert(account("node-3"), reliability);
    state
        .audit
        .tickets
        .insert(TicketDeterioration { ticket_id: "1".to_owned(), ..TicketDeterioration::default() });
    state
}

struct Fixture {
    chain: Arc<SimChain>,
}

#[async_trait]
impl ChainFixture for Fixture {
    fn client(&self) -> Arc<dyn ChainClient> {
        Arc::new(self.chain.client(&account(SELF)))
    }

    fn supernodes(&self) -> Vec<String> {
        NODES.iter().map(|name| account(name)).collect()
    }

    fn ticket(&self) -> Option<(String, String)> {
        Some(("10".to_owned(), account("node-2")))
    }

    fn tickets(&self) -> Option<Vec<String>> {
        Some(["1", "2", "3", "10", "11"].map(str::to_owned).to_vec())
    }

    fn heal_op_in(&self, status: HealOpStatus) -> Option<u64> {
        u64::try_from(status.number()).ok()
    }

    fn heal_op_to_claim(&self) -> Option<u64> {
        Some(TO_CLAIM)
    }

    fn heal_op_to_verify(&self) -> Option<(u64, String)> {
        Some((TO_VERIFY, "claimed".to_owned()))
    }

    fn scored(&self) -> Option<(String, String, String)> {
        Some((account("node-2"), account("node-3"), "1".to_owned()))
    }

    async fn force(&self, fault: ForcedFault) -> bool {
        let error = match fault {
            ForcedFault::Unreachable => InjectedError::Transient { outcome_unknown: false },
            ForcedFault::OutcomeUnknown => InjectedError::Transient { outcome_unknown: true },
            ForcedFault::Unavailable => InjectedError::Unavailable,
            _ => return false,
        };
        let fault = CallFault::FailAfterAcceptance { error };
        let rule = CallRule { call: "*".to_owned(), account: Some(account(SELF)), first: 1, count: 1, fault };
        self.chain.inject(InjectionPlan { calls: vec![rule], blocks: Vec::new() });
        true
    }
}

#[test]
fn the_simulated_chain_passes_the_suite_and_skips_nothing() {
    let scheduler = VirtualScheduler::new(1);
    let chain = SimChain::new(state(), SimChainOptions::default(), scheduler.handle());
    chain.start();
    let report = scheduler.block_on(async {
        chain.wait_for_height(3).await;
        conformance::chain(&Fixture { chain: Arc::clone(&chain) }).await
    });
    report.assert_passed();
    assert_eq!(report.skipped, Vec::<String>::new());
}

/// A chain without faults to force and without records.
struct Bare(Fixture);

#[async_trait]
impl ChainFixture for Bare {
    fn client(&self) -> Arc<dyn ChainClient> {
        self.0.client()
    }

    fn supernodes(&self) -> Vec<String> {
        self.0.supernodes().into_iter().skip(1).collect()
    }

    fn ticket(&self) -> Option<(String, String)> {
        None
    }

    fn tickets(&self) -> Option<Vec<String>> {
        None
    }

    fn heal_op_in(&self, _: HealOpStatus) -> Option<u64> {
        None
    }

    fn heal_op_to_claim(&self) -> Option<u64> {
        None
    }

    fn heal_op_to_verify(&self) -> Option<(u64, String)> {
        None
    }

    fn scored(&self) -> Option<(String, String, String)> {
        None
    }

    async fn force(&self, _: ForcedFault) -> bool {
        false
    }
}

#[test]
fn the_suite_says_what_it_skipped_and_finds_a_chain_that_differs() {
    let scheduler = VirtualScheduler::new(1);
    let chain = SimChain::new(state(), SimChainOptions::default(), scheduler.handle());
    chain.start();
    let report = scheduler.block_on(async {
        chain.wait_for_height(3).await;
        conformance::chain(&Bare(Fixture { chain: Arc::clone(&chain) })).await
    });
    assert_eq!(report.skipped.len(), 14, "{report}");
    let failures: Vec<_> = report.report.failures().map(|check| check.name.as_str()).collect();
    assert_eq!(failures, ["every supernode is found, by account and in pages"], "{report}");
}
