//! The chain seam, answered from the script.

use super::{ChainCall, MockChain};
use async_trait::async_trait;
use lampkeeper_api::EpochId;
use lampkeeper_api::chain::{
    AccountInfo, AssignedTargets, ChainClient, ChainError, ChainMessage, ChainReader, ChainStatus,
    EpochAnchor, EpochInfo, EpochReport, HealOp, HealOpStatus, NodeSuspicion, Page, PageRequest, Params,
    ReporterReliability, Supernode, Ticket, TicketDeterioration, TxReceipt,
};

#[async_trait]
impl ChainReader for MockChain {
    async fn status(&self) -> Result<ChainStatus, ChainError> {
        self.answer(ChainCall::Status)
    }
    async fn params(&self) -> Result<Params, ChainError> {
        self.answer(ChainCall::Params)
    }
    async fn current_epoch(&self) -> Result<EpochInfo, ChainError> {
        self.answer(ChainCall::CurrentEpoch)
    }
    async fn epoch_anchor(&self, epoch_id: EpochId) -> Result<EpochAnchor, ChainError> {
        self.answer(ChainCall::EpochAnchor(epoch_id))
    }
    async fn assigned_targets(
        &self,
        account: &str,
        epoch_id: EpochId,
    ) -> Result<AssignedTargets, ChainError> {
        self.answer(ChainCall::AssignedTargets(account.to_owned(), epoch_id))
    }
    async fn epoch_report(&self, account: &str, epoch_id: EpochId) -> Result<EpochReport, ChainError> {
        self.answer(ChainCall::EpochReport(account.to_owned(), epoch_id))
    }
    async fn heal_op(&self, heal_op_id: u64) -> Result<HealOp, ChainError> {
        self.answer(ChainCall::HealOp(heal_op_id))
    }
    async fn heal_ops_by_status(
        &self,
        status: HealOpStatus,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        self.answer(ChainCall::HealOpsByStatus(status, page))
    }
    async fn heal_ops_by_ticket(
        &self,
        ticket_id: &str,
        page: PageRequest,
    ) -> Result<Page<HealOp>, ChainError> {
        self.answer(ChainCall::HealOpsByTicket(ticket_id.to_owned(), page))
    }
    async fn ticket(&self, ticket_id: &str) -> Result<Ticket, ChainError> {
        self.answer(ChainCall::Ticket(ticket_id.to_owned()))
    }
    async fn tickets_of_supernode(
        &self,
        account: &str,
        page: PageRequest,
    ) -> Result<Page<Ticket>, ChainError> {
        self.answer(ChainCall::TicketsOfSupernode(account.to_owned(), page))
    }
    async fn tickets(&self, page: PageRequest) -> Result<Page<Ticket>, ChainError> {
        self.answer(ChainCall::Tickets(page))
    }
    async fn ticket_deterioration(&self, ticket_id: &str) -> Result<TicketDeterioration, ChainError> {
        self.answer(ChainCall::TicketDeterioration(ticket_id.to_owned()))
    }
    async fn node_suspicion(&self, account: &str) -> Result<NodeSuspicion, ChainError> {
        self.answer(ChainCall::NodeSuspicion(account.to_owned()))
    }
    async fn reporter_reliability(&self, account: &str) -> Result<ReporterReliability, ChainError> {
        self.answer(ChainCall::ReporterReliability(account.to_owned()))
    }
    async fn supernode(&self, account: &str) -> Result<Supernode, ChainError> {
        self.answer(ChainCall::Supernode(account.to_owned()))
    }
    async fn supernodes(&self, page: PageRequest) -> Result<Page<Supernode>, ChainError> {
        self.answer(ChainCall::Supernodes(page))
    }
    async fn top_supernodes(&self, height: i64, limit: u32) -> Result<Vec<Supernode>, ChainError> {
        self.answer(ChainCall::TopSupernodes(height, limit))
    }
    async fn account(&self, address: &str) -> Result<AccountInfo, ChainError> {
        self.answer(ChainCall::Account(address.to_owned()))
    }
}

#[async_trait]
impl ChainClient for MockChain {
    fn account_address(&self) -> &str {
        &self.account
    }

    async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        self.answer(ChainCall::Submit(Box::new(message)))
    }
}
