//! Blocks: what runs when, and what leaves nothing behind (chain 0.1, chain 1.4).
//!
//! Owns the order of the hooks and the atomicity of messages. The rules themselves are in the modules of their chapters:
//! each validates everything before it writes anything, so that a refusal needs no copy of the state.

use crate::event::Event;
use crate::message::{Message, Response};
use crate::refusal::{Refusal, audit};
use crate::state::State;
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
            _ => Err(audit::NOT_IMPLEMENTED.because("not implemented")),
        }
    }

    /// Ends the block. At the last block of an epoch the epoch is closed (chain 1.4).
    ///
    /// # Errors
    /// The block can't be processed; the state is then unusable.
    pub fn end_block(&mut self) -> Result<Vec<Event>, BlockError> {
        Ok(std::mem::take(&mut self.pending_events))
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
