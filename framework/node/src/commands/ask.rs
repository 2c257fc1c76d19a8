//! `status`, `metrics`, `store`, `fetch`, `tickets`, `scrub` and `stop`: asking a running node over its control socket.
//!
//! Owns how answers are printed. What they mean is the node's (`control`, `operations`).

use crate::cli::{ControlArgs, ScrubCommand, exit};
use crate::control::{ControlError, Request, ask};
use crate::output::{self, Failure, Outcome};
use serde_json::Value;
use std::path::{Path, PathBuf};

async fn asked(data_dir: &Path, request: &Request) -> Result<Value, Failure> {
    ask(data_dir, request, output::remark).await.map_err(|error| match error {
        ControlError::NotRunning(_) => Failure { message: error.to_string(), code: exit::NOT_RUNNING },
        _ => Failure::failed(error),
    })
}

/// How a node, or every node of a devnet, is doing.
pub async fn status(control: &ControlArgs) -> Outcome {
    let answer = asked(&control.data_dir, &Request::Status).await?;
    if control.json {
        output::json(&answer);
        return Ok(());
    }
    let chain = &answer["chain"];
    output::line(match chain["problem"].as_str() {
        Some(problem) => format!("chain    can't be asked: {problem}"),
        None => format!(
            "chain    {} · height {} · epoch {}",
            text(&chain["chain_id"]),
            chain["height"],
            chain["epoch_id"]
        ),
    });
    let nodes = answer["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    for node in nodes {
        print_node(node, nodes.len() == 1);
    }
    Ok(())
}

/// What was counted.
pub async fn metrics(data_dir: &Path) -> Outcome {
    let answer = asked(data_dir, &Request::Metrics).await?;
    output::line(answer.as_str().unwrap_or_default().trim_end());
    Ok(())
}

/// One node; with `in_full` what each of its plugins has used, else only of those that give a reason.
fn print_node(node: &Value, in_full: bool) {
    output::line(format!(
        "{:<8} {} · {} · {} · {}",
        text(&node["name"]),
        text(&node["phase"]),
        health(&node["health"]),
        text(&node["state"]),
        text(&node["account"])
    ));
    if let Some(margin) = node["margin_symbols_min"].as_i64() {
        let watched = &node["tickets_watched"];
        output::line(format!("           smallest margin of {watched} tickets: {margin} symbols"));
    }
    for plugin in node["plugins"].as_array().into_iter().flatten() {
        for service in plugin["services"].as_array().into_iter().flatten() {
            output::line(format!(
                "           {:<20} {} · restarts {}",
                text(&service["name"]),
                health(&service["health"]),
                service["restarts"]
            ));
        }
        print_grants(plugin);
        if in_full || gives_a_reason(&plugin["usage"]) {
            print_usage(plugin);
        }
    }
}

/// Whether an operator should look at what a plugin has used.
fn gives_a_reason(usage: &Value) -> bool {
    ["panics", "thread_holds"].iter().any(|field| usage[field].as_u64().unwrap_or_default() > 0)
}

fn print_usage(plugin: &Value) {
    let usage = &plugin["usage"];
    let number = |field: &str| usage[field].as_u64().unwrap_or_default();
    let milliseconds = |field: &str| number(field) as f64 / 1000.0;
    let longest = match usage["poll_longest_in"].as_str() {
        Some(method) => format!(", longest {:.1} ms in {method}", milliseconds("poll_longest_us")),
        None => String::new(),
    };
    output::line(format!(
        "           {:<20} calls {} ({} in flight) · tasks {} · held threads {:.1} ms{longest} · panics {}",
        text(&plugin["id"]),
        number("calls"),
        number("calls_in_flight"),
        number("tasks"),
        milliseconds("poll_time_us"),
        number("panics"),
    ));
    for (field, words) in
        [("quarantined", "is quarantined until the node restarts:"), ("last_panic", "panicked in")]
    {
        if let Some(why) = usage[field].as_str() {
            output::line(format!("           {:<20} {words} {why}", text(&plugin["id"])));
        }
    }
}

