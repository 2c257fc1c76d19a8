//! Gathering what is known of a node's heals: staging area, journal, and the chain where it can be asked.

use lampkeeper_api::chain::{ChainReader, HealOp};
use lampkeeper_api::heal::{is_shadow, shadow_of};
use lampkeeper_api::journal::{HealClaim, Journal, SubmissionStatus};
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::staging::{Staging, StagingState};
use lampkeeper_core::Node;
use lampkeeper_self_healing::explain::explain;
use lampkeeper_self_healing::reconcile::ChainSays;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Heals that one answer lists; the newest.
const HEALS_LISTED_MAX: usize = 1000;
/// Artifacts that are named of one heal.
const ARTIFACTS_NAMED_MAX: usize = 1000;
/// How long the chain may take to answer one question.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The heals of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeHeals {
    /// The node's name.
    pub name: String,
    /// Its account.
    pub account: String,
    /// Whether it runs, or is only looked at.
    pub is_running: bool,
    /// By ascending operation; a comparison follows the heal that it belongs to.
    pub heals: Vec<Heal>,
}

/// Something that is staged or claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heal {
    /// The operation.
    pub heal_op_id: u64,
    /// Whether this is only a second strategy's result, kept until it is compared.
    pub is_comparison: bool,
    /// The ticket, as far as something tells.
    pub ticket_id: Option<String>,
    /// Where it stands, in a word.
    pub phase: String,
    /// What comes next.
    pub next: String,
    /// What would be removed, when and why.
    pub removal: Option<String>,
    /// How a node that starts with this goes on by itself.
    pub resumption: Option<String>,
    /// What the journal says.
    pub claim: Option<Claim>,
    /// What the staging area says.
    pub staging: Staged,
    /// What the chain says.
    pub chain: OnChain,
}

/// A claim in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// `pending` or `submitted`.
    pub status: SubmissionStatus,
    /// The claimed hash.
    pub manifest_hash: String,
    /// When the status was set, in seconds since 1970.
    pub recorded_at_s: i64,
}

/// A staging directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Staged {
    /// `absent`, `unsealed`, `sealed` or `damaged`.
    pub state: String,
    /// What is wrong with a damaged one.
    pub reason: Option<String>,
    /// The strategy that made it.
    pub strategy: Option<String>,
    /// Base64 of the file's BLAKE3.
    pub manifest_hash: Option<String>,
    /// The file's length.
    pub file_len_bytes: u64,
    /// Artifacts to publish.
    pub artifact_count: usize,
    /// Their bytes.
    pub artifact_bytes: u64,
    /// The artifacts by key, their bytes and the nodes that lack them; the first thousand, and only where one heal is
    /// shown.
    pub artifacts: Vec<(String, u64, Vec<String>)>,
}

/// An operation on the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct OnChain {
    /// Its status; `None` if it is not known.
    pub status: Option<String>,
    /// Why it is not known.
    pub problem: Option<String>,
    /// What the healer claimed.
    pub result_hash: String,
    /// Who heals.
    pub healer: String,
    /// Who verifies.
    pub verifiers: Vec<String>,
    /// The epoch at whose start it is too late; 0 for none.
    pub deadline_epoch_id: u64,
    /// The epoch now.
    pub epoch_id: Option<u64>,
}

/// What a node is looked at through.
pub(super) struct Seams {
    pub(super) name: String,
    pub(super) account: String,
    pub(super) staging: Arc<dyn Staging>,
    pub(super) journal: Arc<dyn Journal>,
    /// `None` for a node that is stopped.
    pub(super) chain: Option<Arc<dyn ChainReader>>,
    pub(super) scheduler: Arc<dyn Scheduler>,
}

impl Seams {
    /// The seams of a node that was started, wholly or in part.
    pub(super) fn of(node: &Node, chain: Option<Arc<dyn ChainReader>>) -> Result<Self, String> {
        let name = node.info().name.clone();
        let missing = |seam: &str| format!("{name} has no `{seam}`; enable a plugin that provides it");
        Ok(Self {
            staging: node.seams().staging.clone().ok_or_else(|| missing("staging"))?,
            journal: node.seams().journal.clone().ok_or_else(|| missing("journal"))?,
            account: node.info().account.clone(),
            scheduler: node.scheduler(),
            chain,
            name,
        })
    }

