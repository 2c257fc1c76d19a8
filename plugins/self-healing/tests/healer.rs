//! The healer's side from the scheduled operation to the published artifact, and what errors and restarts do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use lampkeeper_plugin_sdk::api::chain::{
    ChainError, ChainMessage, EnforcementMode, EpochInfo, HealOpStatus, Page, PageRequest, Params, PortState,
    Rejection, RejectionReason, TxReceipt,
};
use lampkeeper_plugin_sdk::api::journal::{HealClaim, HealJournal, SubmissionStatus};
use lampkeeper_plugin_sdk::api::staging::{Staging, StagingState};
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::testkit::{
    MemoryJournal, MemoryStaging, MockChain, MockChainBuilder, VirtualScheduler,
};
use support::{Bench, HEAL_OP_ID, ME, chain, chain_after, fixture, heal_op, in_epoch, stage};

fn is_claim(message: &ChainMessage) -> bool {
    matches!(message, ChainMessage::HealClaim(claim) if claim.heal_op_id == HEAL_OP_ID)
}

fn receipt() -> Result<TxReceipt, ChainError> {
    Ok(TxReceipt { height: 651, ..TxReceipt::default() })
}

fn transient() -> ChainError {
    ChainError::Transient { attempted: "submit".into(), source: "reset".into(), outcome_unknown: true }
}

fn rejected(reason: RejectionReason) -> ChainError {
    ChainError::Rejected(Rejection { reason, codespace: "audit".into(), code: 13, message: String::new() })
}

fn scheduled(fixture: &TicketFixture) -> MockChainBuilder {
    let heal_op = heal_op(HealOpStatus::Scheduled, ME, &["bob", "cat"], "");
    chain(fixture, vec![heal_op], Vec::new())
}

fn bench(chain: MockChainBuilder, fixture: &TicketFixture) -> Bench {
    Bench::new(chain, fixture, Vec::new(), PortState::Open)
}

fn claim_of(bench: &Bench) -> Option<HealClaim> {
    bench.scheduler.block_on(bench.journal.claim(HEAL_OP_ID)).unwrap()
}

fn claim(fixture: &TicketFixture, status: SubmissionStatus) -> HealClaim {
    HealClaim {
        heal_op_id: HEAL_OP_ID,
        ticket_id: "7".into(),
        manifest_hash: fixture.ticket.data_hash.clone(),
        status,
        recorded_at_s: 1,
    }
}

/// A disk with a claim on it, and a sealed reconstruction if wanted.
fn disk(
    fixture: &TicketFixture,
    status: SubmissionStatus,
    with_staging: bool,
) -> (MemoryJournal, MemoryStaging) {
    let (journal, staging) = (MemoryJournal::new(), MemoryStaging::new());
    VirtualScheduler::new(0).block_on(async {
        journal.insert_claim(&claim(fixture, status)).await.unwrap();
        if with_staging {
            stage(&staging, fixture, HEAL_OP_ID).await;
        }
    });
    (journal, staging)
}

#[test]
fn a_scheduled_operation_is_healed_claimed_and_published() {
    let fixture = fixture();
    let reported = heal_op(HealOpStatus::HealerReported, ME, &["bob", "cat"], &fixture.ticket.data_hash);
    let verified = heal_op(HealOpStatus::Verified, ME, &["bob", "cat"], &fixture.ticket.data_hash);
    let chain = scheduled(&fixture)
        .submit_where("the operation is claimed", is_claim, receipt())
        .heal_op(HEAL_OP_ID, Ok(reported))
        .times(2)
        .heal_op(HEAL_OP_ID, Ok(verified));
    let bench = bench(chain, &fixture);
    bench.look(1);
    assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Submitted);
    assert!(matches!(bench.staging_state(), StagingState::Sealed(_)));
    let key = fixture.symbols[0].key;
    assert_eq!(bench.network.bytes_on("cat", &key), None, "nothing is published before it is verified");

    bench.look(2);
    assert_eq!(bench.network.bytes_on("cat", &key), None);
    bench.look(1);
    assert!(bench.network.bytes_on("cat", &key).as_ref() == Some(&fixture.symbols[0].bytes));
    assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent));
    assert_eq!(*bench.strategy.calls.lock().unwrap(), 1);
    for name in ["heal.started", "heal.claimed", "heal.published"] {
        assert_eq!(bench.telemetry.events_named(name).len(), 1, "{name}");
    }
}

