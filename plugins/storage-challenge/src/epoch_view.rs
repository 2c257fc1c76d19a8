//! What the chain says about an epoch, read once before anybody is challenged in it.
//!
//! Owns the reading and its consistency. Nothing here is about a peer's answers.

use crate::draw::Counts;
use crate::placement::Membership;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::{
    ChainError, ChainReader, EpochAnchor, PageRequest, Params, Supernode, Ticket,
};
use lampkeeper_plugin_sdk::api::challenge::ChallengeError;
use lampkeeper_plugin_sdk::protocol::account::{KeyType, PublicKey};
use std::collections::BTreeMap;

/// The most supernodes and tickets that are listed; a longer list is an error rather than a silent cut.
const LISTED_MAX: usize = 1_000_000;
/// Records in a page.
const PAGE_LIMIT: u32 = 500;

/// An epoch and the network in it.
pub(crate) struct EpochView {
    pub(crate) anchor: EpochAnchor,
    pub(crate) params: Params,
    pub(crate) supernodes: BTreeMap<String, Supernode>,
    pub(crate) membership: Membership,
    /// The height at which the chain was looked at.
    pub(crate) height: i64,
}

/// A target as it is called and checked.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) account: String,
    pub(crate) address: String,
    pub(crate) public_key: PublicKey,
}

/// A fault on our side of the chain.
pub(crate) fn chain_fault(stage: &str, error: &ChainError) -> ChallengeError {
    ChallengeError::Ours {
        stage: stage.to_owned(),
        reason: error.to_string(),
        transient: error.is_transient(),
    }
}

pub(crate) async fn read_params(chain: &dyn ChainReader) -> Result<Params, ChallengeError> {
    chain.params().await.map_err(|error| chain_fault("reading the parameters", &error))
}

impl EpochView {
    pub(crate) async fn load(
        chain: &dyn ChainReader,
        epoch_id: EpochId,
        params: Params,
    ) -> Result<Self, ChallengeError> {
        let anchor =
            chain.epoch_anchor(epoch_id).await.map_err(|error| chain_fault("reading the anchor", &error))?;
        if anchor.epoch_id != epoch_id {
            return Err(ChallengeError::Ours {
                stage: "reading the anchor".to_owned(),
                reason: format!("asked for epoch {epoch_id}, got {}", anchor.epoch_id),
                transient: true,
            });
        }
        let status = chain.status().await.map_err(|error| chain_fault("reading the height", &error))?;
        let supernodes = all_supernodes(chain).await?;
        let membership = Membership::new(&supernodes, status.latest_height);
        let supernodes = supernodes.into_iter().map(|node| (node.supernode_account.clone(), node)).collect();
        Ok(Self { anchor, params, supernodes, membership, height: status.latest_height })
    }

    /// The height by which tickets are put into buckets (wire 3.5, step 2).
    pub(crate) fn bucket_height(&self) -> i64 {
        self.anchor.epoch_end_height
    }

    /// Address and key of a target; `None` if it is no supernode that can be called.
    pub(crate) async fn target(
        &self,
        chain: &dyn ChainReader,
        account: &str,
    ) -> Result<Option<Target>, ChallengeError> {
        let Some(node) = self.supernodes.get(account).filter(|node| !node.latest_address.is_empty()) else {
            return Ok(None);
        };
        let info =
            chain.account(account).await.map_err(|error| chain_fault("reading the target's key", &error))?;
        let public_key = KeyType::from_type_url(&info.public_key_type_url)
            .and_then(|key_type| PublicKey::from_bytes(key_type, &info.public_key).ok());
        let Some(public_key) = public_key else { return Ok(None) };
        Ok(Some(Target { account: account.to_owned(), address: node.latest_address.clone(), public_key }))
    }
}

