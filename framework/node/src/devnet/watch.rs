//! What happens in a network of this process: the making of blocks, whose events are seen that way, and the nodes' events.
//!
//! Owns the two tasks that tell it. Where it is told to is `happenings`.

use super::cluster::Cluster;
use super::genesis::EPOCH_LENGTH_BLOCKS;
use super::happenings::Happenings;
use super::story::Happening;
use lampkeeper_api::scheduler::{Scheduler, TaskHandle};
use lampkeeper_chain_sim::{Block, Event, State};
use lampkeeper_core::telemetry::Delivery;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Makes blocks and listens until it is dropped.
pub struct Watch {
    tasks: Vec<Arc<dyn TaskHandle>>,
}

impl Watch {
    /// Starts to make blocks and to listen.
    pub fn start(
        cluster: Arc<Cluster>,
        epoch_ms: u64,
        scheduler: &Arc<dyn Scheduler>,
        happenings: &Arc<Happenings>,
    ) -> Self {
        let events = listen(Arc::clone(&cluster), Arc::clone(happenings));
        let blocks = make_blocks(cluster, epoch_ms, Arc::clone(scheduler), Arc::clone(happenings));
        let tasks = vec![
            scheduler.spawn("devnet events", Box::pin(events)),
            scheduler.spawn("devnet blocks", Box::pin(blocks)),
        ];
        Self { tasks }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|task| task.abort());
    }
}

async fn listen(cluster: Arc<Cluster>, happenings: Arc<Happenings>) {
    let mut listener = cluster.telemetry.events.listen();
    drop(cluster);
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
        if !happenings.tell(happening) {
            return;
        }
    }
}

async fn make_blocks(
    cluster: Arc<Cluster>,
    epoch_ms: u64,
    scheduler: Arc<dyn Scheduler>,
    happenings: Arc<Happenings>,
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
                happenings.say("chain", format!("the chain halted: {error}"));
                return;
            }
        };
        let current = cluster.chain.read(State::query_current_epoch);
        let blocks_done = u64::try_from(block.height - current.epoch_start_height + 1).unwrap_or_default();
        happenings.block(current.epoch_id, blocks_done, EPOCH_LENGTH_BLOCKS);
        if epoch != Some(current.epoch_id) {
            epoch = Some(current.epoch_id);
            happenings.tell(Happening::EpochBegan { epoch_id: current.epoch_id });
        }
        for event in events_of(&block) {
            let attributes = cluster.chain.read(|state| enriched(event, state));
            let happening = Happening::Chain { height: block.height, kind: event.kind.clone(), attributes };
            if !happenings.tell(happening) {
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
pub fn enriched(event: &Event, state: &State) -> BTreeMap<String, String> {
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