#[test]
fn a_claim_of_unknown_outcome_is_kept_and_looked_up() {
    let fixture = fixture();
    // The chain has taken it all the same.
    let reported = heal_op(HealOpStatus::HealerReported, ME, &["bob"], &fixture.ticket.data_hash);
    let chain = scheduled(&fixture)
        .submit_where("the operation is claimed", is_claim, Err(transient()))
        .heal_op(HEAL_OP_ID, Ok(reported))
        .always();
    let bench = bench(chain, &fixture);
    bench.look(1);
    assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Pending);
    bench.look(2);
    assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Submitted);
    assert!(matches!(bench.staging_state(), StagingState::Sealed(_)));
    assert_eq!(*bench.strategy.calls.lock().unwrap(), 1);
}

#[test]
fn a_claim_that_got_lost_is_submitted_again_after_a_restart() {
    let fixture = fixture();
    let (journal, staging) = disk(&fixture, SubmissionStatus::Pending, true);
    let op = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let chain = scheduled(&fixture).heal_op(HEAL_OP_ID, Ok(op)).always().submit_where(
        "the operation is claimed",
        is_claim,
        receipt(),
    );
    let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
    bench.look(2);
    assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Submitted);
    assert_eq!(*bench.strategy.calls.lock().unwrap(), 0, "the reconstruction was there");
}

#[test]
fn an_executed_claim_is_not_submitted_again_whatever_journal_and_chain_forget() {
    let fixture = fixture();
    // A replica that is behind answers as if nothing had been claimed.
    let op = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let chain = scheduled(&fixture)
        .submit_where("the operation is claimed", is_claim, receipt())
        .heal_op(HEAL_OP_ID, Ok(op))
        .always();
    let bench = bench(chain, &fixture);
    bench.look(1);
    // As a journal that could not be told leaves it, and as one that has lost it.
    let pending = claim(&fixture, SubmissionStatus::Pending);
    for (left, expected) in [(Some(pending), Some(SubmissionStatus::Submitted)), (None, None)] {
        bench.scheduler.block_on(bench.journal.delete_claim(HEAL_OP_ID)).unwrap();
        if let Some(left) = left {
            bench.scheduler.block_on(bench.journal.insert_claim(&left)).unwrap();
        }
        bench.look(3);
        assert_eq!(claim_of(&bench).map(|claim| claim.status), expected);
        assert_eq!(bench.chain.submitted().len(), 1);
    }
    assert_eq!(bench.telemetry.events_named("heal.claimed").len(), 1);
}

#[test]
fn a_refused_claim_keeps_its_reconstruction_and_waits_longer_each_time() {
    let fixture = fixture();
    let op = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let chain = scheduled(&fixture)
        .heal_op(HEAL_OP_ID, Ok(op))
        .always()
        .submit_where(
            "the operation is claimed",
            is_claim,
            Err(rejected(RejectionReason::HealOpInvalidState)),
        )
        .times(4);
    let bench = bench(chain, &fixture);
    // At looks 1, 2 (one interval later), 4 and 8.
    bench.look(9);
    assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Pending);
    assert!(matches!(bench.staging_state(), StagingState::Sealed(_)));
}

