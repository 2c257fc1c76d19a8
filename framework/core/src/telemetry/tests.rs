//! Origins on every record, events that never block, metrics within limits.

use super::metrics::{METRICS_MAX, SERIES_PER_METRIC_MAX};
use super::*;
use crate::manifest::{LogFormat, LogSection};
use crate::testing::Lines;
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;

/// Runs `work` with the telemetry of a plugin, and returns what is logged meanwhile.
fn logged(filter: &str, format: LogFormat, work: impl FnOnce(PluginTelemetry)) -> Lines {
    let lines = Lines::default();
    let section = LogSection { filter: filter.to_owned(), format };
    lines.collect(&section, || work(telemetry("n1", "healer")));
    lines
}

fn telemetry(node: &str, plugin: &str) -> PluginTelemetry {
    NodeTelemetry::new(TelemetryHub::new(), node).of_plugin(plugin)
}

#[test]
fn every_record_carries_node_and_plugin() {
    let lines = logged("info", LogFormat::Text, |telemetry| {
        telemetry.log(Level::Warn, "slow\ndisk", &[("wait_ms", 12_u64.into()), ("disk", "sda".into())]);
        telemetry.event(Event::new("heal.claimed").with("heal_op_id", 7_u64));
        telemetry.log(Level::Debug, "not shown", &[]);
        telemetry.span().in_scope(|| tracing::info!(target: "some_library", attempt = 2, "connected"));
        tracing::info!(target: "lampkeeper", "from nobody");
    });
    assert_eq!(
        lines.after_time(),
        [
            r#"WARN  node=n1 plugin=healer lampkeeper::plugin: slow\ndisk disk="sda" wait_ms=12"#,
            r#"INFO  node=n1 plugin=healer lampkeeper::event: event="heal.claimed" heal_op_id=7"#,
            "INFO  node=n1 plugin=healer some_library: connected attempt=2",
            "INFO  node=- plugin=- lampkeeper: from nobody",
        ]
    );
}

