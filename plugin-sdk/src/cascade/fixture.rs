//! A stored ticket and the network that holds it, in memory, for tests of heal strategies and their like.
//!
//! Nothing here is meant for production. Networks with real nodes, messages and faults belong to the simulator.

use super::{FileTarget, TARGET_IO_LEN_BYTES_MAX, TargetError};
use crate::api::Account;
use crate::api::chain::{AccountInfo, Ticket, TicketState};
use crate::api::network::{
    Artifact, ArtifactNetwork, KEYS_PER_CALL_MAX, NetworkError, Possession, Published, Survey,
};
use crate::api::signer::Signer;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::{self, Packet};
use crate::protocol::cascade::id_files::IdFileSeries;
use crate::protocol::cascade::index::{IndexDocument, Signatures};
use crate::protocol::cascade::layout::Layout;
use crate::protocol::cascade::metadata::data_hash;
use crate::testkit::{MockChainBuilder, TestSigner};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Id files of each kind; fewer than in the real network, to be quick.
const ID_FILES: u32 = 5;
/// Members of a replica set (wire 12.7).
const REPLICAS: usize = 6;

/// A ticket as its creator made it, with all its artifacts.
#[derive(Debug, Clone)]
pub struct TicketFixture {
    /// The creator's key.
    pub creator: TestSigner,
    /// The ticket, finalised.
    pub ticket: Ticket,
    /// The file.
    pub file: Vec<u8>,
    /// Symbols by their encoding symbol id.
    pub symbols: Vec<Artifact>,
    /// Index and layout id files.
    pub id_files: Vec<Artifact>,
}

impl TicketFixture {
    /// A ticket for a file of this length, whose bytes look random and differ with `salt`.
    ///
    /// # Panics
    /// If the file can't be encoded.
    #[must_use]
    pub fn new(ticket_id: &str, len_bytes: usize, salt: u8) -> Self {
        let mut file = vec![0; len_bytes];
        blake3::Hasher::new().update(&[salt]).finalize_xof().fill(&mut file);
        Self::of_file(ticket_id, file)
    }

    /// A ticket for this file.
    ///
    /// # Panics
    /// If the file can't be encoded.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a fixture that can't be made ends the test")]
    pub fn of_file(ticket_id: &str, file: Vec<u8>) -> Self {
        let creator = TestSigner::new("creator");
        let sign = |text: &str| STANDARD.encode(creator.sign(text.as_bytes()).expect("a test key signs"));
        let artifact = |bytes: Vec<u8>| Artifact { key: ArtifactKey::of(&bytes), bytes };
        let mut symbols = Vec::new();
        let encoded = codec::encode(&file[..], NonZeroUsize::MIN, |batch| {
            symbols.extend(batch.into_iter().map(Packet::into_bytes).map(artifact));
            Ok(())
        })
        .expect("the file can be encoded");
        let layout = Layout::of_file(&encoded).to_base64();
        let (index, layout_files) =
            IndexDocument::of_layout(&layout, &sign(&layout), 7, ID_FILES).expect("a small layout");
        let index = index.to_base64();
        let signatures = Signatures { index_base64: &index, creator_signature: &sign(&index) }.to_string();
        let series = IdFileSeries::new(&signatures, 7, ID_FILES).expect("a small index");
        let index_files = series.files().expect("id files");
        let ticket = Ticket {
            ticket_id: ticket_id.to_owned(),
            creator: creator.account().to_owned(),
            state: TicketState::Done,
            block_height: 1,
            file_size_kbs: i64::try_from(file.len().div_ceil(1024)).expect("a small file"),
            data_hash: data_hash(encoded.block_hash.as_bytes()),
            file_name: "file.bin".to_owned(),
            rq_ids_ic: 7,
            rq_ids_max: ID_FILES.into(),
            rq_ids_ids: index_files.iter().map(|file| ArtifactKey::of(file).to_string()).collect(),
            signatures,
            public: true,
            ..Ticket::default()
        };
        let id_files = index_files.into_iter().chain(layout_files).map(artifact).collect();
        Self { creator, ticket, file, symbols, id_files }
    }

