//! Every plugin of this repository, and what it has to be given before it can be tried: a chain, a server, a free port.
//!
//! Owns the list of plugins with the suites that have to be run for them, and the worlds around those that don't stand
//! alone. Whether they are linked or loaded is the tests' part.
#![allow(dead_code, reason = "each test uses a part of it")]

use lampkeeper_chain_sim::address::{labelled_account, operator_of_account};
use lampkeeper_chain_sim::state::actions::Action;
use lampkeeper_chain_sim::state::supernodes::SupernodeRecord;
use lampkeeper_chain_sim::{ChainConfig, State};
use lampkeeper_plugin_sdk::api::chain::{
    HealOp, HealOpStatus, NodeSuspicion, ReporterReliability, SupernodeState, TicketDeterioration,
    TicketState,
};
use lampkeeper_plugin_sdk::testkit::conformance::account_under_test;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A plugin, and the suites beyond that of its making.
pub(crate) struct Conformable {
    pub(crate) id: &'static str,
    pub(crate) suites: &'static [&'static str],
    /// Its configuration, as TOML.
    pub(crate) config: &'static str,
}

const fn plain(id: &'static str, suites: &'static [&'static str]) -> Conformable {
    Conformable { id, suites, config: "" }
}

/// All that need nobody else: neither a chain nor a server.
pub(crate) const ALONE: [Conformable; 14] = [
    plain("storage-fs", &["store", "staging"]),
    plain("journal-sqlite", &["journal"]),
    plain("scheduler-tokio", &["scheduler"]),
    plain("heal-minimal", &["heal strategy"]),
    plain("heal-full", &["heal strategy"]),
    plain("storage-challenge", &["challenger", "service storage-challenge"]),
    plain("recheck", &["service recheck"]),
    plain("epoch-reporter", &["service epoch-reporter"]),
    plain("self-healing", &["service self-healing"]),
    plain("scrub", &["service scrub"]),
    plain("network-replicas", &["network", "service network-replicas"]),
    plain("transport-memory", &["transport"]),
    Conformable {
        id: "transport-grpc",
        suites: &["transport"],
        config: "listen = '127.0.0.1:0'\ndial_private_addresses = true\n",
    },
    Conformable {
        id: "chain-sim",
        suites: &["chain"],
        config: "network = 'conform-{instance}'\nblock_interval_ms = 20\n\
                 supernodes = [\n\
                 { account = '{account}', address = '127.0.0.1:4444' },\n\
                 { account = 'lumera1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc58av9gw', address = '127.0.0.1:4445' },\n]\n",
    },
];

/// A devchain in a process of its own, that holds something for every check of the suite; dropping it kills it.
pub(crate) struct Chain {
    child: Child,
    endpoint: String,
}

impl Chain {
    pub(crate) fn start(folder: &Path) -> Self {
        std::fs::write(folder.join("genesis.json"), genesis().to_json().unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        command.current_dir(folder).args(["devchain", "--listen", "127.0.0.1:0", "--block-ms", "50"]);
        command.args(["--genesis", "genesis.json"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut endpoint = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        Self { child, endpoint: endpoint.trim().to_owned() }
    }

    /// What `chain-lumera` is configured with.
    pub(crate) fn config(&self) -> String {
        format!("endpoints = ['{}']\ninclusion_poll_interval_ms = 10\n", self.endpoint)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Supernodes, tickets, heal operations in every status, and scores.
fn genesis() -> State {
    let config = ChainConfig { chain_id: "lampkeeper-test".to_owned(), ..ChainConfig::default() };
    let mut state = State::new(config);
    let own = account_under_test();
    let [second, third] = ["node-2", "node-3"].map(labelled_account);
    for account in [&own, &second, &third] {
        let operator = operator_of_account(account).unwrap();
        let record = SupernodeRecord::planted(&operator, account, SupernodeState::Active, 0);
        state.supernode.supernodes.insert(record);
        state.bank.mint(account, 1_000_000_000);
    }
    // The blocks that an epoch begins with.
    state.advance_to(3).unwrap();
    for number in [1, 2, 3, 10, 11] {
        state.action.actions.insert(Action {
            action_id: number.to_string(),
            state: TicketState::Done,
            supernodes: vec![second.clone()],
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
        heal_ops.insert(operation(status.number().unsigned_abs().into(), status, &second, &[&third]));
    }
    heal_ops.insert(operation(7, HealOpStatus::Scheduled, &own, &[&second, &third]));
    heal_ops.insert(operation(8, HealOpStatus::HealerReported, &second, &[&own, &third]));
    let suspicion = NodeSuspicion { supernode_account: second.clone(), ..NodeSuspicion::default() };
    state.audit.suspicion.insert(second, suspicion);
    let reliability =
        ReporterReliability { reporter_supernode_account: third.clone(), ..ReporterReliability::default() };
    state.audit.reliability.insert(third, reliability);
    let score = TicketDeterioration { ticket_id: "1".to_owned(), ..TicketDeterioration::default() };
    state.audit.tickets.insert(score);
    state
}

/// Whether a plugin conforms, the suites that were run, and what was not tested.
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) suites: Vec<String>,
    pub(crate) not_tested: Vec<String>,
    /// The whole report, for who has to mend it.
    told: String,
}

/// Runs `plugins conform` with a configuration.
pub(crate) fn conform(folder: &Path, which: &[&str], config: &str) -> Verdict {
    std::fs::write(folder.join("plugin.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
    command.current_dir(folder).args(["plugins", "conform", "--json", "--config", "plugin.toml"]).args(which);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value =
        serde_json::from_str(&told).unwrap_or_else(|_| panic!("{which:?}: {told}{complaint}"));
    let list = |key: &str, name: &str| -> Vec<String> {
        let items = report[key].as_array().unwrap().iter();
        items.map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    let suites = list("suites", "suite");
    Verdict { passed: output.status.success(), suites, not_tested: list("not_tested", "why"), told }
}

impl Verdict {
    /// The plugin conforms, and these suites found it so.
    pub(crate) fn assert_passed(&self, id: &str, suites: &[&str]) {
        assert!(self.passed, "{id} does not conform: {}", self.told);
        assert_eq!(self.suites[0], format!("plugin {id}"));
        assert_eq!(self.suites[1..], *suites, "{id}");
    }
}