#[test]
fn nothing_is_paid_for_after_the_deadline() {
    let fixture = fixture();
    let epoch = |epoch_id| Ok(EpochInfo { epoch_id, epoch_start_height: 801, epoch_end_height: 1000 });
    // The first matching expectation counts. The deadline passes between the reconstruction's begin and its end.
    let times = MockChain::builder(ME).current_epoch(epoch(8)).current_epoch(epoch(9)).always();
    let op = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let bench = bench(chain_after(times, &fixture, vec![op], Vec::new()), &fixture);
    bench.look(1);
    assert_eq!(*bench.strategy.calls.lock().unwrap(), 1);
    assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent));
    assert_eq!(bench.telemetry.events_named("heal.dropped").len(), 1);
}

#[test]
fn a_claim_that_may_be_executed_after_the_deadline_keeps_its_reconstruction() {
    let late = EpochInfo { epoch_id: 9, epoch_start_height: 901, epoch_end_height: 1000 };
    let table =
        [(HealOpStatus::HealerReported, Some(SubmissionStatus::Submitted)), (HealOpStatus::Expired, None)];
    for (end, expected) in table {
        let fixture = fixture();
        let (journal, staging) = disk(&fixture, SubmissionStatus::Pending, true);
        let op = |status, hash: &str| Ok(heal_op(status, ME, &["bob"], hash));
        let chain = MockChain::builder(ME).current_epoch(Ok(late)).always();
        let chain = finishing(chain, &fixture)
            .heal_op(HEAL_OP_ID, op(HealOpStatus::Scheduled, ""))
            .times(6)
            .heal_op(HEAL_OP_ID, op(end, &fixture.ticket.data_hash))
            .always();
        let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
        bench.look(3);
        assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Pending, "{end:?}");
        assert!(matches!(bench.staging_state(), StagingState::Sealed(_)), "{end:?}");
        bench.look(3);
        assert_eq!(claim_of(&bench).map(|claim| claim.status), expected, "{end:?}");
        assert_eq!(matches!(bench.staging_state(), StagingState::Sealed(_)), expected.is_some(), "{end:?}");
        assert_eq!(bench.chain.submitted().len(), 0, "{end:?}");
    }
}

/// The rest of a chain on which nothing is listed.
fn finishing(chain: MockChainBuilder, fixture: &TicketFixture) -> MockChainBuilder {
    let page = || PageRequest { key: None, limit: 100 };
    let none = || Ok(Page { items: Vec::new(), next_key: None });
    fixture
        .known_to(chain)
        .params(Ok(Params::default()))
        .always()
        .heal_ops_by_status(HealOpStatus::Scheduled, page(), none())
        .always()
        .heal_ops_by_status(HealOpStatus::HealerReported, page(), none())
        .always()
}

#[test]
fn an_operation_that_ended_otherwise_leaves_nothing_behind() {
    for status in [HealOpStatus::Failed, HealOpStatus::Expired] {
        let fixture = fixture();
        let (journal, staging) = disk(&fixture, SubmissionStatus::Submitted, true);
        let op = heal_op(status, ME, &["bob"], &fixture.ticket.data_hash);
        let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(op));
        let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
        bench.look(1);
        assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent), "{status:?}");
        assert_eq!(bench.network.published_bytes(), 0);
    }
}

#[test]
fn a_chain_that_cant_be_asked_destroys_nothing() {
    let fixture = fixture();
    for status in [SubmissionStatus::Pending, SubmissionStatus::Submitted] {
        let (journal, staging) = disk(&fixture, status, true);
        let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Err(transient())).always();
        let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
        bench.look(3);
        assert_eq!(claim_of(&bench).unwrap().status, status);
        assert!(matches!(bench.staging_state(), StagingState::Sealed(_)));
    }
}

