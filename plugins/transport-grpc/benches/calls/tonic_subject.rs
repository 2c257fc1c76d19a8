//! tonic's own server and channel, in plaintext or over rustls, with the same windows and the same raw messages.

use super::{CHUNK_LEN_BYTES, ECHO, STREAM, Subject, number};
use bytes::{Buf, BufMut, Bytes};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::futures::StreamExt;
use lampkeeper_plugin_sdk::futures::stream::{self, BoxStream};
use rustls::CipherSuite;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tower_service::Service;

const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
const FRAME_LEN_BYTES: u32 = 64 * 1024;
const MESSAGE_LEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Leaves rustls the cipher of the secure channel, and no other.
pub(crate) fn only_chacha20() {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    provider.install_default().unwrap();
}

pub(crate) struct TonicSubject {
    name: &'static str,
    endpoint: Endpoint,
    channel: Channel,
}

impl TonicSubject {
    pub(crate) async fn plaintext() -> Self {
        Self::start("tonic, plaintext", None).await
    }

    pub(crate) async fn over_rustls() -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Self::start("tonic over rustls", Some((certified.cert.pem(), certified.signing_key.serialize_pem())))
            .await
    }

    async fn start(name: &'static str, tls: Option<(String, String)>) -> Self {
        // The port is free for a moment: nothing else runs here.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = free.local_addr().unwrap();
        drop(free);
        let mut server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_LEN_BYTES)
            .tcp_nodelay(true);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://localhost:{}", address.port()))
            .unwrap()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_LEN_BYTES)
            .tcp_nodelay(true);
        if let Some((certificate, key)) = tls {
            let identity = Identity::from_pem(&certificate, key);
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate));
            endpoint = endpoint.tls_config(tls).unwrap();
        }
        tokio::spawn(server.serve(address, Answering));
        let channel = loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        Self { name, endpoint, channel }
    }

    async fn call_on(channel: Channel, path: &'static str, request: Vec<u8>) -> Vec<u8> {
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MESSAGE_LEN_BYTES_MAX);
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(path);
        grpc.unary(Request::new(Bytes::from(request)), path, Raw).await.unwrap().into_inner()
    }
}

#[async_trait]
impl Subject for TonicSubject {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn connect_and_call(&self) {
        let channel = self.endpoint.connect().await.unwrap();
        Self::call_on(channel, ECHO, Vec::new()).await;
    }

    async fn call(&self, path: &'static str, request: Vec<u8>) -> Vec<u8> {
        Self::call_on(self.channel.clone(), path, request).await
    }

    async fn stream(&self, chunks: usize) -> usize {
        let mut grpc =
            tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LEN_BYTES_MAX);
        grpc.ready().await.unwrap();
        let request = Request::new(Bytes::from((chunks as u64).to_le_bytes().to_vec()));
        let path = http::uri::PathAndQuery::from_static(STREAM);
        let mut stream = grpc.server_streaming(request, path, Raw).await.unwrap().into_inner();
        let mut total_bytes = 0;
        while let Some(chunk) = stream.message().await.unwrap() {
            total_bytes += chunk.len();
        }
        total_bytes
    }
}

/// The service of all paths.
#[derive(Clone, Copy)]
struct Answering;
struct Bytewise;
struct Streaming;

impl Service<http::Request<Body>> for Answering {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Raw).max_decoding_message_size(MESSAGE_LEN_BYTES_MAX);
            Ok(match request.uri().path() == STREAM {
                true => grpc.server_streaming(Streaming, request).await,
                false => grpc.unary(Bytewise, request).await,
            })
        })
    }
}

impl Service<Request<Vec<u8>>> for Bytewise {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        ready(Ok(Response::new(Bytes::from(vec![7; number(request.get_ref())]))))
    }
}

impl Service<Request<Vec<u8>>> for Streaming {
    type Response = Response<BoxStream<'static, Result<Bytes, Status>>>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let chunks = (0..number(request.get_ref())).map(|_| Ok(Bytes::from(vec![7; CHUNK_LEN_BYTES])));
        ready(Ok(Response::new(stream::iter(chunks).boxed())))
    }
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        *self
    }
    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
