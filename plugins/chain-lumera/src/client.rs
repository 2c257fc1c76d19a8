//! The seam's calls as the chain's.
//!
//! Owns which query answers which call, and the check of arguments that the chain would refuse in words only. Where a
//! call goes is the pool's business, a submission the sender's.

use crate::accounts;
use crate::config::Settings;
use crate::convert;
use crate::fault::{describe, transient};
use crate::pool::Pool;
use crate::sender::Sender;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, PAGE_LIMIT_MAX, Page,
    PageRequest, Params, ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};
use lampkeeper_plugin_sdk::api::plugin::NodeInfo;
use lampkeeper_plugin_sdk::api::scheduler::Scheduler;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::telemetry::Telemetry;
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::account::KeyType;
use lampkeeper_proto::calls::{Call, action, audit, supernode};
use lampkeeper_proto::cosmos::base::query::v1beta1::{PageRequest as WirePage, PageResponse};
use lampkeeper_proto::lumera::{
    action::v1 as action_wire, audit::v1 as audit_wire, supernode::v1 as node_wire,
};
use prost::{Message, Name};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Anchors that are remembered: they never change.
const ANCHORS_MAX: usize = 8;
/// The most pages of a list that are followed, of [`PAGE_LIMIT_MAX`] records each.
pub const LIST_PAGES_MAX: usize = 1000;
/// How often a page of all tickets is asked for while tickets are being added.
const TICKET_PAGE_TRIES: usize = 4;

/// A client of Lumera's chain that signs for one account.
pub struct LumeraClient {
    pool: Arc<Pool>,
    sender: Sender,
    anchors: Mutex<BTreeMap<EpochId, EpochAnchor>>,
    /// The greatest height that was told: heights never go back, whichever endpoint is asked.
    told_height: Mutex<i64>,
}

impl std::fmt::Debug for LumeraClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LumeraClient")
            .field("account", &self.sender.account())
            .finish_non_exhaustive()
    }
}

impl LumeraClient {
    pub(crate) fn new(
        settings: Settings,
        node: &NodeInfo,
        signer: Arc<dyn Signer>,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Result<Self, String> {
        let needs_evm = signer.public_key_type_url() == KeyType::EthSecp256k1.type_url();
        let (targets, chain_id) = (&settings.targets, &node.chain_id);
        let pool = Arc::new(Pool::new(targets, chain_id, settings.call, needs_evm, scheduler, telemetry)?);
        Ok(Self {
            sender: Sender::new(Arc::clone(&pool), signer, settings.tx, &node.data_dir),
            pool,
            anchors: Mutex::new(BTreeMap::new()),
            told_height: Mutex::new(0),
        })
    }

    /// Any query of the chain in its own messages: for what the seam has no call for.
    ///
    /// ```no_run
    /// # async fn show(client: &lampkeeper_chain_lumera::LumeraClient) -> Result<(), Box<dyn std::error::Error>> {
    /// use lampkeeper_proto::calls;
    /// use lampkeeper_proto::cosmos::bank::v1beta1::QueryBalanceRequest;
    /// use lampkeeper_plugin_sdk::api::chain::ChainClient;
    ///
    /// let address = client.account_address().to_owned();
    /// let request = QueryBalanceRequest { address, denom: "ulume".to_owned() };
    /// let balance = client.query(calls::bank::BALANCE, request).await?.balance;
    /// # let _ = balance;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As those of the seam's own queries.
    pub async fn query<Q, R>(&self, call: Call<Q, R>, request: Q) -> Result<R, ChainError>
    where
        Q: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        self.pool.call(call, request).await
    }

