//! A ticket's documents, fetched and checked: which artifacts it consists of, and how they are made.
//!
//! Owns the order of the checks. What a signed document looks like, and which signatures count, is the protocol's.

use crate::api::TicketId;
use crate::api::chain::{ChainError, ChainReader, Ticket};
use crate::api::network::{ArtifactNetwork, NetworkError};
use crate::protocol::account::{KeyType, PublicKey};
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::Parameters;
use crate::protocol::cascade::id_files::{IdFile, IdFileError, IdFileSeries};
use crate::protocol::cascade::index::{IndexDocument, Signatures};
use crate::protocol::cascade::layout::{BlockLayout, Layout};
use crate::protocol::cascade::metadata::data_hash;
use crate::protocol::document_signature::verify_document;
use std::collections::HashMap;

/// Layout files that are fetched in one call at most; a file of 1280 MiB has layout files of about 6 MiB.
const LAYOUT_FILES_PER_CALL_MAX: usize = 4;

/// What an artifact of a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// A RaptorQ packet with this encoding symbol id.
    Symbol {
        /// The id: below K a source symbol.
        esi: u32,
    },
    /// The index id file with this ordinal.
    IndexFile {
        /// From 0.
        ordinal: u32,
    },
    /// The layout id file with this ordinal.
    LayoutFile {
        /// From 0.
        ordinal: u32,
    },
}

/// The checked documents of a ticket.
///
/// Both documents are signed by the ticket's creator, there is one block, the symbols are as many and as long as the
/// file's length demands, no key stands for two artifacts, and the layout speaks of the file that the chain knows.
#[derive(Debug, Clone)]
pub struct TicketDocuments {
    ticket_id: TicketId,
    data_hash: String,
    parameters: Parameters,
    symbol_keys: Vec<ArtifactKey>,
    index_keys: Vec<ArtifactKey>,
    layout_keys: Vec<ArtifactKey>,
    kinds: HashMap<ArtifactKey, ArtifactKind>,
    signatures: String,
    index_first_counter: u64,
    layout_base: String,
    layout_first_counter: u64,
}

impl TicketDocuments {
    /// Loads and checks the documents of a stored ticket. Only one layout file is fetched, unless it is bad.
    ///
    /// # Errors
    /// See [`DocumentsError`].
    pub async fn load(
        chain: &dyn ChainReader,
        network: &dyn ArtifactNetwork,
        ticket: &Ticket,
    ) -> Result<Self, DocumentsError> {
        let keys = creator_keys(chain, ticket).await?;
        let signatures = Signatures::parse(ticket.signatures.trim())
            .map_err(|error| malformed(ticket, "signatures field", &error))?;
        verify_document(&keys, &ticket.creator, signatures.index_base64, signatures.creator_signature)
            .map_err(|_| DocumentsError::NotSigned {
                ticket_id: ticket.ticket_id.clone(),
                document: "index",
            })?;
        let index = signatures.index().map_err(|error| malformed(ticket, "index", &error))?;
        let mut first_problem = None;
        for keys_of_call in calls(&index.layout_ids) {
            let files = network.fetch(keys_of_call).await.map_err(DocumentsError::Network)?;
            for file in files.into_iter().flatten() {
                match Self::from_layout_file(ticket, &keys, &index, &file.key, &file.bytes) {
                    Ok(documents) => return Ok(documents),
                    Err(problem) => first_problem = first_problem.or(Some(problem)),
                }
            }
        }
        Err(first_problem.unwrap_or_else(|| DocumentsError::LayoutUnavailable {
            ticket_id: ticket.ticket_id.clone(),
            count: index.layout_ids.len(),
        }))
    }

