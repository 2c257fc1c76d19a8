//! The simulated network: chain, fabric, disks and nodes, on one virtual clock.
//!
//! Owns their making, the lives of nodes, and the passing of time block by block. What goes wrong is the storm's
//! decision, what must hold the invariants'.

use super::defect::Defect;
use super::disk::{DiskJournal, DiskOwner, DiskStaging, DiskStore, NodeDisk};
use super::ledger::Ledger;
use super::options::{BLOCK_INTERVAL_MS, EPOCH_LENGTH_BLOCKS, Shape, SimOptions};
use super::watched::{Role, Watched, WatchedChain, WatchedTransport};
use crate::plugins::registry;
use lampkeeper_api::chain::{EnforcementMode, Params, SupernodeState};
use lampkeeper_api::journal::Journal;
use lampkeeper_api::plugin::{Provided, Seam};
use lampkeeper_api::scheduler::{Scheduler, random_u64};
use lampkeeper_api::signer::Signer;
use lampkeeper_api::transport::CallerMint;
use lampkeeper_chain_sim::address::operator_of_account;
use lampkeeper_chain_sim::chain::{SimChain, SimChainOptions};
use lampkeeper_chain_sim::state::ActionParams;
use lampkeeper_chain_sim::state::supernodes::{AddressRecord, SupernodeRecord};
use lampkeeper_chain_sim::{Block, ChainConfig, State};
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::telemetry::{Delivery, EventListener};
use lampkeeper_core::{Manifest, Node, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, TestSigner, VirtualOptions, VirtualScheduler};
use lampkeeper_transport_memory::{Fabric, Faults, JoiningNode, LinkQuality, MemoryTransport};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How long a message travels when nothing is wrong.
pub const LATENCY_MS: u64 = 5;
/// How long a submission waits for its block.
const SUBMIT_TIMEOUT_MS: u64 = 8_000;
/// Deterioration from which a ticket is healed.
const HEAL_THRESHOLD: i64 = 8;
/// Coins that each node begins with, in ulume.
const BALANCE_ULUME: u64 = 1_000_000_000_000;
/// Polls at one moment after which tasks are taken to wake each other for ever.
const POLLS_PER_MOMENT_MAX: u64 = 1_000_000;

/// Seams that the simulator gives to its nodes; the rest is plugins.
const HOST_SEAMS: [Seam; 6] =
    [Seam::ChainSubmit, Seam::Store, Seam::Staging, Seam::Journal, Seam::Transport, Seam::Scheduler];

/// One node, over all of its lives.
pub struct Member {
    /// Its name, `n1` onwards.
    pub name: String,
    /// Its account.
    pub account: String,
    /// How it deceives others.
    pub role: Role,
    /// What survives its crashes.
    pub disk: NodeDisk,
    signer: TestSigner,
    manifest: Manifest,
    wall_skew_ms: i64,
    life: Option<Life>,
    /// When it begins its next life.
    pub restart_at_height: Option<i64>,
}

/// From a start to a crash.
struct Life {
    is_over: Arc<AtomicBool>,
    node: Arc<Mutex<Weak<Node>>>,
}

/// Says that a node is gone, at the moment when its tasks are dropped.
struct Heartbeat {
    is_over: Arc<AtomicBool>,
    faults: Faults,
    account: String,
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.faults.take_down(&self.account);
    }
}

impl Member {
    /// The node, if it runs.
    pub fn node(&self) -> Option<Arc<Node>> {
        let life = self.life.as_ref()?;
        life.node.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Whether it has crashed since it was started.
    pub fn has_crashed(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.is_over.load(Ordering::Relaxed))
    }

    /// Whether it is between two lives.
    pub const fn is_down(&self) -> bool {
        self.life.is_none()
    }

    /// Whether it keeps to the rules.
    pub fn is_honest(&self) -> bool {
        self.role == Role::default()
    }
}

/// The whole network.
pub struct World {
    /// What it is.
    pub options: SimOptions,
    /// What else was drawn for it.
    pub shape: Shape,
    /// The clock.
    pub scheduler: VirtualScheduler,
    /// The chain.
    pub chain: Arc<SimChain>,
    /// The hand that breaks the network.
    pub faults: Faults,
    fabric: Fabric,
    /// The nodes.
    pub members: Vec<Member>,
    /// The record.
    pub ledger: Ledger,
    registry: Registry,
    telemetry: Arc<TelemetryHub>,
    events: EventListener,
    chance: Arc<dyn Scheduler>,
}

