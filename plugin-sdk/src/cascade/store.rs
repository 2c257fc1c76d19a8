//! Storing a new file: from its bytes to a finalised ticket (wire 4.12).
//!
//! Owns the order of the steps, so that nothing is registered before the file was encoded to its end and nothing is
//! finalised before most holders of every artifact have it. Placement is the artifact network's, the rules of a ticket
//! are the chain's.

use super::documents::with_sources;
use super::handoff::Handoff;
use super::reconstruct::workers;
use super::store_error::StoreFileError;
use crate::api::TicketId;
use crate::api::chain::{
    ChainClient, ChainError, ChainMessage, FinalizeTicketMessage, RequestTicketMessage, Ticket,
};
use crate::api::network::{Artifact, ArtifactNetwork, Published};
use crate::api::scheduler::{Scheduler, blocking, random_u64};
use crate::api::signer::Signer;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::{
    self, CodecError, EncodedFile, FILE_LEN_BYTES_MAX, FileSource, Packet,
};
use crate::protocol::cascade::id_files::IdFileSeries;
use crate::protocol::cascade::index::{IndexDocument, Signatures};
use crate::protocol::cascade::layout::Layout;
use crate::protocol::cascade::metadata::data_hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join;
use std::sync::Arc;
use std::time::Duration;

/// The most artifacts that one call publishes: 8 MiB of symbols.
pub const PUBLISH_BATCH_ARTIFACTS: usize = 128;
/// The most bytes that one call publishes, unless one artifact alone is longer.
const PUBLISH_BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often publishing an artifact is tried before the ticket is given up.
const PUBLISH_ATTEMPTS: u32 = 3;
/// How long to wait before publishing again.
const PUBLISH_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Layout id files of a ticket: the chain's `max_raptor_q_symbols` (chain Appendix C).
pub const LAYOUT_ID_FILES: u32 = 50;
/// First counters are drawn from 1 to this (wire 4.12).
const FIRST_COUNTER_MAX: u64 = 100;
/// How long a request stays open: the chain wants a day at least (chain Appendix C).
const EXPIRATION_S: i64 = 25 * 60 * 60;
/// Supernodes that may finalise a ticket (wire 4.12, chain Appendix C).
const TOP_SUPERNODES: u32 = 10;
/// How often the chain is looked at until this account may finalise a ticket of the next block.
const LOOK_FOR_BLOCK_EVERY: Duration = Duration::from_millis(50);
/// Looks before giving up: a quarter of an hour.
const LOOKS_FOR_BLOCK_MAX: u32 = 18_000;
/// Requests that are made until one is executed in the expected block.
const REGISTRATIONS_MAX: u32 = 10;
/// `base_action_fee` (chain Appendix C).
const BASE_FEE_ULUME: i64 = 10_000;
/// `fee_per_kbyte` (chain Appendix C).
const FEE_PER_KIB_ULUME: i64 = 10;

/// The seams that storing a file works through. The chain client and the signer are the same account's.
#[derive(Clone, Copy)]
pub struct StoreSeams<'a> {
    /// The chain.
    pub chain: &'a dyn ChainClient,
    /// The replicas.
    pub network: &'a dyn ArtifactNetwork,
    /// Time and threads.
    pub scheduler: &'a dyn Scheduler,
    /// The creator's key.
    pub signer: &'a dyn Signer,
}

/// What to store.
#[derive(Clone)]
pub struct FileToStore {
    /// Its bytes, read on a thread that may block; they must not change meanwhile.
    pub source: Arc<dyn FileSource + Send + Sync>,
    /// Its name on the chain.
    pub file_name: String,
    /// Whether anyone may download it.
    pub public: bool,
    /// Layout id files of the ticket: [`LAYOUT_ID_FILES`], unless the network has another parameter.
    pub layout_id_files: u32,
}

/// How far storing a file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFileProgress {
    /// All symbols were made once, and hashed.
    Encoded {
        /// How many there are.
        symbol_count: u64,
    },
    /// The chain has registered the ticket.
    Registered {
        /// The ticket.
        ticket_id: TicketId,
    },
    /// More artifacts have reached their holders.
    Published {
        /// How many so far.
        artifact_count: u64,
        /// How many there are.
        total: u64,
    },
    /// The ticket is finalised.
    Finalised {
        /// The ticket.
        ticket_id: TicketId,
    },
}

/// A file that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its ticket.
    pub ticket_id: TicketId,
    /// Base64 of its BLAKE3.
    pub data_hash: String,
    /// Its length.
    pub len_bytes: u64,
    /// Its symbols.
    pub symbol_count: u64,
    /// Its artifacts of all kinds.
    pub artifact_count: u64,
}

