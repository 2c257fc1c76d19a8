//! The chain and the nodes of a devnet: starting, damaging, looking, stopping.
//!
//! Owns the running network. What is told about it is the story's part, when to do what the scenario's.
#![expect(
    clippy::disallowed_methods,
    reason = "the devnet lays out its data directory and damages it on purpose"
)]

use super::damage::{ArtifactKind, Damage};
use super::disk::{self, Disk};
use super::genesis::{self, NodeSeed};
use super::network::{Network, Report};
use super::options::Plan;
use crate::commands::run::start_failure;
use crate::control::{Progress, Request};
use crate::history;
use crate::host_runtime::HostRuntime;
use crate::operations;
use crate::output::Failure;
use crate::plugins::{advisory, registry};
use lampkeeper_api::chain::{ChainReader, Ticket};
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_chain_sim::chain::{NetworkGuard, SimChain, SimChainOptions, register_network};
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::{FileSigner, Manifest, Node, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::{StoredFile, TicketDocuments};
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_protocol::account::KeyType;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// File that marks a directory as a devnet's, which may be replaced by the next one.
const MARKER: &str = "devnet.json";
/// One node of a devnet.
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its account.
    pub account: String,
    /// Its directory.
    pub dir: PathBuf,
    node: Mutex<Option<Arc<Node>>>,
}

impl Member {
    /// The node, unless it was taken down.
    #[must_use]
    pub fn node(&self) -> Option<Arc<Node>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running devnet.
pub struct Cluster {
    /// The chain; its blocks are made by whoever runs the devnet.
    pub chain: Arc<SimChain>,
    /// The nodes, `n1` first.
    pub members: Vec<Member>,
    /// Where all nodes tell what happens.
    pub telemetry: Arc<TelemetryHub>,
    _network: NetworkGuard,
}

/// Makes the data directory of a devnet, replacing an earlier devnet's.
///
/// # Errors
/// If the directory holds anything else, or can't be made.
pub fn prepare_data_dir(dir: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::invalid(format!("{}: {error}", dir.display()));
    match std::fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                if !dir.join(MARKER).is_file() {
                    return Err(Failure::invalid(format!(
                        "{} holds something else than a devnet: choose an empty directory with --data-dir",
                        dir.display()
                    )));
                }
                std::fs::remove_dir_all(dir).map_err(failed)?;
            } else {
                std::fs::remove_dir(dir).map_err(failed)?;
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    private_dir(dir).map_err(failed)?;
    std::fs::write(dir.join(MARKER), "{}\n").map_err(failed)
}

/// Makes a directory for its owner alone.
///
/// # Errors
/// If the system refuses.
pub fn private_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl Cluster {
    /// Starts the chain and all nodes.
    ///
    /// # Errors
    /// What the first node that does not start says; those before it are stopped again.
    pub async fn start(plan: &Plan, scheduler: Arc<dyn Scheduler>) -> Result<Self, Failure> {
        let seeds = genesis::node_seeds(plan.nodes, plan.seed);
        let state = genesis::chain_state(plan, &seeds, scheduler.wall_clock_ms()).map_err(Failure::failed)?;
        // No interval: the devnet makes the blocks itself, and so sees what is in them.
        let options = SimChainOptions { block_interval_ms: 0, ..SimChainOptions::default() };
        let chain = SimChain::new(state, options, scheduler);
        // The first block of epoch 1, so that no node reports for an epoch that is over.
        chain.produce_block().map_err(Failure::failed)?;
        let network = register_network(&plan.chain_id, &chain).map_err(Failure::failed)?;
        let mut cluster =
            Self { chain, members: Vec::new(), telemetry: TelemetryHub::new(), _network: network };
        let registry = registry().map_err(Failure::failed)?;
        for seed in &seeds {
            match start_member(plan, seed, &registry, &cluster.telemetry).await {
                Ok(member) => cluster.members.push(member),
                Err(failure) => {
                    cluster.stop_all().await;
                    return Err(failure);
                }
            }
        }
        Ok(cluster)
    }

    /// The first node that is up, which files are stored and fetched through.
    ///
    /// # Errors
    /// If all nodes are down.
    pub fn gateway(&self) -> Result<Arc<Node>, Failure> {
        let up = self.members.iter().find_map(Member::node);
        up.ok_or_else(|| Failure::failed("all nodes are down"))
    }

    /// The node of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        self.members.iter().filter_map(Member::node).collect()
    }

    /// Stops all nodes.
    pub async fn stop_all(&self) {
        join_all(self.members.iter().map(take_down)).await;
        self.chain.stop();
    }

    async fn damage_one(
        &self,
        name: &str,
        damage: &Damage,
        documents: &TicketDocuments,
        seed: u64,
    ) -> Result<String, Failure> {
        let member = self.member(name).ok_or_else(|| Failure::invalid(format!("there is no node {name}")))?;
        match damage {
            Damage::None => Ok(String::new()),
            Damage::Down { .. } => {
                take_down(member).await;
                Ok(format!("{name} is down"))
            }
            Damage::Wipe { .. } => wipe(member).await,
            Damage::Delete { kind, count, .. } => {
                let keys = chosen(member, documents, *kind, *count, seed).await?;
                let store = store_of(member)?;
                for key in &keys {
                    store.delete(key).await.map_err(Failure::failed)?;
                }
                Ok(disk::lost(name, "lost", &keys, *kind, documents.ticket_id()))
            }
            Damage::Corrupt { .. } => {
                let artifacts: Vec<_> = documents.artifacts().collect();
                let disk = Disk::of(name, &member.dir)?;
                disk.damage(damage, &artifacts, documents.ticket_id(), seed)
            }
        }
    }
}

