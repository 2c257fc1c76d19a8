//! Whole nodes of fake plugins in virtual time: order, undoing, grants, draining.

mod accounts;
mod fake;
mod streams;

use super::*;
use crate::manifest::LogSection;
use crate::telemetry::{Delivery, EventListener};
use crate::testing::{Lines, OPTIONAL, REQUIRED, made_by, plugin, registry};
use fake::make;
use lampkeeper_api::plugin::Seam;
use lampkeeper_plugin_sdk::testkit::{TestSigner, VirtualScheduler};
use std::path::Path;

/// A node that was, or was not, started from fake plugins.
struct Case {
    scheduler: VirtualScheduler,
    listener: EventListener,
    hub: Arc<TelemetryHub>,
    started: Result<Node, StartError>,
}

impl Case {
    /// Starts a node of these plugins, each with lines of configuration.
    fn new(plugins: &[(PluginDescriptor, &str)]) -> Self {
        let mut text = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n".to_owned();
        for (plugin, config) in plugins {
            let provides: Vec<&str> = plugin.provides.iter().map(|seam| seam.name()).collect();
            let provides = if config.contains("provides") {
                String::new()
            } else {
                format!("provides = {provides:?}\n")
            };
            // What stands before a line of hyphens belongs to the plugin's table, the rest to its configuration.
            let (table, config) = config.split_once("\n---\n").unwrap_or(("", config));
            let id = &plugin.id;
            text += &format!("[plugins.{id}]\n{table}\n[plugins.{id}.config]\n{provides}{config}\n");
        }
        let registry = registry(plugins.iter().map(|(plugin, _)| made_by(make, plugin.clone())));
        let manifest = Manifest::parse(Path::new("node.toml"), &text, &registry).unwrap();
        let scheduler = VirtualScheduler::new(1);
        let hub = TelemetryHub::new();
        let listener = hub.events.listen();
        let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), Arc::clone(&hub));
        host.seams.scheduler = Some(scheduler.handle());
        host.advisory = Some(Advisory {
            subject: "LEP-6".to_owned(),
            plugin_ids: vec!["challenge".to_owned(), "a-service".to_owned(), "recheck".to_owned()],
            consequence: "the chain may lower this node's score".to_owned(),
        });
        let started = scheduler.block_on(Node::start(&manifest, &registry, host));
        Self { scheduler, listener, hub, started }
    }

    fn node(&self) -> &Node {
        self.started.as_ref().unwrap()
    }

    fn refusal(&self) -> &StartError {
        self.started.as_ref().unwrap_err()
    }

    /// What happened since the last look, as `plugin event`.
    fn happened(&mut self) -> Vec<String> {
        self.scheduler.run_until_stalled();
        std::iter::from_fn(|| self.listener.try_next())
            .map(|delivery| match delivery {
                Delivery::Event(record) => format!("{} {}", record.plugin, record.event.name),
                Delivery::Missed(count) => panic!("{count} missed"),
            })
            .collect()
    }

    fn drain(&self) -> DrainReport {
        self.scheduler.block_on(self.node().drain())
    }
}

/// Seams, and whether a plugin works without them.
type Needs<'a> = &'a [(Seam, bool)];

fn service(id: &str, needs: Needs<'_>) -> PluginDescriptor {
    plugin(id, &[Seam::Service], needs)
}

fn store() -> PluginDescriptor {
    plugin("z-store", &[Seam::Store], &[])
}

fn transport() -> PluginDescriptor {
    plugin("m-transport", &[Seam::Transport], &[(Seam::Scheduler, REQUIRED)])
}

