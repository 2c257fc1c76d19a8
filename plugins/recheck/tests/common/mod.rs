//! A network of reporters on a chain in memory, a challenger that answers what it is told, and the plugin between them.

use lampkeeper_plugin_sdk::api::chain::*;
use lampkeeper_plugin_sdk::api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger, Observation,
};
use lampkeeper_plugin_sdk::api::plugin::Provided;
use lampkeeper_plugin_sdk::api::service::Service;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::account::KeyType;
use lampkeeper_plugin_sdk::protocol::transcript::Transcript;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket, ResultClass};
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, RecordingTelemetry, TestSigner, VirtualScheduler, context,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A chain whose parts a test sets as it likes.
#[derive(Default)]
pub(crate) struct Chain {
    state: Mutex<ChainState>,
}

#[derive(Default)]
pub(crate) struct ChainState {
    pub(crate) epoch_id: u64,
    /// The last block; every epoch goes from 1 to 400.
    pub(crate) height: i64,
    pub(crate) params: Params,
    /// Sorted by account, as pages are cut.
    pub(crate) supernodes: Vec<String>,
    pub(crate) accounts: BTreeMap<String, AccountInfo>,
    pub(crate) reports: BTreeMap<(u64, String), EpochReport>,
    pub(crate) heal_ops: Vec<HealOp>,
    /// Reporters whose reports can't be read at present.
    pub(crate) unreadable: Vec<String>,
    /// What submissions come to, in order; executed when nothing is left here.
    pub(crate) outcomes: VecDeque<Result<TxReceipt, ChainError>>,
    /// Whether a submission is never answered.
    pub(crate) hangs: bool,
    pub(crate) submitted: Vec<RecheckEvidenceMessage>,
    pub(crate) report_queries: Vec<(u64, String)>,
    pub(crate) page_queries: usize,
    pub(crate) account_queries: usize,
}

impl Chain {
    pub(crate) fn state(&self) -> MutexGuard<'_, ChainState> {
        self.state.lock().unwrap()
    }
}

fn not_found<T>(what: &str) -> Result<T, ChainError> {
    Err(ChainError::NotFound { what: what.to_owned() })
}

fn unused<T>() -> Result<T, ChainError> {
    Err(ChainError::InvalidRequest { reason: "rechecks don't ask for this".to_owned() })
}

pub(crate) fn transient(outcome_unknown: bool) -> ChainError {
    ChainError::Transient {
        attempted: "asking".to_owned(),
        source: "connection reset".to_owned(),
        outcome_unknown,
    }
}

pub(crate) fn rejected(reason: RejectionReason) -> ChainError {
    let message = "refused".to_owned();
    ChainError::Rejected(Rejection { reason, codespace: "audit".to_owned(), code: 10, message })
}

#[async_trait]
impl ChainReader for Chain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        let chain_id = "test".to_owned();
        Ok(ChainStatus { chain_id, latest_height: self.state().height, latest_block_time_ms: 0 })
    }
    async fn params(&self) -> Result<Params, ChainError> {
        Ok(self.state().params.clone())
    }
    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        Ok(EpochInfo { epoch_id: self.state().epoch_id, epoch_start_height: 1, epoch_end_height: 400 })
    }
    async fn epoch_anchor(&self, _: u64) -> Result<EpochAnchor, ChainError> {
        unused()
    }
    async fn assigned_targets(&self, _: &str, _: u64) -> Result<AssignedTargets, ChainError> {
        unused()
    }
    async fn epoch_report(&self, account: &str, epoch_id: u64) -> Result<EpochReport, ChainError> {
        let mut state = self.state();
        let key = (epoch_id, account.to_owned());
        state.report_queries.push(key.clone());
        if state.unreadable.iter().any(|unreadable| unreadable == account) {
            return Err(transient(false));
        }
        state.reports.get(&key).cloned().map_or_else(|| not_found("the report"), Ok)
    }
    async fn heal_op(&self, _: u64) -> Result<HealOp, ChainError> {
        unused()
    }
    async fn heal_ops_by_status(&self, _: HealOpStatus, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        unused()
    }
    async fn heal_ops_by_ticket(&self, ticket_id: &str, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        let items = self.state().heal_ops.iter().filter(|op| op.ticket_id == ticket_id).cloned().collect();
        Ok(Page { items, next_key: None })
    }
    async fn ticket(&self, _: &str) -> Result<Ticket, ChainError> {
        unused()
    }
    async fn tickets_of_supernode(&self, _: &str, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        unused()
    }
    async fn tickets(&self, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        unused()
    }
    async fn ticket_deterioration(&self, _: &str) -> Result<TicketDeterioration, ChainError> {
        unused()
    }
    async fn node_suspicion(&self, _: &str) -> Result<NodeSuspicion, ChainError> {
        unused()
    }
    async fn reporter_reliability(&self, _: &str) -> Result<ReporterReliability, ChainError> {
        unused()
    }
    async fn supernode(&self, _: &str) -> Result<Supernode, ChainError> {
        unused()
    }
    async fn supernodes(&self, page: PageRequest) -> Result<Page<Supernode>, ChainError> {
        let mut state = self.state();
        state.page_queries += 1;
        let start: usize = page.key.map_or(0, |key| String::from_utf8(key).unwrap().parse().unwrap());
        let end = state.supernodes.len().min(start + page.limit as usize);
        let node =
            |account: &String| Supernode { supernode_account: account.clone(), ..Supernode::default() };
        let items = state.supernodes[start..end].iter().map(node).collect();
        let next_key = (end < state.supernodes.len()).then(|| end.to_string().into_bytes());
        Ok(Page { items, next_key })
    }
    async fn top_supernodes(&self, _: i64, _: u32) -> Result<Vec<Supernode>, ChainError> {
        unused()
    }
    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        let mut state = self.state();
        state.account_queries += 1;
        state.accounts.get(address).cloned().map_or_else(|| not_found("the account"), Ok)
    }
}

