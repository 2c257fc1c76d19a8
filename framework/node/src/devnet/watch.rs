//! Everything that happens in a devnet, in one stream.
//!
//! Owns the making of blocks, whose events it sees that way, and the merging of the nodes' events with the chain's and
//! the director's words.

use super::cluster::Cluster;
use super::display::EpochProgress;
use super::genesis::EPOCH_LENGTH_BLOCKS;
use super::story::Happening;
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_chain_sim::{Block, Event, State};
use lampkeeper_core::telemetry::Delivery;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The merged stream.
pub struct Watch {
    happenings: mpsc::UnboundedReceiver<Happening>,
    sender: mpsc::UnboundedSender<Happening>,
    progress: Arc<Mutex<EpochProgress>>,
    tasks: Vec<Arc<dyn lampkeeper_api::scheduler::TaskHandle>>,
}

impl Watch {
    /// Starts to make blocks and to listen.
    pub fn start(cluster: Arc<Cluster>, epoch_ms: u64, scheduler: Arc<dyn Scheduler>) -> Self {
        // Unbounded, because the sources are this process's own nodes and the display never stops reading.
        let (sender, happenings) = mpsc::unbounded_channel();
        let progress = Arc::new(Mutex::new(EpochProgress::default()));
        let events = listen(Arc::clone(&cluster), sender.clone());
        let blocks =
            make_blocks(cluster, epoch_ms, Arc::clone(&scheduler), sender.clone(), Arc::clone(&progress));
        let tasks = vec![
            scheduler.spawn("devnet events", Box::pin(events)),
            scheduler.spawn("devnet blocks", Box::pin(blocks)),
        ];
        Self { happenings, sender, progress, tasks }
    }

    /// What happened next.
    pub async fn next(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }

    /// What happened next, if it has.
    pub fn try_next(&mut self) -> Option<Happening> {
        self.happenings.try_recv().ok()
    }

    /// Where the director's words go.
    pub fn sender(&self) -> mpsc::UnboundedSender<Happening> {
        self.sender.clone()
    }

    /// How far the epoch has come.
    pub fn progress(&self) -> EpochProgress {
        self.lock().clone()
    }

    /// What the director waits for, to be shown beside the progress.
    pub fn waiting_for(&self) -> Arc<Mutex<EpochProgress>> {
        Arc::clone(&self.progress)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, EpochProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

async fn listen(cluster: Arc<Cluster>, sender: mpsc::UnboundedSender<Happening>) {
    let mut listener = cluster.telemetry.events.listen();
    while let Some(delivery) = listener.next().await {
        let happening = match delivery {
            Delivery::Event(record) => {
                Happening::Node { name: record.node.to_string(), event: record.event.clone() }
            }
            Delivery::Missed(count) => Happening::Devnet {
                subject: "missed",
                text: format!("{count} events came too fast to be told"),
            },
        };
        if sender.send(happening).is_err() {
            return;
        }
    }
}

async fn make_blocks(
    cluster: Arc<Cluster>,
    epoch_ms: u64,
    scheduler: Arc<dyn Scheduler>,
    sender: mpsc::UnboundedSender<Happening>,
    progress: Arc<Mutex<EpochProgress>>,
) {
    let interval = Duration::from_millis((epoch_ms / EPOCH_LENGTH_BLOCKS).max(1));
    let mut next_at = scheduler.now().plus(interval);
    let mut epoch = None;
    loop {
        scheduler.sleep(next_at.since(scheduler.now())).await;
        next_at = next_at.plus(interval);
        let block = match cluster.chain.produce_block() {
            Ok(Some(block)) => block,
            Ok(None) => continue,
            Err(error) => {
                let text = format!("the chain halted: {error}");
                let _ = sender.send(Happening::Devnet { subject: "chain", text });
                return;
            }
        };
        let current = cluster.chain.read(State::query_current_epoch);
        {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.epoch_id = current.epoch_id;
            progress.blocks = EPOCH_LENGTH_BLOCKS;
            progress.blocks_done =
                u64::try_from(block.height - current.epoch_start_height + 1).unwrap_or_default();
        }
        if epoch != Some(current.epoch_id) {
            epoch = Some(current.epoch_id);
            let _ = sender.send(Happening::EpochBegan { epoch_id: current.epoch_id });
        }
        for event in events_of(&block) {
            let attributes = cluster.chain.read(|state| enriched(event, state));
            let happening = Happening::Chain { height: block.height, kind: event.kind.clone(), attributes };
            if sender.send(happening).is_err() {
                return;
            }
        }
    }
}

fn events_of(block: &Block) -> impl Iterator<Item = &Event> {
    let delivered = block.results.iter().flatten().flat_map(|delivered| &delivered.events);
    block.begin_events.iter().chain(delivered).chain(&block.end_events)
}

/// The event's attributes, and what a reader would look up next: verifiers, accounts, scores.
fn enriched(event: &Event, state: &State) -> BTreeMap<String, String> {
    let mut attributes: BTreeMap<String, String> = event.attributes.iter().cloned().collect();
    let op_id = attributes.get("heal_op_id").and_then(|id| id.parse().ok());
    if let Some(op) = op_id.and_then(|id: u64| state.query_heal_op(id).ok()) {
        attributes.insert("verifiers".to_owned(), op.verifier_supernode_accounts.join(","));
        attributes.insert("ticket_id".to_owned(), op.ticket_id.clone());
        if let Ok(ticket) = state.query_ticket_deterioration(&op.ticket_id) {
            let score = ticket.deterioration_score.to_string();
            attributes.insert("ticket_deterioration_score".to_owned(), score);
        }
    }
    if let Some(record) =
        attributes.get("validator_address").and_then(|operator| state.supernode.supernodes.get(operator))
    {
        attributes.insert("supernode_account".to_owned(), record.supernode_account.clone());
    }
    attributes
}