    /// A list of the chain in its own messages, all pages of it. `request` makes the request for a page, `read` takes an
    /// answer apart.
    ///
    /// # Errors
    /// As those of the seam's own queries; `Unavailable` if the list does not end within [`LIST_PAGES_MAX`] pages.
    pub async fn query_list<Q, R, T>(
        &self,
        call: Call<Q, R>,
        mut request: impl FnMut(WirePage) -> Q,
        mut read: impl FnMut(R) -> (Vec<T>, Option<PageResponse>),
    ) -> Result<Vec<T>, ChainError>
    where
        Q: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let mut wanted = WirePage { limit: u64::from(PAGE_LIMIT_MAX), ..WirePage::default() };
        let mut items = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            let (found, pagination) = read(self.pool.call(call, request(wanted.clone())).await?);
            items.extend(found);
            wanted.key = pagination.map(|page| page.next_key).unwrap_or_default();
            if wanted.key.is_empty() {
                return Ok(items);
            }
        }
        Err(malformed(call.path(), format!("the list does not end within {LIST_PAGES_MAX} pages")))
    }

    /// Submits any message of the chain, whose signer has to be this client's account, and waits until the chain has
    /// executed it: for what the seam has no message for.
    ///
    /// # Errors
    /// As those of [`ChainClient::submit`].
    pub async fn submit_message<M: Message + Name>(&self, message: &M) -> Result<TxReceipt, ChainError> {
        self.sender.submit_message(message).await
    }

    /// How many tickets there are.
    async fn ticket_count(&self) -> Result<u64, ChainError> {
        Ok(self.tickets_reversed(0, 1).await?.1)
    }

    /// Tickets by descending number from an offset on, and how many there are in all.
    async fn tickets_reversed(
        &self,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<action_wire::Action>, u64), ChainError> {
        let request = action_wire::QueryListActionsRequest {
            action_type: action_wire::ActionType::Cascade as i32,
            action_state: action_wire::ActionState::Unspecified as i32,
            pagination: Some(WirePage { key: Vec::new(), offset, limit, count_total: true, reverse: true }),
        };
        let answer = self.pool.call(action::LIST_ACTIONS, request).await?;
        let total = answer.pagination.map_or(0, |page| page.total);
        Ok((answer.actions, if total == 0 { answer.total } else { total }))
    }
}

fn invalid(reason: impl Into<String>) -> ChainError {
    ChainError::InvalidRequest { reason: reason.into() }
}

/// The answer lacks what it is about, or can't be read.
fn malformed(what: &str, reason: impl std::fmt::Display) -> ChainError {
    ChainError::Unavailable { reason: format!("the chain's answer about {what} can't be used: {reason}") }
}

fn there<T>(record: Option<T>, what: &str) -> Result<T, ChainError> {
    record.ok_or_else(|| ChainError::NotFound { what: what.to_owned() })
}

fn check_limit(page: &PageRequest) -> Result<(), ChainError> {
    if (1..=PAGE_LIMIT_MAX).contains(&page.limit) {
        return Ok(());
    }
    Err(invalid(format!("a page of {} records: ask for 1 to {PAGE_LIMIT_MAX}", page.limit)))
}

fn wire_page(page: PageRequest) -> Result<WirePage, ChainError> {
    check_limit(&page)?;
    Ok(WirePage { key: page.key.unwrap_or_default(), limit: u64::from(page.limit), ..WirePage::default() })
}

fn page<T>(items: Vec<T>, pagination: Option<PageResponse>) -> Page<T> {
    let next_key = pagination.map(|page| page.next_key).filter(|key| !key.is_empty());
    Page { items, next_key }
}

/// Actions that are files, as tickets.
fn tickets(actions: Vec<action_wire::Action>) -> Result<Vec<Ticket>, ChainError> {
    let files = actions.into_iter().filter(convert::is_cascade);
    files.map(|action| convert::ticket(action).map_err(|reason| malformed("tickets", reason))).collect()
}

