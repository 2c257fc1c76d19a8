//! Documents of tickets that were loaded lately.

use super::{DocumentsError, TicketDocuments};
use crate::api::TicketId;
use crate::api::chain::{ChainReader, Ticket};
use crate::api::network::ArtifactNetwork;
use std::sync::{Arc, Mutex, PoisonError};

/// The most tickets that are remembered.
pub const DOCUMENTS_CACHE_ENTRIES_MAX: usize = 64;
/// The most memory that remembered documents take, in bytes, unless one ticket's alone take more.
pub const DOCUMENTS_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Tickets and their documents, the most recently used last.
type Entries = Vec<(TicketId, Arc<TicketDocuments>)>;

/// Checked documents by ticket; the least recently used go first. Clones share them.
///
/// What is remembered never becomes wrong: a stored ticket's documents don't change.
#[derive(Debug, Clone, Default)]
pub struct DocumentsCache {
    entries: Arc<Mutex<Entries>>,
}

impl DocumentsCache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The documents of a ticket, loaded if they are not remembered.
    ///
    /// # Errors
    /// As [`TicketDocuments::load`]; nothing is remembered then.
    pub async fn load(
        &self,
        chain: &dyn ChainReader,
        network: &dyn ArtifactNetwork,
        ticket: &Ticket,
    ) -> Result<Arc<TicketDocuments>, DocumentsError> {
        if let Some(documents) = self.get(ticket) {
            return Ok(documents);
        }
        let documents = Arc::new(TicketDocuments::load(chain, network, ticket).await?);
        self.insert(Arc::clone(&documents));
        Ok(documents)
    }

    /// The documents of a ticket, if they are remembered.
    #[must_use]
    pub fn get(&self, ticket: &Ticket) -> Option<Arc<TicketDocuments>> {
        let mut entries = self.lock();
        let position = entries.iter().position(|(ticket_id, documents)| {
            *ticket_id == ticket.ticket_id && documents.data_hash() == ticket.data_hash.trim()
        })?;
        let entry = entries.remove(position);
        let documents = Arc::clone(&entry.1);
        entries.push(entry);
        Some(documents)
    }

    fn insert(&self, documents: Arc<TicketDocuments>) {
        let mut entries = self.lock();
        entries.retain(|(ticket_id, _)| ticket_id != documents.ticket_id());
        entries.push((documents.ticket_id().to_owned(), documents));
        let mut bytes: usize = entries.iter().map(|(_, documents)| documents.memory_bytes()).sum();
        while entries.len() > 1
            && (entries.len() > DOCUMENTS_CACHE_ENTRIES_MAX || bytes > DOCUMENTS_CACHE_BYTES_MAX)
        {
            bytes -= entries.remove(0).1.memory_bytes();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
