//! A ticket, the network that holds it, and a strategy that is asked to heal it.

use super::super::{CheckResult, Failure, equal, holds};
use super::watched::{Manner, WatchedNetwork, WatchedStaging};
use crate::cascade::fixture::{MemoryNetwork, TicketFixture};
use crate::protocol::artifact_key::ArtifactKey;
use crate::testkit::{MockChain, context};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::{AccountInfo, ChainStatus, EpochInfo, HealOp, HealOpStatus, Params};
use lampkeeper_api::heal::{
    HEAL_CANCEL_GRACE_MS, HEAL_FETCHES_IN_FLIGHT_MAX, HEAL_NETWORK_CALLS_MAX, HEAL_STAGING_CALLS_MAX,
    HealError, HealJob, HealStrategy, Reconstruction,
};
use lampkeeper_api::plugin::PluginContext;
use lampkeeper_api::scheduler::{Scheduler, within};
use lampkeeper_api::signer::Signer;
use lampkeeper_api::staging::{Staging, StagingManifest, StagingState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The nodes; a replica set is six of them.
pub(super) const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];
/// The operation that most checks work on.
pub(super) const HEAL_OP_ID: u64 = 4;
/// How long a job that has all it needs may take: far more than any needs.
const JOB_TIMEOUT: Duration = Duration::from_secs(600);

/// Makes a strategy from a context that grants `chain:read`, `network`, `staging`, `scheduler` and an empty `store`.
pub(super) struct Bench<'a, Make> {
    pub(super) scheduler: &'a Arc<dyn Scheduler>,
    pub(super) make: &'a Make,
}

/// One strategy and what it works with.
pub(super) struct World {
    pub(super) fixture: Arc<TicketFixture>,
    pub(super) network: WatchedNetwork,
    pub(super) staging: WatchedStaging,
    pub(super) scheduler: Arc<dyn Scheduler>,
    pub(super) strategy: Arc<dyn HealStrategy>,
}

impl<Make: AsyncFn(PluginContext) -> Arc<dyn HealStrategy>> Bench<'_, Make> {
    /// A network that holds the ticket undamaged, and a new strategy on an empty disk.
    pub(super) async fn world(&self, fixture: &Arc<TicketFixture>) -> World {
        self.world_of(fixture, MemoryNetwork::holding(&ACCOUNTS, fixture), &[fixture.as_ref()], None).await
    }

    /// A new strategy on an empty disk. The chain knows these tickets, and of their creators the key, unless it knows
    /// another.
    pub(super) async fn world_of(
        &self,
        fixture: &Arc<TicketFixture>,
        holders: MemoryNetwork,
        tickets: &[&TicketFixture],
        creator: Option<AccountInfo>,
    ) -> World {
        let status = ChainStatus { chain_id: "test".to_owned(), latest_height: 650, latest_block_time_ms: 0 };
        let epoch = EpochInfo { epoch_id: 6, epoch_start_height: 601, epoch_end_height: 700 };
        let mut chain = MockChain::builder(ACCOUNTS[0])
            .status(Ok(status))
            .always()
            .params(Ok(Params::default()))
            .always()
            .current_epoch(Ok(epoch))
            .always();
        if let Some(creator) = creator {
            chain = chain.account(fixture.creator.account(), Ok(creator)).always();
        }
        for ticket in tickets {
            chain = ticket.known_to(chain);
        }
        let network = WatchedNetwork::new(holders, Manner::Honest);
        let staging = WatchedStaging::new();
        let seams = (chain.build(), Arc::new(network.clone()), Arc::new(staging.clone()));
        let scheduler = Arc::clone(self.scheduler);
        let context = context("heal-strategy-under-test").seams(|granted| {
            granted.chain_reader = Some(seams.0);
            granted.network = Some(seams.1);
            granted.staging = Some(seams.2);
            granted.scheduler = Some(scheduler);
            granted.store = Some(Arc::new(crate::testkit::MemoryStore::new()));
        });
        let strategy = (self.make)(context.build()).await;
        World {
            fixture: Arc::clone(fixture),
            network,
            staging,
            scheduler: Arc::clone(self.scheduler),
            strategy,
        }
    }
}

