//! The course of a devnet: store, damage, wait until it is healed, fetch, compare.
//!
//! Owns the order of events and the verdict at the end. It looks at the network from outside and never helps it.

use super::cluster::Cluster;
use super::damage::Damage;
use super::display::EpochProgress;
use super::genesis::EPOCH_LENGTH_BLOCKS;
use super::options::Plan;
use super::story::{Happening, bytes, plural};
use super::watch::Watch;
use crate::operations;
use crate::output::{Failure, Outcome};
use lampkeeper_api::chain::{ChainReader, HealOpStatus, SupernodeState, Ticket};
use lampkeeper_api::scheduler::{Moment, Scheduler};
use lampkeeper_chain_sim::State;
use lampkeeper_core::telemetry::{Delivery, EventListener};
use lampkeeper_plugin_sdk::cascade::{DataHasher, StoredFile, TicketDocuments};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often the director looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Blocks between the ticket and the damage: what was just stored may still be under way.
const SETTLE_BLOCKS: i64 = 6;
/// Bytes of a file that are hashed at once.
const HASH_PART_LEN_BYTES: usize = 1024 * 1024;

/// What healing took, added up from the nodes' events.
#[derive(Debug, Default)]
struct Tally {
    fetched_bytes: u64,
    streamed_bytes: u64,
    published_bytes: u64,
    publishes: u64,
    accused: BTreeSet<String>,
}

/// Leads a devnet through its course.
pub struct Director {
    plan: Plan,
    file: PathBuf,
    cluster: Arc<Cluster>,
    scheduler: Arc<dyn Scheduler>,
    words: mpsc::UnboundedSender<Happening>,
    progress: Arc<Mutex<EpochProgress>>,
    events: EventListener,
    tally: Tally,
}

impl Director {
    /// A director of this network.
    pub fn new(
        plan: Plan,
        file: PathBuf,
        cluster: Arc<Cluster>,
        scheduler: Arc<dyn Scheduler>,
        watch: &Watch,
    ) -> Self {
        let events = cluster.telemetry.events.listen();
        let (words, progress) = (watch.sender(), watch.waiting_for());
        Self { plan, file, cluster, scheduler, words, progress, events, tally: Tally::default() }
    }

    /// The whole course; `Ok` only if the file was healed and compares equal.
    pub async fn direct(mut self) -> Outcome {
        let begun = self.scheduler.now();
        self.introduce();
        let stored = self.store().await?;
        let ticket = self.ticket(&stored.ticket_id).await?;
        let documents = self.cluster.documents(&ticket).await?;
        self.wait_for("the network to settle");
        self.wait_for_height(ticket.block_height + SETTLE_BLOCKS).await;
        let damaged_at = self.epoch();
        let damage = self.plan.damage.clone();
        for damage in &damage {
            for told in self.cluster.damage(damage, &documents, self.plan.seed).await? {
                self.say("damage", told);
            }
        }
        let nothing = damage.iter().all(|damage| *damage == Damage::None);
        if nothing {
            self.say("damage", "none".to_owned());
        } else {
            self.wait_until_healed(&ticket, &documents).await?;
        }
        self.compare(&ticket).await?;
        self.sum_up(begun, damaged_at, nothing);
        Ok(())
    }

    fn say(&self, subject: &'static str, text: String) {
        let _ = self.words.send(Happening::Devnet { subject, text });
    }

