//! Single challenges, for whoever repeats a row: the [`Challenger`] seam.
//!
//! Owns what a repetition asks for: the artifact that the row names, with ranges that the target could not know then.

use crate::ask::{Ineligible, Outcome, Question};
use crate::challenge::TargetChallenger;
use crate::config::ProbeShape;
use crate::draw::Draw;
use crate::epoch_view::{EpochView, Target, chain_fault, counts_of, is_challengeable, read_params};
use lampkeeper_plugin_sdk::api::chain::Ticket;
use lampkeeper_plugin_sdk::api::challenge::{
    ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger, RepeatedArtifact,
};
use lampkeeper_plugin_sdk::prelude::*;

impl TargetChallenger {
    /// The draw of a row that is repeated: the artifact that the row names, not another one.
    async fn repeated_draw(
        &self,
        view: &EpochView,
        target: &Target,
        ticket: &Ticket,
        repeated: &RepeatedArtifact,
    ) -> Result<Result<Draw, Ineligible>, ChallengeError> {
        let held = match self.held(view, target, ticket).await? {
            Ok(held) => held,
            Err(ineligible) => return Ok(Err(ineligible)),
        };
        let artifact = held.iter().find(|artifact| artifact.key.to_string() == repeated.artifact_key);
        let Some(artifact) = artifact else {
            let detail = "the artifact is none that the target has to hold for the ticket";
            return Ok(Err(Ineligible::new("placement", detail)));
        };
        let mut artifact = *artifact;
        artifact.class = repeated.class;
        let count = counts_of(ticket).of(repeated.class);
        Ok(Ok(Draw { artifact, ordinal: repeated.ordinal, count }))
    }
}

#[async_trait]
impl Challenger for TargetChallenger {
    async fn challenge(&self, request: ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError> {
        let chain = self.asker.chain.as_ref();
        let not_eligible = |reason: &str| Ok(ChallengeOutcome::NotEligible { reason: reason.to_owned() });
        let view = EpochView::load(chain, request.epoch_id, read_params(chain).await?).await?;
        if !view.membership.is_routed(&request.target_account) {
            return not_eligible("the target is no routed supernode");
        }
        let Some(target) = view.target(chain, &request.target_account).await? else {
            return not_eligible("the target has no address or no public key on the chain");
        };
        let ticket = match chain.ticket(&request.ticket_id).await {
            Ok(ticket) if is_challengeable(&ticket) => ticket,
            Ok(_) => return not_eligible("the ticket is no longer stored"),
            Err(error) if error.is_not_found() => return not_eligible("the ticket is gone"),
            Err(error) => return Err(chain_fault("reading the ticket", &error)),
        };
        let (draw, seed) = match &request.repeated {
            None => match self.canonical_draw(&view, &target, &ticket).await? {
                Ok(draw) => (draw, view.anchor.seed),
                Err(ineligible) => return not_eligible(&ineligible.detail),
            },
            Some(repeated) => {
                let draw = match self.repeated_draw(&view, &target, &ticket, repeated).await? {
                    Ok(draw) => draw,
                    Err(ineligible) => return not_eligible(&ineligible.detail),
                };
                let present =
                    chain.current_epoch().await.map_err(|error| chain_fault("reading the epoch", &error))?;
                let present = chain.epoch_anchor(present.epoch_id).await;
                (draw, present.map_err(|error| chain_fault("reading the anchor", &error))?.seed)
            }
        };
        let question = Question {
            target: &target,
            ticket_id: &ticket.ticket_id,
            bucket: request.bucket,
            draw,
            seed: &seed,
            shape: ProbeShape::Ranges,
        };
        let outcome = self.asker.ask(&view, question).await;
        self.asker.write_history(&target.account, request.epoch_id).await;
        match outcome? {
            Outcome::NotEligible(Ineligible { detail, .. }) => {
                Ok(ChallengeOutcome::NotEligible { reason: detail })
            }
            Outcome::Undecided(error) => Err(error),
            Outcome::Row(finding) => {
                Ok(ChallengeOutcome::Row { observation: finding.observation, row: Box::new(finding.row) })
            }
        }
    }
}