#[test]
fn json_records_have_their_origin_at_the_top() {
    let lines = logged("info", LogFormat::Json, |telemetry| {
        telemetry.log(
            Level::Error,
            "the disk is full",
            &[("node", "n9".into()), ("list", vec!["a".to_owned()].into())],
        );
    });
    let mut record = lines.json().remove(0);
    assert!(record["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{record}");
    record["time"] = "now".into();
    assert_eq!(
        record,
        serde_json::json!({
            "time": "now", "level": "error", "node": "n1", "plugin": "healer", "target": "lampkeeper::plugin",
            "message": "the disk is full", "fields": { "node": "n9", "list": ["a"] },
        }),
        "a plugin can't speak for another node"
    );
}

#[test]
fn no_filter_takes_the_origin_away() {
    for filter in ["warn", "some_library=warn", "error,some_library=warn", "off,some_library=debug"] {
        let lines = logged(filter, LogFormat::Text, |telemetry| {
            telemetry.span().in_scope(|| tracing::warn!(target: "some_library", "hm"));
        });
        assert_eq!(lines.after_time(), ["WARN  node=n1 plugin=healer some_library: hm"], "{filter}");
    }
}

#[test]
fn what_a_plugin_spawns_and_runs_elsewhere_carries_its_origin() {
    let lines = logged("info", LogFormat::Text, |telemetry| {
        let virtual_time = VirtualScheduler::new(1);
        let scheduler = Arc::new(PluginScheduler::new(virtual_time.handle(), telemetry));
        let inner = Arc::clone(&scheduler);
        let task = scheduler.spawn(
            "task",
            Box::pin(async move {
                inner.sleep(std::time::Duration::from_secs(1)).await;
                tracing::info!(target: "task", "spawned");
                let work = Box::new(|| tracing::info!(target: "task", "blocking"));
                inner.run_blocking("work", work).await.unwrap();
            }),
        );
        virtual_time.block_on(task.join()).unwrap();
    });
    let expected = ["spawned", "blocking"].map(|word| format!("INFO  node=n1 plugin=healer task: {word}"));
    assert_eq!(lines.after_time(), expected);
}

#[test]
fn events_reach_all_listeners_in_order_with_their_origin_and_time() {
    let hub = TelemetryHub::new();
    let node = NodeTelemetry::new(Arc::clone(&hub), "n1");
    let (mut first, mut second) = (hub.events.listen(), hub.events.listen());
    node.of_plugin("clockmaker").event(Event::new("early"));
    let scheduler = VirtualScheduler::new(1);
    node.set_clock(scheduler.handle());
    node.of_plugin("healer").event(Event::new("late").with("ok", true).with("ratio", 0.5));
    for listener in [&mut first, &mut second] {
        let Some(Delivery::Event(early)) = listener.try_next() else { panic!("no event") };
        assert_eq!((early.sequence, early.wall_clock_ms), (1, None));
        let Some(Delivery::Event(late)) = listener.try_next() else { panic!("no event") };
        assert_eq!(
            late.to_json(),
            serde_json::json!({
                "sequence": 2, "time_ms": scheduler.wall_clock_ms(), "node": "n1", "plugin": "healer",
                "event": "late", "fields": { "ok": true, "ratio": 0.5 },
            })
        );
        assert_eq!(listener.try_next(), None);
    }
}

#[test]
fn a_slow_listener_loses_the_oldest_events_and_is_told_how_many() {
    let bus = EventBus::with_waiting_max(4);
    let (node, plugin) = (Arc::from("n1"), Arc::from("p"));
    let mut listener = bus.listen();
    for number in 0..10_u64 {
        bus.publish(&node, &plugin, None, Event::new("tick").with("number", number));
    }
    assert_eq!(listener.try_next(), Some(Delivery::Missed(6)));
    let left: Vec<u64> = std::iter::from_fn(|| listener.try_next())
        .map(|delivery| match delivery {
            Delivery::Event(record) => record.sequence,
            Delivery::Missed(count) => panic!("{count} missed"),
        })
        .collect();
    assert_eq!(left, [7, 8, 9, 10]);
}

#[test]
fn a_listener_waits_and_ends_with_its_bus() {
    let scheduler = VirtualScheduler::new(1);
    let hub = TelemetryHub::new();
    let mut listener = hub.events.listen();
    let telemetry = NodeTelemetry::new(hub, "n1").of_plugin("p");
    let handle = scheduler.handle();
    scheduler.spawn(
        "publisher",
        Box::pin(async move {
            handle.sleep(std::time::Duration::from_secs(1)).await;
            telemetry.event(Event::new("only"));
        }),
    );
    let names = scheduler.block_on(async {
        let mut names = Vec::new();
        while let Some(Delivery::Event(record)) = listener.next().await {
            names.push(record.event.name.clone());
        }
        names
    });
    assert_eq!(names, ["only"]);
}

#[test]
fn metrics_are_rendered_for_prometheus() {
    let hub = TelemetryHub::new();
    let telemetry = NodeTelemetry::new(Arc::clone(&hub), "n1").of_plugin("p");
    telemetry.count("calls_total", &[("peer", "a\"b\n"), ("node", "forged")], 2);
    telemetry.count("calls_total", &[("peer", "a\"b\n")], 3);
    telemetry.gauge("fill-level", &[], 0.5);
    telemetry.observe("read_bytes", &[("disk", "sda")], 1024.0);
    telemetry.observe("read_bytes", &[("disk", "sda")], 1e12);
    let expected = r#"# TYPE lampkeeper_calls_total counter
lampkeeper_calls_total{node="n1",plugin="p",peer="a\"b\n"} 5
# TYPE lampkeeper_fill_level gauge
lampkeeper_fill_level{node="n1",plugin="p"} 0.5
# TYPE lampkeeper_read_bytes histogram
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="1024"} 1
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="16384"} 1
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="262144"} 1
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="4194304"} 1
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="67108864"} 1
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="1073741824"} 1
lampkeeper_read_bytes_bucket{node="n1",plugin="p",disk="sda",le="+Inf"} 2
lampkeeper_read_bytes_sum{node="n1",plugin="p",disk="sda"} 1000000001024
lampkeeper_read_bytes_count{node="n1",plugin="p",disk="sda"} 2
# TYPE lampkeeper_metrics_dropped_total counter
lampkeeper_metrics_dropped_total 0
"#;
    assert_eq!(hub.metrics.render_prometheus(), expected);
    assert_eq!(hub.metrics.counter_total("calls_total"), 5);
    let labels = [("node", "n1"), ("plugin", "p")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(hub.metrics.gauges("n1", "fill_level"), [(labels.to_vec(), 0.5)]);
    assert_eq!(hub.metrics.gauges("n2", "fill_level"), []);
    assert_eq!(hub.metrics.gauges("n1", "calls_total"), [], "not a gauge");
}

