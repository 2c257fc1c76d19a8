//! The healer's node is killed at every one of its await points and started again on the same disk.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::chain::*;
use lampkeeper_plugin_sdk::api::journal::HealJournal;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::staging::Staging;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::{MemoryNetwork, TicketFixture};
use lampkeeper_plugin_sdk::testkit::{MemoryJournal, MemoryStaging, VirtualScheduler, context};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{ACCOUNTS, HEAL_OP_ID, ME, POLL, ScriptedTransport, StageOneSymbol, heal_op};

/// A chain with one operation that lives through its states; each answer takes a while.
struct LivingChain {
    scheduler: VirtualScheduler,
    ticket: Ticket,
    heal_op: Mutex<HealOp>,
    executed_claims: Mutex<u32>,
    refused_claims: Mutex<u32>,
}

impl LivingChain {
    async fn pause(&self) {
        self.scheduler.sleep(Duration::from_millis(100)).await;
    }

    fn heal_op_now(&self) -> HealOp {
        self.heal_op.lock().unwrap().clone()
    }

    /// The verifiers decide, if the healer has claimed.
    fn verify(&self) {
        let mut heal_op = self.heal_op.lock().unwrap();
        if heal_op.status == HealOpStatus::HealerReported {
            heal_op.status = HealOpStatus::Verified;
        }
    }
}

fn not_asked<T>(what: &str) -> Result<T, ChainError> {
    Err(ChainError::Unavailable { reason: format!("{what} is not asked for here") })
}

#[async_trait]
impl ChainReader for LivingChain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        Ok(ChainStatus { chain_id: "test".into(), latest_height: 650, latest_block_time_ms: 0 })
    }
    async fn params(&self) -> Result<Params, ChainError> {
        self.pause().await;
        Ok(Params::default())
    }
    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        self.pause().await;
        Ok(EpochInfo { epoch_id: 6, epoch_start_height: 601, epoch_end_height: 700 })
    }
    async fn epoch_anchor(&self, _: u64) -> Result<EpochAnchor, ChainError> {
        not_asked("an anchor")
    }
    async fn assigned_targets(&self, _: &str, _: u64) -> Result<AssignedTargets, ChainError> {
        not_asked("a target")
    }
    async fn epoch_report(&self, _: &str, _: u64) -> Result<EpochReport, ChainError> {
        not_asked("a report")
    }
    async fn heal_op(&self, _: u64) -> Result<HealOp, ChainError> {
        self.pause().await;
        Ok(self.heal_op_now())
    }
    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        _: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        self.pause().await;
        let items = Some(self.heal_op_now()).filter(|heal_op| heal_op.status == status).into_iter().collect();
        Ok(Page { items, next_key: None })
    }
    async fn heal_ops_by_ticket(&self, _: &str, _: PageRequest) -> Result<Page<HealOp>, ChainError> {
        not_asked("a ticket's operations")
    }
    async fn ticket(&self, _: &str) -> Result<Ticket, ChainError> {
        self.pause().await;
        Ok(self.ticket.clone())
    }
    async fn tickets_of_supernode(&self, _: &str, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        not_asked("a node's tickets")
    }
    async fn tickets(&self, _: PageRequest) -> Result<Page<Ticket>, ChainError> {
        not_asked("the tickets")
    }
    async fn ticket_deterioration(&self, _: &str) -> Result<TicketDeterioration, ChainError> {
        not_asked("a score")
    }
    async fn node_suspicion(&self, _: &str) -> Result<NodeSuspicion, ChainError> {
        not_asked("a score")
    }
    async fn reporter_reliability(&self, _: &str) -> Result<ReporterReliability, ChainError> {
        not_asked("a score")
    }
    async fn supernode(&self, _: &str) -> Result<Supernode, ChainError> {
        not_asked("a supernode")
    }
    async fn supernodes(&self, _: PageRequest) -> Result<Page<Supernode>, ChainError> {
        not_asked("the supernodes")
    }
    async fn top_supernodes(&self, _: i64, _: u32) -> Result<Vec<Supernode>, ChainError> {
        not_asked("the top supernodes")
    }
    async fn account(&self, _: &str) -> Result<AccountInfo, ChainError> {
        not_asked("an account")
    }
}