    /// Checks the layout in one of the files that the index names.
    fn from_layout_file(
        ticket: &Ticket,
        keys: &[PublicKey],
        index: &IndexDocument,
        file_key: &ArtifactKey,
        file: &[u8],
    ) -> Result<Self, DocumentsError> {
        let (layout, file) =
            Layout::from_id_file(file).map_err(|error| malformed(ticket, "layout", &error))?;
        let not_signed =
            || DocumentsError::NotSigned { ticket_id: ticket.ticket_id.clone(), document: "layout" };
        if file.signature != index.layout_signature {
            return Err(not_signed());
        }
        verify_document(keys, &ticket.creator, &file.document_base64, &file.signature)
            .map_err(|_| not_signed())?;
        let block = layout.only_block().map_err(|error| malformed(ticket, "layout", &error))?;
        let parameters = check_block(ticket, block)?;
        let ordinal = index.layout_ids.iter().position(|key| key == file_key).unwrap_or(0) as u64;
        Self::assemble(ticket, index, parameters, block.symbols.clone(), &file, ordinal)
    }

    fn assemble(
        ticket: &Ticket,
        index: &IndexDocument,
        parameters: Parameters,
        symbol_keys: Vec<ArtifactKey>,
        layout_file: &IdFile,
        layout_file_ordinal: u64,
    ) -> Result<Self, DocumentsError> {
        let count = u32::try_from(ticket.rq_ids_max)
            .map_err(|_| inconsistent(ticket, "it has more index files than any ticket may have"))?;
        let signatures = ticket.signatures.trim().to_owned();
        let index_keys = IdFileSeries::new(&signatures, ticket.rq_ids_ic, count)
            .and_then(|series| series.keys())
            .map_err(|error| malformed(ticket, "index id files", &error))?;
        let mut documents = Self {
            ticket_id: ticket.ticket_id.clone(),
            data_hash: ticket.data_hash.trim().to_owned(),
            parameters,
            symbol_keys,
            index_keys,
            layout_keys: index.layout_ids.clone(),
            kinds: HashMap::new(),
            signatures,
            index_first_counter: ticket.rq_ids_ic,
            layout_base: format!("{}.{}", layout_file.document_base64, layout_file.signature),
            layout_first_counter: layout_file.counter.wrapping_sub(layout_file_ordinal),
        };
        documents.kinds = documents.artifacts().collect();
        if documents.kinds.len() as u64 != documents.artifact_count() {
            return Err(inconsistent(ticket, "a key stands for two of its artifacts"));
        }
        Ok(documents)
    }

    /// The ticket.
    #[must_use]
    pub fn ticket_id(&self) -> &str {
        &self.ticket_id
    }

    /// Base64 of the file's BLAKE3, as the chain knows it.
    #[must_use]
    pub fn data_hash(&self) -> &str {
        &self.data_hash
    }

    /// The geometry of the encoded file.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Keys of the symbols by their encoding symbol id.
    #[must_use]
    pub fn symbol_keys(&self) -> &[ArtifactKey] {
        &self.symbol_keys
    }

    /// Keys of the index id files by their ordinal.
    #[must_use]
    pub fn index_keys(&self) -> &[ArtifactKey] {
        &self.index_keys
    }

    /// Keys of the layout id files by their ordinal.
    #[must_use]
    pub fn layout_keys(&self) -> &[ArtifactKey] {
        &self.layout_keys
    }

    /// Number of artifacts of all kinds.
    #[must_use]
    pub fn artifact_count(&self) -> u64 {
        (self.symbol_keys.len() + self.index_keys.len() + self.layout_keys.len()) as u64
    }