#[async_trait]
impl Network for Cluster {
    fn members(&self) -> Vec<(String, String)> {
        self.members.iter().map(|member| (member.name.clone(), member.account.clone())).collect()
    }

    fn chain(&self) -> Arc<dyn ChainReader> {
        Arc::new(self.chain.client(""))
    }

    async fn store(&self, file: &Path, report: Report<'_>) -> Result<StoredFile, Failure> {
        let report = |step| report(operations::progress_text(&step));
        operations::store_reporting(&*self.gateway()?, file, &report).await.map_err(Failure::failed)
    }

    async fn damage(&self, damage: &Damage, ticket: &Ticket, seed: u64) -> Result<Vec<String>, Failure> {
        let documents =
            operations::documents(&*self.gateway()?, &ticket.ticket_id).await.map_err(Failure::failed)?;
        let mut told = Vec::new();
        for name in damage.nodes() {
            told.push(self.damage_one(name, damage, &documents, seed).await?);
        }
        Ok(told)
    }

    async fn lacking(&self, ticket: &Ticket) -> Result<u64, Failure> {
        let survey =
            operations::survey(&*self.gateway()?, &ticket.ticket_id).await.map_err(Failure::failed)?;
        Ok(survey.lacking)
    }

    async fn fetch(&self, ticket_id: &str, output: &Path) -> Result<u64, Failure> {
        let gateway = self.gateway()?;
        let fetched = operations::fetch(&gateway, ticket_id, output, &Progress::silent()).await;
        Ok(fetched.map_err(Failure::failed)?["recovered_symbols"].as_u64().unwrap_or_default())
    }

    fn excused(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    async fn answer(&self, request: Request, progress: &Progress) -> Result<serde_json::Value, String> {
        let gateway = || self.gateway().map_err(|failure| failure.message);
        match request {
            Request::Status => operations::status(&self.nodes()).await,
            Request::Heals { heal_op_id } => crate::commands::heals::answer(&self.nodes(), heal_op_id).await,
            Request::Scrub { pause } => operations::scrub(&self.nodes(), pause).await,
            Request::History { node, query } => {
                let journals = history::journals_of(&self.nodes(), node.as_deref())?;
                history::answer(&journals, &query).await
            }
            request => operations::answer(&*gateway()?, request, progress).await,
        }
    }

    async fn stop(&self) {
        self.stop_all().await;
    }
}

async fn start_member(
    plan: &Plan,
    seed: &NodeSeed,
    registry: &Registry,
    telemetry: &Arc<TelemetryHub>,
) -> Result<Member, Failure> {
    let dir = plan.data_dir.join(&seed.name);
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", dir.display()));
    private_dir(&dir).map_err(failed)?;
    let manifest_path = genesis::manifest_path(&dir);
    let text = genesis::manifest(plan, &seed.name);
    std::fs::write(&manifest_path, &text).map_err(failed)?;
    let signer = FileSigner::import(&dir.join("key.json"), KeyType::Secp256k1, &seed.secret)
        .map_err(Failure::failed)?;
    let registry = &registry.clone().with_native_of(&manifest_path, &text);
    let manifest = Manifest::parse(&manifest_path, &text, registry).map_err(|problems| {
        Failure::failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let mut host = NodeHost::new(Arc::new(signer), Arc::clone(telemetry));
    host.advisory = Some(advisory());
    host.runtime = Some(Arc::new(HostRuntime::current()));
    let node = Node::start(&manifest, registry, host).await.map_err(start_failure)?;
    Ok(Member {
        name: seed.name.clone(),
        account: seed.account.clone(),
        dir,
        node: Mutex::new(Some(Arc::new(node))),
    })
}

async fn take_down(member: &Member) {
    let node = member.node.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(node) = node {
        node.drain().await;
    }
}

fn store_of(member: &Member) -> Result<Arc<dyn lampkeeper_api::store::ArtifactStore>, Failure> {
    let node = member.node().ok_or_else(|| Failure::failed(format!("{} is down", member.name)))?;
    node.seams().store.clone().ok_or_else(|| Failure::failed(format!("{} has no store", member.name)))
}

async fn wipe(member: &Member) -> Result<String, Failure> {
    let store = store_of(member)?;
    let mut count = 0_u64;
    loop {
        let entries = store.list(None, 1000).await.map_err(Failure::failed)?;
        if entries.is_empty() {
            return Ok(disk::wiped(&member.name, count));
        }
        for entry in entries {
            store.delete(&entry.key).await.map_err(Failure::failed)?;
            count += 1;
        }
    }
}

/// Artifacts of a kind that a member holds, drawn from the seed.
async fn chosen(
    member: &Member,
    documents: &TicketDocuments,
    kind: ArtifactKind,
    count: u32,
    seed: u64,
) -> Result<Vec<ArtifactKey>, Failure> {
    let store = store_of(member)?;
    let mut held = Vec::new();
    for (key, of) in documents.artifacts() {
        if disk::is_of(kind, of) && store.size(&key).await.map_err(Failure::failed)?.is_some() {
            held.push(key);
        }
    }
    disk::drawn(&member.name, held, count, seed)
}
