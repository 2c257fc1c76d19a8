//! A chain of which nobody has told what it holds: the suite looks at what it finds there.
//!
//! Owns the search. It goes through the client under test, so what a client hides is not missed: the suite then only
//! finds out whether its answers fit each other. A plugin's own tests, which know what they planted, see more.

use super::super::chain::{ChainFixture, ForcedFault};
use super::super::{Failure, equal};
use async_trait::async_trait;
use lampkeeper_api::chain::{
    ChainClient, ChainError, HealOp, HealOpStatus, PAGE_LIMIT_MAX, Page, PageRequest,
};
use lampkeeper_api::scheduler::Scheduler;
use lampkeeper_api::{Account, TicketId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pages of a list that are read at most.
const PAGES_MAX: usize = 16;
/// Nodes and tickets that are searched for scores at most.
const SCORES_MAX: usize = 64;

/// How long a chain that was just started may take until its first epoch begins.
const START_MAX: Duration = Duration::from_secs(30);
/// The time between two looks at a chain that starts.
const START_LOOK: Duration = Duration::from_millis(50);

/// What was found.
pub(super) struct FoundChain {
    client: Arc<dyn ChainClient>,
    supernodes: Vec<Account>,
    tickets: Vec<TicketId>,
    finished: Option<(TicketId, Account)>,
    heal_ops: BTreeMap<HealOpStatus, Vec<HealOp>>,
    scored: Option<(Account, Account, TicketId)>,
}

impl FoundChain {
    /// Looks around, as soon as the chain's first epoch has begun.
    ///
    /// # Errors
    /// If the client can't be asked, or its account is not a supernode's.
    pub(super) async fn explore(
        client: Arc<dyn ChainClient>,
        scheduler: &dyn Scheduler,
    ) -> Result<Self, Failure> {
        wait_for_an_epoch(&*client, scheduler).await?;
        let found = all(async |page| client.supernodes(page).await).await?;
        let supernodes: Vec<Account> = found.into_iter().map(|node| node.supernode_account).collect();
        let own = client.account_address().to_owned();
        equal("whether the chain has the supernode of the test", supernodes.contains(&own), true)?;
        let tickets = all(async |page| client.tickets(page).await).await?;
        let mut stored = tickets.iter().filter(|ticket| ticket.state.is_stored());
        let finished = stored.find_map(|ticket| {
            let finaliser = ticket.supernode_accounts.first()?;
            Some((ticket.ticket_id.clone(), finaliser.clone()))
        });
        let tickets: Vec<TicketId> = tickets.into_iter().map(|ticket| ticket.ticket_id).collect();
        let mut heal_ops = BTreeMap::new();
        for status in HealOpStatus::ALL.into_iter().skip(1) {
            let found = all(async |page| client.heal_ops_by_status(status, page).await).await?;
            heal_ops.insert(status, found);
        }
        let scored = scored(&*client, &supernodes, &tickets).await;
        Ok(Self { client, supernodes, tickets, finished, heal_ops, scored })
    }

    fn heal_op(&self, status: HealOpStatus, is_meant: impl Fn(&HealOp) -> bool) -> Option<&HealOp> {
        self.heal_ops.get(&status)?.iter().find(|operation| is_meant(operation))
    }
}

async fn wait_for_an_epoch(client: &dyn ChainClient, scheduler: &dyn Scheduler) -> Result<(), Failure> {
    let begun = scheduler.now();
    loop {
        let has_begun =
            client.current_epoch().await?.epoch_start_height <= client.status().await?.latest_height;
        if has_begun || scheduler.now().since(begun) >= START_MAX {
            return equal("whether the chain's first epoch has begun", has_begun, true);
        }
        scheduler.sleep(START_LOOK).await;
    }
}

async fn all<T>(list: impl AsyncFn(PageRequest) -> Result<Page<T>, ChainError>) -> Result<Vec<T>, Failure> {
    let mut found = Vec::new();
    let mut request = Some(PageRequest { key: None, limit: PAGE_LIMIT_MAX });
    for _ in 0..PAGES_MAX {
        let Some(wanted) = request else { break };
        let page = list(wanted.clone()).await?;
        request = wanted.after(&page);
        found.extend(page.items);
    }
    Ok(found)
}

/// The first of each kind that has a score.
async fn scored(
    client: &dyn ChainClient,
    supernodes: &[Account],
    tickets: &[TicketId],
) -> Option<(Account, Account, TicketId)> {
    let (mut suspected, mut reporter, mut deteriorating) = (None, None, None);
    for account in supernodes.iter().take(SCORES_MAX) {
        if suspected.is_none() && client.node_suspicion(account).await.is_ok() {
            suspected = Some(account.clone());
        }
        if reporter.is_none() && client.reporter_reliability(account).await.is_ok() {
            reporter = Some(account.clone());
        }
    }
    for ticket in tickets.iter().take(SCORES_MAX) {
        if deteriorating.is_none() && client.ticket_deterioration(ticket).await.is_ok() {
            deteriorating = Some(ticket.clone());
        }
    }
    Some((suspected?, reporter?, deteriorating?))
}

#[async_trait]
impl ChainFixture for FoundChain {
    fn client(&self) -> Arc<dyn ChainClient> {
        Arc::clone(&self.client)
    }

    fn supernodes(&self) -> Vec<Account> {
        self.supernodes.clone()
    }

    fn ticket(&self) -> Option<(TicketId, Account)> {
        self.finished.clone()
    }

    fn tickets(&self) -> Option<Vec<TicketId>> {
        (!self.tickets.is_empty()).then(|| self.tickets.clone())
    }

    fn heal_op_in(&self, status: HealOpStatus) -> Option<u64> {
        self.heal_op(status, |_| true).map(|operation| operation.heal_op_id)
    }

    fn heal_op_to_claim(&self) -> Option<u64> {
        let own = self.client.account_address();
        let is_mine = |operation: &HealOp| operation.healer_supernode_account == own;
        self.heal_op(HealOpStatus::Scheduled, is_mine).map(|operation| operation.heal_op_id)
    }

    fn heal_op_to_verify(&self) -> Option<(u64, String)> {
        let own = self.client.account_address();
        let waits =
            |operation: &HealOp| operation.verifier_supernode_accounts.iter().any(|verifier| verifier == own);
        let operation = self.heal_op(HealOpStatus::HealerReported, waits)?;
        Some((operation.heal_op_id, operation.result_hash.clone()))
    }

    fn scored(&self) -> Option<(Account, Account, TicketId)> {
        self.scored.clone()
    }

    async fn force(&self, _: ForcedFault) -> bool {
        false
    }
}
