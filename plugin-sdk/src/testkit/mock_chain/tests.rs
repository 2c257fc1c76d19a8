//! Tests of the scripted chain: what it refuses, and how it says so.

use super::*;
use crate::testkit::VirtualScheduler;
use lampkeeper_api::chain::{ChainClient, ChainReader, HealClaimMessage};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn run<T>(future: impl Future<Output = T>) -> T {
    VirtualScheduler::new(0).block_on(future)
}

/// What `work` says when it panics.
fn complaint_of(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("a complaint");
    panic.downcast_ref::<String>().cloned().expect("a text")
}

fn heal_op(heal_op_id: u64) -> HealOp {
    HealOp { heal_op_id, ..HealOp::default() }
}

fn claim(heal_op_id: u64) -> ChainMessage {
    ChainMessage::HealClaim(HealClaimMessage { heal_op_id, ..HealClaimMessage::default() })
}

#[test]
fn answers_come_in_any_order_and_as_often_as_scripted() {
    let missing = ChainError::NotFound { what: "heal operation 2".to_owned() };
    let chain = MockChain::builder("lumera1a")
        .heal_op(1, Ok(heal_op(1)))
        .times(2)
        .heal_op(2, Err(missing.clone()))
        .params(Ok(Params::default()))
        .always()
        .submit_where("it is about 7", |message| *message == claim(7), Ok(TxReceipt::default()))
        .build();
    run(async {
        assert_eq!(chain.heal_op(2).await, Err(missing));
        assert_eq!(chain.heal_op(1).await, Ok(heal_op(1)));
        assert_eq!(chain.heal_op(1).await, Ok(heal_op(1)));
        assert_eq!(chain.submit(claim(7)).await, Ok(TxReceipt::default()));
    });
    assert_eq!(chain.submitted(), [claim(7)]);
    assert_eq!(chain.calls().len(), 4);
    chain.assert_done();
}

#[test]
fn an_unexpected_call_says_what_was_expected_at_once_and_at_the_end() {
    let chain = MockChain::builder("lumera1a").heal_op(1, Ok(heal_op(1))).build();
    let text = complaint_of(|| drop(run(chain.heal_op(2))));
    assert_eq!(text, "unexpected call of the chain\n  got:      HealOp(2)\n  expected: HealOp(1) (1 more)\n");
    run(chain.heal_op(1)).unwrap();
    let text = complaint_of(|| drop(chain));
    assert!(text.contains("unexpected: HealOp(2)") && text.contains("expected: no more calls"), "{text}");
}

#[test]
fn an_expectation_that_is_left_fails_the_drop() {
    let chain = MockChain::builder("lumera1a").submit(claim(7), Ok(TxReceipt::default())).build();
    let text = complaint_of(|| drop(chain));
    assert!(text.contains("expected: Submit(HealClaim(") && text.contains("(1 more)"), "{text}");
}

#[test]
fn order_matters_where_it_was_asked_for() {
    let chain = MockChain::builder("lumera1a")
        .in_order()
        .heal_op(1, Ok(heal_op(1)))
        .params(Ok(Params::default()))
        .always()
        .heal_op(2, Ok(heal_op(2)))
        .build();
    run(chain.params()).unwrap();
    let text = complaint_of(|| drop(run(chain.heal_op(2))));
    assert!(text.contains("got:      HealOp(2)"), "{text}");
    complaint_of(|| chain.assert_done());
    run(chain.heal_op(1)).unwrap();
    run(chain.heal_op(2)).unwrap();
    complaint_of(|| drop(chain)); // the call that came too early is not forgiven
}

#[test]
fn a_message_that_differs_in_a_field_is_shown_as_a_difference() {
    let message = |hash: &str| {
        ChainMessage::HealClaim(HealClaimMessage {
            heal_op_id: 7,
            ticket_id: "ticket-7".to_owned(),
            heal_manifest_hash: hash.to_owned(),
            details: "healed by lampkeeper".to_owned(),
        })
    };
    let chain = MockChain::builder("lumera1a").submit(message("right"), Ok(TxReceipt::default())).build();
    let text = complaint_of(|| drop(run(chain.submit(message("wrong")))));
    let difference = text.split_once("the difference (- expected, + got):\n").expect("a difference").1;
    let expected = [
        "    ...",
        "              heal_op_id: 7,",
        "              ticket_id: \"ticket-7\",",
        "  -         heal_manifest_hash: \"right\",",
        "  +         heal_manifest_hash: \"wrong\",",
        "              details: \"healed by lampkeeper\",",
        "          },",
        "    ...",
        "",
    ];
    let normal = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let found: Vec<String> = difference.lines().map(normal).collect();
    let wanted: Vec<String> =
        expected.iter().map(|line| normal(line)).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, wanted, "{text}");
    complaint_of(|| drop(chain));
}
