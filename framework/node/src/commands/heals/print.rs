//! Heals for people, in at most 80 columns.

use super::look::{Heal, NodeHeals, Staged};
use lampkeeper_api::journal::SubmissionStatus;

/// The widest line.
const COLUMNS: usize = 80;
/// Artifacts that are named; `--json` names more.
const ARTIFACTS_SHOWN_MAX: usize = 10;

/// Two lines a heal: the facts, and what comes next.
pub(super) fn list(nodes: &[NodeHeals]) -> Vec<String> {
    let mut lines = Vec::new();
    let is_several = nodes.len() > 1;
    for node in nodes.iter().filter(|node| !node.heals.is_empty()) {
        if lines.is_empty() {
            lines.push(row(["op", "ticket", "phase", "chain", "deadline", "staged"]));
        }
        if is_several {
            lines.push(cut(&format!("{}:", node.name), COLUMNS));
        }
        for heal in &node.heals {
            lines.push(row([
                &heal.heal_op_id.to_string(),
                heal.ticket_id.as_deref().unwrap_or("?"),
                &heal.phase,
                heal.chain.status.as_deref().unwrap_or("not known"),
                &deadline(heal),
                &in_short(&heal.staging),
            ]));
            lines.extend(wrapped("       ", "       ", &heal.next));
        }
    }
    if lines.is_empty() {
        lines.push("nothing is staged or claimed".to_owned());
    }
    lines
}

/// Everything about each heal.
pub(super) fn show(nodes: &[NodeHeals]) -> Vec<String> {
    let heals = nodes.iter().flat_map(|node| node.heals.iter().map(move |heal| (node, heal)));
    let mut lines = Vec::new();
    for (node, heal) in heals {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(details(node, heal));
    }
    lines
}

fn details(node: &NodeHeals, heal: &Heal) -> Vec<String> {
    let what = if heal.is_comparison { "comparison for operation" } else { "operation" };
    let mut lines =
        vec![cut(&format!("{what} {} · {} · {}", heal.heal_op_id, heal.phase, node.name), COLUMNS)];
    let mut say = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.extend(wrapped(&format!("  {name:<10}"), "            ", text));
        }
    };
    say("ticket", heal.ticket_id.as_deref().unwrap_or("not known"));
    say("chain", &chain(heal));
    say("deadline", &long_deadline(heal));
    say("verifiers", &heal.chain.verifiers.join(", "));
    say("claim", &claim(heal));
    say("staged", &staged(&heal.staging));
    say("hash", heal.staging.manifest_hash.as_deref().unwrap_or_default());
    say("next", &heal.next);
    say("resumes", &resumption(node, heal));
    say("goes", heal.removal.as_deref().unwrap_or("nothing"));
    for (key, len_bytes, missing_on) in heal.staging.artifacts.iter().take(ARTIFACTS_SHOWN_MAX) {
        let whom = if missing_on.is_empty() { "all holders".to_owned() } else { missing_on.join(", ") };
        say("artifact", &format!("{key} {} for {whom}", size(*len_bytes)));
    }
    let left = heal.staging.artifact_count.saturating_sub(ARTIFACTS_SHOWN_MAX);
    if left > 0 && !heal.staging.artifacts.is_empty() {
        say("", &format!("and {left} more, with --json"));
    }
    lines
}

/// Nobody resumes a heal by hand, and whoever looks should not have to guess that.
fn resumption(node: &NodeHeals, heal: &Heal) -> String {
    let when = if node.is_running { "after a restart" } else { "when the node starts" };
    match &heal.resumption {
        Some(how) => format!("by itself {when}: {how}"),
        None => "never: there is nothing to go on with".to_owned(),
    }
}

fn chain(heal: &Heal) -> String {
    match (&heal.chain.status, &heal.chain.problem) {
        (Some(status), _) => {
            let claimed = heal.claim.as_ref().map(|claim| claim.manifest_hash.as_str());
            let note = match claimed {
                _ if heal.chain.result_hash.is_empty() => "",
                Some(hash) if hash == heal.chain.result_hash => ", with this node's hash",
                _ => ", with another hash",
            };
            format!("{status}{note}")
        }
        (None, Some(problem)) => format!("not known: {problem}"),
        (None, None) => "not known".to_owned(),
    }
}

fn claim(heal: &Heal) -> String {
    match heal.claim.as_ref().map(|claim| claim.status) {
        None => "none".to_owned(),
        Some(SubmissionStatus::Pending) => "written down; whether the chain has it is not known".to_owned(),
        Some(SubmissionStatus::Submitted) => "the chain has executed it".to_owned(),
    }
}

fn staged(staging: &Staged) -> String {
    match staging.state.as_str() {
        "sealed" => format!(
            "complete, by {}: a file of {}, and {} artifacts of {} to publish",
            staging.strategy.as_deref().unwrap_or("?"),
            size(staging.file_len_bytes),
            staging.artifact_count,
            size(staging.artifact_bytes)
        ),
        "unsealed" => "begun, not complete".to_owned(),
        "damaged" => format!("damaged: {}", staging.reason.as_deref().unwrap_or_default()),
        _ => "nothing".to_owned(),
    }
}

fn in_short(staging: &Staged) -> String {
    match staging.state.as_str() {
        "sealed" => format!("{} + {}", size(staging.file_len_bytes), staging.artifact_count),
        other => other.to_owned(),
    }
}

fn deadline(heal: &Heal) -> String {
    match heal.chain.deadline_epoch_id {
        0 => "-".to_owned(),
        epoch_id => format!("epoch {epoch_id}"),
    }
}