/// The price offered for a file: the chain's default fee, generously for its size (chain Appendix C).
///
/// ```
/// use lampkeeper_plugin_sdk::cascade::price_of;
/// assert_eq!(price_of(240), "12400ulume");
/// ```
#[must_use]
pub fn price_of(file_size_kbs: i64) -> String {
    format!("{}ulume", file_size_kbs.saturating_mul(FEE_PER_KIB_ULUME).saturating_add(BASE_FEE_ULUME))
}

/// Stores a file: encodes, registers a ticket, publishes every artifact, finalises.
///
/// The file is encoded twice, once for its layout and once for its symbols, so that they needn't be kept in between:
/// memory is that of [`codec::encode`] and three batches.
///
/// # Errors
/// See [`StoreFileError`]. A ticket that was registered and not finalised lapses by itself and is refunded.
pub async fn store_file(
    seams: StoreSeams<'_>,
    file: FileToStore,
    progress: &(dyn Fn(StoreFileProgress) + Send + Sync),
) -> Result<StoredFile, StoreFileError> {
    let len_bytes = file.source.len_bytes();
    check_len(len_bytes)?;
    let encoded = seams.encode(&file).await?;
    let symbol_count = encoded.symbol_ids.len() as u64;
    progress(StoreFileProgress::Encoded { symbol_count });
    let documents = seams.sign_documents(&encoded, file.layout_id_files).await?;
    let data_hash = data_hash(encoded.block_hash.as_bytes());
    let request = seams.request(&file, &data_hash, &documents).await?;
    let ticket = seams.register_where_entitled(request).await?;
    progress(StoreFileProgress::Registered { ticket_id: ticket.ticket_id.clone() });
    let index_files = documents.index_files(ticket.rq_ids_max)?;
    let rq_ids_ids = index_files.iter().map(|file| ArtifactKey::of(file).to_string()).collect();
    let total = symbol_count + (documents.layout_files.len() + index_files.len()) as u64;
    let mut publishing = Publishing { seams, ticket: &ticket, progress, artifact_count: 0, total };
    publishing.publish_id_files(documents.layout_files).await?;
    publishing.publish_id_files(index_files).await?;
    publishing.publish_symbols(&file, &encoded).await?;
    seams.finalise(&ticket.ticket_id, rq_ids_ids).await?;
    progress(StoreFileProgress::Finalised { ticket_id: ticket.ticket_id.clone() });
    Ok(StoredFile { ticket_id: ticket.ticket_id, data_hash, len_bytes, symbol_count, artifact_count: total })
}

fn check_len(len_bytes: u64) -> Result<(), StoreFileError> {
    match len_bytes {
        0 => Err(StoreFileError::EmptyFile),
        len_bytes if len_bytes > FILE_LEN_BYTES_MAX => {
            Err(StoreFileError::TooLong { len_bytes, max_bytes: FILE_LEN_BYTES_MAX })
        }
        _ => Ok(()),
    }
}

fn encode_error(error: CodecError) -> StoreFileError {
    match error {
        CodecError::Read(error) => StoreFileError::Read { reason: error.to_string() },
        error => StoreFileError::Encode { reason: with_sources(&error) },
    }
}

fn encode_problem(error: &dyn std::error::Error) -> StoreFileError {
    StoreFileError::Encode { reason: with_sources(error) }
}

fn at(attempted: &str) -> impl FnOnce(ChainError) -> StoreFileError {
    let attempted = attempted.to_owned();
    move |error| StoreFileError::Chain { attempted, error }
}

/// What the creator signed, and the layout id files that follow from it.
struct SignedDocuments {
    first_counter: u64,
    signatures: String,
    layout_files: Vec<Vec<u8>>,
}

impl SignedDocuments {
    /// The index id files; the chain says how many there are (chain Appendix C).
    fn index_files(&self, count: u64) -> Result<Vec<Vec<u8>>, StoreFileError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        IdFileSeries::new(&self.signatures, self.first_counter, count)
            .and_then(|series| series.files())
            .map_err(|error| encode_problem(&error))
    }
}