impl World {
    /// A network at the first block of epoch 1, its nodes not started yet.
    ///
    /// # Errors
    /// If the parts do not fit together; a defect.
    pub fn new(options: SimOptions) -> Result<Self, String> {
        let scheduler = VirtualScheduler::with_options(VirtualOptions {
            seed: options.seed,
            shuffle: true,
            polls_per_moment_max: POLLS_PER_MOMENT_MAX,
            ..VirtualOptions::default()
        });
        let chance = scheduler.for_node("what happens", 0).handle();
        let registry = registry().map_err(|error| error.to_string())?.with_host_seams(HOST_SEAMS);
        let signers: Vec<TestSigner> = (1..=options.nodes)
            .map(|number| TestSigner::new(&format!("sim {} n{number}", options.seed)))
            .collect();
        let shape = Shape::draw(options.profile, |below| random_u64(chance.as_ref()) % below);
        let state = chain_state(&options, &signers, scheduler.wall_clock_ms(), shape)?;
        let chain_options = SimChainOptions {
            block_interval_ms: 0,
            submit_timeout_ms: SUBMIT_TIMEOUT_MS,
            ..SimChainOptions::default()
        };
        let chain = SimChain::new(state, chain_options, scheduler.handle());
        chain.produce_block().map_err(|error| error.to_string())?;
        let (fabric, telemetry) = (Fabric::new(), TelemetryHub::new());
        let mut world = Self {
            options,
            shape,
            chain,
            faults: fabric.faults(),
            fabric,
            members: Vec::new(),
            ledger: Ledger::new(options.keeps_trace),
            registry,
            events: telemetry.events.listen(),
            telemetry,
            chance,
            scheduler,
        };
        world.reset_links();
        world.ledger.set_height(world.height());
        world.ledger.note(|| format!("{shape:?}"));
        for (number, signer) in (1..).zip(signers) {
            world.add_member(number, signer)?;
        }
        Ok(world)
    }

    fn add_member(&mut self, number: u16, signer: TestSigner) -> Result<(), String> {
        let name = format!("n{number}");
        let wall_skew_ms = if self.options.profile.has_network_faults() {
            self.ledger.fault("clocks off");
            i64::try_from(self.draw(240_000)).unwrap_or_default() - 120_000
        } else {
            0
        };
        let manifest =
            Manifest::parse(Path::new("node.toml"), &manifest_text(&name, self.shape), &self.registry)
                .map_err(|problems| {
                    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                })?;
        let owner = DiskOwner {
            name: name.clone(),
            account: signer.account().to_owned(),
            ledger: self.ledger.clone(),
            defect: self.options.defect,
        };
        let disk = NodeDisk::new(self.scheduler.for_node(&format!("disk of {name}"), 0), owner);
        self.members.push(Member {
            account: signer.account().to_owned(),
            role: Role::default(),
            disk,
            signer,
            manifest,
            wall_skew_ms,
            life: None,
            restart_at_height: Some(0),
            name,
        });
        Ok(())
    }

    /// A number below `below`, or 0.
    pub fn draw(&self, below: u64) -> u64 {
        random_u64(self.chance.as_ref()) % below.max(1)
    }

    /// An index into what has `len` entries.
    pub fn draw_index(&self, len: usize) -> usize {
        usize::try_from(self.draw(len as u64)).unwrap_or_default()
    }

    /// Height of the last block.
    pub fn height(&self) -> i64 {
        self.chain.read(|state| state.height)
    }

    /// The present epoch.
    pub fn epoch_id(&self) -> u64 {
        self.chain.read(|state| state.query_current_epoch().epoch_id)
    }

    /// Ends everything that is wrong with the network.
    pub fn reset_links(&self) {
        self.faults.end_partition();
        let latency = Duration::from_millis(LATENCY_MS);
        self.faults.set_every_link(LinkQuality { latency, ..LinkQuality::default() });
    }

    /// Lets a node's wall clock jump, in this life and those to come.
    pub fn set_clock(&mut self, index: usize, wall_skew_ms: i64) {
        let member = &mut self.members[index];
        member.wall_skew_ms = wall_skew_ms;
        if member.life.is_some() {
            drop(self.scheduler.for_node(&member.name, wall_skew_ms));
        }
    }

    /// Whether a node of this name or account is honest; strangers are.
    pub fn is_honest(&self, account: &str) -> bool {
        self.members.iter().find(|member| member.account == account).is_none_or(Member::is_honest)
    }

    /// A node's name.
    pub fn name_of<'a>(&'a self, account: &'a str) -> &'a str {
        self.members.iter().find(|member| member.account == account).map_or(account, |member| &member.name)
    }

