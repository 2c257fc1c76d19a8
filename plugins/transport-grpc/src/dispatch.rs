//! From a request on a connection to its handler and back.
//!
//! Owns which paths there are, the containment of handlers' panics, and the health and reflection services (wire 2.5). The
//! caller is who the connection's handshake proved.

use crate::calls::{AnswerBody, Calls, ConnectionCalls, RequestBody};
use crate::codec::RawCodec;
use crate::status::to_wire;
use bytes::Bytes;
use hyper::body::Incoming;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::telemetry::{Level, Telemetry};
use lampkeeper_plugin_sdk::api::transport::{
    Caller, Handler, MESSAGE_LEN_BYTES_MAX, MessageStream, Router, Status, StatusCode, StreamHandler,
    UnaryHandler,
};
use lampkeeper_plugin_sdk::futures::stream::{self, BoxStream};
use lampkeeper_plugin_sdk::futures::{FutureExt, StreamExt};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_service::Service;

type Request = http::Request<RequestBody<Incoming>>;
type Response = http::Response<Body>;
/// A service that tonic's family brings.
type Auxiliary = Box<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// What stands behind the paths of this node.
pub(crate) struct Dispatcher {
    router: Router,
    scheduler: Arc<dyn Scheduler>,
    telemetry: Arc<dyn Telemetry>,
    calls: Arc<Calls>,
    health: HealthReporter,
    /// Services of tonic's by the beginning of their paths.
    auxiliary: Vec<(&'static str, Auxiliary)>,
    draining: Cancel,
}

impl Dispatcher {
    /// # Errors
    /// If the schemas of this build can't be reflected.
    pub(crate) async fn new(
        router: Router,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
        calls: Arc<Calls>,
        draining: Cancel,
        has_reflection: bool,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let services: BTreeSet<String> = router.paths().filter_map(service_of).map(str::to_owned).collect();
        let health = HealthReporter::new();
        for service in &services {
            health.set_service_status(service, ServingStatus::Serving).await;
        }
        let server = HealthServer::new(HealthService::from_health_reporter(health.clone()));
        let mut auxiliary = vec![("/grpc.health.v1.Health/", boxed(server))];
        if has_reflection {
            auxiliary.push(("/grpc.reflection.v1.", boxed(reflection(&services).build_v1()?)));
            auxiliary.push(("/grpc.reflection.v1alpha.", boxed(reflection(&services).build_v1alpha()?)));
        }
        Ok(Self { router, scheduler, telemetry, calls, health, auxiliary, draining })
    }

