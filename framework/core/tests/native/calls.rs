//! What crosses: calls, futures, streams, tasks, panics, log records.

use super::support::{Running, wait_for};
use lampkeeper_api::cancel::Cancel;
use lampkeeper_api::chain::{HealOp, Ticket};
use lampkeeper_api::heal::{HealError, HealJob, Reconstruction};
use lampkeeper_api::transport::{CallerMint, Handler, StatusCode};
use std::task::{Context, Waker};
use std::time::Duration;

pub(crate) fn job(what: &str) -> HealJob {
    let ticket = Ticket { ticket_id: what.to_owned(), ..Ticket::default() };
    HealJob { heal_op: HealOp::default(), ticket, cancel: Cancel::new() }
}

pub(crate) fn ask(running: &Running, what: &str) -> Result<Reconstruction, HealError> {
    let strategy = running.node.seams().heal_strategy.clone().unwrap();
    wait_for(strategy.reconstruct(job(what)))
}

#[test]
fn a_guest_is_called_and_runs_on_its_own_runtime() {
    let running = Running::start("greeting = 'hello'").unwrap();
    assert_eq!(running.node.seams().heal_strategy.as_ref().unwrap().name(), "native-guest");
    assert_eq!(ask(&running, "answer").unwrap().manifest_hash, "hello");
    assert_eq!(ask(&running, "spawn").unwrap().manifest_hash, "plugin", "the name of its runtime's thread");
    let account = running.node.account("native-guest").unwrap();
    let calls = account.methods().into_iter().find(|method| method.method == "reconstruct").unwrap();
    assert_eq!((calls.calls, calls.in_flight, calls.failed), (2, 0, 0));
    assert!(calls.steps >= 4, "{calls:?}");
    assert_eq!(calls.step_ns_longest, 0, "steps take no virtual time");
    running.drain();
}

#[test]
fn panics_at_entry_at_a_poll_and_at_a_drop_are_contained_and_counted() {
    let running = Running::start("greeting = 'bomb'").unwrap();
    for (what, words) in [("panic", "out of luck"), ("panic-later", "out of time")] {
        let refused = ask(&running, what).unwrap_err();
        assert!(matches!(refused, HealError::Unavailable { .. }) && refused.is_transient(), "{refused:?}");
        assert!(refused.to_string().contains(&format!("plugin native-guest panicked: {words}")), "{refused}");
    }
    let strategy = running.node.seams().heal_strategy.clone().unwrap();
    let mut waiting = strategy.reconstruct(job("bomb"));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiting);
    let account = running.node.account("native-guest").unwrap();
    assert_eq!(account.panics(), 3);
    assert_eq!(account.last_panic().as_deref(), Some("heal-strategy.reconstruct: boom"));
    assert_eq!(running.telemetry.metrics.counter_total("plugin_panics_total"), 3);
    assert_eq!(ask(&running, "answer").unwrap().manifest_hash, "bomb", "it lives on");
    drop(strategy);
    let Running { node, scheduler, .. } = running;
    assert!(scheduler.block_on(node.drain()).is_clean());
    drop(node);
    assert_eq!(account.last_panic().as_deref(), Some("object.drop: dropped a bomb"));
}

#[test]
fn a_guest_that_panics_while_it_is_made_or_asked_for_its_routes_is_refused_by_name() {
    let table = [
        ("start", "plugin native-guest panicked while starting: ", "no start today"),
        ("routes", "plugin native-guest panicked when asked for the calls it answers: ", "no way"),
    ];
    for (panic_at, beginning, end) in table {
        let refused = Running::start(&format!("panic_at = '{panic_at}'")).err().unwrap();
        assert!(refused.starts_with(beginning) && refused.ends_with(end), "{refused}");
    }
}

