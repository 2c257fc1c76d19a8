//! What the calls of peers cost: how many run, since when, and how many bytes of requests have come in part.
//!
//! Owns these counts and their limits, and the body of a request while it arrives.

use crate::config::{Config, millis};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::cancel::{Cancel, Cancelled};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The calls of all peers.
pub(crate) struct Calls {
    scheduler: Arc<dyn Scheduler>,
    running: AtomicUsize,
    running_max: usize,
    request_bytes: AtomicU64,
    request_bytes_max: u64,
    request_time: Duration,
}

/// The calls of one connection, with the moment at which each began.
#[derive(Default)]
pub(crate) struct ConnectionCalls {
    began: Mutex<(u64, BTreeMap<u64, Moment>)>,
}

impl ConnectionCalls {
    /// When the oldest running call began.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        self.lock().1.values().min().copied()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Moment>)> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that runs until this is dropped.
pub(crate) struct RunningCall {
    calls: Arc<Calls>,
    connection: Arc<ConnectionCalls>,
    number: u64,
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.calls.running.fetch_sub(1, Ordering::AcqRel);
        self.connection.lock().1.remove(&self.number);
    }
}

impl Calls {
    pub(crate) fn new(scheduler: Arc<dyn Scheduler>, config: &Config) -> Self {
        Self {
            scheduler,
            running: AtomicUsize::new(0),
            running_max: config.calls_max as usize,
            request_bytes: AtomicU64::new(0),
            request_bytes_max: config.request_bytes_max,
            request_time: millis(config.request_time_max_ms),
        }
    }

    /// A call that begins now, unless too many run.
    pub(crate) fn begin(self: &Arc<Self>, connection: &Arc<ConnectionCalls>) -> Option<RunningCall> {
        let one_more = |running| (running < self.running_max).then_some(running + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        let mut began = connection.lock();
        let number = began.0;
        began.0 += 1;
        began.1.insert(number, self.scheduler.now());
        drop(began);
        Some(RunningCall { calls: Arc::clone(self), connection: Arc::clone(connection), number })
    }

    /// A request's body, counted while it arrives.
    pub(crate) fn request<B>(self: &Arc<Self>, body: B) -> RequestBody<B> {
        let time_is_up = self.scheduler.sleep(self.request_time);
        RequestBody { body, calls: Arc::clone(self), counted_bytes: 0, time_is_up }
    }
}

/// Why a request was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("the requests that are arriving are larger than this node takes at once; try again later")]
    TooManyBytes,
    #[error("the request took too long to arrive")]
    TooSlow,
}

/// See [`Calls::request`].
pub(crate) struct RequestBody<B> {
    body: B,
    calls: Arc<Calls>,
    counted_bytes: u64,
    time_is_up: BoxFuture<'static, ()>,
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.calls.request_bytes.fetch_sub(self.counted_bytes, Ordering::AcqRel);
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            ready!(this.time_is_up.as_mut().poll(context));
            let reason = RequestError::TooSlow.to_string();
            return Poll::Ready(Some(Err(tonic::Status::deadline_exceeded(reason))));
        };
        let frame = frame.map(|frame| frame.map_err(|error| tonic::Status::from_error(error.into())));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let len_bytes = data.len() as u64;
            let all = this.calls.request_bytes.fetch_add(len_bytes, Ordering::AcqRel) + len_bytes;
            this.counted_bytes += len_bytes;
            if all > this.calls.request_bytes_max {
                let reason = RequestError::TooManyBytes.to_string();
                return Poll::Ready(Some(Err(tonic::Status::resource_exhausted(reason))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, whose call runs until it is dropped.
pub(crate) struct AnswerBody {
    body: tonic::body::Body,
    _call: Option<RunningCall>,
    /// Ends the answer early when it is given.
    ends: Option<Cancelled>,
}

impl AnswerBody {
    pub(crate) fn new(body: tonic::body::Body, call: RunningCall, ends: Option<&Cancel>) -> Self {
        Self { body, _call: Some(call), ends: ends.map(Cancel::cancelled) }
    }

    /// The body of a refusal, which costs nothing.
    pub(crate) const fn uncounted(body: tonic::body::Body) -> Self {
        Self { body, _call: None, ends: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = self.get_mut();
        if let Some(ends) = &mut this.ends
            && Pin::new(ends).poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
    use std::collections::VecDeque;

    /// Yields its pieces, then nothing for ever.
    struct Pieces(VecDeque<usize>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            match self.0.pop_front() {
                Some(len_bytes) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; len_bytes]))))),
                None => Poll::Pending,
            }
        }
    }

    async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Result<Frame<Bytes>, B::Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
    }

    #[test]
    fn requests_share_a_budget_of_bytes_and_have_a_deadline() {
        let scheduler = VirtualScheduler::new(0);
        let config = Config { request_bytes_max: 100, request_time_max_ms: 50, ..Config::default() };
        let calls = Arc::new(Calls::new(scheduler.handle(), &config));
        scheduler.block_on(async {
            let mut first = calls.request(Pieces([60].into()));
            let mut second = calls.request(Pieces([40, 1].into()));
            assert!(next(&mut first).await.is_some_and(|frame| frame.is_ok()));
            assert!(next(&mut second).await.is_some_and(|frame| frame.is_ok()), "exactly the budget");
            let refused = next(&mut second).await.and_then(Result::err).map(|status| status.code());
            assert_eq!(refused, Some(tonic::Code::ResourceExhausted));
            let late = next(&mut first).await.and_then(Result::err).map(|status| status.code());
            assert_eq!(late, Some(tonic::Code::DeadlineExceeded));
            drop((first, second));
            assert_eq!(calls.request_bytes.load(Ordering::Acquire), 0);
        });
    }

    #[test]
    fn only_so_many_calls_run_and_the_oldest_is_known() {
        let scheduler = VirtualScheduler::new(0);
        let config = Config { calls_max: 2, ..Config::default() };
        let calls = Arc::new(Calls::new(scheduler.handle(), &config));
        let connection = Arc::new(ConnectionCalls::default());
        let begun = scheduler.handle().now();
        let first = calls.begin(&connection);
        scheduler.block_on(scheduler.handle().sleep(Duration::from_secs(1)));
        let second = calls.begin(&connection);
        assert!(first.is_some() && second.is_some() && calls.begin(&connection).is_none());
        assert_eq!(connection.oldest(), Some(begun));
        drop(first);
        assert_eq!(connection.oldest(), Some(begun.plus(Duration::from_secs(1))));
        assert!(calls.begin(&connection).is_some());
        drop(second);
        assert_eq!(connection.oldest(), None);
    }
}