    /// Says to everybody who asks that this node is about to stop (wire 2.5).
    pub(crate) async fn set_not_serving(&self) {
        let services: BTreeSet<&str> = self.router.paths().filter_map(service_of).collect();
        for service in std::iter::once("").chain(services) {
            self.health.set_service_status(service, ServingStatus::NotServing).await;
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(
        self: Arc<Self>,
        caller: Caller,
        connection: Arc<ConnectionCalls>,
        request: http::Request<Incoming>,
    ) -> http::Response<AnswerBody> {
        let Some(call) = self.calls.begin(&connection) else {
            return self.turned_away();
        };
        let timeout = grpc_timeout(request.headers());
        let request = request.map(|body| self.calls.request(body));
        let path = request.uri().path().to_owned();
        let ends = self.router.find(&path).is_none().then_some(&self.draining);
        let answering = self.route(&path, caller, request);
        let response = match timeout {
            None => answering.await,
            Some(timeout) => within(&*self.scheduler, timeout, answering).await.unwrap_or_else(|| {
                refusal(Status::new(StatusCode::DeadlineExceeded, "the time that the caller gave is over"))
            }),
        };
        response.map(|body| AnswerBody::new(body, call, ends))
    }

    fn turned_away(&self) -> http::Response<AnswerBody> {
        self.telemetry.count("transport_calls_turned_away_total", &[], 1);
        let status = Status::new(StatusCode::ResourceExhausted, "too many calls run; try again later");
        refusal(status).map(AnswerBody::uncounted)
    }

    async fn route(&self, path: &str, caller: Caller, request: Request) -> Response {
        let mut grpc = tonic::server::Grpc::new(RawCodec)
            .max_decoding_message_size(MESSAGE_LEN_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_LEN_BYTES_MAX);
        let contained = Contained { path: path.to_owned(), telemetry: Arc::clone(&self.telemetry) };
        match self.router.find(path) {
            Some(Handler::Unary(handler)) => {
                grpc.unary(UnaryCall { handler: Arc::clone(handler), caller, contained }, request).await
            }
            Some(Handler::ServerStream(handler)) => {
                let call = StreamCall { handler: Arc::clone(handler), caller, contained };
                grpc.server_streaming(call, request).await
            }
            None => match self.auxiliary.iter().find(|(prefix, _)| path.starts_with(prefix)) {
                Some((_, service)) => service(request).await,
                None => refusal(Status::new(StatusCode::Unimplemented, format!("no method `{path}`"))),
            },
        }
    }
}

fn reflection(services: &BTreeSet<String>) -> tonic_reflection::server::Builder<'static> {
    services.iter().fold(
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(lampkeeper_proto::FILE_DESCRIPTOR_SET),
        |builder, service| builder.with_service_name(service.clone()),
    )
}

/// `package.Service` of `/package.Service/Method`.
fn service_of(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.rsplit_once('/').map(|(service, _)| service)
}

fn boxed<S>(service: S) -> Auxiliary
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    Box::new(move |request| {
        let answer = service.clone().call(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    })
}

fn refusal(status: Status) -> Response {
    to_wire(status).into_http()
}

/// The time that the caller gives, from its header: at most 8 digits and a unit.
fn grpc_timeout(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// Runs a handler's code.
#[derive(Clone)]
struct Contained {
    path: String,
    telemetry: Arc<dyn Telemetry>,
}

impl Contained {
    /// What the code says; a panic is `Internal`, and a refusal of the caller is counted.
    async fn run<T>(&self, work: impl Future<Output = Result<T, Status>> + Send) -> Result<T, Status> {
        let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
            self.telemetry.count("transport_handler_panics_total", &[("path", &self.path)], 1);
            self.telemetry.log(Level::Error, "a handler panicked", &[("path", (&self.path).into())]);
            Err(Status::new(StatusCode::Internal, "the handler failed"))
        });
        if let Err(Status { code: StatusCode::PermissionDenied | StatusCode::Unauthenticated, .. }) = outcome
        {
            self.telemetry.count("transport_callers_refused_total", &[("path", &self.path)], 1);
        }
        outcome
    }
}

/// A message that may be passed on, or the status that replaces it.
fn carriable(message: Vec<u8>) -> Result<Bytes, Status> {
    if message.len() <= MESSAGE_LEN_BYTES_MAX {
        return Ok(message.into());
    }
    let reason =
        format!("an answer of {} bytes is larger than the {MESSAGE_LEN_BYTES_MAX} allowed", message.len());
    Err(Status::new(StatusCode::Internal, reason))
}

struct UnaryCall {
    handler: Arc<dyn UnaryHandler>,
    caller: Caller,
    contained: Contained,
}

impl Service<tonic::Request<Vec<u8>>> for UnaryCall {
    type Response = tonic::Response<Bytes>;
    type Error = tonic::Status;
    type Future = BoxFuture<'static, Result<Self::Response, tonic::Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        let (handler, caller) = (Arc::clone(&self.handler), self.caller.clone());
        let contained = self.contained.clone();
        Box::pin(async move {
            let work = async { handler.call(caller, request.into_inner()).await };
            let answer = contained.run(work).await.and_then(carriable);
            answer.map(tonic::Response::new).map_err(to_wire)
        })
    }
}

struct StreamCall {
    handler: Arc<dyn StreamHandler>,
    caller: Caller,
    contained: Contained,
}

impl Service<tonic::Request<Vec<u8>>> for StreamCall {
    type Response = tonic::Response<BoxStream<'static, Result<Bytes, tonic::Status>>>;
    type Error = tonic::Status;
    type Future = BoxFuture<'static, Result<Self::Response, tonic::Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        let (handler, caller) = (Arc::clone(&self.handler), self.caller.clone());
        let contained = self.contained.clone();
        Box::pin(async move {
            let work = async { handler.call(caller, request.into_inner()).await };
            let messages = contained.run(work).await.map_err(to_wire)?;
            Ok(tonic::Response::new(answers(messages, contained)))
        })
    }
}

/// The messages, each asked for when the one before it is on its way; nothing after a status.
fn answers(
    messages: Box<dyn MessageStream>,
    contained: Contained,
) -> BoxStream<'static, Result<Bytes, tonic::Status>> {
    let next = |state: Option<(Box<dyn MessageStream>, Contained)>| async move {
        let (mut messages, contained) = state?;
        let next = contained.run(async { messages.next().await.transpose() }).await.transpose()?;
        match next.and_then(carriable) {
            Ok(message) => Some((Ok(message), Some((messages, contained)))),
            Err(status) => Some((Err(to_wire(status)), None)),
        }
    };
    stream::unfold(Some((messages, contained)), next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let table = [
            ("5S", Some(Duration::from_secs(5))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100m", Some(Duration::from_millis(100))),
            ("7u", Some(Duration::from_micros(7))),
            ("9n", Some(Duration::from_nanos(9))),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("5x", None),
            ("123456789S", None),
            ("5é", None),
        ];
        for (text, expected) in table {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(grpc_timeout(&headers), expected, "{text}");
        }
    }

    #[test]
    fn services_are_the_first_part_of_a_path() {
        assert_eq!(service_of("/supernode.SelfHealingService/X"), Some("supernode.SelfHealingService"));
        assert_eq!(service_of("no path"), None);
    }
}
