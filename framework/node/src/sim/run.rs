//! One run: store files, let the storm blow, wait for the calm, judge.
//!
//! Owns the course of a run and its summary.

use super::defect::Defect;
use super::invariants::Invariants;
use super::ledger::Violation;
use super::options::{EPOCH_LENGTH_BLOCKS, SimOptions};
use super::storm::Storm;
use super::world::World;
use lampkeeper_api::chain::HealOpStatus;
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_core::Node;
use lampkeeper_plugin_sdk::cascade::fixture::MemoryFile;
use lampkeeper_plugin_sdk::cascade::{
    FileToStore, Reconstructor, StoreSeams, StoredFile, TicketDocuments, store_file,
};
use lampkeeper_protocol::cascade::codec::FileSource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks that storing or fetching one file may take.
const FILE_BLOCKS_MAX: u64 = 60;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What was run.
    pub options: SimOptions,
    /// Rules that were broken.
    pub violations: Vec<Violation>,
    /// A hash of everything that the scheduler decided.
    pub trace_hash: u64,
    /// Lines, if they were kept.
    pub trace: Vec<String>,
    /// Heal operations by status.
    pub heals: BTreeMap<&'static str, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Messages submitted.
    pub submissions: u64,
}

/// Runs a network from its options alone.
///
/// # Errors
/// If the network can't be made; a defect of the simulator.
pub fn run(options: SimOptions) -> Result<Summary, String> {
    let mut run = Run {
        world: World::new(options)?,
        storm: Storm::default(),
        invariants: Invariants::default(),
        is_storing: true,
    };
    if run.world.options.profile.has_liars() {
        run.storm.appoint_liar(&mut run.world);
    }
    let documents = run.store_files()?;
    run.is_storing = false;
    run.world.ledger.begin_storm();
    while run.world.height() < options.end_height() {
        run.storm.blow(&mut run.world, &documents);
        run.step()?;
    }
    run.fetch_files(&documents)?;
    run.invariants.at_the_end(&run.world);
    Ok(run.summary())
}

struct Run {
    world: World,
    storm: Storm,
    invariants: Invariants,
    is_storing: bool,
}

impl Run {
    /// Passes the time of one block, and judges.
    fn step(&mut self) -> Result<(), String> {
        self.world.start_due();
        self.world.wait_for_block();
        self.storm.mourn(&mut self.world);
        if self.is_storing {
            self.world.ledger.take_sent();
        } else {
            self.invariants.before_block(&self.world, &self.storm);
        }
        if self.world.make_block()?.is_some() {
            self.invariants.after_block(&self.world, &self.storm);
        }
        Ok(())
    }