/// A job on a ticket.
pub(super) fn job(fixture: &TicketFixture, heal_op_id: u64, cancel: &Cancel) -> HealJob {
    let heal_op = HealOp {
        heal_op_id,
        ticket_id: fixture.ticket.ticket_id.clone(),
        scheduled_epoch_id: 5,
        healer_supernode_account: ACCOUNTS[0].to_owned(),
        verifier_supernode_accounts: vec![ACCOUNTS[1].to_owned(), ACCOUNTS[2].to_owned()],
        status: HealOpStatus::Scheduled,
        deadline_epoch_id: 9,
        ..HealOp::default()
    };
    HealJob { heal_op, ticket: fixture.ticket.clone(), cancel: cancel.clone() }
}

/// What became of a job, or that it did not end.
pub(super) type Outcome = Result<Reconstruction, HealError>;

impl World {
    /// The damage that most checks are about: a source symbol everywhere, a repair symbol and an id file on one holder.
    pub(super) fn damage(&self) {
        let (holders, fixture) = (&self.network.holders, &self.fixture);
        holders.remove(&fixture.symbols[0].key);
        for key in [fixture.symbols[fixture.symbols.len() - 1].key, fixture.id_files[1].key] {
            holders.remove_from(&holders.replicas(&key)[2], &key);
        }
    }

    /// Runs a job to its end.
    pub(super) async fn run(&self, heal_op_id: u64) -> Result<Outcome, Failure> {
        self.run_job(job(&self.fixture, heal_op_id, &Cancel::new())).await
    }

    pub(super) async fn run_job(&self, job: HealJob) -> Result<Outcome, Failure> {
        self.ended(JOB_TIMEOUT, self.strategy.reconstruct(job)).await
    }

    /// Waits for a job that was cancelled.
    pub(super) async fn stopped(
        &self,
        running: impl Future<Output = Outcome> + Send,
    ) -> Result<Outcome, Failure> {
        self.ended(Duration::from_millis(HEAL_CANCEL_GRACE_MS), running).await
    }

    async fn ended(
        &self,
        limit: Duration,
        running: impl Future<Output = Outcome> + Send,
    ) -> Result<Outcome, Failure> {
        within(&*self.scheduler, limit, running).await.ok_or_else(|| Failure {
            expected: format!("the job ends within {} s", limit.as_secs()),
            found: "it goes on".to_owned(),
        })
    }

    /// Runs a job that has to succeed, and looks at everything that it made.
    pub(super) async fn heals(&self, heal_op_id: u64) -> Result<StagingManifest, Failure> {
        let made = self.run(heal_op_id).await?;
        self.made_right(&self.fixture, heal_op_id, made).await
    }

    /// The job succeeded, and what it made is right.
    pub(super) async fn made_right(
        &self,
        fixture: &TicketFixture,
        heal_op_id: u64,
        outcome: Outcome,
    ) -> Result<StagingManifest, Failure> {
        let made = outcome.map_err(|error| Failure {
            expected: "a reconstruction".to_owned(),
            found: format!("{error:?}"),
        })?;
        equal("the manifest hash that is returned", &made.manifest_hash, &fixture.ticket.data_hash)?;
        let manifest = match self.staging.area.state(heal_op_id).await? {
            StagingState::Sealed(manifest) => *manifest,
            other => {
                let found = format!("{other:?}");
                return Err(Failure { expected: "a sealed staging directory after Ok".to_owned(), found });
            }
        };
        self.sealed_right(fixture, &manifest).await?;
        let staged_bytes: u64 = manifest.artifacts.iter().map(|artifact| artifact.len_bytes).sum();
        equal("the staged bytes that are told", made.cost.staged_bytes, staged_bytes)?;
        equal("the artifacts that are told", made.cost.artifact_count, fixture.artifacts().count() as u64)?;
        holds(
            "no more fetched bytes are told than were fetched, and not none",
            (1..=self.network.holders.fetched_bytes()).contains(&made.cost.fetched_bytes),
        )?;
        self.restrained()?;
        Ok(manifest)
    }

