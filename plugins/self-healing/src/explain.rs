//! What a staging directory or a claim means, and what will become of it, for people.
//!
//! Owns the words. The decisions are those of [`mod@crate::reconcile`], which the service carries out, so that what is told
//! here is what will happen.

use crate::heard::EPOCHS_DENIED;
use crate::reconcile::{ChainSays, Finalizing, PendingClaim, finalizing, is_orphan, pending_claim};
use lampkeeper_plugin_sdk::api::heal::is_shadow;
use lampkeeper_plugin_sdk::api::journal::{HealClaim, SubmissionStatus};
use lampkeeper_plugin_sdk::api::staging::StagingState;

/// Where a heal stands, in a word, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// `comparing`, `reconstructing`, `reconstructed`, `claiming`, `claimed`, `verified` or `ended`.
    pub phase: &'static str,
    /// What the node does next, as a sentence.
    pub next: String,
    /// What would be removed and why; `None` if everything stays.
    pub removal: Option<String>,
    /// How a node that starts with this on its disk goes on by itself; `None` if there is nothing to go on with.
    pub resumption: Option<&'static str>,
}

/// How each phase is taken up again when the node starts. Nobody has to ask for it.
fn resumption(phase: &str) -> Option<&'static str> {
    match phase {
        "reconstructing" => Some("the file is reconstructed anew, if the chain still waits for it"),
        "reconstructed" => Some("it is claimed as it is, if the chain still waits for it"),
        "claiming" => {
            Some("the chain is asked for the claim, which is submitted again only if it is not there")
        }
        "claimed" => Some("verifiers are served, the verdict is waited for, and what it allows is published"),
        "verified" => Some("what was not published yet is published"),
        _ => None,
    }
}

fn stays(phase: &'static str, next: impl Into<String>) -> Explanation {
    Explanation { phase, next: next.into(), removal: None, resumption: resumption(phase) }
}

fn goes(phase: &'static str, next: impl Into<String>, removal: impl Into<String>) -> Explanation {
    Explanation { removal: Some(removal.into()), ..stays(phase, next) }
}

/// Explains a heal of the node with this account from what it has on disk and what the chain says.
#[must_use]
pub fn explain(
    heal_op_id: u64,
    claim: Option<&HealClaim>,
    staging: &StagingState,
    says: &ChainSays<'_>,
    account: &str,
) -> Explanation {
    match claim {
        _ if is_shadow(heal_op_id) => goes(
            "comparing",
            "a second strategy's result is compared with the first's",
            "the directory, when the comparison is made or the node starts: it is never published",
        ),
        None => unclaimed(staging, says, account),
        Some(claim) if claim.status == SubmissionStatus::Pending => claiming(claim, staging, says),
        Some(claim) => claimed(claim, staging, says),
    }
}

fn unclaimed(staging: &StagingState, says: &ChainSays<'_>, account: &str) -> Explanation {
    let is_sealed = matches!(staging, StagingState::Sealed(_));
    match (is_orphan(says, account, staging), is_sealed) {
        (false, _) => match says {
            ChainSays::Op(_) => {
                stays("reconstructed", "the complete reconstruction is claimed at the next look at the chain")
            }
            ChainSays::NotFound | ChainSays::Nothing => {
                stays("reconstructed", "it is kept until the chain can be asked whether it is still wanted")
            }
        },
        (true, true) => goes(
            "ended",
            "nothing: no claim stands for it, and the chain does not want it from this node",
            "the directory, when the node starts",
        ),
        (true, false) => goes(
            "reconstructing",
            "the healer goes on with it; after a crash it begins anew",
            "the directory, when the node starts: it is not complete, and no claim stands for it",
        ),
    }
}

fn claiming(claim: &HealClaim, staging: &StagingState, says: &ChainSays<'_>) -> Explanation {
    match pending_claim(says, &claim.manifest_hash, staging) {
        PendingClaim::Keep if *says == ChainSays::NotFound => denied("claiming"),
        PendingClaim::Keep => stays(
            "claiming",
            "the chain is asked what became of the claim; until it answers everything is kept",
        ),
        PendingClaim::Promote => {
            stays("claiming", "the chain has executed the claim: it is marked as submitted")
        }
        PendingClaim::Resubmit => stays(
            "claiming",
            "the chain still waits for the claim: it is submitted, unless the deadline has passed",
        ),
        PendingClaim::Restart => goes(
            "claiming",
            "the chain still waits, and the reconstruction is gone: the file is reconstructed again",
            "the claim, which nothing on disk stands for",
        ),
        PendingClaim::Drop => dropped(says, "the operation ended without this claim"),
    }
}

fn claimed(claim: &HealClaim, staging: &StagingState, says: &ChainSays<'_>) -> Explanation {
    match finalizing(says, &claim.manifest_hash) {
        Finalizing::Keep if *says == ChainSays::Nothing => {
            stays("claimed", "the chain is asked for the verdict; until it answers everything is kept")
        }
        Finalizing::Keep => stays("claimed", "the verifiers fetch the file from this node and vote"),
        Finalizing::Publish if holds_claimed(claim, staging) => goes(
            "verified",
            "the staged artifacts are published to the nodes that lack them",
            "claim and directory, once all of it is published",
        ),
        Finalizing::Publish => dropped(says, "what was verified is not in the staging area any more"),
        Finalizing::Drop { .. } if *says == ChainSays::NotFound => denied("claimed"),
        Finalizing::Drop { status: "VERIFIED_OTHER" } => {
            dropped(says, "the chain verified another reconstruction than this one")
        }
        Finalizing::Drop { .. } => dropped(says, "the operation has ended unhealed"),
    }
}

