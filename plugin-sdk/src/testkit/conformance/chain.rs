//! What every [`ChainClient`] has to do.
//!
//! A chain can't be made in a moment, as a store can: the implementation brings one that already holds what the suite
//! looks at, described by a [`ChainFixture`]. What an implementation can't bring is skipped, and the report says so.

use super::{CheckResult, Failure, Report, equal, holds, refused};
use async_trait::async_trait;
use lampkeeper_api::chain::{
    ChainClient, ChainError, ChainMessage, EpochReportMessage, FinalizeTicketMessage, HealClaimMessage,
    HealOpStatus, HealVerificationMessage, PAGE_LIMIT_MAX, Page, PageRequest, RecheckEvidenceMessage,
    RejectionReason, RequestTicketMessage,
};
use lampkeeper_api::{Account, EpochId, TicketId};
use lampkeeper_protocol::words::ResultClass;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

/// An account and a ticket that no chain has.
const NOBODY: &str = "conformance-nobody";
/// The suite asks for pages of this size and follows them to the end.
const PAGE_LIMIT: u32 = 2;
/// A list of the fixture is expected to end before this many pages.
const PAGES_MAX: usize = 1000;
/// How many calls the suite makes at once.
const CONCURRENT_CALLS: usize = 32;

/// A way in which a call can fail on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForcedFault {
    /// The chain can't be asked; nothing was accepted.
    Unreachable,
    /// A submission was accepted, and its end is not known.
    OutcomeUnknown,
    /// The client can't do that.
    Unavailable,
}

/// What a chain holds for the suite, and what can be done to it.
///
/// Methods that answer an `Option` are capabilities: `None` skips the checks that need them.
#[async_trait]
pub trait ChainFixture: Send + Sync {
    /// The client under test. Its account is a registered supernode, ACTIVE since before the current epoch, that has not
    /// reported for it.
    fn client(&self) -> Arc<dyn ChainClient>;

    /// Every registered supernode; at least three, so that a list has more than one page.
    fn supernodes(&self) -> Vec<Account>;

    /// A finished ticket, and the account that finalised it.
    fn ticket(&self) -> Option<(TicketId, Account)>;

    /// Every ticket, in the chain's order; at least three.
    fn tickets(&self) -> Option<Vec<TicketId>>;

    /// A heal operation in a status.
    fn heal_op_in(&self, status: HealOpStatus) -> Option<u64>;

    /// An operation that waits for the client's own claim.
    fn heal_op_to_claim(&self) -> Option<u64>;

    /// An operation that was claimed with this hash and waits for the client's own vote.
    fn heal_op_to_verify(&self) -> Option<(u64, String)>;

    /// A node, a reporter and a ticket that have scores.
    fn scored(&self) -> Option<(Account, Account, TicketId)>;

    /// Makes the client's next call fail; `false` if that can't be done.
    async fn force(&self, fault: ForcedFault) -> bool;
}

/// What the suite did, and what it could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The checks that ran.
    pub report: Report,
    /// The names of the checks that the fixture has nothing for.
    pub skipped: Vec<String>,
}

impl ChainReport {
    /// For tests: everything that ran passed.
    ///
    /// # Panics
    /// If a rule does not hold, with the whole report.
    pub fn assert_passed(&self) {
        self.report.assert_passed();
    }
}

impl std::fmt::Display for ChainReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.report)?;
        self.skipped.iter().try_for_each(|name| writeln!(formatter, "  skipped {name}"))
    }
}

/// The suite. It submits a report, a claim and a vote, in this order of risk: what only reads runs first.
pub async fn chain(fixture: &dyn ChainFixture) -> ChainReport {
    let mut report = Report::new("chain");
    let mut skipped = Vec::new();
    reads(fixture, &mut report).await;
    records(fixture, &mut report, &mut skipped).await;
    let client = fixture.client();
    report.check("refusals carry their reason, and change nothing", refusals(&*client)).await;
    report.check("every kind of message is refused for its own reason", refused_kinds(&*client)).await;
    let faults = [
        ("an unreachable chain is transient, and nothing was applied", ForcedFault::Unreachable),
        ("an unknown outcome never claims that nothing was applied", ForcedFault::OutcomeUnknown),
        ("what the client can't do is unavailable", ForcedFault::Unavailable),
    ];
    for (name, fault) in faults {
        if fixture.force(fault).await {
            report.check(name, forced(&*client, fault)).await;
        } else {
            skipped.push(name.to_owned());
        }
    }
    writes(fixture, &mut report, &mut skipped).await;
    ChainReport { report, skipped }
}

