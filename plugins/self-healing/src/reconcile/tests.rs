//! Every row of every table.

use super::*;
use lampkeeper_plugin_sdk::api::chain::Rejection;
use lampkeeper_plugin_sdk::api::staging::StagingManifest;

const MINE: &str = "mine";

fn op(status: HealOpStatus, result_hash: &str) -> HealOp {
    HealOp { heal_op_id: 1, status, result_hash: result_hash.to_owned(), ..HealOp::default() }
}

fn sealed(manifest_hash: &str) -> StagingState {
    StagingState::Sealed(Box::new(StagingManifest {
        heal_op_id: 1,
        ticket_id: "1".to_owned(),
        manifest_hash: manifest_hash.to_owned(),
        file_len_bytes: 1,
        artifacts: Vec::new(),
        strategy: "test".to_owned(),
    }))
}

fn transient(outcome_unknown: bool) -> ChainError {
    ChainError::Transient { attempted: "asking".to_owned(), source: "reset".to_owned(), outcome_unknown }
}

fn rejected(reason: RejectionReason) -> ChainError {
    ChainError::Rejected(Rejection { reason, codespace: "audit".to_owned(), code: 1, message: String::new() })
}

fn errors_without_a_verdict() -> [ChainError; 4] {
    [
        transient(true),
        transient(false),
        ChainError::InvalidRequest { reason: "empty".to_owned() },
        ChainError::Unavailable { reason: "no key".to_owned() },
    ]
}

#[test]
fn an_answer_is_a_record_an_absence_or_nothing() {
    for error in errors_without_a_verdict() {
        assert_eq!(ChainSays::of(&Err(error)), ChainSays::Nothing);
    }
    assert_eq!(ChainSays::of(&Err(ChainError::NotFound { what: "op".to_owned() })), ChainSays::NotFound);
    assert_eq!(ChainSays::of(&Err(rejected(RejectionReason::HealOpNotFound))), ChainSays::NotFound);
}

#[test]
fn a_pending_claim_is_resumed_by_the_table() {
    use HealOpStatus as S;
    use PendingClaim as D;
    let damaged = StagingState::Damaged { reason: "torn".to_owned() };
    let table = [
        // Where the chain still waits, the staging area decides.
        (S::Scheduled, "", sealed(MINE), D::Resubmit),
        (S::Scheduled, "", sealed("another"), D::Restart),
        (S::Scheduled, "", StagingState::Absent, D::Restart),
        (S::Scheduled, "", StagingState::Unsealed, D::Restart),
        (S::Scheduled, "", damaged, D::Restart),
        (S::InProgress, "", sealed(MINE), D::Resubmit),
        // Where it has a claim, the hash decides.
        (S::HealerReported, MINE, sealed(MINE), D::Promote),
        (S::HealerReported, " mine ", sealed(MINE), D::Promote),
        (S::HealerReported, MINE, StagingState::Absent, D::Promote),
        (S::HealerReported, "another", sealed(MINE), D::Drop),
        (S::Verified, MINE, sealed(MINE), D::Promote),
        (S::Verified, "another", sealed(MINE), D::Drop),
        // Ended.
        (S::Failed, MINE, sealed(MINE), D::Drop),
        (S::Expired, "", sealed(MINE), D::Drop),
        (S::Unspecified, "", sealed(MINE), D::Keep),
    ];
    for (status, result_hash, staging, expected) in table {
        let heal_op = op(status, result_hash);
        let decision = pending_claim(&ChainSays::Op(&heal_op), MINE, &staging);
        assert_eq!(decision, expected, "{status:?} `{result_hash}` {staging:?}");
    }
    for says in [ChainSays::Nothing, ChainSays::NotFound] {
        for staging in [StagingState::Absent, StagingState::Unsealed, sealed(MINE)] {
            assert_eq!(pending_claim(&says, MINE, &staging), PendingClaim::Keep);
        }
    }
}