fn holds_claimed(claim: &HealClaim, staging: &StagingState) -> bool {
    crate::reconcile::holds(staging, &claim.manifest_hash)
}

fn denied(phase: &'static str) -> Explanation {
    goes(
        phase,
        "the chain says that there is no such operation; that is believed when it says nothing else for long",
        format!("claim and directory, if the chain says nothing else for {EPOCHS_DENIED} epochs"),
    )
}

fn dropped(says: &ChainSays<'_>, why: &str) -> Explanation {
    let status = match says {
        ChainSays::Op(heal_op) => heal_op.status.name(),
        ChainSays::NotFound | ChainSays::Nothing => "unknown",
    };
    goes("ended", format!("nothing: {why}"), format!("claim and directory, at the next look: {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::{HealOp, HealOpStatus};
    use lampkeeper_plugin_sdk::api::heal::shadow_of;
    use lampkeeper_plugin_sdk::api::staging::StagingManifest;

    fn sealed() -> StagingState {
        StagingState::Sealed(Box::new(StagingManifest {
            heal_op_id: 4,
            ticket_id: "7".to_owned(),
            manifest_hash: "mine".to_owned(),
            file_len_bytes: 1,
            artifacts: Vec::new(),
            strategy: "test".to_owned(),
        }))
    }

    fn claim(status: SubmissionStatus) -> HealClaim {
        HealClaim {
            heal_op_id: 4,
            ticket_id: "7".to_owned(),
            manifest_hash: "mine".to_owned(),
            status,
            recorded_at_s: 1,
        }
    }

    #[test]
    fn every_state_is_explained() {
        use HealOpStatus as S;
        let (pending, submitted) = (claim(SubmissionStatus::Pending), claim(SubmissionStatus::Submitted));
        let op = |status, result_hash: &str| HealOp {
            heal_op_id: 4,
            healer_supernode_account: "me".to_owned(),
            status,
            result_hash: result_hash.to_owned(),
            ..HealOp::default()
        };
        let (open, ours, others) =
            (op(S::Scheduled, ""), op(S::HealerReported, "mine"), op(S::Verified, "another"));
        let (verified, expired) = (op(S::Verified, "mine"), op(S::Expired, ""));
        let (nothing, gone) = (ChainSays::Nothing, ChainSays::NotFound);
        let says = |heal_op| ChainSays::Op(heal_op);
        // Claim, staging, chain; phase, a part of what comes next, a part of what would be removed.
        let table = [
            (
                None,
                StagingState::Unsealed,
                nothing.clone(),
                "reconstructing",
                "begins anew",
                Some("not complete"),
            ),
            (None, sealed(), says(&open), "reconstructed", "is claimed", None),
            (None, sealed(), nothing.clone(), "reconstructed", "kept until", None),
            (None, sealed(), says(&expired), "ended", "does not want it", Some("when the node starts")),
            (Some(&pending), sealed(), nothing.clone(), "claiming", "is asked", None),
            (Some(&pending), sealed(), gone.clone(), "claiming", "no such operation", Some("2 epochs")),
            (Some(&pending), sealed(), says(&ours), "claiming", "has executed", None),
            (Some(&pending), sealed(), says(&open), "claiming", "is submitted", None),
            (Some(&pending), StagingState::Absent, says(&open), "claiming", "again", Some("the claim")),
            (Some(&pending), sealed(), says(&expired), "ended", "ended without", Some("EXPIRED")),
            (Some(&submitted), sealed(), nothing, "claimed", "for the verdict", None),
            (Some(&submitted), sealed(), says(&ours), "claimed", "vote", None),
            (Some(&submitted), sealed(), says(&verified), "verified", "are published", Some("once all")),
            (
                Some(&submitted),
                StagingState::Absent,
                says(&verified),
                "ended",
                "not in the staging",
                Some("VERIFIED"),
            ),
            (Some(&submitted), sealed(), says(&others), "ended", "another reconstruction", Some("VERIFIED")),
            (Some(&submitted), sealed(), says(&expired), "ended", "unhealed", Some("EXPIRED")),
            (Some(&submitted), sealed(), gone, "claimed", "no such operation", Some("nothing else")),
        ];
        for (claim, staging, says, phase, next, removal) in table {
            let told = explain(4, claim, &staging, &says, "me");
            let context = format!("{claim:?} {staging:?} {says:?}: {told:?}");
            assert_eq!(told.phase, phase, "{context}");
            assert!(told.next.contains(next), "{context}");
            assert_eq!(told.removal.is_some(), removal.is_some(), "{context}");
            assert_eq!(told.resumption.is_some(), phase != "ended", "{context}");
            assert!(removal.is_none_or(|part| told.removal.unwrap().contains(part)), "{context}");
        }
        let shadow = explain(shadow_of(4), None, &sealed(), &ChainSays::Nothing, "me");
        assert_eq!((shadow.phase, shadow.resumption), ("comparing", None));
        assert!(shadow.removal.unwrap().contains("never published"));
    }
}