async fn reads(fixture: &dyn ChainFixture, report: &mut Report) {
    let client = fixture.client();
    let accounts = fixture.supernodes();
    report.check("the last block belongs to the current epoch", status(&*client)).await;
    report.check("parameters have their defaults applied", params(&*client)).await;
    report.check("the current epoch has an anchor, a later one has none", anchors(&*client)).await;
    report.check("targets are the anchor's, and never the asker", targets(&*client)).await;
    report.check("every supernode is found, by account and in pages", supernodes(&*client, &accounts)).await;
    report.check("the best supernodes come without repetition, up to the limit", top(&*client)).await;
    report.check("what does not exist is not found", not_found(&*client)).await;
    report.check("what makes no sense is an invalid request", invalid(&*client)).await;
    report.check("pages larger than allowed, or of nothing, are invalid", page_limits(&*client)).await;
    report.check("many calls at once answer as one does", concurrent(client)).await;
}

async fn status(client: &dyn ChainClient) -> CheckResult {
    let (before, epoch, after) =
        (client.status().await?, client.current_epoch().await?, client.status().await?);
    holds("the chain has a name", !before.chain_id.is_empty())?;
    equal("the name, asked again", after.chain_id, before.chain_id)?;
    holds("heights don't go back", after.latest_height >= before.latest_height)?;
    holds("block times don't go back", after.latest_block_time_ms >= before.latest_block_time_ms)?;
    holds("the epoch ends after it begins", epoch.epoch_end_height >= epoch.epoch_start_height)?;
    holds("it has begun", epoch.epoch_start_height <= after.latest_height)?;
    holds("it had not ended before", epoch.epoch_end_height >= before.latest_height)
}

async fn params(client: &dyn ChainClient) -> CheckResult {
    let params = client.params().await?;
    equal("parameters with defaults applied again", params.clone().with_defaults(), params)
}

async fn anchors(client: &dyn ChainClient) -> CheckResult {
    let epoch = client.current_epoch().await?;
    let anchor = client.epoch_anchor(epoch.epoch_id).await?;
    equal("epoch", anchor.epoch_id, epoch.epoch_id)?;
    equal("first block", anchor.epoch_start_height, epoch.epoch_start_height)?;
    equal("last block", anchor.epoch_end_height, epoch.epoch_end_height)?;
    for accounts in [&anchor.active_supernode_accounts, &anchor.target_supernode_accounts] {
        holds("accounts ascend without repetition", accounts.is_sorted_by(|left, right| left < right))?;
    }
    let targets: BTreeSet<_> = anchor.target_supernode_accounts.iter().collect();
    holds(
        "who is active is a target",
        anchor.active_supernode_accounts.iter().all(|node| targets.contains(node)),
    )?;
    let later = client.epoch_anchor(epoch.epoch_id + 1_000_000).await;
    refused("NotFound for an epoch to come", later, ChainError::is_not_found)
}

async fn targets(client: &dyn ChainClient) -> CheckResult {
    let epoch_id: EpochId = client.current_epoch().await?.epoch_id;
    let anchor = client.epoch_anchor(epoch_id).await?;
    let account = client.account_address();
    let assigned = client.assigned_targets(account, epoch_id).await?;
    equal("epoch", assigned.epoch_id, epoch_id)?;
    equal("first block", assigned.epoch_start_height, anchor.epoch_start_height)?;
    holds("there are ports to probe", !assigned.required_open_ports.is_empty())?;
    for target in &assigned.target_supernode_accounts {
        holds("a target is another node", target != account)?;
        holds("a target is the anchor's", anchor.target_supernode_accounts.contains(target))?;
    }
    let stranger = client.assigned_targets(NOBODY, epoch_id).await;
    refused("NotFound for an unregistered account", stranger, ChainError::is_not_found)
}

