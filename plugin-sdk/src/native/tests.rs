//! The guest's side without a library: this test's own image plays the guest.

use super::*;
use crate::testkit::{RecordingTelemetry, context};
use lampkeeper_api::plugin::Close;
use std::task::{Context, Poll, Waker};

/// What a future that never waits answers.
fn block_on<T>(mut future: BoxFuture<'_, T>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

struct Loud;

impl Close for Loud {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        tracing::warn!(depth = 7, "closing {}", "loudly");
        panic!("too loud");
    }
}

fn describe() -> PluginDescriptor {
    panic!("nothing to say");
}

#[test]
fn panics_and_records_of_a_guest_reach_its_host() {
    let telemetry = RecordingTelemetry::new();
    let context = context("loud").telemetry(&telemetry).build();
    let make: Constructor =
        |_| Box::pin(async { Ok(Provided { close: Some(Arc::new(Loud)), ..Provided::default() }) });
    let provided = block_on(construct(context, Runtime::none, make)).unwrap();
    let close = provided.close.unwrap();
    let closed = block_on(close.close());
    assert_eq!(closed, Err("plugin loud panicked: too loud".to_owned()));
    let logs = telemetry.logs();
    let [record] = &logs[..] else { panic!("{logs:?}") };
    assert_eq!(record.message, "closing loudly");
}

#[test]
fn a_guest_that_panics_before_it_is_made_is_refused() {
    assert_eq!(start(describe, |_| panic!("early")).unwrap_err(), "nothing to say");
    let refused = block_on(construct(context("early").build(), Runtime::none, |_| panic!("early")));
    let Err(PluginError::Panicked { message, .. }) = refused else { panic!("a refusal") };
    assert_eq!(message, "early");
}