    /// Everything that is staged or claimed, or what there is of one operation.
    pub(super) async fn look(&self, heal_op_id: Option<u64>) -> Result<NodeHeals, String> {
        let claims = self.journal.claims().await.map_err(|error| error.to_string())?;
        let claims: BTreeMap<u64, HealClaim> =
            claims.into_iter().map(|claim| (claim.heal_op_id, claim)).collect();
        let staged = self.staging.list().await.map_err(|error| error.to_string())?;
        let known: BTreeSet<u64> = staged.into_iter().chain(claims.keys().copied()).collect();
        let is_wanted = |id: &u64| heal_op_id.is_none_or(|wanted| *id == wanted || *id == shadow_of(wanted));
        let mut wanted: Vec<u64> = known.into_iter().filter(is_wanted).collect();
        wanted.sort_by_key(|id| (own_number(*id), is_shadow(*id)));
        let passed_over = wanted.len().saturating_sub(HEALS_LISTED_MAX);
        let epoch_id = self.epoch_id().await;
        let mut heals = Vec::new();
        for id in wanted.into_iter().skip(passed_over) {
            let mut heal = self.heal(id, claims.get(&id), epoch_id).await?;
            if heal_op_id.is_none() {
                heal.staging.artifacts.clear();
            }
            heals.push(heal);
        }
        let is_running = self.chain.is_some();
        Ok(NodeHeals { name: self.name.clone(), account: self.account.clone(), is_running, heals })
    }

    async fn epoch_id(&self) -> Option<u64> {
        let chain = self.chain.as_ref()?;
        let epoch = within(&*self.scheduler, CHAIN_TIMEOUT, chain.current_epoch()).await?;
        epoch.ok().map(|epoch| epoch.epoch_id)
    }

    async fn heal(&self, id: u64, claim: Option<&HealClaim>, epoch_id: Option<u64>) -> Result<Heal, String> {
        let staging = self.staging.state(id).await.map_err(|error| error.to_string())?;
        let op = self.ask_for(own_number(id)).await;
        let says = match &op {
            Ok(Some(heal_op)) => ChainSays::Op(heal_op),
            Ok(None) => ChainSays::NotFound,
            Err(_) => ChainSays::Nothing,
        };
        let told = explain(id, claim, &staging, &says, &self.account);
        let ticket_id = match (&staging, &op, claim) {
            (_, _, Some(claim)) => Some(claim.ticket_id.clone()),
            (_, Ok(Some(heal_op)), _) => Some(heal_op.ticket_id.clone()),
            (StagingState::Sealed(manifest), _, _) => Some(manifest.ticket_id.clone()),
            _ => None,
        };
        let claim = claim.map(|claim| Claim {
            status: claim.status,
            manifest_hash: claim.manifest_hash.clone(),
            recorded_at_s: claim.recorded_at_s,
        });
        Ok(Heal {
            heal_op_id: own_number(id),
            is_comparison: is_shadow(id),
            ticket_id,
            phase: told.phase.to_owned(),
            next: told.next,
            removal: told.removal,
            resumption: told.resumption.map(str::to_owned),
            claim,
            staging: staged(staging),
            chain: on_chain(op, epoch_id),
        })
    }

    /// The operation, that there is none, or why that is not known.
    async fn ask_for(&self, heal_op_id: u64) -> Result<Option<HealOp>, String> {
        let Some(chain) = &self.chain else { return Err("not asked: the node is stopped".to_owned()) };
        match within(&*self.scheduler, CHAIN_TIMEOUT, chain.heal_op(heal_op_id)).await {
            Some(Ok(heal_op)) => Ok(Some(heal_op)),
            Some(Err(error)) if error.is_not_found() => Ok(None),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(format!("the chain did not answer within {} s", CHAIN_TIMEOUT.as_secs())),
        }
    }
}

/// The number of the operation that a directory belongs to.
const fn own_number(id: u64) -> u64 {
    if is_shadow(id) { id ^ shadow_of(0) } else { id }
}

fn staged(state: StagingState) -> Staged {
    match state {
        StagingState::Absent => Staged { state: "absent".to_owned(), ..Staged::default() },
        StagingState::Unsealed => Staged { state: "unsealed".to_owned(), ..Staged::default() },
        StagingState::Damaged { reason } => {
            Staged { state: "damaged".to_owned(), reason: Some(reason), ..Staged::default() }
        }
        StagingState::Sealed(manifest) => Staged {
            state: "sealed".to_owned(),
            reason: None,
            strategy: Some(manifest.strategy),
            manifest_hash: Some(manifest.manifest_hash),
            file_len_bytes: manifest.file_len_bytes,
            artifact_count: manifest.artifacts.len(),
            artifact_bytes: manifest.artifacts.iter().map(|artifact| artifact.len_bytes).sum(),
            artifacts: manifest
                .artifacts
                .into_iter()
                .take(ARTIFACTS_NAMED_MAX)
                .map(|artifact| (artifact.key.to_string(), artifact.len_bytes, artifact.missing_on))
                .collect(),
        },
    }
}

fn on_chain(op: Result<Option<HealOp>, String>, epoch_id: Option<u64>) -> OnChain {
    match op {
        Ok(Some(heal_op)) => OnChain {
            status: Some(heal_op.status.name().to_owned()),
            problem: None,
            result_hash: heal_op.result_hash,
            healer: heal_op.healer_supernode_account,
            verifiers: heal_op.verifier_supernode_accounts,
            deadline_epoch_id: heal_op.deadline_epoch_id,
            epoch_id,
        },
        Ok(None) => {
            OnChain { problem: Some("there is no such operation".to_owned()), epoch_id, ..OnChain::default() }
        }
        Err(problem) => OnChain { problem: Some(problem), epoch_id, ..OnChain::default() },
    }
}

