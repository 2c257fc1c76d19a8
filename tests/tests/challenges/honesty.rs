//! The honesty matrix: everything that may go wrong for honest nodes, many challenges, no false accusation.
//!
//! A row that says "no response" about a node that really did not answer is the truth, and the only thing that may be said
//! here against anyone; the test knows whose fault each silence was.

use crate::network::{Disk, Network};
use lampkeeper_chain_sim::injection::{CallFault, CallRule, InjectedError, InjectionPlan};
use lampkeeper_plugin_sdk::api::chain::{HealOp, HealOpStatus, SupernodeState, TicketState};
use lampkeeper_plugin_sdk::api::scheduler::random_u64;
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::telemetry::Value;
use lampkeeper_plugin_sdk::protocol::words::ResultClass;
use lampkeeper_transport_memory::LinkQuality;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SEED: u64 = 77;
const NODES: usize = 20;
const TICKETS: usize = 4;
const FILE_LEN_BYTES: usize = 1_000_000;
/// Epochs of an ordinary run; some 360 challenges each.
const EPOCHS: usize = 45;
/// The environment variable with another number of epochs, for long runs.
const EPOCHS_VARIABLE: &str = "LAMPKEEPER_HONEST_EPOCHS";

/// What goes wrong in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Nothing,
    HungDisk,
    BrokenDisk,
    Restart,
    Partition,
    ClockStep,
    SlowLinks,
    LinksBeyondTimeout,
    MemberLeaves,
    MemberReturns,
    TicketGone,
    TicketHealed,
    ChainSilent,
}

const ALL: [Trouble; 13] = [
    Trouble::Nothing,
    Trouble::HungDisk,
    Trouble::BrokenDisk,
    Trouble::Restart,
    Trouble::Partition,
    Trouble::ClockStep,
    Trouble::SlowLinks,
    Trouble::LinksBeyondTimeout,
    Trouble::MemberLeaves,
    Trouble::MemberReturns,
    Trouble::TicketGone,
    Trouble::TicketHealed,
    Trouble::ChainSilent,
];

impl Trouble {
    /// Whether the node that it strikes does not answer its challengers.
    const fn silences(self) -> bool {
        matches!(self, Self::HungDisk | Self::BrokenDisk | Self::Restart | Self::LinksBeyondTimeout)
    }
}

fn latency(latency_ms: u64) -> LinkQuality {
    LinkQuality { latency: Duration::from_millis(latency_ms), bandwidth_bytes_per_s: None }
}

fn set_links(network: &Network, index: usize, latency_ms: u64) {
    let account = &network.nodes[index].account;
    for other in &network.nodes {
        network.fabric.faults().set_link(account, &other.account, latency(latency_ms));
        network.fabric.faults().set_link(&other.account, account, latency(latency_ms));
    }
}

/// A ticket ends, and a third of the nodes hear of it and forget its artifacts, in the middle of being asked for them; or
/// it is stored anew.
pub(crate) fn set_ticket(network: &Network, ticket: usize, state: TicketState) {
    let fixture = &network.tickets[ticket];
    network.chain.plant(|chain| {
        chain.action.actions.update(&fixture.ticket.ticket_id, |action| action.state = state);
    });
    if state == TicketState::Done {
        network.place(fixture);
        return;
    }
    for node in network.nodes.iter().step_by(3) {
        for artifact in fixture.artifacts() {
            network.scheduler.block_on(node.store.inner.delete(&artifact.key)).unwrap();
        }
    }
}

/// A heal of a ticket is verified, and what a third of the nodes have lost is still on its way to them: a healer publishes
/// after that, and not before (wire 5.11).
fn heal_ticket(network: &Network, ticket: usize, height: i64) {
    let fixture = &network.tickets[ticket];
    network.chain.plant(|state| {
        let heal_op_id = state.audit.next_heal_op_id;
        state.audit.next_heal_op_id += 1;
        let height = height.unsigned_abs();
        state.audit.heal_ops.insert(HealOp {
            heal_op_id,
            ticket_id: fixture.ticket.ticket_id.clone(),
            status: HealOpStatus::Verified,
            created_height: height,
            updated_height: height,
            ..HealOp::default()
        });
    });
    for node in network.nodes.iter().step_by(3) {
        for symbol in &fixture.symbols {
            network.scheduler.block_on(node.store.inner.delete(&symbol.key)).unwrap();
        }
    }
}