    /// Steps until the task of `work` has ended.
    fn finish<T: Send + 'static>(
        &mut self,
        what: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let slot: Arc<Mutex<Option<T>>> = Arc::default();
        let done = Arc::clone(&slot);
        let task = async move {
            let outcome = work.await;
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        };
        self.world.scheduler.spawn(what, Box::pin(task));
        for _ in 0..FILE_BLOCKS_MAX {
            self.step()?;
            if let Some(outcome) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Ok(outcome);
            }
        }
        Err(format!("{what} took longer than {FILE_BLOCKS_MAX} blocks"))
    }

    /// A node that is up, and which one it is.
    fn some_node(&self) -> Result<(usize, Arc<Node>), String> {
        let members = self.world.members.iter().enumerate().filter(|(_, member)| !member.has_crashed());
        let mut up = members.filter_map(|(index, member)| Some((index, member.node()?)));
        up.next().ok_or_else(|| "no node is up".to_owned())
    }

    fn store_files(&mut self) -> Result<Vec<Arc<TicketDocuments>>, String> {
        for _ in 0..3 {
            self.step()?;
        }
        let mut documents = Vec::new();
        let shape = self.world.shape;
        for number in 0..shape.files {
            let len_bytes = 1 + self.world.draw(shape.file_len_bytes_max);
            let content = content(self.world.options.seed, number, len_bytes);
            let (_, node) = self.some_node()?;
            let work = store(Arc::clone(&node), content, number, shape.id_files);
            let stored = self.finish("storing a file", work)??;
            self.world.ledger.note(|| format!("stored ticket {} of {len_bytes} bytes", stored.ticket_id));
            documents.push(self.finish("loading documents", load(node, stored.ticket_id))??);
        }
        // The storm begins with an epoch.
        while !self.world.height().unsigned_abs().is_multiple_of(EPOCH_LENGTH_BLOCKS) {
            self.step()?;
        }
        Ok(documents)
    }

    /// Every file can be had at the end.
    fn fetch_files(&mut self, documents: &[Arc<TicketDocuments>]) -> Result<(), String> {
        if self.world.options.defect == Some(Defect::LosesFiles) {
            self.world.members.iter().for_each(|member| member.disk.wipe());
        }
        for documents in documents {
            if let Err(reason) = self.fetch_file(documents) {
                let details = format!("ticket {}: {reason}", documents.ticket_id());
                self.world.ledger.violate("files-stay", "", details);
            }
        }
        Ok(())
    }

    /// Fetches by a node that is up. A crash that was armed may still come, and one of the asking node proves nothing: then
    /// the next one is asked.
    fn fetch_file(&mut self, documents: &Arc<TicketDocuments>) -> Result<(), String> {
        loop {
            let (asked, node) = self.some_node()?;
            let outcome = self.finish("fetching a file", fetch(node, Arc::clone(documents))).flatten();
            let member = &self.world.members[asked];
            if outcome.is_ok() || !(member.has_crashed() || member.is_down()) {
                return outcome;
            }
            self.step()?;
        }
    }

    fn summary(self) -> Summary {
        let mut heals = BTreeMap::new();
        self.world.chain.read(|state| {
            for op in state.audit.heal_ops.iter() {
                *heals.entry(HealOpStatus::name(op.status)).or_default() += 1;
            }
        });
        Summary {
            options: self.world.options,
            violations: self.world.ledger.violations(),
            trace_hash: self.world.scheduler.trace_hash(),
            trace: self.world.ledger.trace(),
            heals,
            faults: self.world.fault_counts(),
            submissions: self.world.ledger.submission_count(),
        }
    }
}

/// A file in memory, as the encoder reads it.
struct Content(Vec<u8>);

impl FileSource for Content {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0[..].read_at(offset, bytes)
    }
}

fn content(seed: u64, number: u64, len_bytes: u64) -> Vec<u8> {
    let mut stream = blake3::Hasher::new()
        .update(b"lampkeeper simulated file")
        .update(&seed.to_le_bytes())
        .update(&number.to_le_bytes())
        .finalize_xof();
    let mut content = vec![0; usize::try_from(len_bytes).unwrap_or_default()];
    stream.fill(&mut content);
    content
}

async fn store(
    node: Arc<Node>,
    content: Vec<u8>,
    number: u64,
    layout_id_files: u32,
) -> Result<StoredFile, String> {
    let provided = node.seams();
    let (Some(chain), Some(network), Some(signer)) = (&provided.chain, &provided.network, &provided.signer)
    else {
        return Err("the node lacks a seam".to_owned());
    };
    let scheduler: Arc<dyn Scheduler> = node.scheduler();
    let seams = StoreSeams {
        chain: chain.as_ref(),
        network: network.as_ref(),
        scheduler: scheduler.as_ref(),
        signer: signer.as_ref(),
    };
    let file = FileToStore {
        source: Arc::new(Content(content)),
        file_name: format!("file-{number}"),
        public: true,
        layout_id_files,
    };
    store_file(seams, file, &|_| {}).await.map_err(|error| error.to_string())
}

async fn load(node: Arc<Node>, ticket_id: String) -> Result<Arc<TicketDocuments>, String> {
    let provided = node.seams();
    let (Some(chain), Some(network)) = (&provided.chain, &provided.network) else {
        return Err("the node lacks a seam".to_owned());
    };
    let ticket = chain.ticket(&ticket_id).await.map_err(|error| error.to_string())?;
    let documents = TicketDocuments::load(chain.as_ref(), network.as_ref(), &ticket).await;
    documents.map(Arc::new).map_err(|error| error.to_string())
}

async fn fetch(node: Arc<Node>, documents: Arc<TicketDocuments>) -> Result<(), String> {
    let network = node.seams().network.clone().ok_or("the node has no network")?;
    let reconstructor = Reconstructor::new(network, node.scheduler());
    let file = MemoryFile::new();
    let made = reconstructor.reconstruct(&documents, &BTreeSet::new(), &file).await;
    made.map(drop).map_err(|error| error.to_string())
}