/// What running nodes answer over the control socket.
///
/// # Errors
/// If a node has no staging area or journal, or they fail.
pub async fn answer(nodes: &[Arc<Node>], heal_op_id: Option<u64>) -> Result<Value, String> {
    let mut all = Vec::new();
    for node in nodes {
        let provided = node.seams();
        let chain = provided.chain.clone().map(|chain| chain as Arc<dyn ChainReader>);
        let seams = Seams::of(node, chain.or_else(|| provided.chain_reader.clone()))?;
        all.push(seams.look(heal_op_id).await?);
    }
    serde_json::to_value(all).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_api::chain::{ChainError, EpochInfo, HealOpStatus};
    use lampkeeper_api::journal::HealJournal;
    use lampkeeper_api::staging::StagingManifest;
    use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, MockChain, VirtualScheduler};

    async fn seal(staging: &MemoryStaging, heal_op_id: u64) {
        let manifest = StagingManifest {
            heal_op_id,
            ticket_id: "7".to_owned(),
            manifest_hash: "hash".to_owned(),
            file_len_bytes: 3,
            artifacts: Vec::new(),
            strategy: "test".to_owned(),
        };
        staging.begin(heal_op_id).await.expect("begins");
        staging.write_file_at(heal_op_id, 0, vec![1, 2, 3]).await.expect("writes");
        staging.seal(&manifest).await.expect("seals");
    }

    fn seams(chain: bool) -> (VirtualScheduler, Seams) {
        let scheduler = VirtualScheduler::new(0);
        let (staging, journal) = (MemoryStaging::new(), MemoryJournal::new());
        scheduler.block_on(async {
            seal(&staging, 4).await;
            seal(&staging, shadow_of(4)).await;
            staging.begin(9).await.expect("begins");
            let claim = HealClaim {
                heal_op_id: 4,
                ticket_id: "7".to_owned(),
                manifest_hash: "hash".to_owned(),
                status: SubmissionStatus::Submitted,
                recorded_at_s: 1,
            };
            journal.insert_claim(&claim).await.expect("is recorded");
        });
        let reported = HealOp {
            heal_op_id: 4,
            ticket_id: "7".to_owned(),
            status: HealOpStatus::HealerReported,
            result_hash: "hash".to_owned(),
            deadline_epoch_id: 8,
            ..HealOp::default()
        };
        let epoch = EpochInfo { epoch_id: 6, epoch_start_height: 1, epoch_end_height: 9 };
        let mock = MockChain::builder("me")
            .current_epoch(Ok(epoch))
            .always()
            .heal_op(4, Ok(reported))
            .always()
            .heal_op(9, Err(ChainError::NotFound { what: "op".to_owned() }))
            .always()
            .build();
        let seams = Seams {
            name: "n1".to_owned(),
            account: "me".to_owned(),
            staging: Arc::new(staging),
            journal: Arc::new(journal),
            chain: chain.then_some(mock as Arc<dyn ChainReader>),
            scheduler: scheduler.handle(),
        };
        (scheduler, seams)
    }

    #[test]
    fn everything_staged_or_claimed_is_explained() {
        let (scheduler, seams) = seams(true);
        let found = scheduler.block_on(seams.look(None)).expect("looks");
        let told: Vec<(u64, bool, &str, Option<&str>)> = found
            .heals
            .iter()
            .map(|heal| {
                (heal.heal_op_id, heal.is_comparison, heal.phase.as_str(), heal.chain.status.as_deref())
            })
            .collect();
        assert_eq!(
            told,
            [
                (4, false, "claimed", Some("HEALER_REPORTED")),
                (4, true, "comparing", Some("HEALER_REPORTED")),
                (9, false, "reconstructing", None),
            ]
        );
        assert_eq!(found.heals[0].chain.epoch_id, Some(6));
        let one = scheduler.block_on(seams.look(Some(9))).expect("looks");
        assert_eq!(one.heals.len(), 1);
        let sent = serde_json::to_value(&found).expect("is JSON");
        assert_eq!(serde_json::from_value::<NodeHeals>(sent).expect("comes back"), found);
    }

    #[test]
    fn a_stopped_node_is_explained_from_its_disk() {
        let (scheduler, seams) = seams(false);
        let found = scheduler.block_on(seams.look(Some(4))).expect("looks");
        assert_eq!(found.heals[0].chain.problem.as_deref(), Some("not asked: the node is stopped"));
        assert!(found.heals[0].next.contains("the chain is asked for the verdict"), "{:?}", found.heals[0]);
        assert_eq!(found.heals[0].removal, None);
    }
}