fn long_deadline(heal: &Heal) -> String {
    match (heal.chain.deadline_epoch_id, heal.chain.epoch_id) {
        (0, _) if heal.chain.status.is_none() => "not known: only the chain tells".to_owned(),
        (0, _) => "none".to_owned(),
        (deadline, Some(now)) if now >= deadline => format!("epoch {deadline}, which has begun"),
        (deadline, Some(now)) => format!("the start of epoch {deadline}; it is epoch {now}"),
        (deadline, None) => format!("the start of epoch {deadline}"),
    }
}

/// One row of the list.
fn row([op, ticket, phase, chain, deadline, staged]: [&str; 6]) -> String {
    let line = format!(
        "{:<6} {:<10} {:<14} {:<15} {:<11} {}",
        cut(op, 6),
        cut(ticket, 10),
        cut(phase, 14),
        cut(chain, 15),
        cut(deadline, 11),
        cut(staged, 19)
    );
    line.trim_end().to_owned()
}

/// Bytes as people read them.
fn size(len_bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = len_bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{len_bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A text of at most so many characters; what was longer ends in an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks a text at blanks, and words that are longer than a line anywhere.
fn wrapped(first: &str, others: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let mut word = word;
        let blank = usize::from(!is_empty);
        if !is_empty && line.chars().count() + blank + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, others.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        loop {
            let room = COLUMNS.saturating_sub(line.chars().count()).max(1);
            match word.char_indices().nth(room) {
                None => break line.push_str(word),
                Some((end, _)) => {
                    line.push_str(&word[..end]);
                    lines.push(std::mem::replace(&mut line, others.to_owned()));
                    word = &word[end..];
                }
            }
        }
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::look::{Claim, OnChain};
    use super::*;

    fn heal() -> Heal {
        Heal {
            heal_op_id: 4,
            is_comparison: false,
            ticket_id: Some("7".to_owned()),
            phase: "claimed".to_owned(),
            next: "the verifiers fetch the file from this node and vote".to_owned(),
            removal: None,
            resumption: Some("verifiers are served".to_owned()),
            claim: Some(Claim {
                status: SubmissionStatus::Submitted,
                manifest_hash: "hash".to_owned(),
                recorded_at_s: 1,
            }),
            staging: Staged {
                state: "sealed".to_owned(),
                strategy: Some("heal-minimal".to_owned()),
                manifest_hash: Some("hash".to_owned()),
                file_len_bytes: 10_000_000,
                artifact_count: 12,
                artifact_bytes: 786_384,
                artifacts: vec![("key".to_owned(), 65_532, vec!["lumera1holder".to_owned()]); 12],
                ..Staged::default()
            },
            chain: OnChain {
                status: Some("HEALER_REPORTED".to_owned()),
                result_hash: "hash".to_owned(),
                verifiers: vec!["lumera1verifier".to_owned(); 6],
                deadline_epoch_id: 12,
                epoch_id: Some(10),
                ..OnChain::default()
            },
        }
    }

    fn nodes(heals: Vec<Heal>) -> Vec<NodeHeals> {
        let (name, account) = ("n1".to_owned(), "lumera1n1".to_owned());
        vec![NodeHeals { name, account, is_running: true, heals }]
    }

    #[test]
    fn a_list_has_two_lines_a_heal() {
        assert_eq!(list(&nodes(Vec::new())), ["nothing is staged or claimed"]);
        assert_eq!(
            list(&nodes(vec![heal()])),
            [
                "op     ticket     phase          chain           deadline    staged",
                "4      7          claimed        HEALER_REPORTED epoch 12    9.5 MiB + 12",
                "       the verifiers fetch the file from this node and vote",
            ]
        );
    }

    #[test]
    fn a_heal_is_shown_with_all_that_is_known() {
        let text = show(&nodes(vec![heal()])).join("\n");
        for part in [
            "operation 4 · claimed · n1",
            "chain     HEALER_REPORTED, with this node's hash",
            "deadline  the start of epoch 12; it is epoch 10",
            "claim     the chain has executed it",
            "staged    complete, by heal-minimal: a file of 9.5 MiB",
            "resumes   by itself after a restart: verifiers are served",
            "goes      nothing",
            "artifact  key 64.0 KiB for lumera1holder",
            "and 2 more, with --json",
        ] {
            assert!(text.contains(part), "`{part}` is missing in:\n{text}");
        }
    }

    #[test]
    fn what_a_stopped_node_does_when_it_starts_is_said() {
        let mut stopped = heal();
        stopped.chain = OnChain { problem: Some("not asked".to_owned()), ..OnChain::default() };
        let mut nodes = nodes(vec![stopped]);
        nodes[0].is_running = false;
        let text = show(&nodes).join("\n");
        assert!(text.contains("resumes   by itself when the node starts: verifiers are served"), "{text}");
        assert!(text.contains("deadline  not known: only the chain tells"), "{text}");
        nodes[0].heals[0].resumption = None;
        assert!(show(&nodes).join("\n").contains("resumes   never: there is nothing"));
    }

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let long = "a-text-without-any-blank-".repeat(9);
        let mut wide = heal();
        (wide.ticket_id, wide.next) = (Some(long.clone()), format!("{long} and {long}"));
        wide.heal_op_id = u64::MAX;
        (wide.removal, wide.resumption) = (Some(long.clone()), Some(long.clone()));
        wide.chain.status = None;
        wide.chain.problem = Some(long.clone());
        wide.staging.artifacts = vec![(long.clone(), u64::MAX, vec![long.clone(); 3])];
        (wide.staging.state, wide.staging.reason) = ("damaged".to_owned(), Some(long));
        let nodes = nodes(vec![heal(), wide]);
        for line in list(&nodes).iter().chain(&show(&nodes)) {
            assert!(line.chars().count() <= COLUMNS, "{} columns: {line}", line.chars().count());
        }
    }
}
