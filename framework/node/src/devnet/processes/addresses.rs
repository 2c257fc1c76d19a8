//! Where the processes of a devnet listen: addresses of the loopback interface that are free now.
//!
//! The chain requires the same port of all nodes, so each node has an address of its own: `127.0.0.1` onwards.
#![expect(clippy::disallowed_methods, reason = "free ports are found by binding them")]

use crate::output::Failure;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Ports that are tried.
const TRIES_MAX: usize = 50;

/// Where a devnet's processes listen.
pub struct Addresses {
    /// The devchain.
    pub chain: SocketAddr,
    /// The nodes, `n1` first, all on one port.
    pub nodes: Vec<SocketAddr>,
}

impl Addresses {
    /// Free addresses for so many nodes. Somebody else may take them before they are used; the process then says so.
    ///
    /// # Errors
    /// If there are none.
    pub fn find(nodes: u16) -> Result<Self, Failure> {
        let mut problem = String::new();
        for _ in 0..TRIES_MAX {
            match Self::try_find(nodes) {
                Ok(addresses) => return Ok(addresses),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(Failure::failed(format!("no free port on 127.0.0.1 to 127.0.0.{nodes}: {problem}")))
    }

    fn try_find(nodes: u16) -> std::io::Result<Self> {
        // All are held until all are found, so that none is found twice.
        let chain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut held = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
        let port = held[0].local_addr()?.port();
        for number in 2..=nodes {
            held.push(TcpListener::bind((address(number), port))?);
        }
        let nodes = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        Ok(Self { chain: chain.local_addr()?, nodes })
    }
}

/// The loopback address of a node, from 1; there are at most 50 nodes.
fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nodes_share_a_port_and_nothing_else() {
        let found = Addresses::find(5).expect("free ports");
        let hosts: BTreeSet<_> = found.nodes.iter().map(SocketAddr::ip).collect();
        let ports: BTreeSet<_> = found.nodes.iter().map(SocketAddr::port).collect();
        assert_eq!((hosts.len(), ports.len()), (5, 1));
        assert!(!ports.contains(&found.chain.port()));
        for address in found.nodes.iter().chain([&found.chain]) {
            drop(TcpListener::bind(address).expect("it is free"));
        }
    }
}