    /// Every artifact and what it is: index files, layout files, symbols, each by ordinal.
    pub fn artifacts(&self) -> impl Iterator<Item = (ArtifactKey, ArtifactKind)> + '_ {
        let numbered = |keys: &'_ [ArtifactKey]| (0_u32..).zip(keys.to_vec());
        let index =
            numbered(&self.index_keys).map(|(ordinal, key)| (key, ArtifactKind::IndexFile { ordinal }));
        let layout =
            numbered(&self.layout_keys).map(|(ordinal, key)| (key, ArtifactKind::LayoutFile { ordinal }));
        let symbols = (0_u32..).zip(&self.symbol_keys).map(|(esi, key)| (*key, ArtifactKind::Symbol { esi }));
        index.chain(layout).chain(symbols)
    }

    /// What the artifact under this key is; `None` if it is not of this ticket.
    #[must_use]
    pub fn kind_of(&self, key: &ArtifactKey) -> Option<ArtifactKind> {
        self.kinds.get(key).copied()
    }

    /// Makes id files anew, in the order asked; symbols are left out. Compresses up to about 6 MiB a file, so callers
    /// run it as blocking work.
    ///
    /// # Errors
    /// A file can't be made, or comes out with another key than the index names: the creator's compressor was another.
    pub fn id_files(&self, kinds: &[ArtifactKind]) -> Result<Vec<(ArtifactKey, Vec<u8>)>, DocumentsError> {
        let index = self.series(&self.signatures, self.index_first_counter, self.index_keys.len())?;
        let layout = self.series(&self.layout_base, self.layout_first_counter, self.layout_keys.len())?;
        let mut files = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let (series, keys, ordinal) = match *kind {
                ArtifactKind::Symbol { .. } => continue,
                ArtifactKind::IndexFile { ordinal } => (&index, &self.index_keys, ordinal),
                ArtifactKind::LayoutFile { ordinal } => (&layout, &self.layout_keys, ordinal),
            };
            let bytes = series.file(ordinal).map_err(|error| self.malformed("id files", &error))?;
            let key = ArtifactKey::of(&bytes);
            if keys.get(ordinal as usize) != Some(&key) {
                return Err(DocumentsError::Inconsistent {
                    ticket_id: self.ticket_id.clone(),
                    reason: format!(
                        "its id file {ordinal} comes out as {key}, which the index does not name"
                    ),
                });
            }
            files.push((key, bytes));
        }
        Ok(files)
    }

    fn series<'a>(
        &self,
        base: &'a str,
        first: u64,
        count: usize,
    ) -> Result<IdFileSeries<'a>, DocumentsError> {
        let too_many = IdFileError::TooMany { count: count as u64 };
        let count = u32::try_from(count).map_err(|_| self.malformed("id files", &too_many))?;
        IdFileSeries::new(base, first, count).map_err(|error| self.malformed("id files", &error))
    }

    fn malformed(&self, document: &'static str, error: &dyn std::error::Error) -> DocumentsError {
        DocumentsError::Malformed { ticket_id: self.ticket_id.clone(), document, reason: with_sources(error) }
    }

    /// About how much memory this takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let keys = self.symbol_keys.len() + self.index_keys.len() + self.layout_keys.len();
        // Each key stands in its list and, with what it is, in the table.
        keys * (32 + 2 * (32 + 8)) + self.layout_base.len() + self.signatures.len()
    }
}

/// One key first, because it mostly suffices; then a few at a time.
fn calls(keys: &[ArtifactKey]) -> impl Iterator<Item = &[ArtifactKey]> {
    let (first, rest) = keys.split_at(keys.len().min(1));
    std::iter::once(first).filter(|first| !first.is_empty()).chain(rest.chunks(LAYOUT_FILES_PER_CALL_MAX))
}

/// The keys that may have signed, in the order in which they are tried (wire 4.5).
async fn creator_keys(chain: &dyn ChainReader, ticket: &Ticket) -> Result<Vec<PublicKey>, DocumentsError> {
    let mut keys = Vec::new();
    keys.extend(PublicKey::from_bytes(KeyType::Secp256k1, &ticket.app_pubkey).ok());
    match chain.account(&ticket.creator).await {
        Ok(account) => keys.extend(
            KeyType::from_type_url(&account.public_key_type_url)
                .and_then(|key_type| PublicKey::from_bytes(key_type, &account.public_key).ok()),
        ),
        // An interchain creator has no account here.
        Err(error) if error.is_not_found() && !keys.is_empty() => {}
        Err(error) => return Err(DocumentsError::Chain(error)),
    }
    if keys.is_empty() {
        return Err(DocumentsError::CreatorWithoutKey {
            ticket_id: ticket.ticket_id.clone(),
            creator: ticket.creator.clone(),
        });
    }
    Ok(keys)
}

