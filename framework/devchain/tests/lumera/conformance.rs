//! The conformance suite of chain clients, all of it.

use crate::support::{self, BROADCAST, Faults, GET_TX, PARAMS, SIMULATE, Served, cut};
use lampkeeper_chain_sim::address::labelled_account;
use lampkeeper_chain_sim::state::actions::Action;
use lampkeeper_devchain::DevChain;
use lampkeeper_plugin_sdk::api::chain::{
    ChainClient, HealOp, HealOpStatus, NodeSuspicion, ReporterReliability, TicketDeterioration, TicketState,
};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::account::KeyType;
use lampkeeper_plugin_sdk::testkit::TestSigner;
use lampkeeper_plugin_sdk::testkit::conformance::{self, ChainFixture, ForcedFault};
use std::sync::Arc;

/// Operations 1 to 6 are in the statuses of the same number; these two wait for the client.
const TO_CLAIM: u64 = 7;
const TO_VERIFY: u64 = 8;

struct Fixture {
    faults: Arc<Faults>,
    client: Arc<dyn ChainClient>,
    accounts: Vec<String>,
    _served: Served,
}

impl Fixture {
    fn new(key_type: KeyType) -> Self {
        let signer = TestSigner::with_key_type("conformance", key_type);
        let own = signer.account().to_owned();
        let mut accounts = vec![own.clone()];
        accounts.extend(["node-2", "node-3", "node-4", "node-5"].map(labelled_account));
        let mut state = support::state(&accounts);
        plant(&mut state, &own);
        let faults = Arc::new(Faults::default());
        let chain = DevChain::new(state, support::at_once(), support::scheduler());
        let served = Served::new(chain, Arc::clone(&faults) as _);
        let mut config = support::config(vec![served.endpoint()]);
        // An outcome that stays unknown is waited for that long.
        config.inclusion_timeout_ms = 1500;
        let (client, _) = support::client_of(&signer, &config);
        Self { faults, client, accounts, _served: served }
    }
}

/// Tickets, heal operations in every status, and scores.
fn plant(state: &mut lampkeeper_chain_sim::State, own: &str) {
    let (second, third) = (labelled_account("node-2"), labelled_account("node-3"));
    for number in [1, 2, 3, 10, 11] {
        state.action.actions.insert(Action {
            action_id: number.to_string(),
            state: TicketState::Done,
            supernodes: vec![if number == 2 { third.clone() } else { second.clone() }],
            ..Action::default()
        });
    }
    let operation = |heal_op_id: u64, status, healer: &str, verifiers: &[&str]| HealOp {
        heal_op_id,
        ticket_id: (heal_op_id % 3).to_string(),
        healer_supernode_account: healer.to_owned(),
        verifier_supernode_accounts: verifiers.iter().map(|account| (*account).to_owned()).collect(),
        status,
        deadline_epoch_id: 99,
        result_hash: if status == HealOpStatus::HealerReported { "claimed" } else { "" }.to_owned(),
        ..HealOp::default()
    };
    let heal_ops = &mut state.audit.heal_ops;
    for status in HealOpStatus::ALL.into_iter().skip(1) {
        heal_ops.insert(operation(
            u64::try_from(status.number()).expect("a number"),
            status,
            &second,
            &[&third],
        ));
    }
    heal_ops.insert(operation(TO_CLAIM, HealOpStatus::Scheduled, own, &[&second, &third]));
    heal_ops.insert(operation(TO_VERIFY, HealOpStatus::HealerReported, &second, &[own, &third]));
    let suspicion = NodeSuspicion { supernode_account: second.clone(), ..NodeSuspicion::default() };
    state.audit.suspicion.insert(second, suspicion);
    let reliability =
        ReporterReliability { reporter_supernode_account: third.clone(), ..ReporterReliability::default() };
    state.audit.reliability.insert(third, reliability);
    let score = TicketDeterioration { ticket_id: "1".to_owned(), ..TicketDeterioration::default() };
    state.audit.tickets.insert(score);
}

#[async_trait]
impl ChainFixture for Fixture {
    fn client(&self) -> Arc<dyn ChainClient> {
        Arc::clone(&self.client)
    }

    fn supernodes(&self) -> Vec<String> {
        self.accounts.clone()
    }

    fn ticket(&self) -> Option<(String, String)> {
        Some(("10".to_owned(), labelled_account("node-2")))
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
        Some((labelled_account("node-2"), labelled_account("node-3"), "1".to_owned()))
    }

    async fn force(&self, fault: ForcedFault) -> bool {
        match fault {
            // The client asks twice before it gives up.
            ForcedFault::Unreachable => self.faults.before(refuse(2, cut)),
            ForcedFault::Unavailable => {
                self.faults.before(refuse(1, || tonic::Status::unimplemented("not here")));
            }
            ForcedFault::OutcomeUnknown => {
                // Nothing is simulated, and after the broadcast nobody answers until something else is asked for.
                let mut is_over = false;
                self.faults.before(move |path| match path {
                    SIMULATE if !is_over => Err(tonic::Status::unimplemented("not here")),
                    GET_TX if !is_over => Err(cut()),
                    PARAMS => {
                        is_over = true;
                        Ok(())
                    }
                    _ => Ok(()),
                });
                let mut was_broadcast = false;
                self.faults.after(move |path| match path {
                    BROADCAST if !was_broadcast => {
                        was_broadcast = true;
                        Err(cut())
                    }
                    _ => Ok(()),
                });
            }
            _ => return false,
        }
        true
    }
}

/// The next calls for parameters fail.
fn refuse(
    count: usize,
    status: fn() -> tonic::Status,
) -> impl FnMut(&str) -> Result<(), tonic::Status> + Send {
    let mut left = count;
    move |path| {
        if path == PARAMS && left > 0 {
            left -= 1;
            return Err(status());
        }
        Ok(())
    }
}

async fn passes(key_type: KeyType) {
    let report = conformance::chain(&Fixture::new(key_type)).await;
    report.assert_passed();
    assert_eq!(report.skipped, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_passes_the_suite_with_an_ordinary_key_and_skips_nothing() {
    passes(KeyType::Secp256k1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_passes_the_suite_with_a_key_of_the_evm_and_skips_nothing() {
    passes(KeyType::EthSecp256k1).await;
}