/// Follows pages to the end.
async fn all_pages<T, E>(
    mut page: impl AsyncFnMut(PageRequest) -> Result<Page<T>, E>,
) -> Result<Vec<T>, Failure>
where
    Failure: From<E>,
{
    let mut request = PageRequest { key: None, limit: PAGE_LIMIT };
    let mut items = Vec::new();
    for _ in 0..PAGES_MAX {
        let found = page(request.clone()).await?;
        holds("a page keeps to its limit", found.items.len() <= PAGE_LIMIT as usize)?;
        let next = request.after(&found);
        items.extend(found.items);
        match next {
            Some(next) => request = next,
            None => return Ok(items),
        }
    }
    Err(Failure { expected: "pages that end".to_owned(), found: format!("{PAGES_MAX} pages and no end") })
}

async fn supernodes(client: &dyn ChainClient, accounts: &[Account]) -> CheckResult {
    let listed = all_pages(async |page| client.supernodes(page).await).await?;
    let names: BTreeSet<_> = listed.iter().map(|node| node.supernode_account.clone()).collect();
    equal("no repetition", names.len(), listed.len())?;
    equal("the accounts of all pages", names, accounts.iter().cloned().collect())?;
    for node in listed {
        equal("the same record by account", client.supernode(&node.supernode_account).await?, node)?;
    }
    Ok(())
}

async fn top(client: &dyn ChainClient) -> CheckResult {
    let height = client.status().await?.latest_height;
    let all = client.top_supernodes(height, 1000).await?;
    let names: BTreeSet<_> = all.iter().map(|node| &node.supernode_account).collect();
    equal("no repetition", names.len(), all.len())?;
    holds("there is one", !all.is_empty())?;
    equal("the first of them", client.top_supernodes(height, 1).await?, vec![all[0].clone()])
}

async fn not_found(client: &dyn ChainClient) -> CheckResult {
    fn absent<T: Debug>(call: &str, found: Result<T, ChainError>) -> CheckResult {
        refused(&format!("NotFound from {call}"), found, |error| matches!(error, ChainError::NotFound { .. }))
    }
    absent("heal_op", client.heal_op(u64::MAX).await)?;
    absent("ticket", client.ticket(NOBODY).await)?;
    absent("ticket_deterioration", client.ticket_deterioration(NOBODY).await)?;
    absent("node_suspicion", client.node_suspicion(NOBODY).await)?;
    absent("reporter_reliability", client.reporter_reliability(NOBODY).await)?;
    absent("supernode", client.supernode(NOBODY).await)?;
    absent("account", client.account(NOBODY).await)?;
    absent("epoch_report of a stranger", client.epoch_report(NOBODY, 0).await)?;
    let epoch_id = client.current_epoch().await?.epoch_id;
    absent("epoch_report", client.epoch_report(client.account_address(), epoch_id).await)?;
    let none = client.heal_ops_by_ticket(NOBODY, PageRequest::default()).await?;
    equal("heal operations of an unknown ticket", none, Page { items: Vec::new(), next_key: None })
}

fn is_invalid(error: &ChainError) -> bool {
    matches!(error, ChainError::InvalidRequest { .. })
}

async fn invalid(client: &dyn ChainClient) -> CheckResult {
    refused("InvalidRequest for operation 0", client.heal_op(0).await, is_invalid)?;
    let unspecified = client.heal_ops_by_status(HealOpStatus::Unspecified, PageRequest::default()).await;
    refused("InvalidRequest for no status", unspecified, is_invalid)?;
    let no_ticket = client.heal_ops_by_ticket("", PageRequest::default()).await;
    refused("InvalidRequest for no ticket", no_ticket, is_invalid)?;
    refused("InvalidRequest for no account", client.node_suspicion("").await, is_invalid)?;
    refused("InvalidRequest for a height that is none", client.top_supernodes(0, 10).await, is_invalid)?;
    refused("InvalidRequest for the best 0", client.top_supernodes(1, 0).await, is_invalid)
}

