//! From a message to its executed transaction (wire 10.6, 10.7).
//!
//! Owns the order of the steps: take a sequence, simulate, price, sign, broadcast, and follow the transaction until a block
//! has executed it or none can any more. Every transaction names the last block that may execute it, so that its fate is
//! always known in the end, and nothing is ever sent a second time while it is open: the same bytes are, which the chain
//! executes at most once. Bytes are `signing`'s, open transactions the outbox's, the meaning of codes `rejection`'s.

mod outbox;

use crate::accounts;
use crate::config::TxSettings;
use crate::convert;
use crate::fault::{self, Fault, fault_of};
use crate::fee::{Budget, Percent};
use crate::ledger::Ledger;
use crate::pool::{Chosen, Pool};
use crate::rejection::{
    ALREADY_IN_MEMPOOL, MEMPOOL_IS_FULL, OUT_OF_GAS, Refusal, TIMEOUT_HEIGHT, WRONG_SEQUENCE,
};
use crate::signing::Unsigned;
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainMessage, TxReceipt};
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::api::telemetry::{Level, Value};
use lampkeeper_plugin_sdk::futures::lock::Mutex as AsyncMutex;
use lampkeeper_proto::calls::tx;
use lampkeeper_proto::cosmos::base::abci::v1beta1::TxResponse;
use lampkeeper_proto::cosmos::tx::v1beta1::{
    BroadcastMode, BroadcastTxRequest, GetTxRequest, SimulateRequest,
};
use outbox::{Earlier, MessageDigest, Outbox, Sent, Watch};
use prost::{Message, Name};
use prost_types::Any;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::Code;

/// Blocks by which an endpoint's index of transactions may be behind its blocks.
const INDEX_LAG_BLOCKS: i64 = 2;
/// A transaction that is not executed is handed to the chain again each time it was looked up this often.
const LOOK_UPS_UNTIL_SENT_AGAIN: u32 = 10;

/// Submits for one account, from any number of tasks.
pub(crate) struct Sender {
    pool: Arc<Pool>,
    signer: Arc<dyn Signer>,
    settings: TxSettings,
    outbox: Outbox,
    budget: Mutex<Budget>,
    /// Where the budget is remembered. It is written before a transaction is broadcast; what is given back later may be
    /// lost with the process, which errs on the side of spending less.
    ledger: Ledger,
    /// Whose turn it is to take a sequence and broadcast; holds the account's number once that is known.
    turn: AsyncMutex<Option<u64>>,
}

/// What came of handing a transaction to the chain.
enum Handed {
    /// The chain may have it; whether it said so.
    Over(Watch, bool),
    /// The chain did not take it.
    Refused(Refusal),
}

/// What became of a transaction.
enum Fate {
    /// A block executed it.
    Executed(Box<TxResponse>),
    /// No block did, and none can any more.
    Lapsed,
    /// Not known yet, and why.
    Open(String),
}

/// What one attempt led to.
enum Step {
    Done(TxReceipt),
    /// It is certain that nothing was executed, and it may be tried again.
    Again(Refusal),
}

impl Sender {
    pub(crate) fn new(
        pool: Arc<Pool>,
        signer: Arc<dyn Signer>,
        settings: TxSettings,
        data_dir: &Path,
    ) -> Self {
        let ledger = Ledger::new(data_dir);
        let earlier = ledger.load().unwrap_or_else(|reason| {
            let fields = [("because", Value::from(reason))];
            pool.telemetry.log(Level::Warn, "the fees of earlier runs are not known", &fields);
            Vec::new()
        });
        let now_ms = pool.scheduler.wall_clock_ms();
        let budget = Budget::new(settings.fee_budget, settings.fee_budget_window, earlier, now_ms);
        let (budget, turn) = (Mutex::new(budget), AsyncMutex::new(None));
        Self { pool, signer, settings, outbox: Outbox::default(), budget, ledger, turn }
    }