#[test]
fn a_claim_on_an_operation_that_is_gone_is_forgotten() {
    let fixture = fixture();
    for status in [SubmissionStatus::Pending, SubmissionStatus::Submitted] {
        let (journal, staging) = disk(&fixture, status, true);
        let gone = ChainError::NotFound { what: "op".into() };
        // A replica of the chain that is behind denies what it does not know yet: only two epochs of denials count.
        let epochs = MockChain::builder(ME).current_epoch(Ok(in_epoch(6))).times(6);
        let epochs = epochs.current_epoch(Ok(in_epoch(8))).always();
        let chain =
            chain_after(epochs, &fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Err(gone)).always();
        let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
        bench.look(6);
        assert!(claim_of(&bench).is_some());
        assert!(matches!(bench.staging_state(), StagingState::Sealed(_)));
        bench.look(1);
        assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent));
    }
}

#[test]
fn while_healing_is_switched_off_only_the_finalizer_runs() {
    let fixture = fixture();
    let (journal, staging) = disk(&fixture, SubmissionStatus::Submitted, true);
    let op = heal_op(HealOpStatus::Verified, ME, &["bob"], &fixture.ticket.data_hash);
    let params = Params { storage_truth_enforcement_mode: EnforcementMode::Unspecified, ..Params::default() };
    let chain =
        fixture.known_to(MockChain::builder(ME)).params(Ok(params)).always().heal_op(HEAL_OP_ID, Ok(op));
    let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
    bench.look(2);
    assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent));
    assert_eq!(bench.telemetry.events_named("heal.published").len(), 1);
}

#[test]
fn the_finalizer_runs_even_when_the_mode_cant_be_read() {
    let fixture = fixture();
    let (journal, staging) = disk(&fixture, SubmissionStatus::Submitted, true);
    let op = heal_op(HealOpStatus::Failed, ME, &["bob"], &fixture.ticket.data_hash);
    let chain = fixture
        .known_to(MockChain::builder(ME))
        .params(Err(transient()))
        .always()
        .heal_op(HEAL_OP_ID, Ok(op));
    let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
    bench.look(1);
    assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent));
}

#[test]
fn a_publish_that_reaches_too_few_is_repeated() {
    let fixture = fixture();
    let (journal, staging) = disk(&fixture, SubmissionStatus::Submitted, true);
    let op = heal_op(HealOpStatus::Verified, ME, &["bob"], &fixture.ticket.data_hash);
    let chain = chain(&fixture, Vec::new(), Vec::new()).heal_op(HEAL_OP_ID, Ok(op)).always();
    let bench = Bench::on(journal, staging, chain, &fixture, Vec::new(), PortState::Open);
    for account in support::ACCOUNTS {
        bench.network.set_down(account, true);
    }
    bench.look(1);
    assert!(claim_of(&bench).is_some() && matches!(bench.staging_state(), StagingState::Sealed(_)));
    for account in support::ACCOUNTS {
        bench.network.set_down(account, false);
    }
    bench.look(3);
    assert_eq!((claim_of(&bench), bench.staging_state()), (None, StagingState::Absent));
    assert!(
        bench.network.bytes_on("cat", &fixture.symbols[0].key).as_ref() == Some(&fixture.symbols[0].bytes)
    );
}

#[test]
fn leftovers_of_a_crash_go_but_a_wanted_reconstruction_stays() {
    let fixture = fixture();
    let (journal, staging) = (MemoryJournal::new(), MemoryStaging::new());
    let op = heal_op(HealOpStatus::Scheduled, ME, &["bob"], "");
    let chain = scheduled(&fixture).heal_op(HEAL_OP_ID, Ok(op)).always().submit_where(
        "the operation is claimed",
        is_claim,
        receipt(),
    );
    let bench = Bench::on(journal, staging.clone(), chain, &fixture, Vec::new(), PortState::Open);
    bench.scheduler.block_on(async {
        stage(&staging, &fixture, HEAL_OP_ID).await;
        staging.begin(99).await.unwrap();
    });
    bench.look(1);
    assert_eq!(bench.scheduler.block_on(staging.list()), Ok(vec![HEAL_OP_ID]));
    assert_eq!(claim_of(&bench).unwrap().status, SubmissionStatus::Submitted);
    assert_eq!(*bench.strategy.calls.lock().unwrap(), 0, "the reconstruction was there");
}
