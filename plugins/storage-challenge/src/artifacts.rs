//! The artifacts of a ticket, with lengths that no target can lie about.
//!
//! Owns a small cache. Keys and lengths come from the ticket's signed documents: every symbol is one packet, and id
//! files are made again from the documents.

use crate::draw::TicketArtifact;
use lampkeeper_plugin_sdk::api::chain::{ChainReader, Ticket};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::api::network::ArtifactNetwork;
use lampkeeper_plugin_sdk::cascade::{ArtifactKind, DocumentsError, TicketDocuments};
use lampkeeper_plugin_sdk::protocol::cascade::codec::PACKET_LEN_BYTES;
use lampkeeper_plugin_sdk::protocol::words::ArtifactClass;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Tickets whose artifacts are remembered; the latest used stay.
const TICKETS_REMEMBERED_MAX: usize = 64;

/// Loads and remembers the artifacts of tickets.
pub(crate) struct ArtifactsOfTickets {
    chain: Arc<dyn ChainReader>,
    network: Arc<dyn ArtifactNetwork>,
    remembered: Mutex<VecDeque<(String, Arc<Vec<TicketArtifact>>)>>,
}

impl ArtifactsOfTickets {
    pub(crate) fn new(chain: Arc<dyn ChainReader>, network: Arc<dyn ArtifactNetwork>) -> Self {
        Self { chain, network, remembered: Mutex::new(VecDeque::new()) }
    }

    /// The artifacts of a ticket; `None` if its documents are not valid, so that nobody can be asked for them.
    pub(crate) async fn of(
        &self,
        ticket: &Ticket,
    ) -> Result<Option<Arc<Vec<TicketArtifact>>>, ChallengeError> {
        let identity = format!("{}:{}", ticket.ticket_id, ticket.data_hash);
        if let Some(artifacts) = self.recall(&identity) {
            return Ok(Some(artifacts));
        }
        let loaded = TicketDocuments::load(self.chain.as_ref(), self.network.as_ref(), ticket).await;
        let artifacts = match loaded.and_then(|documents| list(&documents)) {
            Ok(artifacts) => Arc::new(artifacts),
            Err(error) if error.is_transient() => {
                return Err(ChallengeError::Ours {
                    stage: "loading the documents of a ticket".to_owned(),
                    reason: format!("ticket {}: {error}", ticket.ticket_id),
                    transient: true,
                });
            }
            Err(_) => return Ok(None),
        };
        let mut remembered = self.lock();
        remembered.truncate(TICKETS_REMEMBERED_MAX - 1);
        remembered.push_front((identity, Arc::clone(&artifacts)));
        Ok(Some(artifacts))
    }

    fn recall(&self, identity: &str) -> Option<Arc<Vec<TicketArtifact>>> {
        let mut remembered = self.lock();
        let position = remembered.iter().position(|(known, _)| known == identity)?;
        let entry = remembered.remove(position)?;
        let artifacts = Arc::clone(&entry.1);
        remembered.push_front(entry);
        Some(artifacts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Arc<Vec<TicketArtifact>>)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list(documents: &TicketDocuments) -> Result<Vec<TicketArtifact>, DocumentsError> {
    let id_kinds: Vec<ArtifactKind> = documents
        .artifacts()
        .map(|(_, kind)| kind)
        .filter(|kind| !matches!(kind, ArtifactKind::Symbol { .. }))
        .collect();
    let lengths: BTreeMap<_, _> =
        documents.id_files(&id_kinds)?.into_iter().map(|(key, bytes)| (key, bytes.len() as u64)).collect();
    let index_count = u32::try_from(documents.index_keys().len()).unwrap_or(u32::MAX);
    let artifacts = documents.artifacts().map(|(key, kind)| {
        let (class, position) = match kind {
            ArtifactKind::Symbol { esi } => (ArtifactClass::Symbol, esi),
            ArtifactKind::IndexFile { ordinal } => (ArtifactClass::Index, ordinal),
            // Layout files follow the index files: both are id files, and the protocol has no class of their own.
            ArtifactKind::LayoutFile { ordinal } => {
                (ArtifactClass::Index, index_count.saturating_add(ordinal))
            }
        };
        let len_bytes = lengths.get(&key).copied().unwrap_or(PACKET_LEN_BYTES as u64);
        TicketArtifact { key, class, position, len_bytes }
    });
    Ok(artifacts.collect())
}
