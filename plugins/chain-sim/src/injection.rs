//! Faults that a tester asks for: in calls of a client, and in blocks.
//!
//! Owns their description, which is the same in a test, a scenario file and a node's manifest, and the counting of calls.
//! The chain around the state machine carries them out. A rule never touches the rules of the chain itself, except where
//! it says so (overrides).

use crate::api::chain::{ChainError, Rejection, RejectionReason};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most blocks that a replica may lag behind.
pub const LAG_BLOCKS_MAX: u32 = 1000;

/// Everything that is to go wrong.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InjectionPlan {
    /// In calls of clients. The first rule that fires for a call decides.
    pub calls: Vec<CallRule>,
    /// In blocks.
    pub blocks: Vec<BlockRule>,
}

/// A fault in some calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRule {
    /// The method, such as `params` or `heal_op`; `submit` for every submission, `submit.heal_claim` for one kind; `*`
    /// for all.
    pub call: String,
    /// Only calls of this account's client.
    #[serde(default)]
    pub account: Option<String>,
    /// The first matching call that the fault hits; counts from 1.
    #[serde(default = "one")]
    pub first: u64,
    /// How many calls it hits from there; 0 means all.
    #[serde(default = "one")]
    pub count: u64,
    /// What happens.
    pub fault: CallFault,
}

const fn one() -> u64 {
    1
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CallFault {
    /// It fails, and nothing was accepted.
    Fail {
        /// With this error.
        error: InjectedError,
    },
    /// A submission is accepted and executed, but the caller is told of this error. A query fails.
    FailAfterAcceptance {
        /// With this error.
        error: InjectedError,
    },
    /// It begins later.
    Delay {
        /// By this much.
        delay_ms: u64,
    },
    /// It is answered later than it was done.
    DelayAfterAcceptance {
        /// By this much.
        delay_ms: u64,
    },
    /// A submission is accepted and never executed. A query never answers.
    Drop,
    /// A submission is executed some blocks later than it could be. A query is answered as usual.
    Postpone {
        /// That many.
        blocks: u32,
    },
    /// A query is answered by a replica that is behind. A submission goes on as usual.
    Lag {
        /// By this many blocks, at most [`LAG_BLOCKS_MAX`].
        blocks: u32,
    },
}

/// An error to answer: every kind of [`ChainError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum InjectedError {
    /// The chain could not be asked.
    Transient {
        /// Whether the submission may have been accepted all the same.
        #[serde(default)]
        outcome_unknown: bool,
    },
    /// There is no such record.
    NotFound,
    /// The message was refused.
    Rejected {
        /// By this module.
        codespace: String,
        /// With this code.
        code: u32,
        /// In these words.
        #[serde(default)]
        message: String,
    },
    /// The request was wrong.
    InvalidRequest,
    /// The client can't do that.
    Unavailable,
}

impl InjectedError {
    /// The error that the caller sees.
    #[must_use]
    pub fn to_chain_error(&self, call: &str) -> ChainError {
        let source = "injected fault".to_owned();
        match self {
            Self::Transient { outcome_unknown } => ChainError::Transient {
                attempted: call.to_owned(),
                source,
                outcome_unknown: *outcome_unknown,
            },
            Self::NotFound => ChainError::NotFound { what: format!("the record of {call} (injected)") },
            Self::Rejected { codespace, code, message } => ChainError::Rejected(Rejection {
                reason: rejection_reason(codespace, *code, message),
                codespace: codespace.clone(),
                code: *code,
                message: message.clone(),
            }),
            Self::InvalidRequest => ChainError::InvalidRequest { reason: format!("{call}: {source}") },
            Self::Unavailable => ChainError::Unavailable { reason: format!("{call}: {source}") },
        }
    }
}

/// The reason for a refusal; the two that share a code with others are told apart by the chain's words (wire 10.3).
pub(crate) fn rejection_reason(codespace: &str, code: u32, message: &str) -> RejectionReason {
    match (codespace, code) {
        ("audit", 10) if message.contains("recheck evidence already submitted") => {
            RejectionReason::RecheckAlreadySubmitted
        }
        ("audit", 13) if message.contains("heal op") && message.contains("deadline") => {
            RejectionReason::HealOpPastDeadline
        }
        _ => RejectionReason::from_code(codespace, code),
    }
}

/// A fault in the making of blocks. Each rule is used once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockRule {
    /// It happens when the next block would have this height, or a later one.
    pub at_height: i64,
    /// What happens.
    pub fault: BlockFault,
}

/// What happens to blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum BlockFault {
    /// No block is made this many times.
    Freeze {
        /// How many blocks fall out.
        intervals: u32,
    },
    /// The block has this height instead; the hooks of the heights between never run.
    JumpTo {
        /// A later height.
        height: i64,
    },
    /// The block's transactions are executed in another order.
    Reorder {
        /// Which one.
        order: TxOrder,
    },
    /// The block's transactions are lost.
    DropTransactions,
    /// Parameters are replaced without governance and without validation.
    OverrideParams {
        /// Values by the names of chain 2.
        values: BTreeMap<String, serde_json::Value>,
    },
    /// A raw score is replaced; its state is created if there is none.
    OverrideScore {
        /// Which score.
        of: ScoreKind,
        /// The node, reporter or ticket.
        id: String,
        /// The new raw score.
        score: i64,
    },
}

/// An order of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TxOrder {
    /// Last first.
    Reverse,
    /// Drawn from the chain's seed and the height.
    Shuffle,
}

/// A kind of score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// A node's suspicion.
    NodeSuspicion,
    /// A reporter's reliability.
    ReporterReliability,
    /// A ticket's deterioration.
    TicketDeterioration,
}

