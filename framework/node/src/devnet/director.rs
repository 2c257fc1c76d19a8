//! The course of a devnet: store, damage, wait until it is healed, fetch, compare.
//!
//! Owns the order of events and the verdict at the end. It looks at the network from outside and never helps it.

use super::damage::Damage;
use super::genesis::EPOCH_LENGTH_BLOCKS;
use super::happenings::{Happenings, Tally};
use super::network::Network;
use super::options::Plan;
use super::story::{bytes, plural};
use crate::output::{Failure, Outcome};
use lampkeeper_api::chain::{ChainError, ChainReader, HealOpStatus, PageRequest, SupernodeState, Ticket};
use lampkeeper_api::scheduler::{Moment, Scheduler};
use lampkeeper_plugin_sdk::cascade::{DataHasher, StoredFile};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the director looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Blocks between the ticket and the damage: what was just stored may still be under way.
const SETTLE_BLOCKS: i64 = 6;
/// Bytes of a file that are hashed at once.
const HASH_PART_LEN_BYTES: usize = 1024 * 1024;

/// How long the chain may be away.
const CHAIN_AWAY_MAX: Duration = Duration::from_secs(120);

/// Leads a devnet through its course.
pub struct Director {
    plan: Plan,
    file: PathBuf,
    network: Arc<dyn Network>,
    chain: Arc<dyn ChainReader>,
    scheduler: Arc<dyn Scheduler>,
    happenings: Arc<Happenings>,
}

impl Director {
    /// A director of this network.
    pub fn new(
        plan: Plan,
        file: PathBuf,
        network: Arc<dyn Network>,
        scheduler: Arc<dyn Scheduler>,
        happenings: Arc<Happenings>,
    ) -> Self {
        let chain = network.chain();
        Self { plan, file, network, chain, scheduler, happenings }
    }

    /// The whole course; `Ok` only if the file was healed and compares equal.
    pub async fn direct(self) -> Outcome {
        let begun = self.scheduler.now();
        self.introduce().await?;
        let stored = self.store().await?;
        let ticket = self.ticket(&stored.ticket_id).await?;
        self.happenings.wait_for("the network to settle");
        self.wait_for_height(ticket.block_height + SETTLE_BLOCKS).await?;
        let damaged_at = self.epoch().await?;
        for damage in &self.plan.damage {
            for told in self.network.damage(damage, &ticket, self.plan.seed).await? {
                self.happenings.say("damage", told);
            }
        }
        let nothing = self.plan.damage.iter().all(|damage| *damage == Damage::None);
        if nothing {
            self.happenings.say("damage", "none");
        } else {
            self.wait_until_healed(&ticket).await?;
        }
        self.compare(&ticket).await?;
        self.sum_up(begun, damaged_at, nothing).await
    }

