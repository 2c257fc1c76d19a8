//! Actions (tickets) and their indexes.

use super::rows::Rows;
use crate::api::chain::TicketState;
use crate::api::{Account, TicketId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// `AvailabilityCommitment` (chain Appendix C). Bytes are base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AvailabilityCommitment {
    /// Always `lep5/chunk-merkle/v1`.
    pub commitment_type: String,
    /// 1 BLAKE3, 2 SHA256.
    pub hash_algo: i32,
    /// Bytes of a chunk.
    pub chunk_size: u32,
    /// Bytes of the file.
    pub total_size: u64,
    /// Chunks of the file.
    pub num_chunks: u32,
    /// Root of the chunk tree.
    #[serde(with = "crate::action_module::base64_bytes")]
    pub root: Vec<u8>,
    /// The chunks that finalising has to prove.
    pub challenge_indices: Vec<u32>,
}

/// `ChunkProof` (chain Appendix C).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkProof {
    /// The chunk.
    pub chunk_index: u32,
    /// Its leaf.
    #[serde(with = "crate::action_module::base64_bytes")]
    pub leaf_hash: Vec<u8>,
    /// Siblings from the leaf up.
    #[serde(with = "crate::action_module::base64_list")]
    pub path_hashes: Vec<Vec<u8>>,
    /// For each sibling whether it stands right of the path.
    pub path_directions: Vec<bool>,
}

/// `CascadeMetadata` (wire 2.7), as it is stored and as JSON in messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CascadeMetadata {
    /// Base64 of the file's BLAKE3.
    pub data_hash: String,
    /// The file's name.
    pub file_name: String,
    /// First counter of the index id files.
    pub rq_ids_ic: u64,
    /// Number of index id files.
    pub rq_ids_max: u64,
    /// Keys of the index id files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rq_ids_ids: Vec<String>,
    /// Index document and signature.
    pub signatures: String,
    /// Whether anyone may download it.
    pub public: bool,
    /// What finalising has to prove, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_commitment: Option<AvailabilityCommitment>,
    /// The proofs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chunk_proofs: Vec<ChunkProof>,
    /// Index artifacts; 0 means the number of ids.
    pub index_artifact_count: u32,
    /// Symbol artifacts; 0 means the number of ids.
    pub symbol_artifact_count: u32,
}

/// A cascade action as the chain keeps it (chain Appendix C).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Action {
    /// A decimal counter as text.
    pub action_id: TicketId,
    /// Who asked for it.
    pub creator: Account,
    /// Its metadata.
    pub metadata: CascadeMetadata,
    /// What was paid, in ulume.
    pub price_ulume: u64,
    /// When the request lapses, in seconds since 1970; 0 means never.
    pub expiration_time_s: i64,
    /// Where it stands.
    pub state: TicketState,
    /// Height of the request.
    pub block_height: i64,
    /// Accounts of the supernodes that finalised it.
    pub supernodes: Vec<Account>,
    /// Size of the file in KiB.
    pub file_size_kbs: i64,
    /// Key of the application of an interchain creator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub app_pubkey: Vec<u8>,
}

impl Action {
    fn waits(&self) -> bool {
        matches!(self.state, TicketState::Pending | TicketState::Processing)
    }

    fn number(&self) -> (u64, TicketId) {
        action_number(&self.action_id)
    }
}

/// What orders actions by number: planted ids that are no numbers come last, by name.
#[must_use]
pub fn action_number(action_id: &str) -> (u64, TicketId) {
    (action_id.parse().unwrap_or(u64::MAX), action_id.to_owned())
}

/// All actions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actions {
    records: BTreeMap<TicketId, Action>,
    by_number: BTreeSet<(u64, TicketId)>,
    by_supernode: BTreeMap<Account, BTreeSet<(u64, TicketId)>>,
    by_creator: BTreeMap<Account, BTreeSet<(u64, TicketId)>>,
    expiring: BTreeSet<(i64, TicketId)>,
}

