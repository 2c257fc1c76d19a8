//! The adversary matrix: each way of not keeping what was paid for, how often it is caught, and what reaches the chain.
//! `docs/adversaries.md` shows the table that this prints.

use crate::liars::{Lie, is_favoured};
use crate::network::{Network, REPLICAS};
use lampkeeper_plugin_sdk::api::store::ArtifactStore;
use lampkeeper_plugin_sdk::api::telemetry::{Event, Value};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};

const SEED: u64 = 20;
const EPOCHS: usize = 12;
const HONEST: usize = 12;
const FILE_LEN_BYTES: usize = 3_000_000;

const LIARS: [(&str, Lie); 15] = [
    ("invents bytes with a matching hash", Lie::Invents),
    ("stores only index and layout files", Lie::OnlyIdFiles),
    ("dropped 1 % of its symbols", Lie::Dropped(1)),
    ("dropped 10 % of its symbols", Lie::Dropped(10)),
    ("dropped 50 % of its symbols", Lie::Dropped(50)),
    ("keeps each artifact's first half", Lie::FirstHalf),
    ("keeps the first half and the last chunk", Lie::FirstHalfAndEnd),
    ("serves another artifact's bytes", Lie::OtherArtifact),
    ("lies about the size", Lie::FalseLength),
    ("replays an old answer", Lie::Replays),
    ("signs with another key", Lie::OtherKey),
    ("answers after the deadline", Lie::Late),
    ("says that the request is wrong", Lie::BlamesRequest),
    ("fetches on demand from others", Lie::FetchesOnDemand),
    ("answers only some challengers", Lie::Selective),
];

/// What was asked of one node, and came of it.
#[derive(Debug, Default)]
struct Tally {
    /// By epoch: artifacts asked for, artifacts failed.
    epochs: BTreeMap<i64, (u64, u64)>,
    /// Those of the canonical challenges.
    canonical: u64,
}

impl Tally {
    fn asked(&self) -> u64 {
        self.epochs.values().map(|(asked, _)| asked).sum()
    }

    fn failed(&self) -> u64 {
        self.epochs.values().map(|(_, failed)| failed).sum()
    }

    /// The share of epochs with a failure.
    fn caught(&self) -> f64 {
        let caught = self.epochs.values().filter(|(_, failed)| *failed > 0).count();
        caught as f64 / self.epochs.len().max(1) as f64
    }

    /// The same as predicted, if each artifact fails with this chance.
    fn predicted(&self, lie: Lie, chance: f64) -> f64 {
        // Whom it answers is the same for all artifacts of an epoch.
        if lie == Lie::Selective {
            return chance;
        }
        let of_epoch = |asked: &u64| 1.0 - (1.0 - chance).powf(*asked as f64);
        self.epochs.values().map(|(asked, _)| of_epoch(asked)).sum::<f64>() / self.epochs.len().max(1) as f64
    }
}

fn text<'a>(event: &'a Event, field: &str) -> &'a str {
    match event.fields.get(field) {
        Some(Value::Text(text)) => text,
        other => panic!("{field} of {} is {other:?}", event.name),
    }
}

fn number(event: &Event, field: &str) -> i64 {
    match event.fields.get(field) {
        Some(Value::Integer(number)) => *number,
        other => panic!("{field} of {} is {other:?}", event.name),
    }
}

fn tallies(events: &[Event]) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for event in events {
        let (asked, failed) = match event.name.as_str() {
            "challenge.result" => (1, u64::from(text(event, "observation") != "pass")),
            "probe.summary" => {
                let (passed, failed) = (number(event, "passed"), number(event, "failed"));
                ((passed + failed).unsigned_abs(), failed.unsigned_abs())
            }
            _ => continue,
        };
        let tally = tallies.entry(text(event, "target").to_owned()).or_default();
        tally.canonical += u64::from(event.name == "challenge.result");
        let epoch = tally.epochs.entry(number(event, "epoch_id")).or_default();
        *epoch = (epoch.0 + asked, epoch.1 + failed);
    }
    tallies
}

/// Takes from a liar what it does not store; the share of its artifacts that is gone.
fn prepare(network: &Network, index: usize) -> f64 {
    let node = &network.nodes[index];
    let symbols: BTreeSet<ArtifactKey> =
        network.tickets.iter().flat_map(|ticket| &ticket.symbols).map(|symbol| symbol.key).collect();
    let held = node.store.inner.keys();
    let held_symbols: Vec<_> = held.iter().filter(|key| symbols.contains(key)).collect();
    let gone: Vec<_> = match node.lie.unwrap() {
        Lie::OnlyIdFiles => held_symbols.clone(),
        Lie::Dropped(percent) => {
            let count = (held_symbols.len() * percent).div_ceil(100);
            // Keys are hashes, so that a stride through them is as good as chance.
            (0..count).map(|number| held_symbols[number * held_symbols.len() / count]).collect()
        }
        Lie::FetchesOnDemand | Lie::Invents => held.iter().collect(),
        _ => Vec::new(),
    };
    for key in &gone {
        network.scheduler.block_on(node.store.inner.delete(key)).unwrap();
    }
    gone.len() as f64 / held.len() as f64
}