#[test]
fn metrics_stay_within_their_limits() {
    let dropped = |hub: &TelemetryHub| {
        let text = hub.metrics.render_prometheus();
        let last = text.lines().last().unwrap().rsplit(' ').next().unwrap();
        last.parse::<usize>().unwrap()
    };
    let hub = TelemetryHub::new();
    let telemetry = NodeTelemetry::new(Arc::clone(&hub), "n1").of_plugin("p");
    for number in 0..SERIES_PER_METRIC_MAX + 3 {
        telemetry.count("calls_total", &[("peer", &number.to_string())], 1);
    }
    assert_eq!(dropped(&hub), 3, "label sets");
    telemetry.gauge("calls_total", &[], 1.0);
    assert_eq!(dropped(&hub), 4, "another kind");
    let labels: Vec<(String, String)> = (0..9).map(|n| (format!("l{n}"), String::new())).collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    telemetry.count("wide_total", &labels, 1);
    assert_eq!(dropped(&hub), 5, "labels");
    for number in 0..METRICS_MAX + 10 {
        telemetry.gauge(&format!("gauge_{number}"), &[], 1.0);
    }
    assert!(dropped(&hub) >= 15, "names: {}", dropped(&hub));
    telemetry.count("calls_total", &[("peer", "0")], 1);
    assert_eq!(
        hub.metrics.counter_total("calls_total"),
        SERIES_PER_METRIC_MAX as u64 + 1,
        "known ones go on"
    );
}

#[test]
fn a_plugin_that_floods_the_log_is_limited_and_named() {
    let scheduler = VirtualScheduler::new(1);
    let hub = TelemetryHub::new();
    let node = NodeTelemetry::new(Arc::clone(&hub), "n1");
    node.set_clock(scheduler.handle());
    let mut listener = hub.events.listen();
    let lines = Lines::default();
    let section = LogSection { filter: "info".to_owned(), format: LogFormat::Json };
    let count_of = |plugin: &str, text: &str| {
        let matches = |line: &serde_json::Value| {
            line["plugin"] == plugin && line["message"].as_str().unwrap().contains(text)
        };
        lines.json().iter().filter(|line| matches(line)).count()
    };
    lines.collect(&section, || {
        let (flooder, other) = (node.of_plugin("flooder"), node.of_plugin("other"));
        let excess = 500;
        for _ in 0..flood::LOG_RECORDS_PER_WINDOW_MAX + excess {
            flooder.log(Level::Debug, "nobody wants to know", &[]);
            flooder.log(Level::Info, "noise", &[]);
        }
        assert_eq!(count_of("flooder", "noise") as u64, flood::LOG_RECORDS_PER_WINDOW_MAX);
        assert_eq!(count_of("flooder", "plugin flooder floods the log"), 1);
        assert_eq!(hub.metrics.counter_total("log_records_left_out_total"), excess);
        flooder.log(Level::Error, "trouble", &[]);
        other.log(Level::Info, "work", &[]);
        assert_eq!((count_of("flooder", "trouble"), count_of("other", "work")), (1, 1));
        flooder.event(Event::new("still.delivered"));
        assert_eq!(
            hub.metrics.counter_total("log_records_left_out_total"),
            excess + 1,
            "its line is left out"
        );
        assert!(matches!(listener.try_next(), Some(Delivery::Event(_))), "the event is not");

        scheduler.block_on(scheduler.handle().sleep(flood::LOG_WINDOW));
        flooder.log(Level::Info, "calm", &[]);
        assert_eq!(count_of("flooder", "calm"), 1);
        assert_eq!(count_of("flooder", "plugin flooder had 501 log records left out"), 1);
    });
}