#[async_trait]
impl ChainClient for LivingChain {
    fn account_address(&self) -> &str {
        ME
    }

    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        self.pause().await;
        let ChainMessage::HealClaim(claim) = message else { panic!("only claims are expected: {message:?}") };
        let is_accepted = {
            let mut heal_op = self.heal_op.lock().unwrap();
            let is_accepted = heal_op.status == HealOpStatus::Scheduled;
            if is_accepted {
                (heal_op.status, heal_op.result_hash) =
                    (HealOpStatus::HealerReported, claim.heal_manifest_hash);
            }
            is_accepted
        };
        *if is_accepted { &self.executed_claims } else { &self.refused_claims }.lock().unwrap() += 1;
        // The node may be killed between the execution and the answer.
        self.pause().await;
        if is_accepted {
            return Ok(TxReceipt::default());
        }
        Err(ChainError::Rejected(Rejection {
            reason: RejectionReason::HealOpInvalidState,
            codespace: "audit".into(),
            code: 13,
            message: String::new(),
        }))
    }
}

/// What survives a crash.
struct Disk {
    journal: MemoryJournal,
    staging: MemoryStaging,
}

/// Starts the node on its disk.
fn start(
    scheduler: &VirtualScheduler,
    chain: &Arc<LivingChain>,
    disk: &Disk,
    network: &MemoryNetwork,
    fixture: &TicketFixture,
) {
    let node = scheduler.for_node("healer", 0);
    let strategy =
        StageOneSymbol { staging: disk.staging.clone(), fixture: fixture.clone(), calls: Mutex::default() };
    let transport = ScriptedTransport::new(Vec::new(), PortState::Open);
    let context = context("self-healing").seams(|seams| {
        seams.chain = Some(chain.clone());
        seams.journal = Some(Arc::new(disk.journal.clone()));
        seams.staging = Some(Arc::new(disk.staging.clone()));
        seams.network = Some(Arc::new(network.clone()));
        seams.transport = Some(Arc::new(transport));
        seams.scheduler = Some(node.handle());
        seams.heal_strategy = Some(Arc::new(strategy));
    });
    let construct = lampkeeper_self_healing::descriptor().construct;
    let service = scheduler.block_on(construct(context.build())).unwrap().services[0].clone();
    node.spawn("service", Box::pin(async move { service.run(Cancel::new()).await.unwrap() }));
}

#[test]
fn a_crash_at_any_await_point_costs_nothing_but_time() {
    let fixture = TicketFixture::new("7", 1000, 5);
    let key = fixture.symbols[0].key;
    let mut killed_while_working = 0;
    for polls in 1..=80 {
        let scheduler = VirtualScheduler::new(polls);
        let chain = Arc::new(LivingChain {
            scheduler: scheduler.for_node("chain", 0),
            ticket: fixture.ticket.clone(),
            heal_op: Mutex::new(heal_op(HealOpStatus::Scheduled, ME, &["bob"], "")),
            executed_claims: Mutex::default(),
            refused_claims: Mutex::default(),
        });
        let disk = Disk { journal: MemoryJournal::new(), staging: MemoryStaging::new() };
        let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
        network.remove_from("cat", &key);

        start(&scheduler, &chain, &disk, &network, &fixture);
        scheduler.kill_group_after_polls("healer", polls);
        scheduler.run_for(POLL * 3);
        let unverified = chain.heal_op_now().status != HealOpStatus::Verified;
        assert!(unverified && network.bytes_on("cat", &key).is_none(), "{polls} polls: published unverified");
        chain.verify();
        scheduler.run_for(POLL * 3);
        scheduler.kill_group("healer");
        if chain.heal_op_now().status == HealOpStatus::Scheduled || network.bytes_on("cat", &key).is_none() {
            killed_while_working += 1;
        }

        start(&scheduler, &chain, &disk, &network, &fixture);
        scheduler.run_for(POLL * 3);
        chain.verify();
        scheduler.run_for(POLL * 3);
        assert_eq!(scheduler.panics(), [], "{polls} polls");
        assert_eq!(*chain.executed_claims.lock().unwrap(), 1, "{polls} polls");
        assert_eq!(*chain.refused_claims.lock().unwrap(), 0, "{polls} polls: a fee was spent twice");
        assert_eq!(chain.heal_op_now().status, HealOpStatus::Verified, "{polls} polls");
        assert!(network.bytes_on("cat", &key).as_ref() == Some(&fixture.symbols[0].bytes), "{polls} polls");
        let claim = scheduler.block_on(disk.journal.claim(HEAL_OP_ID));
        assert_eq!(claim, Ok(None), "{polls} polls");
        assert_eq!(scheduler.block_on(disk.staging.list()), Ok(Vec::new()), "{polls} polls");
    }
    assert!(killed_while_working > 20, "only {killed_while_working} crashes came before the end of the work");
}