#[test]
fn a_node_starts_in_order_and_drains_in_reverse() {
    let needs = [(Seam::Store, REQUIRED), (Seam::Transport, REQUIRED)];
    let mut case = Case::new(&[
        (service("a-service", &needs), "routes = ['/a', '/b']"),
        (store(), ""),
        (transport(), ""),
    ]);
    assert_eq!(
        case.happened(),
        [
            "z-store made",
            "m-transport made",
            "a-service made",
            "m-transport serving",
            "core node.started",
            "a-service running",
        ]
    );
    let status = case.node().status();
    assert_eq!((status.phase, status.local_address.as_deref()), (NodePhase::Running, Some("127.0.0.1:4444")));
    assert_eq!(case.drain(), DrainReport::default());
    assert_eq!(
        case.happened(),
        [
            "core node.draining",
            "m-transport served",
            "a-service ended",
            "a-service closed",
            "m-transport closed",
            "z-store closed",
            "core node.stopped",
        ]
    );
    assert!(case.drain().is_clean(), "a second time changes nothing");
    assert!(case.happened().is_empty());
    assert!(case.scheduler.task_names().is_empty());
    let status = case.node().status();
    assert_eq!(status.phase, NodePhase::Stopped);
    assert!(status.plugins.iter().all(|plugin| plugin.state == PluginState::Closed));
}