    /// What the chain knows of the creator.
    #[must_use]
    pub fn creator_account(&self) -> AccountInfo {
        AccountInfo {
            address: self.creator.account().to_owned(),
            public_key: self.creator.public_key(),
            public_key_type_url: self.creator.public_key_type_url().to_owned(),
            ..AccountInfo::default()
        }
    }

    /// Lets a scripted chain know the ticket and its creator.
    pub fn known_to(&self, chain: MockChainBuilder) -> MockChainBuilder {
        chain
            .account(self.creator.account(), Ok(self.creator_account()))
            .always()
            .ticket(&self.ticket.ticket_id, Ok(self.ticket.clone()))
            .always()
    }

    /// All artifacts: id files, then symbols.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.id_files.iter().chain(&self.symbols)
    }
}

#[derive(Debug, Default)]
struct Holders {
    nodes: BTreeMap<Account, BTreeMap<ArtifactKey, Vec<u8>>>,
    down: BTreeSet<Account>,
    fetched_bytes: u64,
    fetched_keys: Vec<ArtifactKey>,
    published_bytes: u64,
}

/// A network of nodes in memory, each artifact on the six closest; the rule of the reference network (wire 12.5).
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork {
    holders: Arc<Mutex<Holders>>,
}

impl MemoryNetwork {
    /// Empty nodes with these accounts.
    #[must_use]
    pub fn new(accounts: &[&str]) -> Self {
        let nodes = accounts.iter().map(|account| ((*account).to_owned(), BTreeMap::new())).collect();
        Self { holders: Arc::new(Mutex::new(Holders { nodes, ..Holders::default() })) }
    }

    /// Nodes that hold a ticket, each artifact on its replica set.
    #[must_use]
    pub fn holding(accounts: &[&str], fixture: &TicketFixture) -> Self {
        let network = Self::new(accounts);
        for artifact in fixture.artifacts() {
            for account in network.replicas(&artifact.key) {
                network.put(&account, artifact.clone());
            }
        }
        network
    }

    fn lock(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts that should hold a key, nearest first.
    #[must_use]
    pub fn replicas(&self, key: &ArtifactKey) -> Vec<Account> {
        let mut accounts: Vec<Account> = self.lock().nodes.keys().cloned().collect();
        accounts.sort_by_key(|account| key.distance_to_account(account));
        accounts.truncate(REPLICAS);
        accounts
    }

    /// Gives a node an artifact, whatever its bytes are.
    pub fn put(&self, account: &str, artifact: Artifact) {
        if let Some(node) = self.lock().nodes.get_mut(account) {
            node.insert(artifact.key, artifact.bytes);
        }
    }

    /// Takes an artifact from a node.
    pub fn remove_from(&self, account: &str, key: &ArtifactKey) {
        self.lock().nodes.get_mut(account).map(|node| node.remove(key));
    }

    /// Takes an artifact from every node.
    pub fn remove(&self, key: &ArtifactKey) {
        self.lock().nodes.values_mut().for_each(|node| drop(node.remove(key)));
    }

    /// Flips a bit of a node's copy.
    pub fn corrupt(&self, account: &str, key: &ArtifactKey) {
        let mut holders = self.lock();
        let bytes = holders.nodes.get_mut(account).and_then(|node| node.get_mut(key));
        bytes.and_then(|bytes| bytes.first_mut()).into_iter().for_each(|byte| *byte ^= 1);
    }

    /// Takes everything from a node.
    pub fn wipe(&self, account: &str) {
        self.lock().nodes.get_mut(account).into_iter().for_each(BTreeMap::clear);
    }

    /// Makes a node unreachable, or reachable again.
    pub fn set_down(&self, account: &str, down: bool) {
        let mut holders = self.lock();
        if down {
            holders.down.insert(account.to_owned())
        } else {
            holders.down.remove(account)
        };
    }

    /// A node's bytes under a key.
    #[must_use]
    pub fn bytes_on(&self, account: &str, key: &ArtifactKey) -> Option<Vec<u8>> {
        self.lock().nodes.get(account)?.get(key).cloned()
    }

    /// Bytes that were fetched so far.
    #[must_use]
    pub fn fetched_bytes(&self) -> u64 {
        self.lock().fetched_bytes
    }

    /// Keys that were fetched so far, in order, found or not.
    #[must_use]
    pub fn fetched_keys(&self) -> Vec<ArtifactKey> {
        self.lock().fetched_keys.clone()
    }

    /// Bytes that were published so far, each replica counted.
    #[must_use]
    pub fn published_bytes(&self) -> u64 {
        self.lock().published_bytes
    }

    fn publish_one(&self, artifact: Artifact, accounts: Vec<Account>) -> Published {
        let (up, down): (Vec<Account>, Vec<Account>) = {
            let holders = self.lock();
            accounts
                .into_iter()
                .partition(|account| holders.nodes.contains_key(account) && !holders.down.contains(account))
        };
        for account in &up {
            self.lock().published_bytes += artifact.bytes.len() as u64;
            self.put(account, artifact.clone());
        }
        let failed_on = down.into_iter().map(|account| (account, "unreachable".to_owned())).collect();
        Published { key: artifact.key, stored_on: up, failed_on }
    }
}

fn check_count(count: usize) -> Result<(), NetworkError> {
    if count > KEYS_PER_CALL_MAX {
        return Err(NetworkError::TooManyKeys { count, max: KEYS_PER_CALL_MAX });
    }
    Ok(())
}

#[async_trait]
impl ArtifactNetwork for MemoryNetwork {
    async fn replica_set(&self, key: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        Ok(self.replicas(key))
    }