#[async_trait]
impl ChainReader for LumeraClient {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        let chosen = self.pool.choose("the latest block").await?;
        let answered = self.pool.status_at(chosen).await;
        let attempted = || "asking the chain for the latest block".to_owned();
        let status = answered.map_err(|status| transient(attempted(), describe(&status), false))?;
        let mut told = self.told_height.lock().unwrap_or_else(PoisonError::into_inner);
        if status.latest_height < *told {
            let reason = format!("the endpoint is at {}, and {told} was seen before", status.latest_height);
            return Err(transient(attempted(), reason, false));
        }
        *told = status.latest_height;
        Ok(ChainStatus { chain_id: self.pool.chain_id().to_owned(), ..status })
    }

    async fn params(&self) -> Result<Params, ChainError> {
        let answer = self.pool.call(audit::PARAMS, audit_wire::QueryParamsRequest {}).await?;
        Ok(convert::params(answer.params.unwrap_or_default()))
    }

    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        let answer = self.pool.call(audit::CURRENT_EPOCH, audit_wire::QueryCurrentEpochRequest {}).await?;
        Ok(EpochInfo {
            epoch_id: answer.epoch_id,
            epoch_start_height: answer.epoch_start_height,
            epoch_end_height: answer.epoch_end_height,
        })
    }

    async fn epoch_anchor(&self, epoch_id: EpochId) -> Result<EpochAnchor, ChainError> {
        let remembered = || self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(anchor) = remembered().get(&epoch_id) {
            return Ok(anchor.clone());
        }
        let request = audit_wire::QueryEpochAnchorRequest { epoch_id };
        let answer = self.pool.call(audit::EPOCH_ANCHOR, request).await?;
        let anchor = there(answer.anchor, "the epoch's anchor")?;
        let anchor = convert::anchor(anchor).map_err(|reason| malformed("an anchor", reason))?;
        let mut anchors = remembered();
        anchors.insert(epoch_id, anchor.clone());
        while anchors.len() > ANCHORS_MAX {
            anchors.pop_first();
        }
        Ok(anchor)
    }

    async fn assigned_targets(
        &self,
        account: &str,
        epoch_id: EpochId,
    ) -> Result<AssignedTargets, ChainError> {
        let request = audit_wire::QueryAssignedTargetsRequest {
            supernode_account: account.to_owned(),
            epoch_id,
            filter_by_epoch_id: true,
        };
        let answer = self.pool.call(audit::ASSIGNED_TARGETS, request).await?;
        Ok(AssignedTargets {
            epoch_id: answer.epoch_id,
            epoch_start_height: answer.epoch_start_height,
            required_open_ports: answer.required_open_ports,
            target_supernode_accounts: answer.target_supernode_accounts,
        })
    }

    async fn epoch_report(&self, account: &str, epoch_id: EpochId) -> Result<EpochReport, ChainError> {
        let request = audit_wire::QueryEpochReportRequest { epoch_id, supernode_account: account.to_owned() };
        let answer = self.pool.call(audit::EPOCH_REPORT, request).await?;
        Ok(convert::epoch_report(there(answer.report, "the report")?))
    }

    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        let answer = self.pool.call(audit::HEAL_OP, audit_wire::QueryHealOpRequest { heal_op_id }).await?;
        Ok(convert::heal_op(there(answer.heal_op, "the heal operation")?))
    }

    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        request: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        let pagination = Some(wire_page(request)?);
        let request = audit_wire::QueryHealOpsByStatusRequest { status: status.number(), pagination };
        let answer = self.pool.call(audit::HEAL_OPS_BY_STATUS, request).await?;
        Ok(page(answer.heal_ops.into_iter().map(convert::heal_op).collect(), answer.pagination))
    }

    async fn heal_ops_by_ticket(
        &self,
        ticket_id: &str,
        request: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        let pagination = Some(wire_page(request)?);
        let request = audit_wire::QueryHealOpsByTicketRequest { ticket_id: ticket_id.to_owned(), pagination };
        let answer = self.pool.call(audit::HEAL_OPS_BY_TICKET, request).await?;
        Ok(page(answer.heal_ops.into_iter().map(convert::heal_op).collect(), answer.pagination))
    }

    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        let request = action_wire::QueryGetActionRequest { action_id: ticket_id.to_owned() };
        let answer = self.pool.call(action::GET_ACTION, request).await?;
        let what = format!("a file with the number {ticket_id}");
        let found = there(answer.action.filter(convert::is_cascade), &what)?;
        convert::ticket(found).map_err(|reason| malformed("a ticket", reason))
    }

    async fn tickets_of_supernode(
        &self,
        account: &str,
        request: PageRequest,
    ) -> Result<Page<Ticket>, ChainError> {
        let pagination = Some(wire_page(request)?);
        let request = action_wire::QueryListActionsBySuperNodeRequest {
            super_node_address: account.to_owned(),
            pagination,
        };
        let answer = self.pool.call(action::LIST_ACTIONS_BY_SUPERNODE, request).await?;
        Ok(page(tickets(answer.actions)?, answer.pagination))
    }

    /// The chain lists actions by number only backwards (chain 9.3). Actions are never removed, so the position of a ticket
    /// from the first one never changes: a page's key is the number of tickets before it.
    async fn tickets(&self, request: PageRequest) -> Result<Page<Ticket>, ChainError> {
        check_limit(&request)?;
        let start = match &request.key {
            None => 0,
            Some(key) => <[u8; 8]>::try_from(key.as_slice())
                .map(u64::from_be_bytes)
                .map_err(|_| invalid("the key of a page of tickets has 8 bytes"))?,
        };
        let mut total = self.ticket_count().await?;
        for _ in 0..TICKET_PAGE_TRIES {
            let end = total.min(start.saturating_add(u64::from(request.limit)));
            if start >= end {
                return Ok(Page { items: Vec::new(), next_key: None });
            }
            let (mut actions, total_now) = self.tickets_reversed(total - end, end - start).await?;
            if total_now == total {
                actions.reverse();
                let next_key = (end < total).then(|| end.to_be_bytes().to_vec());
                return Ok(Page { items: tickets(actions)?, next_key });
            }
            total = total_now;
        }
        let reason = "tickets were added faster than they could be listed".to_owned();
        Err(transient("listing all tickets".to_owned(), reason, false))
    }

    async fn ticket_deterioration(&self, ticket_id: &str) -> Result<TicketDeterioration, ChainError> {
        let request = audit_wire::QueryTicketDeteriorationStateRequest { ticket_id: ticket_id.to_owned() };
        let answer = self.pool.call(audit::TICKET_DETERIORATION_STATE, request).await?;
        Ok(convert::deterioration(there(answer.state, "the ticket's score")?))
    }

    async fn node_suspicion(&self, account: &str) -> Result<NodeSuspicion, ChainError> {
        let request = audit_wire::QueryNodeSuspicionStateRequest { supernode_account: account.to_owned() };
        let answer = self.pool.call(audit::NODE_SUSPICION_STATE, request).await?;
        Ok(convert::suspicion(there(answer.state, "the node's score")?))
    }

    async fn reporter_reliability(&self, account: &str) -> Result<ReporterReliability, ChainError> {
        let request = audit_wire::QueryReporterReliabilityStateRequest {
            reporter_supernode_account: account.to_owned(),
        };
        let answer = self.pool.call(audit::REPORTER_RELIABILITY_STATE, request).await?;
        Ok(convert::reliability(there(answer.state, "the reporter's score")?))
    }

    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        let request =
            node_wire::QueryGetSuperNodeBySuperNodeAddressRequest { supernode_address: account.to_owned() };
        let answer = self.pool.call(supernode::GET_SUPERNODE_BY_ACCOUNT, request).await?;
        Ok(convert::supernode(there(answer.supernode, "the supernode")?))
    }

    async fn supernodes(&self, request: PageRequest) -> Result<Page<Supernode>, ChainError> {
        let request = node_wire::QueryListSuperNodesRequest { pagination: Some(wire_page(request)?) };
        let answer = self.pool.call(supernode::LIST_SUPERNODES, request).await?;
        Ok(page(answer.supernodes.into_iter().map(convert::supernode).collect(), answer.pagination))
    }

    async fn top_supernodes(&self, height: i64, limit: u32) -> Result<Vec<Supernode>, ChainError> {
        let refused = || invalid(format!("the top {limit} supernodes at height {height}"));
        let block_height = i32::try_from(height).ok().filter(|height| *height > 0).ok_or_else(refused)?;
        let limit = i32::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(refused)?;
        let request = node_wire::QueryGetTopSuperNodesForBlockRequest {
            block_height,
            limit,
            // Those who may finalise are ACTIVE (wire 2.8).
            state: node_wire::SuperNodeState::SupernodeStateActive.as_str_name().to_owned(),
        };
        let answer = self.pool.call(supernode::GET_TOP_SUPERNODES_FOR_BLOCK, request).await?;
        Ok(answer.supernodes.into_iter().map(convert::supernode).collect())
    }

    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        accounts::query(&self.pool, address).await
    }
}

#[async_trait]
impl ChainClient for LumeraClient {
    fn account_address(&self) -> &str {
        self.sender.account()
    }

    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        self.sender.submit(message).await
    }
}
