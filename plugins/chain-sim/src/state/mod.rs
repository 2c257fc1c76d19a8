//! Everything that the simulated chain knows, and how it is saved.
//!
//! Owns the shape of the state. All fields are public, so that a tester can plant any situation; stores with derived
//! indexes are written through their methods. The rules that change the state live in the modules of their chapters.

pub mod actions;
pub mod bank;
mod config;
pub mod evidence;
pub mod facts;
pub mod heal_ops;
mod json;
pub mod reports;
mod rows;
pub mod supernodes;
pub mod tickets;
pub mod transcripts;

pub use config::{ActionParams, ChainConfig, SupernodeParams};
pub use json::StateFileError;

use crate::api::chain::{EpochAnchor, NodeSuspicion, Params, ReporterReliability};
use crate::api::{Account, EpochId, TicketId};
use crate::assignment::AssignmentCache;
use crate::event::Event;
use actions::Actions;
use bank::Bank;
use evidence::EvidenceStore;
use facts::{NodeFailures, ReporterResults};
use heal_ops::HealOps;
use reports::Reports;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use supernodes::{SupernodeMetricsState, Supernodes, Validator};
use tickets::{ArtifactCounts, TicketScores};
use transcripts::Transcripts;

/// The whole chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The network.
    pub chain_id: String,
    /// What the block hashes are drawn from.
    pub seed: u64,
    /// The block that is executed now or was executed last; 0 before the first.
    pub height: i64,
    /// That block's time, in milliseconds since 1970.
    pub block_time_ms: i64,
    /// The audit module.
    pub audit: AuditState,
    /// The supernode module.
    pub supernode: SupernodeModule,
    /// The action module.
    pub action: ActionModule,
    /// Accounts, keys and coins.
    pub bank: Bank,
    /// Events of the message or block that is executed; drained when it ends.
    #[serde(skip)]
    pub(crate) pending_events: Vec<Event>,
    /// The latest assignment; derived.
    #[serde(skip)]
    pub(crate) assignment_cache: AssignmentCache,
}

/// What the audit module keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditState {
    /// The current parameters, defaults applied (chain 2).
    pub params: Params,
    /// Anchors by epoch (chain 1.2).
    pub anchors: BTreeMap<EpochId, EpochAnchor>,
    /// Parameters as they were when the epoch began (chain 1.3).
    pub params_snapshots: BTreeMap<EpochId, Params>,
    /// Epoch reports and who observed whom (chain 4.5).
    pub reports: Reports,
    /// Transcript records (chain 4.5, step 5).
    #[serde(with = "rows")]
    pub transcripts: Transcripts,
    /// Node-failure facts (chain 5.1).
    #[serde(with = "rows")]
    pub node_failures: NodeFailures,
    /// Reporter-result facts (chain 5.1).
    #[serde(with = "rows")]
    pub reporter_results: ReporterResults,
    /// Raw suspicion by node (chain 5.1).
    pub suspicion: BTreeMap<Account, NodeSuspicion>,
    /// Raw reliability by reporter (chain 5.1).
    pub reliability: BTreeMap<Account, ReporterReliability>,
    /// Raw deterioration by ticket (chain 5.1).
    #[serde(with = "rows")]
    pub tickets: TicketScores,
    /// Anchored artifact counts by ticket (chain A.2).
    pub artifact_counts: BTreeMap<TicketId, ArtifactCounts>,
    /// Heal operations (chain 7).
    #[serde(with = "rows")]
    pub heal_ops: HealOps,
    /// Votes by heal operation and verifier.
    pub heal_votes: BTreeMap<u64, BTreeMap<Account, bool>>,
    /// Id of the next heal operation; 0 means the largest existing one and 1 (chain 7).
    pub next_heal_op_id: u64,
    /// Failed-heal markers: healer and ticket by epoch (chain 7.2, 7.5).
    pub failed_heals: BTreeMap<EpochId, BTreeSet<(Account, TicketId)>>,
    /// Recheck evidence by epoch: ticket and creator (chain 8).
    pub recheck_submissions: BTreeMap<EpochId, BTreeSet<(TicketId, Account)>>,
    /// Evidence and its counters (chain A.1).
    pub evidence: EvidenceStore,
    /// Storage-truth postponement markers (chain 6.1).
    pub storage_truth_postponements: BTreeMap<Account, StorageTruthMarker>,
    /// Action-finalisation postponement markers: the epoch (chain 6.1).
    pub action_postponements: BTreeMap<Account, EpochId>,
}

/// Why a node was postponed by its score (chain 6.1, "ST marker").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageTruthMarker {
    /// The epoch of the postponement.
    pub epoch_id: EpochId,
    /// Whether it was the strong band.
    #[serde(default)]
    pub strong: bool,
}

/// What the supernode module keeps, and what it reads of validators.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupernodeModule {
    /// Its parameters.
    pub params: SupernodeParams,
    /// All supernodes, in the store's order.
    #[serde(with = "rows")]
    pub supernodes: Supernodes,
    /// Metrics by validator operator.
    pub metrics: BTreeMap<String, SupernodeMetricsState>,
    /// What staking knows of each validator operator.
    pub validators: BTreeMap<String, Validator>,
}

/// What the action module keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionModule {
    /// Its parameters.
    pub params: ActionParams,
    /// All actions.
    #[serde(with = "rows")]
    pub actions: Actions,
    /// Number of the last action; the first one is "1".
    pub last_action_id: u64,
}

impl State {
    /// An empty chain before its first block.
    #[must_use]
    pub fn new(config: ChainConfig) -> Self {
        Self {
            chain_id: config.chain_id,
            seed: config.seed,
            height: 0,
            block_time_ms: config.genesis_time_ms,
            audit: AuditState {
                params: config.params.with_defaults(),
                next_heal_op_id: 1,
                evidence: EvidenceStore { next_evidence_id: 1, ..EvidenceStore::default() },
                ..AuditState::default()
            },
            supernode: SupernodeModule { params: config.supernode_params, ..SupernodeModule::default() },
            action: ActionModule { params: config.action_params, ..ActionModule::default() },
            bank: Bank::default(),
            pending_events: Vec::new(),
            assignment_cache: AssignmentCache::default(),
        }
    }

    /// The current parameters with defaults applied, which is how every rule reads them (chain 2).
    #[must_use]
    pub fn params(&self) -> Params {
        self.audit.params.clone().with_defaults()
    }

    /// The parameters of an epoch: its snapshot, or the current ones if there is none (chain 1.3).
    #[must_use]
    pub fn params_of_epoch(&self, epoch_id: EpochId) -> Params {
        self.audit.params_snapshots.get(&epoch_id).unwrap_or(&self.audit.params).clone().with_defaults()
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.pending_events.push(event);
    }
}