    /// Starts the nodes whose time has come.
    pub fn start_due(&mut self) {
        let height = self.height();
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if member.is_down() && member.restart_at_height.is_some_and(|due| due <= height) {
                self.start(index);
            }
        }
    }

    /// Begins a life, unless peers still hold on to the last one; then it is tried again at the next block.
    fn start(&mut self, index: usize) {
        let member = &self.members[index];
        let view = self.scheduler.for_node(&member.name, member.wall_skew_ms);
        let joining = JoiningNode {
            account: member.account.clone(),
            address: address_of(&member.name),
            scheduler: view.handle(),
            caller_mint: CallerMint::for_host(),
            telemetry: Arc::new(RecordingTelemetry::new()),
        };
        self.faults.bring_up(&member.account);
        let inner = match MemoryTransport::join(&self.fabric, joining) {
            Ok(transport) => transport,
            Err(error) => {
                self.faults.take_down(&member.account);
                return self.ledger.note(|| format!("{}: {error}", member.name));
            }
        };
        let host = self.host_of(member, inner, view.handle());
        let is_over = Arc::new(AtomicBool::new(false));
        let heartbeat = Heartbeat {
            is_over: Arc::clone(&is_over),
            faults: self.faults.clone(),
            account: member.account.clone(),
        };
        let node: Arc<Mutex<Weak<Node>>> = Arc::default();
        let life = Life { is_over, node: Arc::clone(&node) };
        let (manifest, registry) = (member.manifest.clone(), self.registry.clone());
        let (name, ledger) = (member.name.clone(), self.ledger.clone());
        let task = async move {
            let _heartbeat = heartbeat;
            match Node::start(&manifest, &registry, host).await {
                Ok(started) => {
                    let started = Arc::new(started);
                    *node.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&started);
                    std::future::pending::<()>().await;
                    drop(started);
                }
                Err(error) => ledger.violate("nodes-start", &name, error.to_string()),
            }
        };
        view.spawn("node", Box::pin(task));
        self.ledger.note(|| format!("{} starts", self.members[index].name));
        self.members[index].life = Some(life);
        self.members[index].restart_at_height = None;
    }

    fn host_of(&self, member: &Member, inner: MemoryTransport, scheduler: Arc<dyn Scheduler>) -> NodeHost {
        let watched = Watched {
            name: member.name.clone(),
            account: member.account.clone(),
            role: member.role,
            ledger: self.ledger.clone(),
            defect: self.options.defect,
            chain_is_reliable: !self.options.profile.has_chain_faults(),
        };
        let chain = Arc::new(WatchedChain {
            inner: self.chain.client(&member.account),
            watched: watched.clone(),
            believed_gone: Mutex::default(),
        });
        let disk = &member.disk;
        let cannot_start = self.options.defect == Some(Defect::NeverStarts) && self.ledger.is_stormy();
        let journal: Arc<dyn Journal> = Arc::new(DiskJournal(disk.clone()));
        let mut host = NodeHost::new(Arc::new(member.signer.clone()), Arc::clone(&self.telemetry));
        host.seams = Provided {
            chain_reader: Some(chain.clone()),
            chain: Some(chain),
            store: Some(Arc::new(DiskStore(disk.clone()))),
            staging: Some(Arc::new(DiskStaging(disk.clone()))),
            journal: (!cannot_start).then_some(journal),
            transport: Some(Arc::new(WatchedTransport { inner, watched })),
            scheduler: Some(scheduler),
            ..Provided::default()
        };
        host
    }

    /// Ends the lives of nodes that have crashed; their indices.
    pub fn bury_crashed(&mut self, downtime_blocks: impl Fn(&Self) -> i64) -> Vec<usize> {
        let height = self.height();
        let mut buried = Vec::new();
        for index in 0..self.members.len() {
            if !self.members[index].has_crashed() {
                continue;
            }
            let downtime = downtime_blocks(self);
            let member = &mut self.members[index];
            member.life = None;
            member.disk.crash();
            member.restart_at_height = Some(height + downtime);
            self.ledger.forget_life(&member.account);
            self.ledger.note(|| format!("{} has crashed; it restarts in {downtime} blocks", member.name));
            buried.push(index);
        }
        buried
    }

    /// Faults that took effect, by kind.
    pub fn fault_counts(&self) -> std::collections::BTreeMap<&'static str, u64> {
        let mut counts = self.ledger.fault_counts();
        for (kind, count) in self.faults.met() {
            *counts.entry(kind).or_default() += count;
        }
        counts
    }

    /// Lets time pass until the next block is due.
    pub fn wait_for_block(&mut self) {
        self.scheduler.run_for(Duration::from_millis(BLOCK_INTERVAL_MS));
        self.collect_events();
    }

    /// Makes a block, unless a fault keeps it back.
    ///
    /// # Errors
    /// The chain has halted.
    pub fn make_block(&mut self) -> Result<Option<Block>, String> {
        let block = self.chain.produce_block().map_err(|error| error.to_string())?;
        self.ledger.set_height(self.height());
        if let Some(block) = &block {
            let delivered = block.results.iter().flatten().flat_map(|delivered| &delivered.events);
            for event in block.begin_events.iter().chain(delivered).chain(&block.end_events) {
                self.ledger.note(|| {
                    let fields: Vec<_> =
                        event.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    format!("chain {} {}", event.kind, fields.join(" "))
                });
            }
            for refusal in block.results.iter().filter_map(|result| result.as_ref().err()) {
                self.ledger.note(|| format!("chain refused: {refusal}"));
            }
        }
        Ok(block)
    }

    /// Takes in what the nodes have told.
    fn collect_events(&mut self) {
        while let Some(delivery) = self.events.try_next() {
            let Delivery::Event(record) = delivery else {
                self.ledger.note(|| "events were missed".to_owned());
                continue;
            };
            let fields = &record.event.fields;
            if record.event.name == "heal.published"
                && let Some(lampkeeper_api::telemetry::Value::Integer(id)) = fields.get("heal_op_id")
            {
                self.ledger.published(id.unsigned_abs());
            }
            if record.event.name == "service.failed" {
                self.ledger.violate("services-run", &record.node, format!("{fields:?}"));
            }
            self.ledger.note(|| format!("{} {} {fields:?}", record.node, record.event.name));
        }
    }
}