#[test]
fn a_service_of_a_guest_that_panics_is_started_again_until_the_guest_is_quarantined() {
    let running = Running::start("panic_at = 'run'").unwrap();
    running.scheduler.run_for(Duration::from_secs(3600));
    let status = running.node.status();
    assert_eq!(serde_json::to_value(&status).unwrap()["health"]["level"], "failed");
    assert_eq!((status.plugins[0].services[0].restarts, status.plugins[0].usage.panics), (5, 5));
    let why = status.plugins[0].usage.quarantined.clone().unwrap();
    assert!(why.ends_with("last in service.run: out of breath"), "{why}");
    running.drain();
}

#[test]
fn a_guest_that_panics_when_it_is_closed_is_named_and_the_node_drains() {
    let Running { node, scheduler, .. } = &Running::start("panic_at = 'close'").unwrap();
    let report = scheduler.block_on(node.drain());
    let [(plugin_id, reason)] = &report.close_failures[..] else { panic!("{report:?}") };
    assert_eq!(plugin_id, "native-guest");
    assert!(reason.ends_with("panicked: the door sticks"), "{reason}");
    assert_eq!(node.account("native-guest").unwrap().panics(), 1);
}

#[test]
fn a_stream_of_a_guest_that_panics_when_it_is_dropped_is_contained() {
    let running = Running::start("greeting = 'hello'").unwrap();
    let Some(Handler::ServerStream(handler)) = running.router.find("/guest/letters") else {
        panic!("no handler")
    };
    let mut stream = wait_for(handler.call(CallerMint::for_host().proved("a1"), vec![2, 0])).unwrap();
    assert_eq!(wait_for(stream.next()), Some(Ok(vec![1; 1024])));
    drop(stream);
    let account = running.node.account("native-guest").unwrap();
    assert_eq!(account.panics(), 1);
    assert!(account.last_panic().unwrap().ends_with("boom"), "{:?}", account.last_panic());
    assert_eq!(ask(&running, "answer").unwrap().manifest_hash, "hello", "it lives on");
    running.drain();
}

#[test]
fn a_task_that_a_guest_spawned_with_the_host_and_that_panics_is_told_to_the_guest() {
    let running = Running::start("").unwrap();
    let strategy = running.node.seams().heal_strategy.clone().unwrap();
    let ended = running.scheduler.block_on(strategy.reconstruct(job("host-task"))).unwrap_err();
    assert!(ended.to_string().contains(r#"Err(Panicked("glass"))"#), "{ended}");
    assert_eq!(running.scheduler.panics(), [], "the host's scheduler saw a task that ended");
    drop(strategy);
    running.drain();
}

#[test]
fn a_stream_crosses_and_its_panic_is_its_last_message() {
    let running = Running::start("").unwrap();
    let Some(Handler::ServerStream(handler)) = running.router.find("/guest/letters") else {
        panic!("no handler")
    };
    let caller = CallerMint::for_host().proved("a1");
    let mut stream = wait_for(handler.call(caller, vec![200])).unwrap();
    for left in (0..200).rev() {
        assert_eq!(wait_for(stream.next()), Some(Ok(vec![left; 1024])));
    }
    let Some(Err(status)) = wait_for(stream.next()) else { panic!("a failure") };
    assert_eq!(status.code, StatusCode::Unavailable);
    assert_eq!(running.node.account("native-guest").unwrap().panics(), 1);
    drop(stream);
    running.drain();
}

#[test]
fn a_call_that_hangs_harms_nobody_and_is_seen_in_the_account() {
    let running = Running::start("").unwrap();
    let strategy = running.node.seams().heal_strategy.clone().unwrap();
    let mut hanging = strategy.reconstruct(job("hang"));
    assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let account = running.node.account("native-guest").unwrap();
    let in_flight = || {
        let methods = account.methods();
        methods.iter().find(|method| method.method == "reconstruct").unwrap().in_flight
    };
    assert_eq!(in_flight(), 1);
    assert!(ask(&running, "answer").is_ok());
    drop(hanging);
    assert_eq!(in_flight(), 0);
    drop(strategy);
    running.drain();
}