/// The rules that are in force, and how often each has matched.
#[derive(Debug, Default)]
pub(crate) struct Injector {
    calls: Vec<(CallRule, u64)>,
    blocks: Vec<BlockRule>,
}

impl Injector {
    pub(crate) fn add(&mut self, plan: InjectionPlan) {
        self.calls.extend(plan.calls.into_iter().map(|rule| (rule, 0)));
        self.blocks.extend(plan.blocks);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Removes a rule for calls; the others go on counting.
    pub(crate) fn withdraw(&mut self, rule: &CallRule) {
        if let Some(position) = self.calls.iter().position(|(known, _)| known == rule) {
            self.calls.remove(position);
        }
    }

    /// How far behind the replicas are that rules may still ask for.
    pub(crate) fn lags(&self) -> BTreeSet<u32> {
        let open = self.calls.iter().filter(|(rule, matched)| !rule.is_used_up(*matched));
        let lags = open.filter_map(|(rule, _)| match rule.fault {
            CallFault::Lag { blocks: 0 } => None,
            CallFault::Lag { blocks } => Some(blocks.min(LAG_BLOCKS_MAX)),
            _ => None,
        });
        lags.collect()
    }

    /// Counts a call and answers its fault, if a rule fires.
    pub(crate) fn on_call(&mut self, account: &str, call: &str) -> Option<CallFault> {
        let mut fault = None;
        for (rule, matched) in &mut self.calls {
            if !rule.matches(account, call) {
                continue;
            }
            *matched += 1;
            if fault.is_none() && *matched >= rule.first && !rule.is_used_up(*matched - 1) {
                fault = Some(rule.fault.clone());
            }
        }
        fault
    }

    /// Takes the rules that a block of this height sets off, in their order.
    pub(crate) fn on_block(&mut self, height: i64) -> Vec<BlockFault> {
        let (due, kept): (Vec<_>, Vec<_>) = self.blocks.drain(..).partition(|rule| rule.at_height <= height);
        self.blocks = kept;
        due.into_iter().map(|rule| rule.fault).collect()
    }

    /// Puts back what is not over yet.
    pub(crate) fn put_back(&mut self, rule: BlockRule) {
        self.blocks.push(rule);
    }
}

impl CallRule {
    /// Whether it hits no call after this many matching ones.
    const fn is_used_up(&self, matched: u64) -> bool {
        self.count != 0 && matched.saturating_add(1) >= self.first.saturating_add(self.count)
    }

    fn matches(&self, account: &str, call: &str) -> bool {
        let is_call = self.call == "*" || self.call == call || is_kind_of(call, &self.call);
        is_call && self.account.as_ref().is_none_or(|wanted| wanted == account)
    }
}

/// `submit.heal_claim` is a kind of `submit`.
fn is_kind_of(call: &str, method: &str) -> bool {
    call.strip_prefix(method).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(call: &str, first: u64, count: u64) -> CallRule {
        CallRule { call: call.to_owned(), account: None, first, count, fault: CallFault::Drop }
    }

    #[test]
    fn a_rule_hits_the_calls_that_it_counts() {
        for (rule, expected) in [
            (rule("params", 1, 1), [true, false, false, false]),
            (rule("params", 2, 2), [false, true, true, false]),
            (rule("*", 3, 0), [false, false, true, true]),
            (rule("heal_op", 1, 0), [false; 4]),
        ] {
            let mut injector = Injector::default();
            injector.add(InjectionPlan { calls: vec![rule.clone()], blocks: Vec::new() });
            let hits = [(); 4].map(|()| injector.on_call("a", "params").is_some());
            assert_eq!(hits, expected, "{rule:?}");
        }
    }

    #[test]
    fn a_rule_that_is_taken_back_leaves_the_others_their_counts() {
        let mut injector = Injector::default();
        let (spent, other) = (rule("params", 1, 2), rule("heal_op", 1, 1));
        injector.add(InjectionPlan { calls: vec![spent, other.clone()], blocks: Vec::new() });
        let hits = [(); 2].map(|()| injector.on_call("a", "params").is_some());
        injector.withdraw(&other);
        assert_eq!((hits, injector.on_call("a", "params")), ([true; 2], None));
        assert_eq!(injector.on_call("a", "heal_op"), None);
    }

    #[test]
    fn rules_can_name_a_kind_of_submission_and_an_account() {
        let mut kind = rule("submit.heal_claim", 1, 0);
        kind.account = Some("a".to_owned());
        assert!(kind.matches("a", "submit.heal_claim"));
        assert!(!kind.matches("b", "submit.heal_claim"));
        assert!(!kind.matches("a", "submit.epoch_report"));
        assert!(rule("submit", 1, 0).matches("b", "submit.epoch_report"));
        assert!(!rule("heal_op", 1, 0).matches("b", "heal_ops_by_status"));
    }

    #[test]
    fn plans_are_written_as_plain_text() {
        let text = r#"{"calls": [{"call": "submit", "fault": {"type": "fail", "error":
            {"kind": "rejected", "codespace": "audit", "code": 13, "message": "heal op deadline passed"}}}],
            "blocks": [{"at_height": 7, "fault": {"type": "freeze", "intervals": 3}}]}"#;
        let plan: InjectionPlan = serde_json::from_str(text).unwrap();
        let CallFault::Fail { error } = &plan.calls[0].fault else { panic!("{plan:?}") };
        let reason = error.to_chain_error("submit").rejection();
        assert_eq!(reason, Some(RejectionReason::HealOpPastDeadline));
        assert!(serde_json::from_str::<InjectionPlan>(r#"{"call": []}"#).is_err());
    }
}