/// The chance that one artifact that is asked for fails.
fn chance(network: &Network, lie: Lie, gone: f64, tally: &Tally) -> f64 {
    match lie {
        Lie::OnlyIdFiles => {
            // A canonical challenge is about a symbol four times out of five (wire 1.10).
            let (canonical, asked) = (tally.canonical as f64, tally.asked() as f64);
            (canonical * 0.8 + (asked - canonical) * gone) / asked
        }
        Lie::Dropped(_) => gone,
        Lie::FirstHalfAndEnd => 1.0 - 0.5_f64.powi(4),
        Lie::FetchesOnDemand => 0.0,
        Lie::Selective => {
            let about = network.accepted.iter().filter(|accepted| {
                network.name_of(&accepted.row.target_supernode_account) == name_of(Lie::Selective)
            });
            let challengers: BTreeMap<_, _> = about
                .map(|accepted| (accepted.epoch_id, &accepted.row.challenger_supernode_account))
                .collect();
            let denied = challengers.values().filter(|challenger| !is_favoured(challenger));
            denied.count() as f64 / challengers.len() as f64
        }
        _ => 1.0,
    }
}

fn name_of(lie: Lie) -> &'static str {
    LIARS.iter().find(|(_, listed)| *listed == lie).unwrap().0
}

/// What the chain was told about a node, and what it thinks of it.
fn on_chain(network: &Network, account: &str) -> String {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for accepted in &network.accepted {
        if accepted.row.target_supernode_account == account {
            *classes.entry(accepted.row.result_class.name()).or_default() += 1;
        }
    }
    let score =
        network.chain.read(|state| state.audit.suspicion.get(account).map_or(0, |s| s.suspicion_score));
    let classes: Vec<_> = classes.iter().map(|(class, count)| format!("{count} {class}")).collect();
    format!("{}; suspicion {score}", classes.join(", "))
}

#[test]
fn liars_are_caught_as_often_as_predicted_and_nobody_else_is() {
    let honest = (1..=HONEST).map(|number| (format!("honest-{number}"), None));
    let liars = LIARS.iter().map(|(name, lie)| ((*name).to_owned(), Some(*lie)));
    let names: Vec<_> = honest.chain(liars).collect();
    let mut network = Network::start(SEED, &names, FILE_LEN_BYTES);
    let gone: Vec<_> = (HONEST..names.len()).map(|index| prepare(&network, index)).collect();
    // The first epoch's challenges may have come before the losses.
    network.finish_epoch();
    network.accepted.clear();
    network.events.clear();
    for _ in 0..EPOCHS {
        network.finish_epoch();
    }
    assert_eq!(network.refused, Vec::<String>::new(), "the chain accepts every report");
    assert_eq!(network.scheduler.panics(), []);
    let tallies = tallies(&network.events);

    println!(
        "| node | artifacts asked for | failed | predicted | epochs caught | predicted | rows and score on the chain |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (number, (name, lie)) in LIARS.iter().enumerate() {
        let account = &network.nodes[HONEST + number].account;
        let tally = &tallies[account];
        let chance = chance(&network, *lie, gone[number], tally);
        let measured = tally.failed() as f64 / tally.asked() as f64;
        println!(
            "| {name} | {} | {:.1} % | {:.1} % | {:.0} % of {} | {:.0} % | {} |",
            tally.asked(),
            measured * 100.0,
            chance * 100.0,
            tally.caught() * 100.0,
            tally.epochs.len(),
            tally.predicted(*lie, chance) * 100.0,
            on_chain(&network, account)
        );
        let deviation = (chance * (1.0 - chance) / tally.asked() as f64).sqrt();
        assert!(
            (measured - chance).abs() <= 4.0 * deviation + 0.03,
            "{name}: {measured} of {} fail, predicted {chance}, seed {SEED}",
            tally.asked()
        );
        let per_epoch = tally.predicted(*lie, chance);
        let deviation = (per_epoch * (1.0 - per_epoch) / tally.epochs.len() as f64).sqrt();
        assert!(
            (tally.caught() - per_epoch).abs() <= 4.0 * deviation + 0.03,
            "{name}: caught in {} of the epochs, predicted {per_epoch}, seed {SEED}",
            tally.caught()
        );
        assert_eq!(*lie == Lie::FetchesOnDemand, tally.failed() == 0, "{name}");
    }
    for node in &network.nodes[..HONEST] {
        assert_eq!(tallies[&node.account].failed(), 0, "{} is honest", node.name);
    }
    const { assert!(HONEST > REPLICAS, "copies to compare with need honest holders") };
}
