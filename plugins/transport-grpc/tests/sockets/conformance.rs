//! The transport over sockets does what every transport has to do.

use crate::common::{chain, loopback, node, runtime, scheduler};
use lampkeeper_plugin_sdk::testkit::conformance::{self, TransportPair};

#[test]
fn it_is_a_transport_for_accounts_of_both_key_types() {
    for (server, client) in [("server", "evm client"), ("evm server", "client")] {
        let runtime = runtime();
        let report = runtime.block_on(conformance::transport(async || {
            let chain = chain(&[server, client], &[], &[]);
            let (server, client) = (node(server, &chain, loopback()), node(client, &chain, loopback()));
            TransportPair {
                server: server.transport,
                server_account: server.account,
                client: client.transport,
                client_account: client.account,
                scheduler: scheduler(),
            }
        }));
        report.assert_passed();
    }
}
