//! What an operator may set: where the node listens, and every limit.
//!
//! Owns the defaults and the bounds. The defaults are safe for a node with one gigabyte of memory for its peers.

use lampkeeper_plugin_sdk::prelude::*;
use std::time::Duration;

/// As what a node shows itself (wire 11.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", rename_all = "kebab-case")]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub enum ShownAs {
    /// As a registered supernode. Peers refuse it while the chain does not list the account.
    #[default]
    Supernode,
    /// As an ordinary account.
    Account,
}

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Config {
    /// The address and port to listen on. Port 0 lets the system choose.
    pub listen: String,
    /// Where peers reach this node, `host:port`, if that is not what it listens on.
    pub public_address: String,
    /// As what this node shows itself to peers.
    pub shown_as: ShownAs,
    /// Whether ordinary accounts may connect, and not only supernodes.
    pub accept_ordinary_accounts: bool,
    /// Whether peers may ask which services and messages there are (gRPC reflection).
    pub reflection: bool,

    /// How long a peer may take to prove its account, its first record included.
    pub handshake_timeout_ms: u64,
    /// Connections whose peer has proved nothing yet. When there are more, the oldest one goes.
    pub unproved_connections_max: u32,
    /// How long a connection may stay without having proved anything, however many others come. Those wait to be
    /// accepted.
    pub unproved_time_min_ms: u64,
    /// Handshakes that this node begins at the same time; further ones wait.
    pub outgoing_handshakes_max: u32,
    /// Connections of peers that have proved their accounts; further ones are refused.
    pub connections_max: u32,
    /// Those of them that ordinary accounts may have.
    pub ordinary_connections_max: u32,
    /// Those that one account may have. When there are more, its oldest one goes.
    pub connections_per_account_max: u32,
    /// How old a connection may get before it is asked to end.
    pub connection_age_max_ms: u64,
    /// How long its calls may then go on.
    pub connection_age_grace_ms: u64,

    /// Calls of all peers that run at once; further ones are answered with `RESOURCE_EXHAUSTED`.
    pub calls_max: u32,
    /// Calls that run at once on one connection; further ones wait with the peer.
    pub calls_per_connection_max: u32,
    /// How long a call may take, its answer included, before its connection is cut.
    pub call_time_max_ms: u64,
    /// How long a request may take to arrive.
    pub request_time_max_ms: u64,
    /// Bytes of requests that have arrived in part, over all calls; what exceeds them is refused.
    pub request_bytes_max: u64,
    /// What a peer may send of one stream before it was read.
    pub stream_window_bytes: u32,
    /// What a peer may send of all streams of a connection before it was read.
    pub connection_window_bytes: u32,

    /// Silence after which a server asks whether its peer is still there.
    pub keepalive_interval_ms: u64,
    /// The same for connections that this node made. The network's servers cut clients that ask more often than every
    /// five minutes.
    pub client_keepalive_interval_ms: u64,
    /// How long the answer to that may take.
    pub keepalive_timeout_ms: u64,

    /// Whether peers with addresses of this machine (loopback) and of private networks are called. Without it an address in
    /// the chain's registry leads to no such place; networks on one machine, or behind one router, need it.
    pub dial_private_addresses: bool,
    /// How long a TCP connection may take.
    pub connect_timeout_ms: u64,
    /// Connections that this node keeps to others.
    pub pooled_connections_max: u32,
    /// How long one of them is kept without a call.
    pub pooled_idle_max_ms: u64,

    /// How long the chain may take to say whether it knows a peer.
    pub chain_check_timeout_ms: u64,
    /// Questions about peers that the chain is asked at once; further ones wait.
    pub chain_checks_max: u32,
    /// Peers whose answer is remembered.
    pub known_peers_max: u32,
    /// How long the chain's yes is believed. While the chain can't be asked it is believed for longer.
    pub known_peer_ttl_ms: u64,
    /// How long the chain's no is believed.
    pub unknown_peer_ttl_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:4444".to_owned(),
            public_address: String::new(),
            shown_as: ShownAs::default(),
            accept_ordinary_accounts: true,
            reflection: true,
            handshake_timeout_ms: 10_000,
            unproved_connections_max: 256,
            unproved_time_min_ms: 1_000,
            outgoing_handshakes_max: 100,
            connections_max: 512,
            ordinary_connections_max: 128,
            connections_per_account_max: 8,
            connection_age_max_ms: 2 * 3_600_000,
            connection_age_grace_ms: 3_600_000,
            calls_max: 512,
            calls_per_connection_max: 32,
            call_time_max_ms: 1_800_000,
            request_time_max_ms: 60_000,
            request_bytes_max: 256 * 1024 * 1024,
            stream_window_bytes: 2 * 1024 * 1024,
            connection_window_bytes: 8 * 1024 * 1024,
            keepalive_interval_ms: 60_000,
            client_keepalive_interval_ms: 360_000,
            keepalive_timeout_ms: 20_000,
            dial_private_addresses: false,
            connect_timeout_ms: 5_000,
            pooled_connections_max: 256,
            pooled_idle_max_ms: 600_000,
            chain_check_timeout_ms: 5_000,
            chain_checks_max: 16,
            known_peers_max: 1024,
            known_peer_ttl_ms: 3_600_000,
            unknown_peer_ttl_ms: 5_000,
        }
    }
}