    /// Asks the chain, again while it is away.
    async fn read<T>(
        &self,
        ask: impl AsyncFn(&dyn ChainReader) -> Result<T, ChainError>,
    ) -> Result<T, Failure> {
        let begun = self.scheduler.now();
        loop {
            match ask(&*self.chain).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_transient() && self.scheduler.now().since(begun) < CHAIN_AWAY_MAX => {
                    self.scheduler.sleep(LOOK_EVERY).await;
                }
                Err(error) => return Err(Failure::failed(error)),
            }
        }
    }

    async fn introduce(&self) -> Outcome {
        let Plan { chain_id, epoch_ms, nodes, data_dir, .. } = &self.plan;
        let mode = self.read(async |chain| chain.params().await).await?.storage_truth_enforcement_mode.name();
        let seconds = epoch_ms / 1000;
        self.happenings.say(
            "chain",
            format!("{chain_id} · epoch of {EPOCH_LENGTH_BLOCKS} blocks, {seconds} s · enforcement {mode}"),
        );
        self.happenings.say("nodes", format!("{nodes} · data in {}", data_dir.display()));
        Ok(())
    }

    async fn store(&self) -> Result<StoredFile, Failure> {
        self.happenings.wait_for("the file to be stored");
        let begun = self.scheduler.now();
        let stored = self.network.store(&self.file, &|step| self.happenings.wait_for(step)).await?;
        let id_files = (stored.artifact_count - stored.symbol_count) / 2;
        let source_symbols = stored.len_bytes.div_ceil(65_528);
        self.happenings.say(
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
        self.read(async |chain| chain.ticket(ticket_id).await).await
    }

    async fn epoch(&self) -> Result<u64, Failure> {
        Ok(self.read(async |chain| chain.current_epoch().await).await?.epoch_id)
    }

    async fn wait_for_height(&self, height: i64) -> Outcome {
        while self.read(async |chain| chain.status().await).await?.latest_height < height {
            self.scheduler.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until every artifact is on all nodes that should hold it, and the chain has no heal operation open.
    async fn wait_until_healed(&self, ticket: &Ticket) -> Outcome {
        self.happenings.wait_for("the damage to be found");
        let begun = self.epoch().await?;
        let mut looked_after = 0;
        let mut looked_in = begun;
        loop {
            self.scheduler.sleep(LOOK_EVERY).await;
            let epoch = self.epoch().await?;
            self.tell_what_is_awaited(ticket).await?;
            if epoch > begun + self.plan.epochs_max {
                return Err(self.not_healed(ticket).await);
            }
            // Looking at every replica costs something: once after each publish, and once an epoch.
            let publishes = self.happenings.tally().publishes;
            if publishes == looked_after && epoch == looked_in {
                continue;
            }
            (looked_after, looked_in) = (publishes, epoch);
            if self.down_nodes_are_set_aside().await? && self.network.lacking(ticket).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn tell_what_is_awaited(&self, ticket: &Ticket) -> Outcome {
        let ops = self
            .read(async |chain| chain.heal_ops_by_ticket(&ticket.ticket_id, PageRequest::default()).await);
        let open = ops.await?.items.into_iter().map(|op| op.status).find(|status| !status.is_final());
        self.happenings.wait_for(match open {
            None => "the damage to be found, and a heal to be scheduled",
            Some(HealOpStatus::HealerReported) => "the verifiers to vote",
            Some(_) => "the healer to reconstruct",
        });
        Ok(())
    }

    /// A node that is down keeps its replicas until the chain sets it aside; only then are there others to hold them.
    async fn down_nodes_are_set_aside(&self) -> Result<bool, Failure> {
        let members = self.network.members();
        for damage in &self.plan.damage {
            let Damage::Down { node } = damage else { continue };
            let Some((_, account)) = members.iter().find(|(name, _)| name == node) else { continue };
            let record = self.read(async |chain| chain.supernode(account).await).await?;
            if record.state == SupernodeState::Active {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn not_healed(&self, ticket: &Ticket) -> Failure {
        let lacking = match self.network.lacking(ticket).await {
            Ok(lacking) => plural(lacking, "artifact"),
            Err(failure) => failure.message,
        };
        Failure::failed(format!(
            "not healed after {} epochs: {lacking} still lacking; wait longer with --epochs-max",
            self.plan.epochs_max
        ))
    }

    async fn compare(&self, ticket: &Ticket) -> Outcome {
        self.happenings.wait_for("the file to be fetched");
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let path = self.plan.data_dir.join(format!("fetched-{name}"));
        let recovered = self.network.fetch(&ticket.ticket_id, &path).await?;
        let (original, copy) = (hash_of(&self.file).await?, hash_of(&path).await?);
        if original != copy {
            return Err(Failure::failed(format!(
                "the fetched file is another one: BLAKE3 {copy}, the original has {original}"
            )));
        }
        let solved = if recovered == 0 {
            String::new()
        } else {
            format!(", {} solved for", plural(recovered, "symbol"))
        };
        self.happenings.say("fetch", format!("{name} from the network{solved}: BLAKE3 equal ({original})"));
        Ok(())
    }

    async fn sum_up(&self, begun: Moment, damaged_at: u64, nothing: bool) -> Outcome {
        let seconds = self.scheduler.now().since(begun).as_secs();
        let tally = self.happenings.tally();
        let damaged: BTreeSet<_> = self.plan.damage.iter().flat_map(Damage::nodes).collect();
        let excused = self.network.excused();
        let members = self.network.members();
        let is_wronged = |(name, account): &&(String, String)| {
            tally.accused.contains(account) && !damaged.contains(name.as_str()) && !excused.contains(account)
        };
        let wrongly: Vec<_> = members.iter().filter(is_wronged).map(|(name, _)| name.as_str()).collect();
        let accused = match wrongly.as_slice() {
            [] => "nobody accused wrongly".to_owned(),
            names => format!("accused wrongly: {}", names.join(", ")),
        };
        if nothing {
            self.happenings.say("end", format!("stored and fetched in {seconds} s · {accused}"));
            return Ok(());
        }
        let epochs = plural(self.epoch().await? - damaged_at, "epoch");
        let Tally { fetched_bytes, streamed_bytes, published_bytes, .. } = &tally;
        let moved = fetched_bytes + streamed_bytes + published_bytes;
        self.happenings.say(
            "healed",
            format!(
                "in {epochs}, {seconds} s in all · moved {} to heal {} · {accused}",
                bytes(moved),
                bytes(*published_bytes)
            ),
        );
        Ok(())
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