impl StoreSeams<'_> {
    /// Registers the ticket in a block in which this account is among those that may finalise it: the ranking is drawn
    /// anew with every height, and known before it comes (chain 9.2).
    async fn register_where_entitled(&self, request: RequestTicketMessage) -> Result<Ticket, StoreFileError> {
        for _ in 0..REGISTRATIONS_MAX {
            self.wait_until_entitled().await?;
            let ticket = self.register(request.clone()).await?;
            if self.is_entitled(ticket.block_height).await? {
                return Ok(ticket);
            }
            // The block came later than expected. The request lapses by itself and is refunded.
        }
        Err(self.not_among_top())
    }

    async fn wait_until_entitled(&self) -> Result<(), StoreFileError> {
        let mut seen = None;
        for _ in 0..LOOKS_FOR_BLOCK_MAX {
            let height = self.chain.status().await.map_err(at("reading the chain's height"))?.latest_height;
            if seen.replace(height) != Some(height) && self.is_entitled(height + 1).await? {
                return Ok(());
            }
            self.scheduler.sleep(LOOK_FOR_BLOCK_EVERY).await;
        }
        Err(self.not_among_top())
    }

    async fn is_entitled(&self, height: i64) -> Result<bool, StoreFileError> {
        let top = self.chain.top_supernodes(height, TOP_SUPERNODES).await;
        let top = top.map_err(at("reading the top supernodes"))?;
        let account = self.chain.account_address();
        Ok(top.iter().any(|supernode| supernode.supernode_account == account))
    }

    fn not_among_top(&self) -> StoreFileError {
        StoreFileError::NotAmongTop {
            account: self.chain.account_address().to_owned(),
            limit: TOP_SUPERNODES,
        }
    }

    async fn encode(&self, file: &FileToStore) -> Result<EncodedFile, StoreFileError> {
        let (source, workers) = (Arc::clone(&file.source), workers(self.scheduler));
        blocking(self.scheduler, "encode", move || codec::encode(&*source, workers, |_| Ok(())))
            .await?
            .map_err(encode_error)
    }

    /// Signs the layout, and the index of it (wire 4.5).
    async fn sign_documents(
        &self,
        encoded: &EncodedFile,
        layout_id_files: u32,
    ) -> Result<SignedDocuments, StoreFileError> {
        let sign = |text: &str| self.signer.sign(text.as_bytes()).map(|signature| STANDARD.encode(signature));
        let layout = Layout::of_file(encoded).to_base64();
        let layout_signature = sign(&layout)?;
        let first_counter = 1 + random_u64(self.scheduler) % FIRST_COUNTER_MAX;
        let make =
            move || IndexDocument::of_layout(&layout, &layout_signature, first_counter, layout_id_files);
        let (index, layout_files) = blocking(self.scheduler, "make layout id files", make)
            .await?
            .map_err(|error| encode_problem(&error))?;
        let index_base64 = index.to_base64();
        let creator_signature = sign(&index_base64)?;
        let signatures =
            Signatures { index_base64: &index_base64, creator_signature: &creator_signature }.to_string();
        Ok(SignedDocuments { first_counter, signatures, layout_files })
    }

    async fn request(
        &self,
        file: &FileToStore,
        data_hash: &str,
        documents: &SignedDocuments,
    ) -> Result<RequestTicketMessage, StoreFileError> {
        let status = self.chain.status().await.map_err(at("reading the chain's time"))?;
        let file_size_kbs = i64::try_from(file.source.len_bytes().div_ceil(1024)).unwrap_or(i64::MAX);
        Ok(RequestTicketMessage {
            data_hash: data_hash.to_owned(),
            file_name: file.file_name.clone(),
            rq_ids_ic: documents.first_counter,
            signatures: documents.signatures.clone(),
            public: file.public,
            file_size_kbs,
            price: price_of(file_size_kbs),
            expiration_time_s: status.latest_block_time_ms / 1000 + EXPIRATION_S,
        })
    }

    async fn register(&self, request: RequestTicketMessage) -> Result<Ticket, StoreFileError> {
        let message = ChainMessage::RequestTicket(request);
        let receipt = self.chain.submit(message).await.map_err(at("registering a ticket"))?;
        let attempted = format!("reading ticket {} after its registration", receipt.response_id);
        self.chain.ticket(&receipt.response_id).await.map_err(at(&attempted))
    }

    /// Finalises, and looks whether the chain agreed: it also executes a message that changes nothing (wire 4.12).
    async fn finalise(&self, ticket_id: &str, rq_ids_ids: Vec<String>) -> Result<(), StoreFileError> {
        let message = ChainMessage::FinalizeTicket(FinalizeTicketMessage {
            ticket_id: ticket_id.to_owned(),
            rq_ids_ids,
        });
        let submitted = self.chain.submit(message).await;
        match &submitted {
            Err(error) if error.is_certainly_not_applied() => {
                return Err(at(&format!("finalising ticket {ticket_id}"))(error.clone()));
            }
            Ok(_) | Err(_) => {}
        }
        let attempted = format!("reading ticket {ticket_id} after finalising it");
        let ticket = self.chain.ticket(ticket_id).await.map_err(at(&attempted))?;
        match (ticket.state.is_stored(), submitted) {
            (true, _) => Ok(()),
            (false, Err(error)) => Err(at(&format!("finalising ticket {ticket_id}"))(error)),
            (false, Ok(_)) => Err(StoreFileError::NotFinalised {
                ticket_id: ticket_id.to_owned(),
                state: format!("{:?}", ticket.state),
            }),
        }
    }
}

