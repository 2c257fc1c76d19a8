//! A ticket is damaged in a network in memory, and healed: what is staged is what was lacking, byte for byte.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::HealOp;
use lampkeeper_plugin_sdk::api::heal::{HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_plugin_sdk::api::network::Artifact;
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingManifest, StagingState};
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{
    MemoryStaging, MockChain, RecordingTelemetry, VirtualScheduler, context,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];
const HEAL_OP_ID: u64 = 4;

struct Bench {
    scheduler: VirtualScheduler,
    staging: MemoryStaging,
    telemetry: RecordingTelemetry,
    strategy: Arc<dyn HealStrategy>,
}

impl Bench {
    fn new(fixture: &TicketFixture, network: &MemoryNetwork) -> Self {
        let (scheduler, staging) = (VirtualScheduler::new(1), MemoryStaging::new());
        let telemetry = RecordingTelemetry::new();
        let chain = fixture.known_to(MockChain::builder("ann")).build();
        let seams = (chain, Arc::new(network.clone()), Arc::new(staging.clone()), scheduler.handle());
        let context = context("heal-minimal").telemetry(&telemetry).seams(|granted| {
            granted.chain_reader = Some(seams.0);
            granted.network = Some(seams.1);
            granted.staging = Some(seams.2);
            granted.scheduler = Some(seams.3);
        });
        let construct = lampkeeper_heal_minimal::descriptor().construct;
        let provided = scheduler.block_on(construct(context.build())).unwrap();
        Self { scheduler, staging, telemetry, strategy: provided.heal_strategy.unwrap() }
    }

    fn heal(&self, fixture: &TicketFixture, cancel: &Cancel) -> Result<Reconstruction, HealError> {
        let heal_op = HealOp {
            heal_op_id: HEAL_OP_ID,
            ticket_id: fixture.ticket.ticket_id.clone(),
            ..HealOp::default()
        };
        let job = HealJob { heal_op, ticket: fixture.ticket.clone(), cancel: cancel.clone() };
        self.scheduler.block_on(self.strategy.reconstruct(job))
    }

    fn sealed(&self) -> StagingManifest {
        match self.scheduler.block_on(self.staging.state(HEAL_OP_ID)) {
            Ok(StagingState::Sealed(manifest)) => *manifest,
            other => panic!("not sealed: {other:?}"),
        }
    }

    fn staged_file(&self, fixture: &TicketFixture) -> bool {
        let file = self.scheduler.block_on(async {
            let mut file = Vec::new();
            while file.len() < fixture.file.len() {
                file.extend(self.staging.read_file_at(HEAL_OP_ID, file.len() as u64, 1 << 20).await.unwrap());
            }
            file
        });
        file == fixture.file
    }
}

/// The artifacts that each node lacks now.
fn lacking(fixture: &TicketFixture, network: &MemoryNetwork) -> BTreeMap<ArtifactKey, BTreeSet<String>> {
    let mut lacking = BTreeMap::new();
    for artifact in fixture.artifacts() {
        let is_intact =
            |account: &String| network.bytes_on(account, &artifact.key).as_ref() == Some(&artifact.bytes);
        let without: BTreeSet<String> =
            network.replicas(&artifact.key).into_iter().filter(|account| !is_intact(account)).collect();
        if !without.is_empty() {
            lacking.insert(artifact.key, without);
        }
    }
    lacking
}