async fn page_limits(client: &dyn ChainClient) -> CheckResult {
    for limit in [0, PAGE_LIMIT_MAX + 1] {
        let what = format!("InvalidRequest for pages of {limit}");
        let page = || PageRequest { key: None, limit };
        refused(&what, client.supernodes(page()).await, is_invalid)?;
        refused(&what, client.tickets(page()).await, is_invalid)?;
        refused(&what, client.tickets_of_supernode(NOBODY, page()).await, is_invalid)?;
        refused(&what, client.heal_ops_by_ticket(NOBODY, page()).await, is_invalid)?;
        refused(&what, client.heal_ops_by_status(HealOpStatus::Scheduled, page()).await, is_invalid)?;
    }
    client.supernodes(PageRequest { key: None, limit: PAGE_LIMIT_MAX }).await?;
    Ok(())
}

async fn concurrent(client: Arc<dyn ChainClient>) -> CheckResult {
    let alone = client.params().await?;
    let account = client.account_address();
    let calls = (0..CONCURRENT_CALLS).map(|_| async {
        let (params, node, missing) =
            futures::join!(client.params(), client.supernode(account), client.supernode(NOBODY));
        equal("parameters", params?, alone.clone())?;
        equal("the own account", node?.supernode_account, account.to_owned())?;
        refused("NotFound beside successes", missing, ChainError::is_not_found)
    });
    futures::future::join_all(calls).await.into_iter().collect::<CheckResult>()?;
    let lists = (0..CONCURRENT_CALLS).map(|_| all_pages(async |page| client.supernodes(page).await));
    let mut lists = futures::future::join_all(lists).await.into_iter();
    let first = lists.next().transpose()?.unwrap_or_default();
    lists.try_for_each(|list| equal("pages that are followed side by side", list?, first.clone()))
}

async fn records(fixture: &dyn ChainFixture, report: &mut Report, skipped: &mut Vec<String>) {
    let client = fixture.client();
    let mut skip = |name: &str| skipped.push(name.to_owned());
    let name = "the own account is known";
    report.check(name, own_account(&*client)).await;
    let name = "a finished ticket is found, also by who finalised it";
    match fixture.ticket() {
        Some((ticket_id, finalizer)) => report.check(name, ticket(&*client, &ticket_id, &finalizer)).await,
        None => skip(name),
    }
    let name = "tickets come in their order, in pages without gaps";
    match fixture.tickets() {
        Some(expected) => {
            let check = async {
                let found = all_pages(async |page| client.tickets(page).await).await?;
                equal("tickets", found.into_iter().map(|ticket| ticket.ticket_id).collect(), expected)
            };
            report.check(name, check).await;
        }
        None => skip(name),
    }
    for status in HealOpStatus::ALL.into_iter().filter(|status| *status != HealOpStatus::Unspecified) {
        let name = format!("a {} heal operation is found by id, status and ticket", status.name());
        match fixture.heal_op_in(status) {
            Some(id) => report.check(&name, heal_op(&*client, id, status)).await,
            None => skip(&name),
        }
    }
    let name = "scores are found under their own keys";
    match fixture.scored() {
        Some((node, reporter, ticket_id)) => {
            let check = async {
                equal("node", client.node_suspicion(&node).await?.supernode_account, node)?;
                let found = client.reporter_reliability(&reporter).await?;
                equal("reporter", found.reporter_supernode_account, reporter)?;
                equal("ticket", client.ticket_deterioration(&ticket_id).await?.ticket_id, ticket_id)
            };
            report.check(name, check).await;
        }
        None => skip(name),
    }
}

async fn own_account(client: &dyn ChainClient) -> CheckResult {
    let account = client.account(client.account_address()).await?;
    equal("address", account.address.as_str(), client.account_address())
}

async fn ticket(client: &dyn ChainClient, ticket_id: &str, finalizer: &str) -> CheckResult {
    let found = client.ticket(ticket_id).await?;
    equal("id", found.ticket_id.as_str(), ticket_id)?;
    holds("it is stored", found.state.is_stored())?;
    holds("its finaliser is named", found.supernode_accounts.iter().any(|account| account == finalizer))?;
    let held = all_pages(async |page| client.tickets_of_supernode(finalizer, page).await).await?;
    holds("the finaliser's tickets have it, the same", held.contains(&found))?;
    let only_theirs =
        held.iter().all(|ticket| ticket.supernode_accounts.iter().any(|account| account == finalizer));
    holds("and only tickets of the finaliser", only_theirs)
}