    fn wait_for(&self, what: &str) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).waiting_for = what.to_owned();
    }

    fn introduce(&self) {
        let Plan { chain_id, epoch_ms, nodes, data_dir, .. } = &self.plan;
        let mode = self.cluster.chain.read(|state| state.params().storage_truth_enforcement_mode.name());
        let seconds = epoch_ms / 1000;
        self.say(
            "chain",
            format!("{chain_id} · epoch of {EPOCH_LENGTH_BLOCKS} blocks, {seconds} s · enforcement {mode}"),
        );
        self.say("nodes", format!("{nodes} · data in {}", data_dir.display()));
    }

    async fn store(&self) -> Result<StoredFile, Failure> {
        self.wait_for("the file to be stored");
        let words = Arc::clone(&self.progress);
        let report = move |step| {
            let text = operations::progress_text(&step);
            words.lock().unwrap_or_else(PoisonError::into_inner).waiting_for = text;
        };
        let gateway = self.cluster.gateway()?;
        let begun = self.scheduler.now();
        let stored =
            operations::store_reporting(&gateway, &self.file, &report).await.map_err(Failure::failed)?;
        let id_files = (stored.artifact_count - stored.symbol_count) / 2;
        let source_symbols = stored.len_bytes.div_ceil(65_528);
        self.say(
            "store",
            format!(
                "{} {} → ticket {}: {source_symbols} source + {} repair symbols, {id_files} index and {id_files} \
                 layout files, each on {} nodes · {:.1} s",
                self.file.file_name().unwrap_or_default().to_string_lossy(),
                bytes(stored.len_bytes),
                stored.ticket_id,
                stored.symbol_count - source_symbols,
                self.plan.nodes.min(6),
                self.scheduler.now().since(begun).as_secs_f64(),
            ),
        );
        Ok(stored)
    }

    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, Failure> {
        self.cluster.chain.client("").ticket(ticket_id).await.map_err(Failure::failed)
    }

    fn epoch(&self) -> u64 {
        self.cluster.chain.read(State::query_current_epoch).epoch_id
    }

    async fn wait_for_height(&self, height: i64) {
        while self.cluster.chain.read(|state| state.height) < height {
            self.scheduler.sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every artifact is on all nodes that should hold it, and the chain has no heal operation open.
    async fn wait_until_healed(&mut self, ticket: &Ticket, documents: &TicketDocuments) -> Outcome {
        self.wait_for("the damage to be found");
        let begun = self.epoch();
        let mut looked_after = 0;
        let mut looked_in = begun;
        loop {
            self.scheduler.sleep(LOOK_EVERY).await;
            self.take_note();
            let epoch = self.epoch();
            self.tell_what_is_awaited(ticket);
            if epoch > begun + self.plan.epochs_max {
                return Err(self.not_healed(documents).await);
            }
            // Looking at every replica costs something: once after each publish, and once an epoch.
            if self.tally.publishes == looked_after && epoch == looked_in {
                continue;
            }
            (looked_after, looked_in) = (self.tally.publishes, epoch);
            if self.down_nodes_are_set_aside() && self.cluster.lacking(documents).await? == 0 {
                return Ok(());
            }
        }
    }

    fn tell_what_is_awaited(&self, ticket: &Ticket) {
        let open = self.cluster.chain.read(|state| {
            let ops = state
                .audit
                .heal_ops
                .iter()
                .filter(|op| op.ticket_id == ticket.ticket_id && !op.status.is_final());
            ops.map(|op| op.status).next()
        });
        self.wait_for(match open {
            None => "the damage to be found, and a heal to be scheduled",
            Some(HealOpStatus::HealerReported) => "the verifiers to vote",
            Some(_) => "the healer to reconstruct",
        });
    }

    /// A node that is down keeps its replicas until the chain sets it aside; only then are there others to hold them.
    fn down_nodes_are_set_aside(&self) -> bool {
        let down = self.plan.damage.iter().filter_map(|damage| match damage {
            Damage::Down { node } => self.cluster.member(node).map(|member| member.account.clone()),
            _ => None,
        });
        let mut down = down.peekable();
        if down.peek().is_none() {
            return true;
        }
        self.cluster.chain.read(|state| {
            down.all(|account| {
                let record = state.supernode.supernodes.by_account(&account);
                record.is_some_and(|record| record.state() != SupernodeState::Active)
            })
        })
    }

    async fn not_healed(&self, documents: &TicketDocuments) -> Failure {
        let lacking = match self.cluster.lacking(documents).await {
            Ok(lacking) => plural(lacking, "artifact"),
            Err(failure) => failure.message,
        };
        Failure::failed(format!(
            "not healed after {} epochs: {lacking} still lacking; wait longer with --epochs-max",
            self.plan.epochs_max
        ))
    }

    /// Adds up what the nodes told since the last time.
    fn take_note(&mut self) {
        let number = |event: &lampkeeper_api::telemetry::Event, field: &str| match event.fields.get(field) {
            Some(lampkeeper_api::telemetry::Value::Integer(number)) => {
                u64::try_from(*number).unwrap_or_default()
            }
            _ => 0,
        };
        while let Some(delivery) = self.events.try_next() {
            let Delivery::Event(record) = delivery else { continue };
            let event = &record.event;
            match event.name.as_str() {
                "heal.reconstructed" => self.tally.fetched_bytes += number(event, "fetched_bytes"),
                "heal.voted" => self.tally.streamed_bytes += number(event, "streamed_bytes"),
                "heal.published" => {
                    self.tally.publishes += 1;
                    self.tally.published_bytes += number(event, "bytes");
                }
                "probe.failed" | "challenge.result" => {
                    let passed = matches!(event.fields.get("class"),
                        Some(lampkeeper_api::telemetry::Value::Text(class)) if class == "PASS");
                    if let (false, Some(lampkeeper_api::telemetry::Value::Text(target))) =
                        (passed, event.fields.get("target"))
                    {
                        self.tally.accused.insert(target.clone());
                    }
                }
                _ => {}
            }
        }
    }

    async fn compare(&self, ticket: &Ticket) -> Outcome {
        self.wait_for("the file to be fetched");
        let gateway = self.cluster.gateway()?;
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let path = self.plan.data_dir.join(format!("fetched-{name}"));
        let quiet = crate::control::Progress::silent();
        let fetched =
            operations::fetch(&gateway, &ticket.ticket_id, &path, &quiet).await.map_err(Failure::failed)?;
        let (original, copy) = (hash_of(&self.file).await?, hash_of(&path).await?);
        if original != copy {
            return Err(Failure::failed(format!(
                "the fetched file is another one: BLAKE3 {copy}, the original has {original}"
            )));
        }
        let recovered = fetched["recovered_symbols"].as_u64().unwrap_or_default();
        let solved = if recovered == 0 {
            String::new()
        } else {
            format!(", {} solved for", plural(recovered, "symbol"))
        };
        self.say("fetch", format!("{name} from the network{solved}: BLAKE3 equal ({original})"));
        Ok(())
    }

    fn sum_up(&mut self, begun: Moment, damaged_at: u64, nothing: bool) {
        self.take_note();
        let seconds = self.scheduler.now().since(begun).as_secs();
        let damaged: BTreeSet<_> = self.plan.damage.iter().flat_map(Damage::nodes).collect();
        let wrongly: Vec<_> = self
            .cluster
            .members
            .iter()
            .filter(|member| {
                self.tally.accused.contains(&member.account) && !damaged.contains(member.name.as_str())
            })
            .map(|member| member.name.clone())
            .collect();
        let accused = match wrongly.as_slice() {
            [] => "nobody accused wrongly".to_owned(),
            names => format!("accused wrongly: {}", names.join(", ")),
        };
        if nothing {
            self.say("end", format!("stored and fetched in {seconds} s · {accused}"));
            return;
        }
        let epochs = plural(self.epoch() - damaged_at, "epoch");
        let Tally { fetched_bytes, streamed_bytes, published_bytes, .. } = &self.tally;
        let moved = fetched_bytes + streamed_bytes + published_bytes;
        self.say(
            "healed",
            format!(
                "in {epochs}, {seconds} s in all · moved {} to heal {} · {accused}",
                bytes(moved),
                bytes(*published_bytes)
            ),
        );
    }
}

/// The BLAKE3 of a file, in hex.
#[expect(clippy::disallowed_methods, reason = "the devnet compares two local files")]
async fn hash_of(path: &Path) -> Result<String, Failure> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
        let mut file = std::fs::File::open(&path).map_err(failed)?;
        let mut hasher = DataHasher::new();
        let mut part = vec![0; HASH_PART_LEN_BYTES];
        loop {
            match file.read(&mut part).map_err(failed)? {
                0 => return Ok(hasher.data_hash()),
                len => hasher.update(&part[..len]),
            }
        }
    });
    hashed.await.map_err(Failure::failed)?
}