#[test]
fn a_plugin_gets_the_seams_that_it_declared_and_no_others() {
    let chain = plugin("chain", &[Seam::ChainSubmit], &[]);
    let needs = [(Seam::ChainRead, REQUIRED), (Seam::Journal, OPTIONAL), (Seam::Scheduler, REQUIRED)];
    // (needs, the seams that are in the context)
    let table: [(Needs<'_>, &[&str]); 4] = [
        (&[], &[]),
        (&needs, &["chain:read", "scheduler"]),
        (&[(Seam::ChainSubmit, REQUIRED), (Seam::Signer, REQUIRED)], &["chain:submit", "signer"]),
        (&[(Seam::Store, OPTIONAL)], &["store"]),
    ];
    for (needs, expected) in table {
        let mut case = Case::new(&[(chain.clone(), ""), (store(), ""), (service("a-service", needs), "")]);
        let granted = std::iter::from_fn(|| case.listener.try_next()).find_map(|delivery| match delivery {
            Delivery::Event(record) if &*record.plugin == "a-service" => {
                record.event.fields.get("granted").cloned()
            }
            Delivery::Event(_) | Delivery::Missed(_) => None,
        });
        let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(granted, Some(Value::List(expected)));
        assert!(case.node().seams().chain.is_some() && case.node().seams().store.is_some());
    }
}

#[test]
fn what_a_manifest_does_not_grant_is_not_given_and_said() {
    let chain = plugin("chain", &[Seam::ChainSubmit], &[]);
    let needs = [(Seam::ChainSubmit, OPTIONAL), (Seam::Store, OPTIONAL), (Seam::Scheduler, REQUIRED)];
    let grants = "grants = ['chain:read', 'scheduler', 'signer']\n---\n";
    let lines = Lines::default();
    let case = lines.collect(&LogSection::default(), || {
        Case::new(&[(chain, ""), (store(), ""), (service("a-service", &needs), grants)])
    });
    let status = case.node().status();
    let of_service = status.plugins.iter().find(|plugin| plugin.id == "a-service").unwrap();
    assert_eq!(of_service.granted, ["chain:read", "scheduler"], "a reader, which can't submit");
    assert_eq!(of_service.refused, ["chain:submit", "store"]);
    assert_eq!(of_service.unused_grants, ["signer"]);
    let of_chain = status.plugins.iter().find(|plugin| plugin.id == "chain").unwrap();
    assert!(of_chain.refused.is_empty() && of_chain.unused_grants.is_empty());
    let text = lines.text();
    for expected in [
        "plugin a-service is refused `chain:submit`, which its `grants` do not name and is given `chain:read` only",
        "plugin a-service is refused `store`, which its `grants` do not name",
        "plugin a-service does not use `signer`, which its `grants` name: remove it",
    ] {
        let said = text.lines().filter(|line| line.contains(" WARN ") && line.ends_with(expected)).count();
        assert_eq!(said, 1, "{expected}\n{text}");
    }
}

#[test]
fn a_failed_start_undoes_what_was_started() {
    let needs = [(Seam::Transport, REQUIRED)];
    // (configuration of the service, of the transport, the error, its kind)
    let table = [
        ("start = 'fail'", "", "plugin a-service can't start: the disk is gone", StartErrorKind::Environment),
        ("start = 'panic'", "", "plugin a-service panicked while starting: no luck", StartErrorKind::Defect),
        ("start = 'hang'", "", "plugin a-service did not start within 60000 ms", StartErrorKind::Environment),
        (
            "provides = ['service', 'store']",
            "",
            "plugin a-service provides `store` without having declared it: this is a defect of the plugin",
            StartErrorKind::Defect,
        ),
        (
            "routes = ['/a', '/a']",
            "",
            "plugins a-service and a-service both answer /a; turn one of them off",
            StartErrorKind::Configuration,
        ),
        (
            "routes = ['/a']",
            "serve = 'fail'",
            "serving calls failed: the call was not made: the port is taken",
            StartErrorKind::Environment,
        ),
        (
            "routes = ['/a']",
            "serve = 'panic'",
            "serving calls failed: the transport is not available: plugin m-transport panicked: no port",
            StartErrorKind::Defect,
        ),
    ];
    for (of_service, of_transport, message, kind) in table {
        let mut case = Case::new(&[(transport(), of_transport), (service("a-service", &needs), of_service)]);
        assert_eq!(case.refusal().to_string(), message);
        assert_eq!(case.refusal().kind(), kind, "{message}");
        let happened = case.happened();
        assert_eq!(happened.last().unwrap(), "m-transport closed", "{message}: {happened:?}");
        assert!(!happened.contains(&"a-service running".to_owned()), "{message}");
    }
}

#[test]
fn a_service_that_panics_when_asked_for_its_routes_is_named() {
    let mut case = Case::new(&[(store(), ""), (service("a-service", &[]), "routes = ['panic']")]);
    let error = case.refusal();
    assert_eq!(error.kind(), StartErrorKind::Defect);
    let StartError::Panicked { plugin_id, what, message } = error else { panic!("{error}") };
    assert_eq!((plugin_id.as_str(), *what), ("a-service", "the calls it answers"));
    assert!(message.ends_with("no routes"), "{message}");
    assert_eq!(case.happened().last().unwrap(), "z-store closed", "what was started is closed");
}

#[test]
fn a_constructor_that_panics_before_its_first_await_is_contained() {
    let case = Case::new(&[(store(), "start = 'panic-early'")]);
    assert!(case.refusal().to_string().contains("too early"), "{}", case.refusal());
}

#[test]
fn a_plugin_that_provides_less_than_it_declares_is_refused_and_closed() {
    let mut case = Case::new(&[(store(), "provides = []")]);
    assert_eq!(
        case.refusal(),
        &StartError::NotProvided { plugin_id: "z-store".to_owned(), seam: Seam::Store }
    );
    assert_eq!(case.happened(), ["z-store made", "z-store closed"]);
}

#[test]
fn a_path_that_two_plugins_answer_names_both() {
    let case = Case::new(&[
        (transport(), ""),
        (service("a-service", &[]), "routes = ['/x', '/y']"),
        (service("b-service", &[]), "routes = ['/z', '/y']"),
    ]);
    assert_eq!(
        case.refusal(),
        &StartError::DuplicateRoute {
            path: "/y".to_owned(),
            first_id: "a-service".to_owned(),
            second_id: "b-service".to_owned(),
        }
    );
}

#[test]
fn calls_to_answer_need_a_transport() {
    let case = Case::new(&[(service("a-service", &[]), "routes = ['/x']")]);
    assert!(matches!(case.refusal(), StartError::NoTransport { .. }), "{}", case.refusal());
    assert_eq!(Case::new(&[(service("a-service", &[]), "")]).node().local_address(), None);
}

#[test]
fn a_host_that_lacks_a_promised_seam_is_refused() {
    let registry = registry([]).with_host_seams([Seam::Store]);
    let text = "[node]\nname = 'n1'\nnetwork = 'devnet-1'\ndata_dir = 'data'\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    let scheduler = VirtualScheduler::new(1);
    let mut host = NodeHost::new(Arc::new(TestSigner::new("n1")), TelemetryHub::new());
    host.seams.scheduler = Some(scheduler.handle());
    let refused = scheduler.block_on(Node::start(&manifest, &registry, host)).unwrap_err();
    assert_eq!(refused, StartError::NotProvided { plugin_id: "host".to_owned(), seam: Seam::Store });
}

#[test]
fn what_does_not_end_is_cut_off_and_what_fails_to_close_is_told() {
    let mut case = Case::new(&[
        (plugin("a-journal", &[Seam::Journal], &[]), "close = 'hang'"),
        (service("b-service", &[]), "run = 'hang'\nroutes = ['/x']"),
        (service("c-service", &[]), "close = 'panic'"),
        (transport(), "serve = 'hang'"),
        (store(), "close = 'fail'"),
    ]);
    case.happened();
    let before = case.scheduler.now();
    let report = case.drain();
    assert_eq!(report.aborted_services, ["fake"]);
    let failure = |id: &str, reason: &str| (id.to_owned(), reason.to_owned());
    assert_eq!(
        report.close_failures,
        [
            failure("c-service", "plugin c-service panicked: too late"),
            failure("z-store", "the disk is full"),
            failure("a-journal", "it took longer than 10000 ms"),
        ]
    );
    // The transport's limit, the services' and that of one plugin to close.
    assert_eq!(case.scheduler.now().since(before), Duration::from_secs(40 + 30 + 10));
    let happened = case.happened();
    assert_eq!(happened.last().unwrap(), "core node.stopped");
    assert!(case.scheduler.task_names().is_empty());
}

#[test]
fn a_failing_service_shows_in_the_status_and_harms_nobody_else() {
    let case = Case::new(&[(service("a-service", &[]), "run = 'panic'"), (service("b-service", &[]), "")]);
    case.scheduler.run_for(Duration::from_secs(24 * 3600));
    let status = case.node().status();
    let [failing, working] = &status.plugins[..] else { panic!("{status:?}") };
    // Five panics are too many for the plugin; then its service is not even entered.
    assert_eq!(failing.services[0].state, ServiceState::Failed);
    assert_eq!((failing.services[0].restarts, failing.usage.panics), (5, 5));
    assert_eq!((&working.services[0].state, working.services[0].restarts), (&ServiceState::Running, 0));
    assert_eq!(
        serde_json::to_value(&status).unwrap()["health"],
        serde_json::json!({
            "level": "failed",
            "reason": "it is quarantined: it panicked 5 times within 600 s, last in service.run: out of luck",
        })
    );
    assert_eq!(case.hub.metrics.counter_total("service_restarts_total"), 5);
    assert!(case.drain().is_clean());
}

#[test]
fn a_dropped_node_asks_its_services_to_stop() {
    let Case { scheduler, started, .. } = Case::new(&[(service("a-service", &[]), "")]);
    scheduler.run_until_stalled();
    assert_eq!(scheduler.task_names().len(), 1);
    drop(started);
    scheduler.run_until_stalled();
    assert!(scheduler.task_names().is_empty());
}

#[test]
fn one_line_names_the_services_that_are_off() {
    let case = Case::new(&[(service("a-service", &[]), "")]);
    assert_eq!(case.node().status().services_off, ["challenge", "recheck"]);
    let advisory = |ids: &[&str]| Advisory {
        subject: "LEP-6".to_owned(),
        plugin_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        consequence: "the chain may lower this node's score".to_owned(),
    };
    let registry = registry([service("a-service", &[])]);
    let text = "[node]\nname = 'n1'\nnetwork = 'x'\ndata_dir = 'data'\n[plugins.a-service]\n";
    let manifest = Manifest::parse(Path::new("node.toml"), text, &registry).unwrap();
    assert_eq!(
        advisory(&["recheck", "a-service", "challenge"]).line(&manifest).as_deref(),
        Some("LEP-6 services that are off: recheck, challenge; the chain may lower this node's score")
    );
    assert_eq!(advisory(&["a-service"]).line(&manifest), None);
}
