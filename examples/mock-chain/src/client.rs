//! The chain seam, answered from the script. Records that no script has are not found, lists of them are empty.

use crate::script::{Script, Submissions, SupernodeScript};
use lampkeeper_plugin_sdk::api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    Rejection, RejectionReason, ReporterReliability, Supernode, SupernodeState, Ticket, TicketDeterioration,
    TxReceipt,
};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler};
use lampkeeper_plugin_sdk::prelude::*;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The chain, which begins with block 1 when the node starts.
pub(crate) struct MockChain {
    script: Script,
    account: String,
    chain_id: String,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    began: Moment,
    began_wall_ms: i64,
    /// This node's reports that were executed, by epoch.
    reports: Mutex<BTreeMap<u64, EpochReport>>,
}

impl MockChain {
    pub(crate) fn new(
        script: Script,
        account: String,
        chain_id: String,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Self {
        let (began, began_wall_ms) = (scheduler.now(), scheduler.wall_clock_ms());
        let reports = Mutex::default();
        Self { script, account, chain_id, scheduler, telemetry, began, began_wall_ms, reports }
    }

    fn height(&self) -> u64 {
        let elapsed = self.scheduler.now().since(self.began).as_millis();
        self.script.height_at(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn epoch_id(&self) -> u64 {
        self.script.epoch_of(self.height())
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<u64, EpochReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info(&self, epoch_id: u64) -> EpochInfo {
        let first = epoch_id * self.script.epoch_blocks + 1;
        EpochInfo {
            epoch_id,
            epoch_start_height: signed(first),
            epoch_end_height: signed(first + self.script.epoch_blocks - 1),
        }
    }

    /// An epoch that has begun.
    fn begun(&self, epoch_id: u64) -> Result<EpochInfo, ChainError> {
        if epoch_id > self.epoch_id() {
            return Err(not_found(format!("epoch {epoch_id}")));
        }
        Ok(self.info(epoch_id))
    }

    fn member(&self, account: &str) -> Option<&SupernodeScript> {
        self.script.supernodes.iter().find(|node| node.account == account)
    }

    fn accounts(&self) -> Vec<String> {
        let mut accounts: Vec<String> =
            self.script.supernodes.iter().map(|node| node.account.clone()).collect();
        accounts.sort();
        accounts
    }

    fn execute(&self, message: &ChainMessage) -> TxReceipt {
        let height = self.height();
        if let ChainMessage::EpochReport(report) = message {
            let report = EpochReport {
                supernode_account: self.account.clone(),
                epoch_id: report.epoch_id,
                report_height: signed(height),
                host_report: report.host_report.clone(),
                storage_challenge_observations: report.storage_challenge_observations.clone(),
                storage_proof_results: report.storage_proof_results.clone(),
            };
            self.reports().insert(report.epoch_id, report);
        }
        let hash = ArtifactKey::of(format!("{height} {message:?}").as_bytes());
        TxReceipt {
            tx_hash: hash.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect(),
            height: signed(height),
            response_id: String::new(),
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn not_found(what: impl Into<String>) -> ChainError {
    ChainError::NotFound { what: what.into() }
}

fn nothing<T>() -> Result<Page<T>, ChainError> {
    Ok(Page { items: Vec::new(), next_key: None })
}

fn supernode(member: &SupernodeScript) -> Supernode {
    Supernode {
        supernode_account: member.account.clone(),
        latest_address: member.address.clone(),
        state: SupernodeState::Active,
        state_height: 1,
        ..Supernode::default()
    }
}

#[async_trait]
impl ChainReader for MockChain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        let height = self.height();
        let age_ms = signed((height - 1).saturating_mul(self.script.block_ms));
        Ok(ChainStatus {
            chain_id: self.chain_id.clone(),
            latest_height: signed(height),
            latest_block_time_ms: self.began_wall_ms.saturating_add(age_ms),
        })
    }

    async fn params(&self) -> Result<Params, ChainError> {
        Ok(Params { epoch_length_blocks: self.script.epoch_blocks, ..Params::default() })
    }

    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        Ok(self.info(self.epoch_id()))
    }

    async fn epoch_anchor(&self, epoch_id: u64) -> Result<EpochAnchor, ChainError> {
        let info = self.begun(epoch_id)?;
        let seed = ArtifactKey::of(format!("{} {epoch_id}", self.chain_id).as_bytes());
        Ok(EpochAnchor {
            epoch_id,
            epoch_start_height: info.epoch_start_height,
            epoch_end_height: info.epoch_end_height,
            epoch_length_blocks: self.script.epoch_blocks,
            seed: *seed.as_bytes(),
            active_supernode_accounts: self.accounts(),
            target_supernode_accounts: self.accounts(),
            ..EpochAnchor::default()
        })
    }

    async fn assigned_targets(&self, account: &str, epoch_id: u64) -> Result<AssignedTargets, ChainError> {
        let info = self.begun(epoch_id)?;
        let targets = if account == self.account { self.script.epoch(epoch_id).targets } else { Vec::new() };
        Ok(AssignedTargets {
            epoch_id,
            epoch_start_height: info.epoch_start_height,
            required_open_ports: Vec::new(),
            target_supernode_accounts: targets,
        })
    }

    async fn epoch_report(&self, account: &str, epoch_id: u64) -> Result<EpochReport, ChainError> {
        let report =
            self.reports().get(&epoch_id).filter(|report| report.supernode_account == account).cloned();
        report.ok_or_else(|| not_found(format!("the report of {account} for epoch {epoch_id}")))
    }

    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        Err(not_found(format!("heal operation {heal_op_id}")))
    }

    async fn heal_ops_by_status(&self, _: HealOpStatus, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        nothing()
    }

    async fn heal_ops_by_ticket(&self, _: &str, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        nothing()
    }

    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        Err(not_found(format!("ticket {ticket_id}")))
    }

    async fn tickets_of_supernode(&self, _: &str, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        nothing()
    }

    async fn tickets(&self, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        nothing()
    }

    async fn ticket_deterioration(&self, ticket_id: &str) -> Result<TicketDeterioration, ChainError> {
        Err(not_found(format!("a score of ticket {ticket_id}")))
    }

    async fn node_suspicion(&self, account: &str) -> Result<NodeSuspicion, ChainError> {
        Err(not_found(format!("a score of {account}")))
    }

    async fn reporter_reliability(&self, account: &str) -> Result<ReporterReliability, ChainError> {
        Err(not_found(format!("a score of the reporter {account}")))
    }

    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        self.member(account).map(supernode).ok_or_else(|| not_found(format!("supernode {account}")))
    }

    async fn supernodes(&self, _: PageRequest) -> Result<Page<Supernode>, ChainError> {
        Ok(Page { items: self.script.supernodes.iter().map(supernode).collect(), next_key: None })
    }

    async fn top_supernodes(&self, _: i64, limit: u32) -> Result<Vec<Supernode>, ChainError> {
        let count = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.script.supernodes.iter().take(count).map(supernode).collect())
    }

    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        Err(not_found(format!("account {address}")))
    }
}

#[async_trait]
impl ChainClient for MockChain {
    fn account_address(&self) -> &str {
        &self.account
    }

    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        let epoch_id = self.epoch_id();
        let submissions = self.script.epoch(epoch_id).submissions;
        self.telemetry.event(
            Event::new("mock_chain.submitted").with("kind", message.kind()).with("epoch_id", epoch_id),
        );
        match submissions {
            Submissions::Accept => Ok(self.execute(&message)),
            Submissions::Reject => Err(ChainError::Rejected(Rejection {
                reason: RejectionReason::ReporterNotFound,
                codespace: "audit".to_owned(),
                code: 7,
                message: "the script refuses".to_owned(),
            })),
            Submissions::Lose => Err(ChainError::Transient {
                attempted: "submitting".to_owned(),
                source: "the script loses it".to_owned(),
                outcome_unknown: false,
            }),
        }
    }
}
