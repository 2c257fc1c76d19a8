//! Expectations, and what became of them.

use super::ChainCall;
use super::difference::difference;
use lampkeeper_api::chain::{ChainError, ChainMessage};
use std::any::Any;
use std::fmt::{self, Display};

/// Which calls an expectation is for.
pub(super) enum Matcher {
    Call(ChainCall),
    /// The first page of supernodes, whatever its size.
    FirstSupernodes,
    SubmitWhere {
        what: String,
        is_right: Box<dyn Fn(&ChainMessage) -> bool + Send>,
    },
}

impl Matcher {
    fn matches(&self, call: &ChainCall) -> bool {
        match (self, call) {
            (Self::Call(expected), call) => expected == call,
            (Self::FirstSupernodes, ChainCall::Supernodes(page)) => page.key.is_none(),
            (Self::SubmitWhere { is_right, .. }, ChainCall::Submit(message)) => is_right(message),
            (Self::FirstSupernodes | Self::SubmitWhere { .. }, _) => false,
        }
    }
}

impl Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => write!(formatter, "{call:?}"),
            Self::FirstSupernodes => write!(formatter, "Supernodes(the first page)"),
            Self::SubmitWhere { what, .. } => write!(formatter, "Submit(a message where {what})"),
        }
    }
}

pub(super) struct Expectation {
    pub(super) matcher: Matcher,
    /// `None` for any number.
    pub(super) calls_left: Option<usize>,
    /// Makes the answer: a `Result<T, ChainError>` where `T` is what the matched method returns.
    pub(super) answer: Box<dyn Fn() -> Box<dyn Any> + Send>,
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) expectations: Vec<Expectation>,
    pub(super) in_order: bool,
    /// Whether unexpected calls are answered as by a chain that can't be asked.
    pub(super) is_lenient: bool,
    pub(super) answered: Vec<ChainCall>,
    unexpected: Vec<ChainCall>,
}

impl Script {
    /// The scripted answer to a call, or a complaint.
    pub(super) fn answer<T: 'static>(&mut self, call: ChainCall) -> Result<Result<T, ChainError>, String> {
        let found = self.find(&call).and_then(|expectation| {
            if let Some(calls_left) = &mut expectation.calls_left {
                *calls_left -= 1;
            }
            (expectation.answer)().downcast::<Result<T, ChainError>>().ok()
        });
        match found {
            Some(answer) => {
                self.answered.push(call);
                Ok(*answer)
            }
            None if self.is_lenient => {
                let reason = format!("the script of the test's chain lacks {call:?}");
                Ok(Err(ChainError::Unavailable { reason }))
            }
            None => {
                let complaint = format!(
                    "unexpected call of the chain\n  got:      {call:?}\n{}{}",
                    self.left(),
                    self.difference(&call)
                );
                self.unexpected.push(call);
                Err(complaint)
            }
        }
    }

    /// Where a call differs from the first expectation of the same method that is left.
    fn difference(&self, call: &ChainCall) -> String {
        let left = self.expectations.iter().filter(|expectation| expectation.calls_left != Some(0));
        let found = left.filter_map(|expectation| match &expectation.matcher {
            Matcher::Call(expected) => difference(expected, call),
            Matcher::FirstSupernodes | Matcher::SubmitWhere { .. } => None,
        });
        found
            .map(|lines| format!("  the difference (- expected, + got):\n{lines}"))
            .next()
            .unwrap_or_default()
    }

    fn find(&mut self, call: &ChainCall) -> Option<&mut Expectation> {
        let in_order = self.in_order;
        let mut may_be_next = true;
        self.expectations.iter_mut().find(|expectation| match expectation.calls_left {
            None => expectation.matcher.matches(call),
            Some(0) => false,
            Some(_) => {
                let is_allowed = may_be_next || !in_order;
                may_be_next = false;
                is_allowed && expectation.matcher.matches(call)
            }
        })
    }

    /// What is wrong at the end, if anything is.
    pub(super) fn complaint(&self) -> Option<String> {
        let is_complete =
            self.expectations.iter().all(|expectation| matches!(expectation.calls_left, None | Some(0)));
        if is_complete && self.unexpected.is_empty() {
            return None;
        }
        let unexpected: String =
            self.unexpected.iter().map(|call| format!("  unexpected: {call:?}\n")).collect();
        Some(format!("the calls of the chain are not those of the script\n{unexpected}{}", self.left()))
    }

    /// The expectations that are left, one a line.
    fn left(&self) -> String {
        let lines = self.expectations.iter().filter_map(|expectation| match expectation.calls_left {
            Some(0) => None,
            Some(count) => Some(format!("  expected: {} ({count} more)\n", expectation.matcher)),
            None => Some(format!("  expected: {} (any number)\n", expectation.matcher)),
        });
        let lines: String = lines.collect();
        if lines.is_empty() { "  expected: no more calls\n".to_owned() } else { lines }
    }
}