async fn heal_op(client: &dyn ChainClient, id: u64, status: HealOpStatus) -> CheckResult {
    let found = client.heal_op(id).await?;
    equal("id", found.heal_op_id, id)?;
    equal("status", found.status, status)?;
    let of_status = all_pages(async |page| client.heal_ops_by_status(status, page).await).await?;
    holds(
        "ids of a status ascend",
        of_status.is_sorted_by(|left, right| left.heal_op_id < right.heal_op_id),
    )?;
    holds("only that status", of_status.iter().all(|operation| operation.status == status))?;
    holds("it is among its status", of_status.contains(&found))?;
    let of_ticket = all_pages(async |page| client.heal_ops_by_ticket(&found.ticket_id, page).await).await?;
    holds(
        "ids of a ticket ascend",
        of_ticket.is_sorted_by(|left, right| left.heal_op_id < right.heal_op_id),
    )?;
    holds("it is among its ticket's", of_ticket.contains(&found))
}

fn claim(heal_op_id: u64, ticket_id: &str) -> ChainMessage {
    ChainMessage::HealClaim(HealClaimMessage {
        heal_op_id,
        ticket_id: ticket_id.to_owned(),
        heal_manifest_hash: "conformance".to_owned(),
        details: String::new(),
    })
}

/// A submission was refused for this reason, which makes it certain that nothing happened.
fn rejected<T: Debug>(found: Result<T, ChainError>, reason: RejectionReason) -> CheckResult {
    refused(&format!("Rejected with {reason:?}"), found, |error| {
        error.rejection() == Some(reason) && error.is_certainly_not_applied() && !error.is_transient()
    })
}

async fn refusals(client: &dyn ChainClient) -> CheckResult {
    rejected(client.submit(claim(u64::MAX, "ticket")).await, RejectionReason::HealOpNotFound)?;
    rejected(client.submit(claim(0, "ticket")).await, RejectionReason::HealOpNotFound)?;
    let epoch_id = client.current_epoch().await?.epoch_id + 1_000_000;
    let report = EpochReportMessage { epoch_id, ..EpochReportMessage::default() };
    rejected(client.submit(ChainMessage::EpochReport(report)).await, RejectionReason::InvalidEpochId)?;
    let vote = HealVerificationMessage {
        heal_op_id: u64::MAX,
        verified: true,
        verification_hash: "conformance".to_owned(),
        details: String::new(),
    };
    rejected(client.submit(ChainMessage::HealVerification(vote)).await, RejectionReason::HealOpNotFound)?;
    let found = client.epoch_report(client.account_address(), epoch_id).await;
    refused("NotFound for the refused report", found, ChainError::is_not_found)
}

/// Evidence and tickets are refused for what they name; the reasons are those of the codes.
async fn refused_kinds(client: &dyn ChainClient) -> CheckResult {
    let evidence = RecheckEvidenceMessage {
        epoch_id: client.current_epoch().await?.epoch_id + 1_000_000,
        challenged_supernode_account: NOBODY.to_owned(),
        ticket_id: NOBODY.to_owned(),
        challenged_result_transcript_hash: "conformance".to_owned(),
        recheck_transcript_hash: "conformance-recheck".to_owned(),
        recheck_result_class: ResultClass::Pass,
        details: String::new(),
    };
    let incomplete = RecheckEvidenceMessage { ticket_id: String::new(), ..evidence.clone() };
    let submit = async |evidence| client.submit(ChainMessage::RecheckEvidence(evidence)).await;
    rejected(submit(evidence).await, RejectionReason::InvalidEpochId)?;
    rejected(submit(incomplete).await, RejectionReason::InvalidRecheckEvidence)?;
    let finalisation =
        FinalizeTicketMessage { ticket_id: NOBODY.to_owned(), rq_ids_ids: vec!["conformance".to_owned()] };
    let finalised = client.submit(ChainMessage::FinalizeTicket(finalisation)).await;
    rejected(finalised, RejectionReason::InvalidTicketState)?;
    let request = RequestTicketMessage { price: "nothing".to_owned(), ..RequestTicketMessage::default() };
    rejected(client.submit(ChainMessage::RequestTicket(request)).await, RejectionReason::InvalidPrice)
}

