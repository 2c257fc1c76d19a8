//! What a running chain remembers of its blocks and transactions, for those who ask by height or hash (chain 9.4).
//!
//! Owns the bound on that memory. Nothing here takes part in a rule.

use crate::api::Account;
use crate::event::Event;
use crate::message::Response;
use crate::transaction::{TxResult, merged};
use std::collections::BTreeMap;

/// A transaction that a block executed.
#[derive(Debug, Clone, PartialEq)]
pub struct TxRecord {
    /// Uppercase hex.
    pub tx_hash: String,
    /// The block.
    pub height: i64,
    /// Its place in the block; counts from 0.
    pub index: u32,
    /// The block's time, in milliseconds since 1970.
    pub block_time_ms: i64,
    /// Who signed.
    pub signer: Account,
    /// The bytes that it was broadcast as; empty if it was handed in decoded.
    pub raw: Vec<u8>,
    /// What became of it.
    pub result: TxResult,
}

impl TxRecord {
    /// The code: 0 for a transaction that took effect.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.result.as_ref().err().map_or(0, |failure| failure.refusal.code)
    }

    /// The codespace of the code; empty for code 0.
    #[must_use]
    pub fn codespace(&self) -> &str {
        self.result.as_ref().err().map_or("", |failure| &failure.refusal.codespace)
    }

    /// The log: empty for code 0, otherwise the words of chain 0.2.
    #[must_use]
    pub fn raw_log(&self) -> String {
        self.result.as_ref().err().map(ToString::to_string).unwrap_or_default()
    }

    /// The events of all messages, in order, each with the message's index. A refused transaction has none.
    pub fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        let delivered = self.result.as_deref().unwrap_or_default().iter().enumerate();
        delivered.flat_map(|(index, each)| each.events.iter().map(move |event| (index, event)))
    }

    /// The answers of all messages, in order. A refused transaction has none.
    pub fn responses(&self) -> impl Iterator<Item = &Response> {
        self.result.as_deref().unwrap_or_default().iter().map(|each| &each.response)
    }

    /// The result as that of one message: its first answer, and all of its events.
    ///
    /// # Errors
    /// The refusal.
    pub fn merged(&self) -> Result<crate::block::Delivered, crate::refusal::Refusal> {
        merged(&self.result)
    }
}

/// A block that was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockRecord {
    /// Its height.
    pub height: i64,
    /// Its hash.
    pub header_hash: [u8; 32],
    /// Its time, in milliseconds since 1970.
    pub block_time_ms: i64,
    /// The hashes of its transactions, in the order of their execution.
    pub tx_hashes: Vec<String>,
    /// What BeginBlock told.
    pub begin_events: Vec<Event>,
    /// What EndBlock told.
    pub end_events: Vec<Event>,
}

/// The last blocks and their transactions.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    blocks: BTreeMap<i64, BlockRecord>,
    transactions: BTreeMap<String, TxRecord>,
}

impl Ledger {
    /// Remembers a block, and forgets the oldest beyond `blocks_max`.
    pub(crate) fn add(&mut self, block: BlockRecord, transactions: Vec<TxRecord>, blocks_max: usize) {
        self.blocks.insert(block.height, block);
        self.transactions.extend(transactions.into_iter().map(|record| (record.tx_hash.clone(), record)));
        while self.blocks.len() > blocks_max {
            let Some((_, oldest)) = self.blocks.pop_first() else { return };
            for tx_hash in &oldest.tx_hashes {
                self.transactions.remove(tx_hash);
            }
        }
    }

    pub(crate) fn block(&self, height: i64) -> Option<&BlockRecord> {
        self.blocks.get(&height)
    }

    pub(crate) fn latest(&self) -> Option<&BlockRecord> {
        self.blocks.last_key_value().map(|(_, block)| block)
    }

    /// A transaction by its hash, in either case of the hex.
    pub(crate) fn transaction(&self, tx_hash: &str) -> Option<&TxRecord> {
        self.transactions.get(&tx_hash.to_ascii_uppercase())
    }
}
