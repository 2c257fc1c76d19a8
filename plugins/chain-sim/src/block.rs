//! Blocks: what runs when, and what leaves nothing behind (chain 0.1, chain 1.4).
//!
//! Owns the order of the hooks and the atomicity of messages. The rules themselves are in the modules of their chapters:
//! each validates everything before it writes anything, so that a refusal needs no copy of the state.

use crate::address;
use crate::api::EpochId;
use crate::event::Event;
use crate::message::{Message, Response};
use crate::refusal::{Refusal, audit, sdk};
use crate::state::State;
use crate::state::bank::DENOM;
use serde::{Deserialize, Serialize};

/// What block hashes are drawn under.
const HEADER_DOMAIN: &[u8] = b"lampkeeper/chain-sim/header";

/// A block could not be processed; a real chain would halt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("processing a block failed: {reason}")]
pub struct BlockError {
    /// What was wrong.
    pub reason: String,
}

impl BlockError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// An executed message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delivered {
    /// What it answered.
    pub response: Response,
    /// What it told, in order.
    pub events: Vec<Event>,
}

/// A block that was processed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Block {
    /// Its height.
    pub height: i64,
    /// What BeginBlock told.
    pub begin_events: Vec<Event>,
    /// What became of each message, in the order of the messages.
    pub results: Vec<Result<Delivered, Refusal>>,
    /// What EndBlock told.
    pub end_events: Vec<Event>,
}

impl State {
    /// The hash of the block at a height, drawn from the chain's seed.
    #[must_use]
    pub fn header_hash(&self, height: i64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(HEADER_DOMAIN).update(self.chain_id.as_bytes());
        hasher.update(&self.seed.to_be_bytes()).update(&height.to_be_bytes());
        hasher.finalize().into()
    }

    /// Begins a block. At the first block of an epoch its anchor is written.
    ///
    /// An empty `header_hash` stands for a hash that is not available (chain 1.2).
    ///
    /// # Errors
    /// The block can't be processed; the state is then unusable.
    pub fn begin_block(
        &mut self,
        height: i64,
        header_hash: &[u8],
        block_time_ms: i64,
    ) -> Result<Vec<Event>, BlockError> {
        self.height = height;
        self.block_time_ms = block_time_ms;
        let schedule = self.schedule();
        let epoch_id = schedule.epoch_at(height);
        if height == schedule.start_height(epoch_id) {
            self.write_anchor(epoch_id, header_hash)?;
        }
        Ok(std::mem::take(&mut self.pending_events))
    }

    /// Executes one message in the block that was begun. A refused message leaves nothing behind.
    ///
    /// # Errors
    /// The chain's refusal, with its code and words.
    pub fn deliver(&mut self, message: &Message, creator: &str) -> Result<Delivered, Refusal> {
        self.pending_events.clear();
        let outcome = self.execute(message, creator);
        let events = std::mem::take(&mut self.pending_events);
        outcome.map(|response| Delivered { response, events })
    }

    fn execute(&mut self, message: &Message, creator: &str) -> Result<Response, Refusal> {
        match message {
            Message::Nil => Err(audit::INVALID_SIGNER.because("empty request")),
            Message::EpochReport(report) => self.submit_epoch_report(report, creator),
            Message::Evidence(evidence) => self.submit_evidence(evidence, creator),
            Message::RecheckEvidence(recheck) => self.submit_recheck(recheck, creator),
            Message::HealClaim(claim) => self.claim_heal(claim, creator),
            Message::HealVerification(vote) => self.verify_heal(vote, creator),
            Message::UpdateParams { params, has_unnamed_mode } => {
                self.update_params(params, *has_unnamed_mode, creator)
            }
            Message::RegisterSupernode(registration) => self.register_supernode(registration, creator),
            Message::DeregisterSupernode { validator_address } => {
                self.deregister_supernode(validator_address, creator)
            }
            Message::StartSupernode { validator_address } => self.start_supernode(validator_address, creator),
            Message::StopSupernode { validator_address, reason } => {
                self.stop_supernode(validator_address, reason, creator)
            }
            Message::UpdateSupernode(update) => self.update_supernode(update, creator),
            Message::ReportMetrics { validator_address, metrics } => {
                self.report_metrics(validator_address, metrics, creator)
            }
            Message::RequestAction(request) => self.request_action(request, creator),
            Message::FinalizeAction(finalisation) => self.finalize_action(finalisation, creator),
            Message::ApproveAction { action_id } => self.approve_action(action_id, creator),
            Message::BankSend { to, amount_ulume } => self.bank_send(creator, to, *amount_ulume),
        }
    }

    fn bank_send(&mut self, from: &str, to: &str, amount_ulume: u64) -> Result<Response, Refusal> {
        if let Some(wrong) = [from, to].into_iter().find(|address| !address::is_account(address)) {
            return Err(sdk::INVALID_ADDRESS.because(format!("{wrong:?} is not an account")));
        }
        if amount_ulume == 0 {
            return Err(sdk::INVALID_REQUEST.because("amount must be positive"));
        }
        if self.bank.transfer(from, to, amount_ulume) {
            return Ok(Response::Empty);
        }
        let balance = self.bank.balance_ulume(from);
        let words = format!("spendable balance {balance}{DENOM} is smaller than {amount_ulume}{DENOM}");
        Err(sdk::INSUFFICIENT_FUNDS.because(words))
    }

    /// Ends the block: the last block of an epoch closes it (chain 1.4), then actions expire.
    ///
    /// # Errors
    /// The block can't be processed; the state is then unusable.
    pub fn end_block(&mut self) -> Result<Vec<Event>, BlockError> {
        let schedule = self.schedule();
        let epoch_id = schedule.epoch_at(self.height);
        if self.height == schedule.end_height(epoch_id) {
            self.close_epoch(epoch_id)?;
        }
        self.expire_actions();
        Ok(std::mem::take(&mut self.pending_events))
    }

    /// The five steps of an epoch's close, with the current parameters (chain 1.4).
    ///
    /// # Errors
    /// A heal operation is corrupt.
    pub fn close_epoch(&mut self, epoch_id: EpochId) -> Result<(), BlockError> {
        let params = self.params();
        self.enforce(epoch_id, &params);
        self.penalise_divergence(epoch_id, &params);
        self.reward_clean_epochs(epoch_id, &params);
        self.expire_heal_ops(epoch_id, &params)?;
        self.schedule_heal_ops(epoch_id, &params);
        self.prune(epoch_id, &params);
        Ok(())
    }

    /// Processes the next block, one second later, with these messages and their creators.
    ///
    /// # Errors
    /// The block can't be processed.
    pub fn next_block(&mut self, messages: &[(String, Message)]) -> Result<Block, BlockError> {
        let height = self.height + 1;
        let begin_events = self.begin_block(height, &self.header_hash(height), self.block_time_ms + 1000)?;
        let results = messages.iter().map(|(creator, message)| self.deliver(message, creator)).collect();
        Ok(Block { height, begin_events, results, end_events: self.end_block()? })
    }

    /// Processes empty blocks up to and including a height.
    ///
    /// # Errors
    /// A block can't be processed.
    pub fn advance_to(&mut self, height: i64) -> Result<(), BlockError> {
        while self.height < height {
            self.next_block(&[])?;
        }
        Ok(())
    }
}