impl Actions {
    /// One action.
    #[must_use]
    pub fn get(&self, action_id: &str) -> Option<&Action> {
        self.records.get(action_id)
    }

    /// Writes an action, replacing the one with the same id.
    pub fn insert(&mut self, action: Action) {
        self.remove(&action.action_id.clone());
        let number = action.number();
        for account in &action.supernodes {
            self.by_supernode.entry(account.clone()).or_default().insert(number.clone());
        }
        self.by_creator.entry(action.creator.clone()).or_default().insert(number.clone());
        if action.waits() && action.expiration_time_s != 0 {
            self.expiring.insert((action.expiration_time_s, action.action_id.clone()));
        }
        self.by_number.insert(number);
        self.records.insert(action.action_id.clone(), action);
    }

    /// Removes an action.
    pub fn remove(&mut self, action_id: &str) -> Option<Action> {
        let action = self.records.remove(action_id)?;
        let number = action.number();
        for account in &action.supernodes {
            drop_entry(&mut self.by_supernode, account, &number);
        }
        drop_entry(&mut self.by_creator, &action.creator, &number);
        self.by_number.remove(&number);
        self.expiring.remove(&(action.expiration_time_s, action.action_id.clone()));
        Some(action)
    }

    /// Changes an action, if there is one.
    pub fn update(&mut self, action_id: &str, change: impl FnOnce(&mut Action)) {
        if let Some(mut action) = self.remove(action_id) {
            change(&mut action);
            self.insert(action);
        }
    }

    /// All actions in the store's order, which is that of the ids as text.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Action> {
        self.records.values()
    }

    /// How many actions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no action.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The actions from an id on, in the store's order.
    pub fn range_from<'a>(
        &'a self,
        action_id: &str,
    ) -> impl DoubleEndedIterator<Item = &'a Action> + use<'a> {
        self.records.range(action_id.to_owned()..).map(|(_, action)| action)
    }

    /// The actions by ascending number, from a number on.
    pub fn by_number_from(&self, from: (u64, TicketId)) -> impl DoubleEndedIterator<Item = &Action> {
        self.by_number.range(from..).filter_map(|(_, id)| self.get(id))
    }

    /// The actions that `account` finalised, by ascending number, from a number on.
    pub fn of_supernode_from<'a>(
        &'a self,
        account: &str,
        from: (u64, TicketId),
    ) -> impl DoubleEndedIterator<Item = &'a Action> + use<'a> {
        let numbers = self.by_supernode.get(account);
        numbers
            .into_iter()
            .flat_map(move |numbers| numbers.range(from.clone()..))
            .filter_map(|(_, id)| self.get(id))
    }

    /// The actions that `creator` asked for, by ascending number, from a number on.
    pub fn of_creator_from<'a>(
        &'a self,
        creator: &str,
        from: (u64, TicketId),
    ) -> impl DoubleEndedIterator<Item = &'a Action> + use<'a> {
        let numbers = self.by_creator.get(creator);
        numbers
            .into_iter()
            .flat_map(move |numbers| numbers.range(from.clone()..))
            .filter_map(|(_, id)| self.get(id))
    }

    /// The waiting actions whose request has lapsed at a time, in seconds since 1970.
    #[must_use]
    pub fn lapsed(&self, time_s: i64) -> Vec<TicketId> {
        let lapsed = self.expiring.iter().take_while(|(expiration, _)| *expiration <= time_s);
        lapsed.map(|(_, id)| id.clone()).collect()
    }
}

/// Empty lists go with their last entry, so that equal stores have equal indexes.
fn drop_entry(
    index: &mut BTreeMap<Account, BTreeSet<(u64, TicketId)>>,
    account: &str,
    number: &(u64, TicketId),
) {
    if let Some(numbers) = index.get_mut(account) {
        numbers.remove(number);
        if numbers.is_empty() {
            index.remove(account);
        }
    }
}

impl Rows for Actions {
    type Row = Action;

    fn rows(&self) -> impl Iterator<Item = &Action> {
        self.iter()
    }

    fn insert_row(&mut self, row: Action) {
        self.insert(row);
    }
}