/// The address under which the chain knows a node.
fn address_of(name: &str) -> String {
    format!("{name}.sim:4444")
}

/// The chain at the end of epoch 0, so that the nodes are in the anchor of epoch 1.
fn chain_state(
    options: &SimOptions,
    signers: &[TestSigner],
    now_ms: i64,
    shape: Shape,
) -> Result<State, String> {
    let params = Params {
        epoch_length_blocks: EPOCH_LENGTH_BLOCKS,
        storage_truth_recent_bucket_max_blocks: EPOCH_LENGTH_BLOCKS * 50,
        storage_truth_old_bucket_min_blocks: EPOCH_LENGTH_BLOCKS * 500,
        storage_truth_challenge_target_divisor: shape.challenge_divisor,
        storage_truth_ticket_deterioration_heal_threshold: HEAL_THRESHOLD,
        storage_truth_heal_deadline_epochs: shape.heal_deadline_epochs,
        storage_truth_enforcement_mode: EnforcementMode::Full,
        ..Params::default()
    };
    lampkeeper_chain_sim::params::validate(&params)?;
    let mut state = State::new(ChainConfig {
        chain_id: format!("sim-{}", options.seed),
        seed: options.seed,
        genesis_time_ms: now_ms,
        params,
        action_params: ActionParams {
            max_raptor_q_symbols: shape.id_files.into(),
            ..ActionParams::default()
        },
        ..ChainConfig::default()
    });
    let height = EPOCH_LENGTH_BLOCKS.cast_signed();
    state.advance_to(height).map_err(|error| error.to_string())?;
    for (number, signer) in (1..).zip(signers) {
        register(&mut state, signer, number, height)?;
    }
    Ok(state)
}

fn register(state: &mut State, signer: &TestSigner, number: u32, height: i64) -> Result<(), String> {
    let operator = operator_of_account(signer.account()).ok_or("a simulated key has no address")?;
    let account = state.bank.account_mut(signer.account());
    account.public_key = signer.public_key();
    signer.public_key_type_url().clone_into(&mut account.public_key_type_url);
    account.balance_ulume = BALANCE_ULUME;
    let mut record = SupernodeRecord::planted(&operator, signer.account(), SupernodeState::Active, height);
    record.prev_ip_addresses.push(AddressRecord { address: address_of(&format!("n{number}")), height });
    state.supernode.supernodes.insert(record);
    Ok(())
}

fn manifest_text(name: &str, shape: Shape) -> String {
    let Shape { strategy, probes_per_target, .. } = shape;
    format!(
        r#"[node]
name = "{name}"
network = "sim"
data_dir = "."

[plugins.network-replicas.config]
refresh_interval_ms = 1000
publish_refresh_ms = 1000
stranger_refresh_ms = 1000
call_timeout_ms = 3000
hedge_delay_ms = 300

[plugins.storage-challenge.config]
poll_interval_ms = 1000
retry_delay_ms = 500
answer_timeout_ms = 2000
target_deadline_ms = 15000
probe_time_budget_ms = 5000
grace_blocks = 5
probes_per_target = {probes_per_target}

[plugins.epoch-reporter.config]
poll_interval_ms = 1000
tick_timeout_ms = 10000

[plugins.recheck.config]
tick_interval_ms = 5000

[plugins.self-healing.config]
poll_interval_ms = 500
verifier_fetch_timeout_ms = 3000
verifier_backoff_base_ms = 1000
audit_query_timeout_ms = 3000

[plugins.{strategy}]
"#
    )
}