async fn all_supernodes(chain: &dyn ChainReader) -> Result<Vec<Supernode>, ChallengeError> {
    let mut supernodes = Vec::new();
    let mut next = Some(PageRequest { key: None, limit: PAGE_LIMIT });
    while let Some(request) = next {
        let page = chain
            .supernodes(request.clone())
            .await
            .map_err(|error| chain_fault("listing the supernodes", &error))?;
        next = request.after(&page);
        supernodes.extend(page.items);
        check_bound(supernodes.len(), "supernodes")?;
    }
    Ok(supernodes)
}

/// The tickets of the network that have artifacts, in ascending order.
pub(crate) async fn stored_tickets(chain: &dyn ChainReader) -> Result<Vec<Ticket>, ChallengeError> {
    let mut tickets = Vec::new();
    let mut next = Some(PageRequest { key: None, limit: PAGE_LIMIT });
    while let Some(request) = next {
        let page = chain
            .tickets(request.clone())
            .await
            .map_err(|error| chain_fault("listing the tickets", &error))?;
        next = request.after(&page);
        tickets.extend(page.items.into_iter().filter(is_challengeable));
        check_bound(tickets.len(), "tickets")?;
    }
    Ok(tickets)
}

/// What the chain lists for a target (wire 4.1).
#[derive(Debug, Default)]
pub(crate) struct TargetTickets {
    /// Those that it finalised and that may be challenged, sorted by id.
    pub(crate) eligible: Vec<Ticket>,
    /// How many others there are, by the reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

pub(crate) async fn tickets_of(
    chain: &dyn ChainReader,
    target: &str,
) -> Result<TargetTickets, ChallengeError> {
    let mut tickets: BTreeMap<String, Ticket> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    let mut next = Some(PageRequest::default());
    while let Some(request) = next {
        let page = chain
            .tickets_of_supernode(target, request.clone())
            .await
            .map_err(|error| chain_fault("listing the target's tickets", &error))?;
        next = request.after(&page);
        for ticket in page.items {
            let held = ticket.supernode_accounts.iter().any(|account| account.trim() == target);
            let flaw = flaw_of(&ticket).or((!held).then_some("not_finalised_by_target"));
            if let Some(flaw) = flaw {
                *refused.entry(flaw).or_default() += 1;
            } else {
                tickets.entry(ticket.ticket_id.trim().to_owned()).or_insert(ticket);
            }
        }
        check_bound(tickets.len(), "tickets of the target")?;
    }
    Ok(TargetTickets { eligible: tickets.into_values().collect(), refused })
}

fn check_bound(count: usize, what: &str) -> Result<(), ChallengeError> {
    if count <= LISTED_MAX {
        return Ok(());
    }
    Err(ChallengeError::Ours {
        stage: format!("listing the {what}"),
        reason: format!("there are more than {LISTED_MAX}"),
        transient: false,
    })
}

/// Whether a ticket may be challenged at all.
pub(crate) fn is_challengeable(ticket: &Ticket) -> bool {
    flaw_of(ticket).is_none()
}

/// Which of conditions 2 to 7 of wire 4.1 a ticket does not meet; a short name for metrics.
fn flaw_of(ticket: &Ticket) -> Option<&'static str> {
    if !ticket.state.is_stored() {
        Some("not_stored")
    } else if ticket.ticket_id.trim().is_empty() || ticket.block_height <= 0 {
        Some("not_anchored")
    } else if ticket.data_hash.trim().is_empty() {
        Some("no_data_hash")
    } else if ticket.rq_ids_max == 0 || ticket.rq_ids_ids.is_empty() {
        Some("no_ids")
    } else if ticket.index_artifact_count == 0 && ticket.symbol_artifact_count == 0 {
        Some("no_artifact_counts")
    } else {
        None
    }
}

/// The counts in rows: an absent one is the number of ids (wire 4.2).
pub(crate) fn counts_of(ticket: &Ticket) -> Counts {
    let ids = u32::try_from(ticket.rq_ids_ids.len()).unwrap_or(u32::MAX);
    let or_ids = |count: u32| if count == 0 { ids } else { count };
    Counts { index: or_ids(ticket.index_artifact_count), symbol: or_ids(ticket.symbol_artifact_count) }
}
