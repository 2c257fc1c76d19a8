//! Gathering symbols from the network, with a limit on what is in flight.
//!
//! Owns how many are asked for at once and when another batch is started because one is slow. Which holder is asked
//! first is the artifact network's rule: this node, then the nearest.

use super::TicketDocuments;
use crate::api::network::{ArtifactNetwork, NetworkError};
use crate::api::scheduler::Scheduler;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::packet_esi;
use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::time::Duration;

/// Symbols that are asked for in one call: 4 MiB.
pub const SYMBOLS_PER_FETCH: usize = 64;
/// Calls that are under way at once: 16 MiB in flight.
pub const FETCHES_IN_FLIGHT_MAX: usize = 4;
/// How long the calls under way may all stay silent before another one is made beside them.
pub const HEDGE_AFTER: Duration = Duration::from_secs(3);
/// Calls that are made beside the others because those are slow.
pub const HEDGES_MAX: usize = 4;

/// Packets by their encoding symbol id.
pub type Packets = BTreeMap<u32, Vec<u8>>;

/// Fetches some symbols of a ticket in one call; those that nobody has intact are left out.
///
/// A packet whose header names another symbol than the layout says is left out too: its creator signed nonsense.
///
/// # Errors
/// The network could not be used.
pub async fn fetch_symbols(
    network: &dyn ArtifactNetwork,
    documents: &TicketDocuments,
    esis: &[u32],
) -> Result<Packets, NetworkError> {
    let known = || esis.iter().filter_map(|esi| Some((*esi, documents.symbol_keys().get(*esi as usize)?)));
    let keys: Vec<ArtifactKey> = known().map(|(_, key)| *key).collect();
    let fetched = network.fetch(&keys).await?;
    let packets = known().zip(fetched).filter_map(|((esi, _), artifact)| Some((esi, artifact?.bytes)));
    Ok(packets
        .filter(|(esi, packet)| packet_esi(documents.parameters(), packet).ok() == Some(*esi))
        .collect())
}

/// Gathers `wanted` packets from the candidates, in their order, or as many as there are.
///
/// No more is asked for than is missing, except that a batch beside the others is started when none of them has ended
/// for [`HEDGE_AFTER`]; what is under way when enough is there is dropped.
///
/// # Errors
/// The network could not be used.
pub async fn gather(
    network: &dyn ArtifactNetwork,
    scheduler: &dyn Scheduler,
    documents: &TicketDocuments,
    candidates: &[u32],
    wanted: usize,
) -> Result<Packets, NetworkError> {
    let mut found = Packets::new();
    let mut running = FuturesUnordered::new();
    let mut rest = candidates;
    let (mut in_flight, mut hedges) = (0, 0);
    let fetch = |esis: &'_ [u32]| {
        let esis = esis.to_vec();
        async move { (esis.len(), fetch_symbols(network, documents, &esis).await) }
    };
    loop {
        while running.len() < FETCHES_IN_FLIGHT_MAX + hedges && found.len() + in_flight < wanted {
            let batch = take(&mut rest, (wanted - found.len() - in_flight).min(SYMBOLS_PER_FETCH));
            if batch.is_empty() {
                break;
            }
            in_flight += batch.len();
            running.push(fetch(batch));
        }
        if found.len() >= wanted || running.is_empty() {
            return Ok(found);
        }
        match select(running.next(), scheduler.sleep(HEDGE_AFTER)).await {
            Either::Left((Some((asked, packets)), _)) => {
                in_flight -= asked;
                found.extend(packets?);
            }
            Either::Left((None, _)) => return Ok(found),
            Either::Right(_) if hedges < HEDGES_MAX => {
                let batch = take(&mut rest, (wanted - found.len()).min(SYMBOLS_PER_FETCH));
                if !batch.is_empty() {
                    hedges += 1;
                    in_flight += batch.len();
                    running.push(fetch(batch));
                }
            }
            Either::Right(_) => {}
        }
    }
}

/// The first `count` of `rest`, which then begins after them.
fn take<'a>(rest: &mut &'a [u32], count: usize) -> &'a [u32] {
    let (batch, others) = rest.split_at(count.min(rest.len()));
    *rest = others;
    batch
}