    pub(crate) fn account(&self) -> &str {
        self.signer.account()
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits a message and waits for its execution.
    pub(crate) async fn submit(&self, message: ChainMessage) -> Result<TxReceipt, ChainError> {
        let kind = message.kind();
        let message = convert::encode(self.account(), message)?;
        self.submit_any(kind, &message).await
    }

    /// Submits a message in its wire form.
    pub(crate) async fn submit_message<M: Message + Name>(
        &self,
        message: &M,
    ) -> Result<TxReceipt, ChainError> {
        let wrapped = convert::wrap(message)?;
        self.submit_any(M::NAME, &wrapped).await
    }

    async fn submit_any(&self, kind: &str, message: &Any) -> Result<TxReceipt, ChainError> {
        let outcome = self.carry_out(kind, message).await;
        let label = match &outcome {
            Ok(_) => "executed",
            Err(error) if !error.is_certainly_not_applied() => "unknown",
            Err(error) => error.kind(),
        };
        let labels = [("kind", kind), ("outcome", label)];
        self.pool.telemetry.count("chain_submissions_total", &labels, 1);
        outcome
    }

    async fn carry_out(&self, kind: &str, message: &Any) -> Result<TxReceipt, ChainError> {
        let digest = digest_of(message);
        if let Some(earlier) = self.outbox.earlier(&digest)
            && let Some(receipt) = self.conclude_earlier(kind, earlier).await?
        {
            return Ok(receipt);
        }
        let mut adjustment = self.settings.gas_adjustment;
        let mut refused = None;
        for _ in 0..self.settings.attempts {
            match self.attempt(kind, message, digest, &mut adjustment).await? {
                Step::Done(receipt) => return Ok(receipt),
                Step::Again(refusal) => refused = Some(refusal),
            }
        }
        let words = refused.map_or_else(String::new, |refusal| refusal.words);
        let reason = format!("{} attempts did not succeed; the last one: {words}", self.settings.attempts);
        Err(fault::transient(format!("submitting {kind}"), reason, false))
    }

    /// An earlier submission of the same message comes first: what it did, or that it did nothing.
    async fn conclude_earlier(&self, kind: &str, earlier: Earlier) -> Result<Option<TxReceipt>, ChainError> {
        let watch = match earlier {
            Earlier::Executed(receipt) => return Ok(Some(receipt)),
            Earlier::Open(watch) => watch,
        };
        match self.follow(&watch, false).await {
            Fate::Executed(response) => {
                let receipt = self.settle_executed(watch, &response);
                // A refused transaction had no effect: the message may be tried anew.
                Ok((response.code == 0).then_some(receipt))
            }
            Fate::Lapsed => {
                self.settle_lapsed(watch);
                Ok(None)
            }
            Fate::Open(reason) => Err(fault::transient(format!("submitting {kind}"), reason, true)),
        }
    }

    async fn attempt(
        &self,
        kind: &str,
        message: &Any,
        digest: MessageDigest,
        adjustment: &mut Percent,
    ) -> Result<Step, ChainError> {
        let (watch, is_accepted) = match self.hand_over(kind, message, digest, *adjustment).await? {
            Handed::Over(watch, is_accepted) => (watch, is_accepted),
            Handed::Refused(refusal) => return self.react(kind, refusal, adjustment).await,
        };
        match self.follow(&watch, is_accepted).await {
            Fate::Executed(response) => {
                let receipt = self.settle_executed(watch, &response);
                if response.code == 0 {
                    return Ok(Step::Done(receipt));
                }
                let refusal = Refusal::new(&response.codespace, response.code, &response.raw_log);
                self.react(kind, refusal, adjustment).await
            }
            Fate::Lapsed => {
                self.settle_lapsed(watch);
                Ok(Step::Again(Refusal::new("sdk", TIMEOUT_HEIGHT, "no block executed it while one could")))
            }
            Fate::Open(reason) => Err(fault::transient(format!("submitting {kind}"), reason, true)),
        }
    }

    /// What to do about a refusal: try again where another attempt can differ, or tell it.
    async fn react(
        &self,
        kind: &str,
        refusal: Refusal,
        adjustment: &mut Percent,
    ) -> Result<Step, ChainError> {
        if refusal.is_sdk(OUT_OF_GAS) {
            *adjustment = adjustment.raised();
            return Ok(Step::Again(refusal));
        }
        if refusal.is_sdk(WRONG_SEQUENCE) {
            self.pool.telemetry.count("chain_sequence_mismatches_total", &[], 1);
            self.correct_sequence(&refusal).await;
            return Ok(Step::Again(refusal));
        }
        if refusal.is_sdk(TIMEOUT_HEIGHT) {
            return Ok(Step::Again(refusal));
        }
        if refusal.is_sdk(MEMPOOL_IS_FULL) {
            return Err(fault::transient(format!("submitting {kind}"), refusal.words, false));
        }
        Err(refusal.into_error())
    }

    /// Takes a sequence, prices and signs the transaction, and hands it to the chain; one at a time.
    async fn hand_over(
        &self,
        kind: &str,
        message: &Any,
        digest: MessageDigest,
        adjustment: Percent,
    ) -> Result<Handed, ChainError> {
        let attempted = || format!("submitting {kind}");
        let mut account_number = self.turn.lock().await;
        self.settle_abandoned().await;
        let (number, sequence) = self.place(&mut account_number).await?;
        let chosen = self.pool.choose(&attempted()).await?;
        let status = self.pool.status_at(chosen).await;
        let status =
            status.map_err(|status| fault::transient(attempted(), fault::describe(&status), false))?;
        let mut unsigned = Unsigned {
            message: message.clone(),
            sequence,
            timeout_height: 0,
            gas_limit: 0,
            fee: 1,
            fee_denom: self.settings.fee_denom.clone(),
        };
        let gas_used = match self.simulate(kind, chosen, &unsigned).await? {
            Ok(gas_used) => gas_used,
            Err(refusal) => return Ok(Handed::Refused(refusal)),
        };
        let timeout_height = status.latest_height.saturating_add(self.settings.lifetime_blocks);
        unsigned.gas_limit = self.gas_limit(gas_used, adjustment)?;
        unsigned.timeout_height = u64::try_from(timeout_height).unwrap_or(0);
        unsigned.fee = self.settings.gas_price.fee(unsigned.gas_limit);
        let signed = unsigned
            .sign(self.signer.as_ref(), self.pool.chain_id(), number)
            .map_err(|error| ChainError::Unavailable { reason: error.to_string() })?;
        self.set_aside(unsigned.fee)?;
        self.remember_fees();
        let sent = Sent { digest, signed, sequence, timeout_height, fee: unsigned.fee };
        let Some(watch) = self.outbox.add(sent) else {
            self.budget().release(unsigned.fee);
            let reason = "too many transactions wait for their execution".to_owned();
            return Err(fault::transient(attempted(), reason, false));
        };
        self.broadcast(chosen, watch).await
    }

    async fn broadcast(&self, chosen: Chosen, watch: Watch) -> Result<Handed, ChainError> {
        let answered = self.pool.call_at(chosen, tx::BROADCAST_TX, broadcast_request(watch.sent())).await;
        match answered {
            Ok(answer) => match refusal_of(&answer.tx_response.unwrap_or_default()) {
                None => Ok(Handed::Over(watch, true)),
                Some(refusal) if refusal.is_sdk(ALREADY_IN_MEMPOOL) => Ok(Handed::Over(watch, true)),
                Some(refusal) => {
                    self.withdraw(watch);
                    Ok(Handed::Refused(refusal))
                }
            },
            // The connection broke: the chain may have it, so it stays open and is looked up by its hash.
            Err(status) if fault_of(&status) == Fault::Transient => Ok(Handed::Over(watch, false)),
            Err(status) => {
                self.withdraw(watch);
                Err(fault::query_error(tx::BROADCAST_TX.path(), &status))
            }
        }
    }

    /// The account's number and the next sequence.
    async fn place(&self, account_number: &mut Option<u64>) -> Result<(u64, u64), ChainError> {
        if let (Some(number), Some(sequence)) = (*account_number, self.outbox.next_sequence()) {
            return Ok((number, sequence));
        }
        match accounts::query(&self.pool, self.account()).await {
            Ok(account) => {
                *account_number = Some(account.account_number);
                let sequence = self.outbox.next_sequence().unwrap_or(account.sequence);
                Ok((account.account_number, sequence))
            }
            // Not "not found": the caller would take that for what its message is about.
            Err(ChainError::NotFound { .. }) => Err(ChainError::Unavailable {
                reason: format!("the chain knows no account {}; send it some coins first", self.account()),
            }),
            Err(error) => Err(error),
        }
    }

    /// The gas that a transaction would use, or why it would be refused.
    async fn simulate(
        &self,
        kind: &str,
        chosen: Chosen,
        unsigned: &Unsigned,
    ) -> Result<Result<u64, Refusal>, ChainError> {
        let request = SimulateRequest { tx_bytes: unsigned.for_simulation(self.signer.as_ref()) };
        match self.pool.call_at(chosen, tx::SIMULATE, request).await {
            Ok(answer) => match answer.gas_info.unwrap_or_default().gas_used {
                0 => {
                    let reason = "the simulation used no gas, which can't be".to_owned();
                    Err(fault::transient(format!("simulating {kind}"), reason, false))
                }
                gas_used => Ok(Ok(gas_used)),
            },
            Err(status) if status.code() == Code::Unimplemented => {
                Ok(Ok(self.settings.gas_without_simulation))
            }
            Err(status) if fault_of(&status) == Fault::Transient => {
                Err(fault::transient(format!("simulating {kind}"), fault::describe(&status), false))
            }
            Err(status) => Ok(Err(Refusal::from_simulation(status.message()))),
        }
    }

    fn gas_limit(&self, gas_used: u64, adjustment: Percent) -> Result<u64, ChainError> {
        let gas = adjustment.of(gas_used).saturating_add(self.settings.gas_padding);
        if gas <= self.settings.gas_max {
            return Ok(gas);
        }
        let reason = format!(
            "the transaction needs {gas} gas, and at most {} is allowed; see `gas_max`",
            self.settings.gas_max
        );
        Err(ChainError::Unavailable { reason })
    }

    /// Sets a fee aside from the budget, which is how a runaway ends.
    fn set_aside(&self, fee: u64) -> Result<(), ChainError> {
        let denom = &self.settings.fee_denom;
        if fee > self.settings.fee_max {
            let reason = format!(
                "the transaction costs {fee}{denom}, and at most {} is allowed; see `fee_max`",
                self.settings.fee_max
            );
            return Err(ChainError::Unavailable { reason });
        }
        let reserved = self.budget().reserve(fee, self.pool.scheduler.wall_clock_ms());
        self.tell_budget();
        reserved.map_err(|left| {
            self.pool.telemetry.count("chain_fee_budget_refusals_total", &[], 1);
            let words = format!("a fee of {fee}{denom} was refused, {left}{denom} is left; see `fee_budget`");
            self.pool.telemetry.log(
                Level::Error,
                "the budget for fees is used up",
                &[("because", Value::from(&words))],
            );
            ChainError::Unavailable { reason: words }
        })
    }

    /// A disk that fails must not silence the node: the budget then holds until the next restart.
    fn remember_fees(&self) {
        let spent = self.budget().spent();
        if let Err(reason) = self.ledger.save(spent) {
            let fields = [("because", Value::from(reason))];
            self.pool.telemetry.log(Level::Warn, "fees can't be remembered over a restart", &fields);
        }
    }

    fn tell_budget(&self) {
        let left = self.budget().left(self.pool.scheduler.wall_clock_ms());
        let labels = [("denom", self.settings.fee_denom.as_str())];
        self.pool.telemetry.gauge("chain_fee_budget_left", &labels, left as f64);
    }

    /// The chain did not take it: neither its fee nor its sequence is used.
    fn withdraw(&self, watch: Watch) {
        self.budget().release(watch.sent().fee);
        self.tell_budget();
        watch.withdraw();
    }

    /// Looks the transaction up until its fate is known, or for as long as is waited.
    async fn follow(&self, watch: &Watch, mut is_accepted: bool) -> Fate {
        let scheduler = &self.pool.scheduler;
        let deadline = scheduler.now().plus(self.settings.inclusion_timeout);
        let mut look_ups = 0_u32;
        loop {
            let reason = match self.look_up(watch.sent()).await {
                Fate::Open(reason) => reason,
                fate => return fate,
            };
            if scheduler.now() >= deadline {
                return Fate::Open(format!(
                    "transaction {} was not seen in a block in time: {reason}",
                    watch.sent().signed.hash
                ));
            }
            look_ups += 1;
            if !is_accepted || look_ups.is_multiple_of(LOOK_UPS_UNTIL_SENT_AGAIN) {
                is_accepted |= self.send_again(watch.sent()).await;
            }
            scheduler.sleep(self.settings.poll_interval).await;
        }
    }

    /// Asks one endpoint how far it is and then for the transaction, in this order: a "not found" counts only if the
    /// endpoint already had every block that could have executed it.
    async fn look_up(&self, sent: &Sent) -> Fate {
        let chosen = match self.pool.choose("a transaction").await {
            Ok(chosen) => chosen,
            Err(error) => return Fate::Open(error.to_string()),
        };
        let height = match self.pool.status_at(chosen).await {
            Ok(status) => status.latest_height,
            Err(status) => return Fate::Open(fault::describe(&status)),
        };
        let request = GetTxRequest { hash: sent.signed.hash.clone() };
        match self.pool.call_at(chosen, tx::GET_TX, request).await {
            Ok(answer) => match answer.tx_response {
                Some(response) => Fate::Executed(Box::new(response)),
                None => Fate::Open("the answer has no transaction".to_owned()),
            },
            Err(status) if status.code() == Code::NotFound && fault_of(&status) == Fault::NotFound => {
                if height > sent.timeout_height.saturating_add(INDEX_LAG_BLOCKS) {
                    Fate::Lapsed
                } else {
                    Fate::Open(format!("no block up to {height} has it"))
                }
            }
            Err(status) => Fate::Open(fault::describe(&status)),
        }
    }

    /// Hands the same bytes to the chain again, which executes them at most once; whether it has them now.
    async fn send_again(&self, sent: &Sent) -> bool {
        let Ok(chosen) = self.pool.choose("a transaction").await else { return false };
        self.pool.telemetry.count("chain_transactions_sent_again_total", &[], 1);
        match self.pool.call_at(chosen, tx::BROADCAST_TX, broadcast_request(sent)).await {
            Ok(answer) => refusal_of(&answer.tx_response.unwrap_or_default())
                .is_none_or(|refusal| refusal.is_sdk(ALREADY_IN_MEMPOOL)),
            Err(_) => false,
        }
    }

    /// The chain expects another sequence. A smaller one means that it dropped what was sent before: that is handed to it
    /// again. If nothing was, the smaller one is right.
    async fn correct_sequence(&self, refusal: &Refusal) {
        let _turn = self.turn.lock().await;
        let Some(expected) = refusal.expected_sequence() else {
            // The chain will say in a moment, when it has made another block.
            self.pool.scheduler.sleep(self.settings.poll_interval).await;
            if let Ok(account) = accounts::query(&self.pool, self.account()).await
                && self.outbox.open_from(0).is_empty()
            {
                self.outbox.set_next_sequence(account.sequence);
            }
            return;
        };
        let dropped = self.outbox.open_from(expected);
        if dropped.first().is_some_and(|first| first.sequence == expected) {
            for sent in &dropped {
                self.send_again(sent).await;
            }
        } else {
            self.outbox.set_next_sequence(expected);
        }
    }

    /// Looks once at every transaction that nobody waits for.
    async fn settle_abandoned(&self) {
        for watch in self.outbox.abandoned() {
            match self.look_up(watch.sent()).await {
                Fate::Executed(response) if response.code == 0 => {
                    let receipt = receipt_of(&response);
                    self.paid(watch.sent());
                    watch.keep(receipt);
                }
                Fate::Executed(response) => drop(self.settle_executed(watch, &response)),
                Fate::Lapsed => self.settle_lapsed(watch),
                Fate::Open(_) => {}
            }
        }
    }

    fn settle_executed(&self, watch: Watch, response: &TxResponse) -> TxReceipt {
        self.pool.saw_height(response.height);
        self.paid(watch.sent());
        watch.settle();
        receipt_of(response)
    }

    fn settle_lapsed(&self, watch: Watch) {
        self.pool.telemetry.count("chain_transactions_lapsed_total", &[], 1);
        self.budget().release(watch.sent().fee);
        self.tell_budget();
        watch.settle();
    }

    /// A transaction in a block is paid for, whatever came of it.
    fn paid(&self, sent: &Sent) {
        let labels = [("denom", self.settings.fee_denom.as_str())];
        self.pool.telemetry.count("chain_fees_paid_total", &labels, sent.fee);
    }
}

fn digest_of(message: &Any) -> MessageDigest {
    let mut hasher = Sha256::new();
    hasher.update(message.type_url.as_bytes());
    hasher.update([0]);
    hasher.update(&message.value);
    hasher.finalize().into()
}

fn broadcast_request(sent: &Sent) -> BroadcastTxRequest {
    BroadcastTxRequest { tx_bytes: sent.signed.bytes.clone(), mode: BroadcastMode::Sync as i32 }
}

fn refusal_of(response: &TxResponse) -> Option<Refusal> {
    (response.code != 0).then(|| Refusal::new(&response.codespace, response.code, &response.raw_log))
}

fn receipt_of(response: &TxResponse) -> TxReceipt {
    TxReceipt {
        tx_hash: response.txhash.clone(),
        height: response.height,
        response_id: convert::response_id(&response.data),
    }
}
