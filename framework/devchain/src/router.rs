//! From the bytes of a call to its answer.
//!
//! Owns the table from paths to answers, the limits of requests, and the place where a test makes calls fail. What is
//! answered is in `services`.

use crate::chain::DevChain;
use crate::services;
use lampkeeper_proto::calls::Call;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::Grpc;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// The longest request, in bytes: a little more than the longest transaction.
const REQUEST_LEN_BYTES_MAX: usize = crate::transaction::TX_LEN_BYTES_MAX + 4096;

/// Stands between calls and their answers, for tests that want some to fail.
pub trait Intercept: Send + Sync {
    /// Called before a call is carried out. What it fails with is answered, and nothing is done.
    ///
    /// # Errors
    /// What the caller is to see.
    fn before(&self, path: &str) -> Result<(), Status> {
        let _ = path;
        Ok(())
    }

    /// Called after a call was carried out. What it fails with is answered instead.
    ///
    /// # Errors
    /// What the caller is to see.
    fn after(&self, path: &str) -> Result<(), Status> {
        let _ = path;
        Ok(())
    }
}

/// Lets everything pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoIntercept;

impl Intercept for NoIntercept {}

type Answered = Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;
type Handler = Box<dyn Fn(Arc<Shared>, http::Request<Body>) -> Answered + Send + Sync>;

struct Shared {
    chain: Arc<DevChain>,
    intercept: Arc<dyn Intercept>,
}

/// The table of answers while it is filled.
#[derive(Default)]
pub(crate) struct Router {
    handlers: BTreeMap<&'static str, Handler>,
}

impl Router {
    /// Answers a call with a function.
    pub(crate) fn answer<Q, R>(&mut self, call: Call<Q, R>, answer: fn(&DevChain, Q) -> Result<R, Status>)
    where
        Q: prost::Message + Default + 'static,
        R: prost::Message + Default + 'static,
    {
        let handler = move |shared: Arc<Shared>, request: http::Request<Body>| -> Answered {
            Box::pin(async move {
                let codec = ProstCodec::<R, Q>::default();
                let mut grpc = Grpc::new(codec).max_decoding_message_size(REQUEST_LEN_BYTES_MAX);
                grpc.unary(Unary { shared, call, answer, messages: PhantomData }, request).await
            })
        };
        self.handlers.insert(call.path(), Box::new(handler));
    }
}

/// One call as the gRPC layer wants it.
struct Unary<Q, R> {
    shared: Arc<Shared>,
    call: Call<Q, R>,
    answer: fn(&DevChain, Q) -> Result<R, Status>,
    messages: PhantomData<fn(Q) -> R>,
}

impl<Q, R> Service<Request<Q>> for Unary<Q, R> {
    type Response = Response<R>;
    type Error = Status;
    type Future = Ready<Result<Response<R>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let path = self.call.path();
        let carried_out = self.shared.intercept.before(path).and_then(|()| {
            let answer = (self.answer)(&self.shared.chain, request.into_inner())?;
            self.shared.intercept.after(path)?;
            Ok(Response::new(answer))
        });
        ready(carried_out)
    }
}

/// The chain as a gRPC service.
#[derive(Clone)]
pub struct DevChainService {
    handlers: Arc<BTreeMap<&'static str, Handler>>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for DevChainService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DevChainService").field("calls", &self.handlers.len()).finish_non_exhaustive()
    }
}

impl DevChainService {
    /// The service of a chain.
    #[must_use]
    pub fn new(chain: Arc<DevChain>, intercept: Arc<dyn Intercept>) -> Self {
        let mut router = Router::default();
        services::answer_all(&mut router);
        Self { handlers: Arc::new(router.handlers), shared: Arc::new(Shared { chain, intercept }) }
    }

    /// The paths that are answered.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.handlers.keys().copied()
    }
}

impl Service<http::Request<Body>> for DevChainService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let answered = match self.handlers.get(path) {
            Some(handler) => handler(Arc::clone(&self.shared), request),
            None => {
                let status = Status::unimplemented(format!("no such call: {path}"));
                Box::pin(ready(status.into_http()))
            }
        };
        Box::pin(async move { Ok(answered.await) })
    }
}