/// Publishing the artifacts of one ticket.
struct Publishing<'a> {
    seams: StoreSeams<'a>,
    ticket: &'a Ticket,
    progress: &'a (dyn Fn(StoreFileProgress) + Send + Sync),
    artifact_count: u64,
    total: u64,
}

impl Publishing<'_> {
    async fn publish_id_files(&mut self, files: Vec<Vec<u8>>) -> Result<(), StoreFileError> {
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for bytes in files {
            if !batch.is_empty() && batch_bytes + bytes.len() > PUBLISH_BATCH_BYTES_MAX {
                self.publish(std::mem::take(&mut batch)).await?;
                batch_bytes = 0;
            }
            batch_bytes += bytes.len();
            batch.push(Artifact { key: ArtifactKey::of(&bytes), bytes });
        }
        self.publish(batch).await
    }

    /// Encodes again, on another thread, and publishes what comes.
    async fn publish_symbols(
        &mut self,
        file: &FileToStore,
        encoded: &EncodedFile,
    ) -> Result<(), StoreFileError> {
        let scheduler = self.seams.scheduler;
        let (source, workers) = (Arc::clone(&file.source), workers(scheduler));
        let (sender, batches) = Handoff::<Vec<Packet>>::new(1);
        let work = blocking(scheduler, "encode", move || {
            codec::encode(&*source, workers, |batch| sender.send(batch).map_err(std::io::Error::from))
        });
        let publish = async move {
            while let Some(packets) = batches.next().await {
                let mut packets = packets.into_iter().peekable();
                while packets.peek().is_some() {
                    let batch: Vec<Packet> = packets.by_ref().take(PUBLISH_BATCH_ARTIFACTS).collect();
                    self.publish(self.symbols(batch, encoded)?).await?;
                }
            }
            Ok::<(), StoreFileError>(())
        };
        let (published, encoded_again) = join(publish, work).await;
        published?;
        encoded_again?.map_err(encode_error).map(drop)
    }

    fn symbols(&self, packets: Vec<Packet>, encoded: &EncodedFile) -> Result<Vec<Artifact>, StoreFileError> {
        let of_layout = |packet: &Packet| encoded.symbol_ids.get(packet.esi() as usize) == Some(&packet.id());
        if packets.iter().all(of_layout) {
            return Ok(packets
                .into_iter()
                .map(|packet| Artifact { key: packet.id(), bytes: packet.into_bytes() })
                .collect());
        }
        Err(StoreFileError::Changed { ticket_id: self.ticket.ticket_id.clone() })
    }

    /// Publishes a batch, and again what did not reach most of its holders.
    async fn publish(&mut self, batch: Vec<Artifact>) -> Result<(), StoreFileError> {
        let count = batch.len() as u64;
        let mut left = batch;
        for attempt in 1..=PUBLISH_ATTEMPTS {
            let again = if attempt < PUBLISH_ATTEMPTS { left.clone() } else { Vec::new() };
            let outcome = self.seams.network.publish(left).await;
            let short: Vec<Published> = match outcome {
                Ok(published) => published.into_iter().filter(|published| !is_durable(published)).collect(),
                Err(error) if !error.is_transient() || attempt == PUBLISH_ATTEMPTS => {
                    return Err(StoreFileError::Network { ticket_id: self.ticket.ticket_id.clone(), error });
                }
                Err(_) => {
                    left = again;
                    self.seams.scheduler.sleep(PUBLISH_RETRY_AFTER).await;
                    continue;
                }
            };
            let Some(first) = short.first() else { break };
            if attempt == PUBLISH_ATTEMPTS {
                return Err(self.not_durable(first));
            }
            left = again
                .into_iter()
                .filter(|artifact| short.iter().any(|short| short.key == artifact.key))
                .collect();
            self.seams.scheduler.sleep(PUBLISH_RETRY_AFTER).await;
        }
        self.artifact_count += count;
        (self.progress)(StoreFileProgress::Published {
            artifact_count: self.artifact_count,
            total: self.total,
        });
        Ok(())
    }

    fn not_durable(&self, published: &Published) -> StoreFileError {
        StoreFileError::NotDurable {
            ticket_id: self.ticket.ticket_id.clone(),
            key: published.key,
            stored: published.stored_on.len(),
            members: published.stored_on.len() + published.failed_on.len(),
            reason: published.failed_on.first().map_or_else(String::new, |(_, reason)| reason.clone()),
        }
    }
}

/// Whether most of the holders have the artifact.
fn is_durable(published: &Published) -> bool {
    published.stored_on.len() > published.failed_on.len()
}