    async fn publish(&self, artifacts: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        check_count(artifacts.len())?;
        let publish = |artifact: Artifact| {
            let replicas = self.replicas(&artifact.key);
            self.publish_one(artifact, replicas)
        };
        Ok(artifacts.into_iter().map(publish).collect())
    }

    async fn publish_to(
        &self,
        artifacts: Vec<Artifact>,
        accounts: &[Account],
    ) -> Result<Vec<Published>, NetworkError> {
        check_count(artifacts.len())?;
        Ok(artifacts.into_iter().map(|artifact| self.publish_one(artifact, accounts.to_vec())).collect())
    }

    async fn fetch(&self, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        check_count(keys.len())?;
        let mut holders = self.lock();
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let up = holders.nodes.iter().filter(|(account, _)| !holders.down.contains(*account));
            let bytes = up
                .filter_map(|(_, node)| node.get(key))
                .find(|bytes| ArtifactKey::of(bytes) == *key)
                .cloned();
            holders.fetched_keys.push(*key);
            holders.fetched_bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
            found.push(bytes.map(|bytes| Artifact { key: *key, bytes }));
        }
        Ok(found)
    }

    async fn survey(&self, keys: &[ArtifactKey], verify: bool) -> Result<Vec<Survey>, NetworkError> {
        check_count(keys.len())?;
        let possession = |account: &Account, key: &ArtifactKey| {
            let holders = self.lock();
            match holders.nodes.get(account).and_then(|node| node.get(key)) {
                _ if holders.down.contains(account) => Possession::Unknown,
                None => Possession::Absent,
                Some(_) if !verify => Possession::Present,
                Some(bytes) if ArtifactKey::of(bytes) == *key => Possession::Intact,
                Some(_) => Possession::Corrupt,
            }
        };
        let survey = |key: &ArtifactKey| {
            let holders =
                self.replicas(key).into_iter().map(|account| (account.clone(), possession(&account, key)));
            Survey { key: *key, holders: holders.collect() }
        };
        Ok(keys.iter().map(survey).collect())
    }
}

/// A file in memory, to reconstruct into. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryFile {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl MemoryFile {
    /// An empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl FileTarget for MemoryFile {
    async fn write_at(&self, offset: u64, bytes: Vec<u8>) -> Result<(), TargetError> {
        assert!(bytes.len() <= TARGET_IO_LEN_BYTES_MAX, "{} bytes in one call", bytes.len());
        let mut file = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        let len_bytes = file.len();
        file.resize(len_bytes.max(end), 0);
        file[start..end].copy_from_slice(&bytes);
        Ok(())
    }

    async fn read_at(&self, offset: u64, len_bytes: usize) -> Result<Vec<u8>, TargetError> {
        assert!(len_bytes <= TARGET_IO_LEN_BYTES_MAX, "{len_bytes} bytes in one call");
        let file = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let end = start.saturating_add(len_bytes).min(file.len());
        Ok(file[start..end].to_vec())
    }
}
