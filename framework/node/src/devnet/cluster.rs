//! The chain and the nodes of a devnet: starting, damaging, looking, stopping.
//!
//! Owns the running network. What is told about it is the story's part, when to do what the scenario's.
#![expect(
    clippy::disallowed_methods,
    reason = "the devnet lays out its data directory and damages it on purpose"
)]

use super::damage::{ArtifactKind, Damage};
use super::genesis::{self, NodeSeed};
use super::options::Plan;
use crate::commands::run::start_failure;
use crate::host_runtime::HostRuntime;
use crate::output::Failure;
use crate::plugins::{advisory, registry};
use lampkeeper_api::chain::Ticket;
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_chain_sim::chain::{NetworkGuard, SimChain, SimChainOptions, register_network};
use lampkeeper_core::node::NodeHost;
use lampkeeper_core::{FileSigner, Manifest, Node, Registry, TelemetryHub};
use lampkeeper_plugin_sdk::cascade::{ArtifactKind as Kind, TicketDocuments};
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_protocol::account::KeyType;
use lampkeeper_protocol::artifact_key::ArtifactKey;
use lampkeeper_protocol::hash::keyed_hash;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// File that marks a directory as a devnet's, which may be replaced by the next one.
const MARKER: &str = "devnet.json";
/// Keys that one look at the network asks about at once.
const KEYS_PER_LOOK: usize = 1024;

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

fn private_dir(dir: &Path) -> std::io::Result<()> {
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
                    cluster.stop().await;
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

    /// Stops all nodes.
    pub async fn stop(&self) {
        join_all(self.members.iter().map(take_down)).await;
        self.chain.stop();
    }

    /// Does some damage; what was done, for the story.
    ///
    /// # Errors
    /// If a node or the artifacts that are named are not there.
    pub async fn damage(
        &self,
        damage: &Damage,
        documents: &TicketDocuments,
        seed: u64,
    ) -> Result<Vec<String>, Failure> {
        let mut told = Vec::new();
        for name in damage.nodes() {
            let member =
                self.member(name).ok_or_else(|| Failure::invalid(format!("there is no node {name}")))?;
            told.push(match damage {
                Damage::None => continue,
                Damage::Down { .. } => {
                    take_down(member).await;
                    format!("{name} is down")
                }
                Damage::Wipe { .. } => wipe(member).await?,
                Damage::Delete { kind, count, .. } => {
                    let keys = chosen(member, documents, Some(*kind), *count, seed).await?;
                    let store = store_of(member)?;
                    for key in &keys {
                        store.delete(key).await.map_err(Failure::failed)?;
                    }
                    lost(name, "lost", &keys, *kind, documents.ticket_id())
                }
                Damage::Corrupt { count, .. } => {
                    let keys = chosen(member, documents, Some(ArtifactKind::Symbol), *count, seed).await?;
                    for key in &keys {
                        flip_a_byte(&member.dir, key)?;
                    }
                    lost(name, "has flipped bytes in", &keys, ArtifactKind::Symbol, documents.ticket_id())
                }
            });
        }
        Ok(told)
    }

    /// How many artifacts of a ticket some member of their replica set lacks.
    ///
    /// # Errors
    /// If the network can't be asked.
    pub async fn lacking(&self, documents: &TicketDocuments) -> Result<u64, Failure> {
        let gateway = self.gateway()?;
        let network = gateway.seams().network.clone().ok_or_else(|| Failure::failed("no network plugin"))?;
        let keys: Vec<ArtifactKey> = documents.artifacts().map(|(key, _)| key).collect();
        let mut lacking = 0;
        for keys in keys.chunks(KEYS_PER_LOOK) {
            let surveys = network.survey(keys, true).await.map_err(Failure::failed)?;
            lacking += surveys.iter().filter(|survey| survey.lacking().next().is_some()).count() as u64;
        }
        Ok(lacking)
    }

    /// The documents of a ticket.
    ///
    /// # Errors
    /// If they can't be loaded.
    pub async fn documents(&self, ticket: &Ticket) -> Result<TicketDocuments, Failure> {
        let gateway = self.gateway()?;
        let seams = gateway.seams();
        let (Some(chain), Some(network)) = (&seams.chain, &seams.network) else {
            return Err(Failure::failed("the node has no chain or no network"));
        };
        TicketDocuments::load(chain.as_ref(), network.as_ref(), ticket).await.map_err(Failure::failed)
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
            let artifacts = super::story::plural(count, "artifact");
            return Ok(format!("{} lost everything that it held: {artifacts}", member.name));
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
    kind: Option<ArtifactKind>,
    count: u32,
    seed: u64,
) -> Result<Vec<ArtifactKey>, Failure> {
    let store = store_of(member)?;
    let mut held = Vec::new();
    for (key, of) in documents.artifacts() {
        let wanted = match kind {
            Some(ArtifactKind::Symbol) => matches!(of, Kind::Symbol { .. }),
            Some(ArtifactKind::Index) => matches!(of, Kind::IndexFile { .. }),
            Some(ArtifactKind::Layout) => matches!(of, Kind::LayoutFile { .. }),
            None => true,
        };
        if wanted && store.size(&key).await.map_err(Failure::failed)?.is_some() {
            held.push(key);
        }
    }
    if held.len() < count as usize {
        return Err(Failure::invalid(format!(
            "{} holds only {} of the {count} artifacts to damage",
            member.name,
            held.len()
        )));
    }
    held.sort_by_cached_key(|key| keyed_hash(&seed.to_be_bytes(), &[member.name.as_bytes(), key.as_bytes()]));
    held.truncate(count as usize);
    Ok(held)
}

/// Damages a blob behind the store's back, as a failing disk would.
fn flip_a_byte(node_dir: &Path, key: &ArtifactKey) -> Result<(), Failure> {
    let name = key.to_string();
    let path = find_file(&node_dir.join("artifacts"), &name)
        .ok_or_else(|| Failure::failed(format!("no file of {} holds artifact {name}", node_dir.display())))?;
    let failed = |error: std::io::Error| Failure::failed(format!("damaging {}: {error}", path.display()));
    let file = std::fs::OpenOptions::new().read(true).write(true).mode(0o600).open(&path).map_err(failed)?;
    let mut byte = [0];
    let middle = file.metadata().map_err(failed)?.len() / 2;
    file.read_exact_at(&mut byte, middle).map_err(failed)?;
    file.write_all_at(&[!byte[0]], middle).map_err(failed)
}

fn find_file(dir: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find_file(&path, name) {
                return Some(found);
            }
        } else if entry.file_name().to_string_lossy() == name {
            return Some(path);
        }
    }
    None
}

fn lost(name: &str, what: &str, keys: &[ArtifactKey], kind: ArtifactKind, ticket_id: &str) -> String {
    let noun = match kind {
        ArtifactKind::Symbol => "symbol",
        ArtifactKind::Index => "index file",
        ArtifactKind::Layout => "layout file",
    };
    let mut named: Vec<_> = keys.iter().take(3).map(|key| super::story::short(&key.to_string())).collect();
    if keys.len() > named.len() {
        named.push("…".to_owned());
    }
    let count = super::story::plural(keys.len() as u64, noun);
    format!("{name} {what} {count} of ticket {ticket_id} ({})", named.join(", "))
}
