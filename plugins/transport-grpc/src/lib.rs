//! gRPC between nodes over the network's secure channel (wire 2, 11).
//!
//! Owns the sockets: the plugin `transport-grpc`, which provides the transport seam, and the secure channel
//! ([`channel`]). What a message means belongs to the services; which roles a caller has is decided by them, from the
//! account that the handshake proved.
//!
//! A connection gets in when its peer has proved an account, the chain knows that account as what it says to be, and its
//! first record has opened. Until then it may take a few kilobytes and a few seconds, and is the first to go when there are
//! too many.
//!
//! # Metrics
//!
//! | name | labels | what |
//! | --- | --- | --- |
//! | `transport_calls_total` | `outcome`: `ok`, `unreachable`, `timed_out`, `wrong_identity`, `refused`, `broken`, `local` | calls that this node made; a stream counts when it opens |
//! | `transport_handshakes_total` | `side`: `client`, `server`; `outcome`: `ok`, or why not | connections that this node made and accepted |
//! | `transport_connections` | `state`: `unproved`, `proved` | gauge: connections of peers |
//! | `transport_connections_pushed_out_total` | | connections that had proved nothing and made room for newer ones |
//! | `transport_callers_refused_total` | `path` | calls of peers that asked for more than their role |
//! | `transport_calls_turned_away_total` | | calls of peers beyond the greatest number |
//! | `transport_endless_calls_total` | | connections that were cut because a call took too long |
//! | `transport_handler_panics_total` | `path` | panics of this node's handlers, each answered as `Internal` |
//!
//! There are no events: every call is the business of the service that made it.
#![forbid(unsafe_code)]

pub mod channel;

mod admission;
mod calls;
mod client;
mod codec;
mod config;
mod crowd;
mod dispatch;
mod executor;
mod known_peers;
mod reach;
mod server;
mod status;
mod transport;

pub use config::{Config, ShownAs};
pub use transport::{GrpcTransport, Parts};

use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::plugin::Close;
use lampkeeper_plugin_sdk::prelude::*;
use std::sync::Arc;

async fn construct(context: PluginContext, config: Config) -> Result<Provided, PluginError> {
    let config = config.checked(&context.plugin_id)?;
    let cannot_start =
        |reason: String| PluginError::CannotStart { plugin_id: context.plugin_id.clone(), reason };
    let caller_mint = context
        .caller_mint
        .clone()
        .ok_or_else(|| cannot_start("the host granted no right to name callers".to_owned()))?;
    tokio::runtime::Handle::try_current().map_err(|error| {
        cannot_start(format!("{error}; the node has to construct its plugins on a tokio runtime"))
    })?;
    let parts = Parts {
        signer: context.signer()?,
        chain: context.chain_reader()?,
        scheduler: context.scheduler()?,
        caller_mint,
        telemetry: Arc::clone(&context.telemetry),
    };
    let transport =
        Arc::new(GrpcTransport::new(parts, config).map_err(|error| cannot_start(error.to_string()))?);
    let closing = Closing(Arc::clone(&transport));
    Ok(Provided { transport: Some(transport), close: Some(Arc::new(closing)), ..Provided::default() })
}

/// Ends the connections that this node has made; those of its peers end with the server's handle.
struct Closing(Arc<GrpcTransport>);

impl Close for Closing {
    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        self.0.close();
        Box::pin(async { Ok(()) })
    }
}

lampkeeper_plugin_sdk::register_plugin! {
    id: "transport-grpc",
    summary: "gRPC between nodes over the network's secure channel.",
    provides: [Transport],
    needs: [required Scheduler, required Signer, required ChainRead],
    config: Config,
    construct: construct,
    runtime: small,
}