/// Whether the block describes the file that the chain knows, in the only form that the network uses.
fn check_block(ticket: &Ticket, block: &BlockLayout) -> Result<Parameters, DocumentsError> {
    let parameters = Parameters::from_oti(block.encoder_parameters)
        .map_err(|error| malformed(ticket, "encoder parameters", &error))?;
    let file_size_kbs = i64::try_from(parameters.len_bytes().div_ceil(1024)).unwrap_or(i64::MAX);
    let of_other_file = block.hash.is_some_and(|hash| data_hash(hash.as_bytes()) != ticket.data_hash.trim());
    let problems = [
        (block.original_offset != 0, "its block does not start the file"),
        (block.size != parameters.len_bytes(), "its block and its encoder parameters differ in length"),
        (
            block.symbols.len() as u64 != u64::from(parameters.total_symbols()),
            "its number of symbols is wrong",
        ),
        (
            ticket.file_size_kbs > 0 && ticket.file_size_kbs != file_size_kbs,
            "the file has another size on the chain",
        ),
        (of_other_file, "its layout is that of another file"),
    ];
    match problems.into_iter().find(|(is_so, _)| *is_so) {
        Some((_, reason)) => Err(inconsistent(ticket, reason)),
        None => Ok(parameters),
    }
}

fn inconsistent(ticket: &Ticket, reason: &str) -> DocumentsError {
    DocumentsError::Inconsistent { ticket_id: ticket.ticket_id.clone(), reason: reason.to_owned() }
}

fn malformed(ticket: &Ticket, document: &'static str, error: &dyn std::error::Error) -> DocumentsError {
    DocumentsError::Malformed { ticket_id: ticket.ticket_id.clone(), document, reason: with_sources(error) }
}

/// An error and what caused it, in one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why a ticket's documents can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentsError {
    /// The creator's account could not be read.
    #[error("reading the account of a ticket's creator: {0}")]
    Chain(#[source] ChainError),
    /// The network could not be used.
    #[error("fetching a ticket's layout: {0}")]
    Network(#[source] NetworkError),
    /// No holder has an intact layout file at present.
    #[error("none of the {count} layout files of ticket {ticket_id} can be fetched at present")]
    LayoutUnavailable {
        /// The ticket.
        ticket_id: TicketId,
        /// How many there should be.
        count: usize,
    },
    /// The chain knows no key of the creator, so that no signature can be checked.
    #[error("the chain knows no public key of {creator}, who created ticket {ticket_id}")]
    CreatorWithoutKey {
        /// The ticket.
        ticket_id: TicketId,
        /// Its creator.
        creator: String,
    },
    /// A document can't be read.
    #[error("the {document} of ticket {ticket_id} can't be read: {reason}")]
    Malformed {
        /// The ticket.
        ticket_id: TicketId,
        /// Which document.
        document: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The creator did not sign a document.
    #[error("the {document} of ticket {ticket_id} is not signed by its creator")]
    NotSigned {
        /// The ticket.
        ticket_id: TicketId,
        /// Which document.
        document: &'static str,
    },
    /// The documents contradict the chain or themselves.
    #[error("the documents of ticket {ticket_id} don't fit: {reason}")]
    Inconsistent {
        /// The ticket.
        ticket_id: TicketId,
        /// What does not fit.
        reason: String,
    },
}

impl DocumentsError {
    /// Whether another attempt may succeed without the ticket having changed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Chain(error) => error.is_transient(),
            Self::Network(error) => error.is_transient(),
            Self::LayoutUnavailable { .. } => true,
            Self::CreatorWithoutKey { .. }
            | Self::Malformed { .. }
            | Self::NotSigned { .. }
            | Self::Inconsistent { .. } => false,
        }
    }
}