/// Lets the trouble begin.
fn strike(network: &mut Network, trouble: Trouble, index: usize) {
    let account = network.nodes[index].account.clone();
    let height = network.chain.read(|state| state.height);
    match trouble {
        Trouble::Nothing => {}
        Trouble::HungDisk => network.nodes[index].store.set(Disk::Hung),
        Trouble::BrokenDisk => network.nodes[index].store.set(Disk::Broken),
        Trouble::Restart => network.crash(index),
        Trouble::Partition => {
            let half: Vec<_> =
                network.nodes.iter().skip(index % 2).step_by(2).map(|node| node.account.clone()).collect();
            network.fabric.faults().partition(&[&half]);
        }
        Trouble::ClockStep => {
            let day_ms = 86_400_000;
            let step = if index.is_multiple_of(2) { day_ms } else { -day_ms };
            network.scheduler.for_node(&network.nodes[index].name, 0).set_wall_skew_ms(step);
        }
        Trouble::SlowLinks => set_links(network, index, 450),
        Trouble::LinksBeyondTimeout => set_links(network, index, 3000),
        Trouble::MemberLeaves => network.chain.plant(|state| {
            state.supernode.supernodes.append_state(&account, SupernodeState::Stopped, height, "operator");
        }),
        Trouble::MemberReturns => network.chain.plant(|state| {
            // Of two states of one height the first counts (wire 2.8).
            state.supernode.supernodes.append_state(
                &account,
                SupernodeState::Stopped,
                height - 1,
                "operator",
            );
            state.supernode.supernodes.append_state(&account, SupernodeState::Active, height, "operator");
        }),
        Trouble::TicketGone => set_ticket(network, index % TICKETS, TicketState::Expired),
        Trouble::TicketHealed => heal_ticket(network, index % TICKETS, height),
        Trouble::ChainSilent => {
            let rule = |call: &str| CallRule {
                call: call.to_owned(),
                account: Some(account.clone()),
                first: 1,
                count: 40,
                fault: CallFault::Fail { error: InjectedError::Transient { outcome_unknown: false } },
            };
            let calls = ["ticket", "supernode", "tickets", "account", "params"].map(rule).to_vec();
            network.chain.inject(InjectionPlan { calls, blocks: Vec::new() });
        }
    }
}

/// Ends the trouble.
fn relieve(network: &mut Network, trouble: Trouble, index: usize) {
    let account = network.nodes[index].account.clone();
    let height = network.chain.read(|state| state.height);
    match trouble {
        Trouble::Nothing | Trouble::MemberReturns => {}
        Trouble::HungDisk | Trouble::BrokenDisk => network.nodes[index].store.set(Disk::Fine),
        Trouble::Restart => network.start_node(index),
        Trouble::Partition => network.fabric.faults().end_partition(),
        Trouble::ClockStep => network.scheduler.for_node(&network.nodes[index].name, 0).set_wall_skew_ms(0),
        Trouble::SlowLinks | Trouble::LinksBeyondTimeout => set_links(network, index, 20),
        Trouble::MemberLeaves => network.chain.plant(|state| {
            state.supernode.supernodes.append_state(&account, SupernodeState::Active, height, "operator");
        }),
        Trouble::TicketGone => set_ticket(network, index % TICKETS, TicketState::Done),
        Trouble::TicketHealed => network.place(&network.tickets[index % TICKETS]),
        Trouble::ChainSilent => network.chain.clear_injections(),
    }
}

/// Challenges whose outcome was told.
fn challenges(network: &Network) -> u64 {
    let number = |value: Option<&Value>| match value {
        Some(Value::Integer(number)) => number.unsigned_abs(),
        _ => 0,
    };
    network
        .events
        .iter()
        .map(|event| match event.name.as_str() {
            "challenge.result" => 1,
            "probe.summary" => number(event.fields.get("probed")),
            _ => 0,
        })
        .sum()
}

#[test]
fn nobody_honest_is_accused_whatever_goes_wrong() {
    let names: Vec<_> = (1..=NODES).map(|number| (format!("node-{number}"), None)).collect();
    let mut network = Network::start(SEED, &names, FILE_LEN_BYTES);
    network.fabric.faults().set_every_link(latency(20));
    let chance = network.scheduler.for_node("chance", 0);
    let draw = |bound: usize| (random_u64(&chance) % bound as u64) as usize;
    let epochs = std::env::var(EPOCHS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(EPOCHS);
    let mut silent: BTreeSet<(u64, String)> = BTreeSet::new();
    let mut troubles: BTreeMap<u64, Trouble> = BTreeMap::new();
    network.finish_epoch();
    for number in 0..epochs {
        let (trouble, index) = (ALL[number % ALL.len()], draw(NODES));
        let epoch_id = network.epoch_id();
        network.scheduler.run_for(Duration::from_millis(draw(2000) as u64));
        strike(&mut network, trouble, index);
        let struck = network.nodes[index].account.clone();
        if trouble.silences() {
            silent.insert((epoch_id, struck.clone()));
        }
        troubles.insert(epoch_id, trouble);
        // What a heal has mended arrives within the grace, which is 20 blocks here.
        let lasts_s = if trouble == Trouble::TicketHealed { 8 } else { 20 } + draw(10) as u64;
        network.scheduler.run_for(Duration::from_secs(lasts_s));
        relieve(&mut network, trouble, index);
        network.finish_epoch();
    }
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for accepted in &network.accepted {
        let row = &accepted.row;
        *classes.entry(row.result_class.name()).or_default() += 1;
        let was_silent = silent.contains(&(accepted.epoch_id, row.target_supernode_account.clone()));
        let is_fair = match row.result_class {
            ResultClass::Pass | ResultClass::NoEligibleTicket => true,
            ResultClass::TimeoutOrNoResponse => was_silent,
            _ => false,
        };
        let trouble = troubles.get(&accepted.epoch_id);
        assert!(is_fair, "epoch {}, {trouble:?}, seed {SEED}: {row:?}", accepted.epoch_id);
    }
    assert_eq!(network.refused, Vec::<String>::new(), "the chain accepts every report; seed {SEED}");
    assert_eq!(network.scheduler.panics(), []);
    let count = challenges(&network);
    println!("{count} challenges in {epochs} epochs; rows on the chain: {classes:?}");
    assert!(count > epochs as u64 * 200, "{count} challenges are too few to mean anything");
    assert!(classes["PASS"] > 20 * classes.get("TIMEOUT_OR_NO_RESPONSE").copied().unwrap_or(0));
}