#[test]
fn an_error_of_a_claim_destroys_nothing_but_past_the_deadline() {
    for error in errors_without_a_verdict() {
        assert_eq!(claim_error(&error), ClaimError::Keep, "{error}");
    }
    assert_eq!(claim_error(&rejected(RejectionReason::HealOpPastDeadline)), ClaimError::Drop);
    use RejectionReason as R;
    for reason in
        [R::HealOpInvalidState, R::HealOpUnauthorized, R::HealOpTicketMismatch, R::HealOpNotFound, R::Other]
    {
        assert_eq!(claim_error(&rejected(reason)), ClaimError::Reconcile, "{reason:?}");
    }
}

#[test]
fn a_vote_from_before_a_restart_is_repeated_unless_it_is_still_true() {
    let table = [
        (true, MINE, MINE, PendingVote::Resubmit),
        (true, MINE, "another", PendingVote::Repeat),
        (false, MINE, MINE, PendingVote::Repeat),
        (false, MINE, "another", PendingVote::Repeat),
    ];
    for (verified, voted, asked, expected) in table {
        assert_eq!(pending_vote(verified, voted, asked), expected, "{verified} {voted} {asked}");
    }
}

#[test]
fn an_error_of_a_vote_never_leads_to_a_second_one() {
    for error in errors_without_a_verdict() {
        assert_eq!(vote_error(&error), VoteError::Keep, "{error}");
    }
    use RejectionReason as R;
    assert_eq!(vote_error(&rejected(R::VerificationAlreadySubmitted)), VoteError::Promote);
    for reason in
        [R::HealOpInvalidState, R::HealOpUnauthorized, R::InvalidHealVerification, R::HealOpNotFound]
    {
        assert_eq!(vote_error(&rejected(reason)), VoteError::Forget, "{reason:?}");
    }
}

#[test]
fn the_finalizer_publishes_only_what_was_verified() {
    use Finalizing as F;
    use HealOpStatus as S;
    let table = [
        (S::Verified, MINE, F::Publish),
        (S::Verified, "another", F::Drop { status: "VERIFIED_OTHER" }),
        (S::Verified, "", F::Drop { status: "VERIFIED_OTHER" }),
        (S::Failed, MINE, F::Drop { status: "FAILED" }),
        (S::Expired, MINE, F::Drop { status: "EXPIRED" }),
        (S::Scheduled, "", F::Keep),
        (S::InProgress, "", F::Keep),
        (S::HealerReported, MINE, F::Keep),
        (S::HealerReported, "another", F::Keep),
        (S::Unspecified, MINE, F::Keep),
    ];
    for (status, result_hash, expected) in table {
        let heal_op = op(status, result_hash);
        assert_eq!(finalizing(&ChainSays::Op(&heal_op), MINE), expected, "{status:?} `{result_hash}`");
    }
    assert_eq!(finalizing(&ChainSays::NotFound, MINE), F::Drop { status: "EXPIRED" });
    assert_eq!(finalizing(&ChainSays::Nothing, MINE), F::Keep);
}

#[test]
fn only_directories_that_nobody_wants_are_orphans() {
    let of = |status, healer: &str| HealOp { healer_supernode_account: healer.to_owned(), ..op(status, "") };
    let (wanted, ended) = (of(HealOpStatus::Scheduled, "me"), of(HealOpStatus::Expired, "me"));
    let of_another = of(HealOpStatus::Scheduled, "another");
    let damaged = StagingState::Damaged { reason: "torn".to_owned() };
    let table = [
        (ChainSays::Op(&wanted), sealed(MINE), false),
        (ChainSays::Op(&ended), sealed(MINE), true),
        (ChainSays::Op(&of_another), sealed(MINE), true),
        (ChainSays::NotFound, sealed(MINE), true),
        (ChainSays::Nothing, sealed(MINE), false),
        (ChainSays::Op(&wanted), StagingState::Unsealed, true),
        (ChainSays::Nothing, StagingState::Unsealed, true),
        (ChainSays::Nothing, damaged, true),
    ];
    for (says, staging, expected) in table {
        assert_eq!(is_orphan(&says, "me", &staging), expected, "{says:?} {staging:?}");
    }
}