#[async_trait]
impl ChainClient for Chain {
    fn account_address(&self) -> &str {
        "own"
    }
    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        let ChainMessage::RecheckEvidence(message) = message else { return unused() };
        let outcome = {
            let mut state = self.state();
            state.submitted.push(message);
            if state.hangs { None } else { Some(state.outcomes.pop_front()) }
        };
        match outcome {
            Some(outcome) => outcome.unwrap_or_else(|| Ok(TxReceipt { height: 77, ..TxReceipt::default() })),
            None => std::future::pending().await,
        }
    }
}

/// What the challenger is told to answer; a pass by default.
pub(crate) type Answer = fn(&ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError>;

/// A challenger that remembers what it was asked.
pub(crate) struct ScriptedChallenger {
    pub(crate) answer: Mutex<Answer>,
    pub(crate) asked: Mutex<Vec<ChallengeRequest>>,
}

#[async_trait]
impl Challenger for ScriptedChallenger {
    async fn challenge(&self, request: ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError> {
        let answer = *self.answer.lock().unwrap();
        let outcome = answer(&request);
        self.asked.lock().unwrap().push(request);
        outcome
    }
}

/// A row about what was asked.
pub(crate) fn row(
    request: &ChallengeRequest,
    observation: Observation,
    class: ResultClass,
) -> ChallengeOutcome {
    let row = StorageProofResult {
        target_supernode_account: request.target_account.clone(),
        ticket_id: request.ticket_id.clone(),
        bucket_type: request.bucket,
        result_class: class,
        transcript_hash: format!("recheck of {} in {}", request.ticket_id, request.epoch_id),
        ..StorageProofResult::default()
    };
    ChallengeOutcome::Row { observation, row: Box::new(row) }
}

/// A node with the plugin, and its world.
pub(crate) struct World {
    pub(crate) scheduler: VirtualScheduler,
    pub(crate) chain: Arc<Chain>,
    pub(crate) journal: MemoryJournal,
    pub(crate) challenger: Arc<ScriptedChallenger>,
    pub(crate) telemetry: RecordingTelemetry,
}

/// The account of a name; the node itself is called `own`.
pub(crate) fn account_of(name: &str) -> String {
    TestSigner::new(name).account().to_owned()
}

impl World {
    /// Nobody on the chain but this node; epoch 9.
    pub(crate) fn new() -> Self {
        let challenger = ScriptedChallenger {
            answer: Mutex::new(|request| Ok(row(request, Observation::Pass, ResultClass::Pass))),
            asked: Mutex::default(),
        };
        let world = Self {
            scheduler: VirtualScheduler::new(0),
            chain: Arc::default(),
            journal: MemoryJournal::new(),
            challenger: Arc::new(challenger),
            telemetry: RecordingTelemetry::new(),
        };
        world.chain.state().epoch_id = 9;
        // At the end of an epoch nothing is left to spread rechecks over.
        world.chain.state().height = 400;
        world.register("own");
        world
    }

    /// Registers a supernode whose key follows from a name; its account.
    pub(crate) fn register(&self, name: &str) -> String {
        let signer = TestSigner::new(name);
        let account = signer.account().to_owned();
        let info = AccountInfo {
            address: account.clone(),
            public_key: signer.public_key(),
            public_key_type_url: KeyType::Secp256k1.type_url().to_owned(),
            ..AccountInfo::default()
        };
        let mut state = self.chain.state();
        state.accounts.insert(account.clone(), info);
        state.supernodes.push(account.clone());
        state.supernodes.sort();
        state.supernodes.dedup();
        account
    }

    /// Lets a reporter's report of an epoch be executed.
    pub(crate) fn report(&self, reporter: &str, epoch_id: u64, rows: Vec<StorageProofResult>) {
        let supernode_account = self.register(reporter);
        let report = EpochReport {
            supernode_account: supernode_account.clone(),
            epoch_id,
            storage_proof_results: rows,
            ..EpochReport::default()
        };
        self.chain.state().reports.insert((epoch_id, supernode_account), report);
    }

    /// A reporter's report with one signed failure.
    pub(crate) fn accuse(&self, reporter: &str, epoch_id: u64, target: &str, ticket_id: &str) {
        self.report(reporter, epoch_id, vec![failure(reporter, epoch_id, target, ticket_id)]);
    }

    /// The plugin's service; a new one is a restarted node.
    pub(crate) fn service(&self, config: &str) -> Arc<dyn Service> {
        let (chain, challenger) = (self.chain.clone(), self.challenger.clone());
        let context = context("recheck")
            .config(config)
            .telemetry(&self.telemetry)
            .signer(TestSigner::new("own"))
            .memory_seams(&self.scheduler)
            .seams(|seams: &mut Provided| {
                seams.chain = Some(chain);
                seams.challenger = Some(challenger);
                seams.journal = Some(Arc::new(self.journal.clone()));
            })
            .build();
        let construct = lampkeeper_recheck::descriptor().construct;
        let provided = self.scheduler.block_on(construct(context)).expect("the plugin starts");
        provided.services.into_iter().next().expect("it provides its service")
    }

    /// Runs a service on a task of its own, as a node does.
    pub(crate) fn start(&self, service: &Arc<dyn Service>) {
        use lampkeeper_plugin_sdk::api::cancel::Cancel;
        use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
        let service = Arc::clone(service);
        let run = async move { service.run(Cancel::new()).await.expect("it runs until it is stopped") };
        self.scheduler.for_node("node", 0).spawn("recheck", Box::pin(run));
    }

    /// Lets one look happen after the service was started.
    pub(crate) fn first_look(&self) {
        self.scheduler.run_for(Duration::from_secs(1));
    }

    /// Lets the next look happen.
    pub(crate) fn next_look(&self) {
        self.scheduler.run_for(Duration::from_secs(60));
    }
}

/// A signed row that says that a target sent other bytes.
pub(crate) fn failure(reporter: &str, epoch_id: u64, target: &str, ticket_id: &str) -> StorageProofResult {
    let signer = TestSigner::new(reporter);
    let transcript = Transcript {
        epoch_id,
        challenger: signer.account(),
        target,
        ticket_id,
        bucket: Bucket::Recent,
        class: ArtifactClass::Symbol,
        ordinal: 3,
        artifact_key: "artifact",
        derivation_input_hash: "derivation",
        compound_proof_hash: "",
        observers: &[],
    };
    let transcript_hash = transcript.hash().unwrap();
    StorageProofResult {
        target_supernode_account: target.to_owned(),
        challenger_supernode_account: signer.account().to_owned(),
        ticket_id: ticket_id.to_owned(),
        bucket_type: Bucket::Recent,
        artifact_class: ArtifactClass::Symbol,
        artifact_ordinal: 3,
        artifact_key: "artifact".to_owned(),
        result_class: ResultClass::HashMismatch,
        artifact_count: 10,
        derivation_input_hash: "derivation".to_owned(),
        challenger_signature: hex::encode(signer.sign(transcript_hash.as_bytes()).unwrap()),
        transcript_hash,
        ..StorageProofResult::default()
    }
}
