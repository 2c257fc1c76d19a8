//! What every [`Challenger`] has to do, whatever network it is in.

use super::{CheckResult, Failure, Report, holds};
use crate::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger, RepeatedArtifact,
};
use lampkeeper_api::scheduler::{Scheduler, within};
use std::sync::Arc;
use std::time::Duration;

/// What "bounded time" means at most: longer than every deadline of the protocol together.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The suite. `make` returns a challenger whose chain does not answer and whose peers can't be reached: then everything
/// that happens is this node's own fault.
pub async fn challenger(
    scheduler: Arc<dyn Scheduler>,
    make: impl AsyncFn() -> Arc<dyn Challenger>,
) -> Report {
    let mut report = Report::new("challenger");
    let challenger = make().await;
    let own = ours(&*scheduler, &*challenger, None);
    report.check("a fault of this node is an error, and no row about a peer", own).await;
    let challenger = make().await;
    let repeated = RepeatedArtifact {
        class: ArtifactClass::Symbol,
        ordinal: u32::MAX,
        artifact_key: "no base58: 0OIl".to_owned(),
    };
    let malformed = ours(&*scheduler, &*challenger, Some(repeated));
    report.check("a malformed row to repeat is no row about a peer", malformed).await;
    let challenger = make().await;
    report
        .check("a call that nobody waits for any more harms nothing", abandoned(&*scheduler, &*challenger))
        .await;
    report
}

fn request(repeated: Option<RepeatedArtifact>) -> ChallengeRequest {
    ChallengeRequest {
        epoch_id: 7,
        target_account: "a target that nobody knows".to_owned(),
        ticket_id: "a ticket that nobody knows".to_owned(),
        bucket: Bucket::Recent,
        repeated,
    }
}

async fn outcome(
    scheduler: &dyn Scheduler,
    challenger: &dyn Challenger,
    repeated: Option<RepeatedArtifact>,
) -> Result<Result<ChallengeOutcome, ChallengeError>, Failure> {
    let outcome = within(scheduler, PATIENCE, challenger.challenge(request(repeated))).await;
    outcome.ok_or_else(|| Failure {
        expected: format!("an end within {} s", PATIENCE.as_secs()),
        found: "it goes on".to_owned(),
    })
}

async fn ours(
    scheduler: &dyn Scheduler,
    challenger: &dyn Challenger,
    repeated: Option<RepeatedArtifact>,
) -> CheckResult {
    let outcome = outcome(scheduler, challenger, repeated).await?;
    holds("no row", !matches!(outcome, Ok(ChallengeOutcome::Row { .. })))
}

async fn abandoned(scheduler: &dyn Scheduler, challenger: &dyn Challenger) -> CheckResult {
    drop(within(scheduler, Duration::ZERO, challenger.challenge(request(None))).await);
    ours(scheduler, challenger, None).await
}
