//! Looks at this node before anything is said against another one.
//!
//! Owns the checks: our key, our proofs, our connection, our registration. Each failure is *ours*, and holds the row.

use crate::ask::Asker;
use crate::epoch_view::{EpochView, chain_fault};
use lampkeeper_plugin_sdk::address::host_and_port;
use lampkeeper_plugin_sdk::api::chain::{PortState, Supernode};
use lampkeeper_plugin_sdk::api::challenge::{ChallengeError, Observation};
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::verified_slice;
use std::ops::Range;
use std::time::Duration;

/// Other nodes that are tried when a target can't be reached, to tell its fault from ours.
const PEERS_TRIED_MAX: usize = 16;
/// How long each of them has.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

fn ours(stage: &str, reason: impl Into<String>) -> ChallengeError {
    ChallengeError::Ours { stage: stage.to_owned(), reason: reason.into(), transient: true }
}

impl Asker {
    /// Whether this node is in a state to say this against `account`.
    pub(crate) async fn check_ourselves(
        &self,
        view: &EpochView,
        account: &str,
        observation: Observation,
    ) -> Result<(), ChallengeError> {
        self.check_key()?;
        check_proofs()?;
        self.check_reach(view, account, observation).await?;
        if observation == Observation::Refused { self.check_registration(view).await } else { Ok(()) }
    }

    /// Whether a silence of `account` is not our own.
    pub(crate) async fn check_reach(
        &self,
        view: &EpochView,
        account: &str,
        observation: Observation,
    ) -> Result<(), ChallengeError> {
        match observation {
            Observation::Unreachable | Observation::TimedOut => self.check_connection(view, account).await,
            _ => Ok(()),
        }
    }

    /// A node whose key does not sign for its account accuses nobody.
    fn check_key(&self) -> Result<(), ChallengeError> {
        const MESSAGE: &[u8] = b"lampkeeper self check";
        let stage = "checking our own key";
        let signature = self.signer.sign(MESSAGE).map_err(|error| ours(stage, error.to_string()))?;
        let key_type = KeyType::from_type_url(self.signer.public_key_type_url());
        let public_key = key_type
            .and_then(|key_type| PublicKey::from_bytes(key_type, &self.signer.public_key()).ok())
            .ok_or_else(|| ours(stage, "the signer has no usable public key"))?;
        if public_key.account() != self.signer.account() {
            return Err(ours(stage, format!("the key is not that of {}", self.signer.account())));
        }
        public_key.verify(MESSAGE, &signature).map_err(|error| ours(stage, error.to_string()))
    }

    /// Whether three of four active nodes can be reached when a target can't: if not, the fault is likely ours, or the
    /// network is cut in two and we don't know which part is right.
    async fn check_connection(&self, view: &EpochView, account: &str) -> Result<(), ChallengeError> {
        let own = self.signer.account();
        let is_tried = |node: &&Supernode| {
            node.supernode_account != account
                && node.supernode_account != own
                && node.state.takes_artifacts()
                && host_and_port(&node.latest_address).is_some()
        };
        // The nodes that follow the target, so that not the same few are tried for every target.
        let following =
            view.supernodes.range(account.to_owned()..).chain(view.supernodes.range(..account.to_owned()));
        let others: Vec<_> = following.map(|(_, node)| node).filter(is_tried).take(PEERS_TRIED_MAX).collect();
        let places = others.iter().filter_map(|node| host_and_port(&node.latest_address));
        let probes = places.map(|(host, port)| self.transport.probe_port(host, port, PEER_TIMEOUT));
        let open = join_all(probes).await.into_iter().filter(|state| *state == PortState::Open).count();
        if 4 * open >= 3 * others.len() {
            return Ok(());
        }
        let reason =
            format!("besides the target, only {open} of {} other nodes can be reached", others.len());
        Err(ours("checking our own connection", reason))
    }

    /// A target may refuse whoever it does not know yet.
    async fn check_registration(&self, view: &EpochView) -> Result<(), ChallengeError> {
        let stage = "checking our own registration";
        let own = self.signer.account();
        match self.chain.supernode(own).await {
            Ok(_) if view.membership.is_settled(own, self.config.grace_blocks) => Ok(()),
            Ok(_) => Err(ours(stage, "this node's own state changed within the grace")),
            Err(error) if error.is_not_found() => Err(ours(stage, "this node is not a registered supernode")),
            Err(error) => Err(chain_fault(stage, &error)),
        }
    }
}

/// A node whose arithmetic is broken accuses nobody: a proof that is known to be right has to verify, and one that is
/// known to be wrong must not.
fn check_proofs() -> Result<(), ChallengeError> {
    const ARTIFACT: [u8; 5000] = [7; 5000];
    const RANGES: [Range<u64>; 2] = [10..266, 4000..4256];
    let stage = "checking our own proofs";
    let proof = verified_slice::prove(&ARTIFACT, &RANGES).map_err(|error| ours(stage, error.to_string()))?;
    let right = verified_slice::verify(&ArtifactKey::of(&ARTIFACT), &proof, &RANGES);
    let wrong = verified_slice::verify(&ArtifactKey::of(&ARTIFACT[1..]), &proof, &RANGES);
    if right.is_ok() && wrong.is_err() {
        return Ok(());
    }
    Err(ours(stage, "a known proof is judged wrongly; look at this machine's memory"))
}