/// The largest window that HTTP/2 has.
const WINDOW_BYTES_MAX: u32 = i32::MAX as u32;
/// The smallest that is of use: what HTTP/2 begins with.
const WINDOW_BYTES_MIN: u32 = 65_535;

impl Config {
    /// The configuration, if a node can run with it.
    ///
    /// # Errors
    /// For the first value that is out of bounds.
    pub(crate) fn checked(self, plugin_id: &str) -> Result<Self, PluginError> {
        let invalid = |key: &str, reason: &str| {
            Err(PluginError::InvalidConfig {
                plugin_id: plugin_id.to_owned(),
                key: key.to_owned(),
                reason: reason.to_owned(),
            })
        };
        for (key, value) in self.counts_and_times() {
            if value == 0 {
                return invalid(key, "0 would let nothing through; leave it out for the default");
            }
        }
        for (key, bytes) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            if !(WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX).contains(&bytes) {
                return invalid(key, "a window has 65535 to 2147483647 bytes");
            }
        }
        if self.unproved_time_min_ms > self.handshake_timeout_ms {
            return invalid("unproved_time_min_ms", "it is longer than handshake_timeout_ms");
        }
        if self.connection_window_bytes < self.stream_window_bytes {
            return invalid("connection_window_bytes", "it is smaller than stream_window_bytes");
        }
        Ok(self)
    }

    fn counts_and_times(&self) -> [(&'static str, u64); 24] {
        [
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("unproved_connections_max", self.unproved_connections_max.into()),
            ("unproved_time_min_ms", self.unproved_time_min_ms),
            ("outgoing_handshakes_max", self.outgoing_handshakes_max.into()),
            ("connections_max", self.connections_max.into()),
            ("connections_per_account_max", self.connections_per_account_max.into()),
            ("connection_age_max_ms", self.connection_age_max_ms),
            ("connection_age_grace_ms", self.connection_age_grace_ms),
            ("calls_max", self.calls_max.into()),
            ("calls_per_connection_max", self.calls_per_connection_max.into()),
            ("call_time_max_ms", self.call_time_max_ms),
            ("request_time_max_ms", self.request_time_max_ms),
            ("request_bytes_max", self.request_bytes_max),
            ("keepalive_interval_ms", self.keepalive_interval_ms),
            ("client_keepalive_interval_ms", self.client_keepalive_interval_ms),
            ("keepalive_timeout_ms", self.keepalive_timeout_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("pooled_connections_max", self.pooled_connections_max.into()),
            ("pooled_idle_max_ms", self.pooled_idle_max_ms),
            ("chain_check_timeout_ms", self.chain_check_timeout_ms),
            ("chain_checks_max", self.chain_checks_max.into()),
            ("known_peers_max", self.known_peers_max.into()),
            ("known_peer_ttl_ms", self.known_peer_ttl_ms),
            ("unknown_peer_ttl_ms", self.unknown_peer_ttl_ms),
        ]
    }
}

/// A duration of the configuration.
pub(crate) const fn millis(value_ms: u64) -> Duration {
    Duration::from_millis(value_ms)
}