async fn forced(client: &dyn ChainClient, fault: ForcedFault) -> CheckResult {
    match fault {
        ForcedFault::Unreachable => {
            refused("Transient, certainly not applied", client.params().await, |error| {
                error.is_transient() && error.is_certainly_not_applied() && !error.is_not_found()
            })?
        }
        ForcedFault::OutcomeUnknown => {
            let submitted = client.submit(claim(u64::MAX, "ticket")).await;
            refused("Transient with an unknown outcome", submitted, |error| {
                error.is_transient() && !error.is_certainly_not_applied()
            })?;
        }
        ForcedFault::Unavailable => {
            let is_unavailable = |error: &ChainError| matches!(error, ChainError::Unavailable { .. });
            refused("Unavailable, not transient", client.params().await, is_unavailable)?;
        }
    }
    client.params().await.map(|_| ()).map_err(Failure::from)
}

async fn writes(fixture: &dyn ChainFixture, report: &mut Report, skipped: &mut Vec<String>) {
    let client = fixture.client();
    report.check("a report is executed once, and read back", own_report(&*client)).await;
    let name = "a claim is executed once";
    match fixture.heal_op_to_claim() {
        Some(id) => report.check(name, own_claim(&*client, id)).await,
        None => skipped.push(name.to_owned()),
    }
    let name = "a vote has to repeat the claimed hash, and counts once";
    match fixture.heal_op_to_verify() {
        Some((id, hash)) => report.check(name, own_vote(&*client, id, &hash)).await,
        None => skipped.push(name.to_owned()),
    }
}

async fn own_report(client: &dyn ChainClient) -> CheckResult {
    let before = client.status().await?.latest_height;
    let epoch_id = client.current_epoch().await?.epoch_id;
    let mut report = EpochReportMessage { epoch_id, ..EpochReportMessage::default() };
    report.host_report.failed_actions_count = 3;
    let message = || ChainMessage::EpochReport(report.clone());
    // Two at once: exactly one of them can be the first.
    let (first, second) = futures::join!(client.submit(message()), client.submit(message()));
    let (accepted, other) = if first.is_ok() { (first, second) } else { (second, first) };
    let receipt = accepted?;
    rejected(other, RejectionReason::DuplicateReport)?;
    holds("it was executed in a later block", receipt.height > before)?;
    holds("the receipt names the transaction", !receipt.tx_hash.is_empty())?;
    holds("its block is committed", client.status().await?.latest_height >= receipt.height)?;
    let stored = client.epoch_report(client.account_address(), epoch_id).await?;
    equal("account", stored.supernode_account.as_str(), client.account_address())?;
    equal("height", stored.report_height, receipt.height)?;
    equal("what it says", stored.host_report, report.host_report)
}

async fn own_claim(client: &dyn ChainClient, id: u64) -> CheckResult {
    let ticket_id = client.heal_op(id).await?.ticket_id;
    let wrong = client.submit(claim(id, "another ticket")).await;
    rejected(wrong, RejectionReason::HealOpTicketMismatch)?;
    client.submit(claim(id, &ticket_id)).await?;
    let claimed = client.heal_op(id).await?;
    equal("status", claimed.status, HealOpStatus::HealerReported)?;
    equal("hash", claimed.result_hash.as_str(), "conformance")?;
    rejected(client.submit(claim(id, &ticket_id)).await, RejectionReason::HealOpInvalidState)
}

async fn own_vote(client: &dyn ChainClient, id: u64, hash: &str) -> CheckResult {
    let vote = |hash: &str| {
        ChainMessage::HealVerification(HealVerificationMessage {
            heal_op_id: id,
            verified: true,
            verification_hash: hash.to_owned(),
            details: String::new(),
        })
    };
    rejected(client.submit(vote("another hash")).await, RejectionReason::InvalidHealVerification)?;
    client.submit(vote(hash)).await?;
    // A lone verifier's vote decides; otherwise the operation goes on waiting for the others.
    let reason = match client.heal_op(id).await?.status {
        HealOpStatus::HealerReported => RejectionReason::VerificationAlreadySubmitted,
        _ => RejectionReason::HealOpInvalidState,
    };
    rejected(client.submit(vote(hash)).await, reason)
}
