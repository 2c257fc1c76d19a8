//! Transactions: messages that are executed together or not at all (chain 0.2).
//!
//! Owns the order of execution, the sequence that a transaction uses up, and the words of a failed one. Whose turn a
//! transaction is belongs to the chain around the state machine.

use crate::api::Account;
use crate::block::Delivered;
use crate::event::Event;
use crate::message::Message;
use crate::refusal::Refusal;
use crate::state::State;
use std::fmt;

/// The most messages of a transaction.
pub const TRANSACTION_MESSAGES_MAX: usize = 100;

/// What an account signs.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// Whose sequence it uses up.
    pub signer: Account,
    /// Each message and its creator, in order.
    pub messages: Vec<(Account, Message)>,
}

impl Transaction {
    /// One message that its creator signs.
    #[must_use]
    pub fn single(creator: &str, message: Message) -> Self {
        Self { signer: creator.to_owned(), messages: vec![(creator.to_owned(), message)] }
    }

    /// The kinds of its messages, for people.
    #[must_use]
    pub fn kinds(&self) -> String {
        self.messages.iter().map(|(_, message)| message.kind()).collect::<Vec<_>>().join(", ")
    }
}

/// A transaction of which nothing is left but its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxFailure {
    /// The message that was refused; counts from 0.
    pub message_index: usize,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for TxFailure {
    /// The `raw_log` (chain 0.2).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.refusal.raw_log(self.message_index))
    }
}

impl std::error::Error for TxFailure {}

/// What became of a transaction's messages, in their order.
pub type TxResult = Result<Vec<Delivered>, TxFailure>;

/// The result of a transaction as that of one message: its first answer, and all of its events.
pub(crate) fn merged(result: &TxResult) -> Result<Delivered, Refusal> {
    match result {
        Ok(delivered) => {
            let response = delivered.first().map(|first| first.response.clone()).unwrap_or_default();
            let events: Vec<Event> = delivered.iter().flat_map(|each| each.events.clone()).collect();
            Ok(Delivered { response, events })
        }
        Err(failure) => Err(failure.refusal.clone()),
    }
}

impl State {
    /// Executes a transaction in the block that was begun. It uses up its signer's sequence, refused or not.
    ///
    /// # Errors
    /// The first message that was refused; none of the messages has an effect then.
    pub fn deliver_transaction(&mut self, transaction: &Transaction) -> TxResult {
        if let Some(account) = self.bank.accounts.get_mut(&transaction.signer) {
            account.sequence = account.sequence.saturating_add(1);
        }
        // A single message leaves nothing behind when it is refused, so only several need something to go back to.
        let before = (transaction.messages.len() > 1).then(|| self.clone());
        let mut delivered = Vec::with_capacity(transaction.messages.len());
        for (message_index, (creator, message)) in transaction.messages.iter().enumerate() {
            match self.deliver(message, creator) {
                Ok(done) => delivered.push(done),
                Err(refusal) => {
                    if let Some(before) = before {
                        *self = before;
                    }
                    return Err(TxFailure { message_index, refusal });
                }
            }
        }
        Ok(delivered)
    }

    /// What a transaction would come to on the state as it is, which it leaves alone. Copies the state.
    ///
    /// # Errors
    /// The first message that would be refused.
    pub fn simulate(&self, transaction: &Transaction) -> TxResult {
        self.clone().deliver_transaction(transaction)
    }
}
