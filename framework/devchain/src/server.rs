//! The socket that the chain is served on.

use crate::router::DevChainService;
use lampkeeper_plugin_sdk::api::cancel::Cancel;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Calls of one connection that are answered at once.
const CONCURRENT_CALLS_MAX: u32 = 256;
/// How often a silent connection is tested.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Why the chain is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("listening on {address} failed: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The server failed.
    #[error("serving the chain failed: {reason}")]
    Serve {
        /// What went wrong.
        reason: String,
    },
}

/// A socket that is bound: whoever connects waits until it is served.
#[derive(Debug)]
pub struct Listener {
    incoming: TcpIncoming,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 takes any port. Has to be called on a tokio runtime.
    ///
    /// # Errors
    /// The address can't be had.
    pub fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let incoming = TcpIncoming::bind(address).map_err(failed)?.with_nodelay(Some(true));
        let address = incoming.local_addr().map_err(failed)?;
        Ok(Self { incoming, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, and then until running calls are answered.
    ///
    /// # Errors
    /// The server failed.
    pub async fn serve(self, service: DevChainService, stop: Cancel) -> Result<(), ServeError> {
        Server::builder()
            .max_concurrent_streams(CONCURRENT_CALLS_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .serve_with_incoming_shutdown(service, self.incoming, stop.cancelled())
            .await
            .map_err(|error| ServeError::Serve { reason: error.to_string() })
    }
}
