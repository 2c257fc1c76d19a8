//! The transport in memory does what every transport has to do.
#![expect(clippy::expect_used, reason = "a test may fail")]

use lampkeeper_plugin_sdk::api::transport::{CallerMint, Transport};
use lampkeeper_plugin_sdk::testkit::conformance::{self, TransportPair};
use lampkeeper_plugin_sdk::testkit::{RecordingTelemetry, VirtualScheduler};
use lampkeeper_transport_memory::{Fabric, JoiningNode, LinkQuality, MemoryTransport};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// Two nodes on a fabric of their own, with this quality of every link.
fn pair(scheduler: &VirtualScheduler, quality: LinkQuality) -> TransportPair {
    let fabric = Fabric::new();
    fabric.faults().set_every_link(quality);
    let join = |name: &str| -> Arc<dyn Transport> {
        let node = JoiningNode {
            account: format!("lumera1{name}"),
            address: format!("{name}:4444"),
            scheduler: scheduler.for_node(name, 0).handle(),
            caller_mint: CallerMint::for_host(),
            telemetry: Arc::new(RecordingTelemetry::new()),
        };
        Arc::new(MemoryTransport::join(&fabric, node).expect("a new fabric"))
    };
    TransportPair {
        server: join("server"),
        server_account: "lumera1server".to_owned(),
        client: join("client"),
        client_account: "lumera1client".to_owned(),
        scheduler: scheduler.handle(),
    }
}

#[test]
fn it_is_a_transport_on_fast_and_on_slow_links() {
    let slow = LinkQuality {
        latency: Duration::from_millis(3),
        bandwidth_bytes_per_s: NonZeroU64::new(100_000_000),
    };
    for quality in [LinkQuality::default(), slow] {
        let scheduler = VirtualScheduler::new(1);
        let report = scheduler.block_on(conformance::transport(async || pair(&scheduler, quality)));
        report.assert_passed();
    }
}
