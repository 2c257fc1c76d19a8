//! A library that misbehaves: the node lives, and says who it was.

use super::calls::ask;
use super::support::Running;
use lampkeeper_api::heal::HealError;
use lampkeeper_core::account::PluginAccount;
use std::sync::Arc;

fn account(running: &Running) -> Arc<PluginAccount> {
    running.node.account("native-guest").unwrap()
}

#[test]
fn a_guest_that_panics_again_and_again_is_quarantined() {
    let running = Running::start("greeting = 'hello'").unwrap();
    let panics = ["panic", "panic-later", "panic", "panic-later", "panic"];
    for what in panics {
        assert!(ask(&running, what).unwrap_err().to_string().contains("panicked: out of"), "{what}");
    }
    let refused = ask(&running, "answer").unwrap_err();
    assert!(matches!(refused, HealError::Unavailable { .. }), "{refused:?}");
    let why = "it panicked 5 times within 600 s, last in heal-strategy.reconstruct: out of luck";
    assert!(refused.to_string().contains(&format!("plugin native-guest is quarantined: {why}")), "{refused}");
    assert_eq!(account(&running).quarantined(), Some(why));
    let status = running.node.status();
    assert_eq!(status.plugins[0].usage.quarantined.as_deref(), Some(why));
    running.drain();
}

#[test]
fn a_guest_that_leaks_tasks_is_named_when_the_node_drains() {
    let running = Running::start("").unwrap();
    ask(&running, "leak-tasks").unwrap();
    let report = running.scheduler.block_on(running.node.drain());
    let names = vec!["sweep".to_owned(), "gossip".to_owned()];
    assert_eq!(report.leaked_tasks, [("native-guest".to_owned(), names)]);
}

#[test]
fn a_guest_that_floods_the_log_is_limited() {
    for what in ["flood", "flood-tracing"] {
        let running = Running::start("").unwrap();
        // Only what somebody would write counts.
        let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
        tracing::subscriber::with_default(subscriber, || ask(&running, what).unwrap());
        let left_out = running.telemetry.metrics.counter_total("log_records_left_out_total");
        assert_eq!(left_out, 500, "{what}");
        assert!(ask(&running, "answer").is_ok());
        running.drain();
    }
}

#[test]
fn a_thread_of_a_guest_that_panics_or_ends_harms_nobody_and_is_named() {
    let running = Running::start_only("greeting = 'hello'").unwrap();
    ask(&running, "thread-ends").unwrap();
    assert_eq!(account(&running).panics(), 0);
    ask(&running, "thread-panics").unwrap();
    assert_eq!(account(&running).panics(), 1);
    assert_eq!(account(&running).last_panic().as_deref(), Some("thread.stray: nobody watches"));
    assert_eq!(ask(&running, "answer").unwrap().manifest_hash, "hello");
    running.drain();
}