#[test]
fn what_is_staged_is_what_holders_lack_and_nothing_else() {
    type Damage = fn(&TicketFixture, &MemoryNetwork);
    // Whether source symbols have to be computed.
    let table: [(&str, Damage, bool); 8] = [
        ("nothing", |_, _| {}, false),
        (
            "a source symbol on one node",
            |fixture, network| {
                let key = fixture.symbols[0].key;
                network.remove_from(&network.replicas(&key)[2], &key);
            },
            false,
        ),
        (
            "a corrupt repair symbol on one node",
            |fixture, network| {
                let key = fixture.symbols[9].key;
                network.corrupt(&network.replicas(&key)[0], &key);
            },
            false,
        ),
        (
            "the last source symbol everywhere",
            |fixture, network| network.remove(&fixture.symbols[6].key),
            true,
        ),
        (
            "all source symbols everywhere",
            |fixture, network| {
                fixture.symbols[..7].iter().for_each(|symbol| network.remove(&symbol.key));
            },
            true,
        ),
        (
            "all but as many symbols as needed, scattered",
            |fixture, network| {
                let kept = |esi: usize| esi % 5 == 2;
                let lost = fixture.symbols.iter().enumerate().filter(|(esi, _)| !kept(*esi));
                lost.for_each(|(_, symbol)| network.remove(&symbol.key));
            },
            true,
        ),
        ("a wiped node", |_, network| network.wipe("cat"), false),
        (
            "index and layout files everywhere but one",
            |fixture, network| {
                let spared = fixture.id_files.len() - 1;
                fixture.id_files[..spared].iter().for_each(|file| network.remove(&file.key));
            },
            false,
        ),
    ];
    let fixture = TicketFixture::new("1", 440_000, 3);
    assert_eq!(fixture.symbols.len(), 41, "7 source and 34 repair symbols");
    for (name, damage, decoded) in table {
        let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
        damage(&fixture, &network);
        let expected = lacking(&fixture, &network);
        let bench = Bench::new(&fixture, &network);
        let made = bench.heal(&fixture, &Cancel::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(made.manifest_hash, fixture.ticket.data_hash, "{name}");
        assert_eq!(made.cost.decoded, decoded, "{name}");
        assert_eq!(made.cost.missing_artifact_count, expected.len() as u64, "{name}");
        assert!(bench.staged_file(&fixture), "{name}");
        let manifest = bench.sealed();
        let staged: BTreeMap<ArtifactKey, BTreeSet<String>> = manifest
            .artifacts
            .iter()
            .map(|artifact| (artifact.key, artifact.missing_on.iter().cloned().collect()))
            .collect();
        assert_eq!(staged, expected, "{name}");
        let originals: BTreeMap<ArtifactKey, &Artifact> =
            fixture.artifacts().map(|artifact| (artifact.key, artifact)).collect();
        for key in staged.keys() {
            let bytes = bench.scheduler.block_on(bench.staging.get_artifact(HEAL_OP_ID, key)).unwrap();
            assert_eq!(bytes, originals[key].bytes, "{name}");
        }
        assert_eq!(bench.telemetry.events_named("heal.surveyed").len(), 1, "{name}");
        assert_eq!(bench.telemetry.events_named("heal.reconstructed").len(), 1, "{name}");
    }
}

#[test]
fn a_long_file_with_sub_blocks_is_healed_too() {
    let fixture = TicketFixture::new("1", 11_000_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    for esi in [0, 63, 64, 65, 167, 168, 400, 1006] {
        network.remove(&fixture.symbols[esi].key);
    }
    let expected: BTreeSet<ArtifactKey> = lacking(&fixture, &network).into_keys().collect();
    let bench = Bench::new(&fixture, &network);
    let made = bench.heal(&fixture, &Cancel::new()).unwrap();
    assert!(bench.staged_file(&fixture) && made.cost.decoded);
    assert_eq!(made.cost.regenerated_count, 8);
    assert_eq!(
        bench.sealed().artifacts.iter().map(|artifact| artifact.key).collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn too_few_symbols_are_a_loss_and_nothing_is_sealed() {
    let fixture = TicketFixture::new("1", 440_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    fixture.symbols[6..].iter().for_each(|symbol| network.remove(&symbol.key));
    let bench = Bench::new(&fixture, &network);
    let outcome = bench.heal(&fixture, &Cancel::new());
    assert!(matches!(outcome, Err(HealError::Lost { have: 6, need: 7, .. })), "{outcome:?}");
    assert_eq!(bench.scheduler.block_on(bench.staging.state(HEAL_OP_ID)), Ok(StagingState::Unsealed));

    // Holders come back: the same operation can be done after all.
    fixture.symbols[20..].iter().for_each(|symbol| network.put("dan", symbol.clone()));
    assert!(bench.heal(&fixture, &Cancel::new()).is_ok());
}

#[test]
fn without_any_layout_file_it_may_be_tried_again() {
    let fixture = TicketFixture::new("1", 1000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    fixture.id_files.iter().for_each(|file| network.remove(&file.key));
    let outcome = Bench::new(&fixture, &network).heal(&fixture, &Cancel::new());
    assert!(matches!(&outcome, Err(error @ HealError::Retry { .. }) if error.is_transient()), "{outcome:?}");
}

#[test]
fn a_heal_that_is_no_longer_wanted_stops() {
    let fixture = TicketFixture::new("1", 1000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    let cancel = Cancel::new();
    cancel.cancel();
    let outcome = Bench::new(&fixture, &network).heal(&fixture, &cancel);
    assert_eq!(outcome, Err(HealError::Cancelled));
}

#[test]
fn cost_follows_the_damage() {
    let fixture = TicketFixture::new("1", 440_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    let key = fixture.symbols[3].key;
    network.remove_from(&network.replicas(&key)[0], &key);
    let made = Bench::new(&fixture, &network).heal(&fixture, &Cancel::new()).unwrap();
    let packet = fixture.symbols[3].bytes.len() as u64;
    assert_eq!((made.cost.staged_bytes, made.cost.regenerated_count), (packet, 1));
    assert_eq!((made.cost.fetched_count, made.cost.fetched_bytes), (7, 7 * packet));
    assert_eq!(made.cost.margin_symbols, 34);
}