/// What the manifest's `grants` keep from a plugin, and what they name for nothing.
fn print_grants(plugin: &Value) {
    for (field, words) in [("refused", "is refused"), ("unused_grants", "does not use")] {
        let seams = plugin[field].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        if !seams.is_empty() {
            output::line(format!("           {:<20} {words} {}", text(&plugin["id"]), seams.join(", ")));
        }
    }
}

fn health(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Object(fields) => {
            let parts: Vec<_> = fields
                .iter()
                .map(|(name, value)| match value {
                    Value::String(value) if name == "status" || name == "health" => value.clone(),
                    Value::Object(inner) => {
                        format!("{name}: {}", inner.get("reason").map(text).unwrap_or_default())
                    }
                    other => text(other),
                })
                .collect();
            parts.join(": ")
        }
        other => other.to_string(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The tickets that the chain knows.
pub async fn tickets(control: &ControlArgs) -> Outcome {
    let answer = asked(&control.data_dir, &Request::Tickets).await?;
    if control.json {
        output::json(&answer);
        return Ok(());
    }
    let tickets = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if tickets.is_empty() {
        output::line("there are no tickets yet: store a file with `lampkeeper store FILE`");
    }
    for ticket in tickets {
        output::line(format!(
            "{:<8} {:<10} {:>9} KiB  deterioration {:<4} margin {:<6} {}",
            text(&ticket["ticket_id"]),
            text(&ticket["state"]),
            ticket["file_size_kbs"],
            ticket["deterioration"],
            ticket["margin_symbols"].as_i64().map_or_else(|| "?".to_owned(), |margin| margin.to_string()),
            text(&ticket["file_name"])
        ));
    }
    Ok(())
}

/// Stores a file.
pub async fn store(file: &Path, control: &ControlArgs) -> Outcome {
    let path = absolute(file)?;
    let answer = asked(&control.data_dir, &Request::Store { path }).await?;
    if control.json {
        output::json(&answer);
    } else {
        output::line(format!("ticket {}", text(&answer["ticket_id"])));
    }
    Ok(())
}

/// Fetches a file.
pub async fn fetch(ticket: &str, output_path: Option<&Path>, control: &ControlArgs) -> Outcome {
    let target = absolute(output_path.unwrap_or(Path::new(".")))?;
    let request = Request::Fetch { ticket_id: ticket.to_owned(), output: target };
    let answer = asked(&control.data_dir, &request).await?;
    if control.json {
        output::json(&answer);
    } else {
        output::line(format!(
            "{} · {} bytes · BLAKE3 equals the ticket's data hash",
            text(&answer["path"]),
            answer["len_bytes"]
        ));
    }
    Ok(())
}

/// Tells how far the scrubs are, after pausing or resuming them.
pub async fn scrub(command: &ScrubCommand) -> Outcome {
    let (control, pause) = command.parts();
    let answer = asked(&control.data_dir, &Request::Scrub { pause }).await?;
    if control.json {
        output::json(&answer);
        return Ok(());
    }
    for node in answer.as_array().into_iter().flatten() {
        let share = node["cycle_percent"].as_f64().unwrap_or_default();
        output::line(format!(
            "{:<8} {} · cycle {} · {share:.1} % done · {}",
            text(&node["name"]),
            if node["paused"] == true { "paused" } else { "running" },
            node["completed_cycles"].as_u64().unwrap_or_default() + 1,
            health(&node["health"])
        ));
    }
    Ok(())
}

/// Stops whatever runs there.
pub async fn stop(control: &ControlArgs) -> Outcome {
    let answer = asked(&control.data_dir, &Request::Stop).await?;
    if control.json {
        output::json(&answer);
    } else {
        output::line(text(&answer["stopped"]));
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}