    /// What is sealed is the ticket's, byte for byte.
    pub(super) async fn sealed_right(
        &self,
        fixture: &TicketFixture,
        manifest: &StagingManifest,
    ) -> CheckResult {
        let heal_op_id = manifest.heal_op_id;
        equal("the ticket in the manifest", &manifest.ticket_id, &fixture.ticket.ticket_id)?;
        equal("the hash in the manifest", &manifest.manifest_hash, &fixture.ticket.data_hash)?;
        equal("the strategy in the manifest", manifest.strategy.as_str(), self.strategy.name())?;
        let mut file = Vec::new();
        loop {
            let part = self.staging.area.read_file_at(heal_op_id, file.len() as u64, 1 << 20).await?;
            if part.is_empty() {
                break;
            }
            file.extend(part);
        }
        holds("the sealed file is the ticket's, byte for byte", file == fixture.file)?;
        let mut named = BTreeSet::new();
        let own: BTreeMap<ArtifactKey, &Vec<u8>> =
            fixture.artifacts().map(|artifact| (artifact.key, &artifact.bytes)).collect();
        for staged in &manifest.artifacts {
            let key = staged.key;
            let Some(bytes) = own.get(&key) else {
                let expected = "only artifacts of the ticket's signed layout and its id files".to_owned();
                return Err(Failure { expected, found: format!("{key} is staged") });
            };
            holds("no artifact is named twice", named.insert(key))?;
            let staged = self.staging.area.get_artifact(heal_op_id, &key).await?;
            holds(&format!("the staged bytes of {key} are the artifact's"), staged == **bytes)?;
        }
        Ok(())
    }

    /// Everything that a holder lacks is staged for it.
    pub(super) fn covers_what_is_lacking(&self, manifest: &StagingManifest) -> CheckResult {
        let holders = &self.network.holders;
        for artifact in self.fixture.artifacts() {
            let is_intact =
                |account: &String| holders.bytes_on(account, &artifact.key).as_ref() == Some(&artifact.bytes);
            let lacking: Vec<String> =
                holders.replicas(&artifact.key).into_iter().filter(|account| !is_intact(account)).collect();
            if lacking.is_empty() {
                continue;
            }
            let staged = manifest.artifacts.iter().find(|staged| staged.key == artifact.key);
            let is_covered = staged.is_some_and(|staged| {
                staged.missing_on.is_empty()
                    || lacking.iter().all(|account| staged.missing_on.contains(account))
            });
            holds(
                &format!("{} is staged for {}, who lack it", artifact.key, lacking.join(", ")),
                is_covered,
            )?;
        }
        Ok(())
    }

    /// The directory is not sealed, or it is complete and right.
    pub(super) async fn sealed_right_or_not_at_all(&self, heal_op_id: u64) -> CheckResult {
        match self.staging.area.state(heal_op_id).await? {
            StagingState::Absent | StagingState::Unsealed => Ok(()),
            StagingState::Sealed(manifest) => self.sealed_right(&self.fixture, &manifest).await,
            StagingState::Damaged { reason } => {
                Err(Failure { expected: "a directory that can be read".to_owned(), found: reason })
            }
        }
    }

    /// The directory is not sealed.
    pub(super) async fn nothing_sealed(&self, heal_op_id: u64) -> CheckResult {
        let state = self.staging.area.state(heal_op_id).await?;
        let is_open = matches!(state, StagingState::Absent | StagingState::Unsealed);
        holds("nothing is sealed after a failure", is_open)?;
        self.restrained()
    }

    /// The limits and the restraint of the contract, as far as they can be seen.
    pub(super) fn restrained(&self) -> CheckResult {
        equal("publications by the strategy", self.network.publishes(), 0)?;
        equal(
            "directories changed after they were sealed",
            self.staging.changed_when_sealed(),
            BTreeSet::new(),
        )?;
        let (calls, fetches) = self.network.most_at_once();
        at_most("network calls at once", calls, HEAL_NETWORK_CALLS_MAX)?;
        at_most("artifacts being fetched at once", fetches, HEAL_FETCHES_IN_FLIGHT_MAX)?;
        at_most("staging calls at once", self.staging.calls_max(), HEAL_STAGING_CALLS_MAX)
    }
}

fn at_most(what: &str, found: usize, max: usize) -> CheckResult {
    if found <= max {
        return Ok(());
    }
    Err(Failure { expected: format!("{what}: at most {max}"), found: found.to_string() })
}
