//! Which addresses are dialled, and the dialling.
//!
//! Owns the rule about private addresses. Peers' addresses come from the chain, where anybody who registers writes what they
//! like: unless an operator says so, no address leads this node to its own machine or its own network (wire 12.9 skips them,
//! too).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;

/// A connection to the first address of a host that takes one.
///
/// # Errors
/// What the last address said, or that none may be dialled.
#[expect(clippy::disallowed_methods, reason = "this crate owns the sockets of the transport seam")]
pub(crate) async fn connect(host: &str, port: u16, may_be_private: bool) -> io::Result<TcpStream> {
    let mut problem = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        if !may_be_private && is_private(address.ip()) {
            problem = refused(address);
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

fn refused(address: SocketAddr) -> io::Error {
    let ip = address.ip();
    let reason = format!("{ip} is a private address; see `dial_private_addresses`");
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// Whether an address is this machine's, or of a network that is not the open one.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(|| is_private_v6(address), is_private_v4),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    // 0.0.0.0/8 reaches this machine, and 100.64.0.0/10 is between a provider and its customers.
    first == 0
        || (first == 100 && (64..128).contains(&second))
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_as_such() {
        for (address, private) in [
            ("127.0.0.1", true),
            ("127.255.0.9", true),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("10.0.0.1", true),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.128.0.0", false),
            ("192.0.2.7", false),
            ("8.8.8.8", false),
            ("::1", true),
            ("::", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
