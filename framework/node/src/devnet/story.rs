//! The story that a devnet tells: from events of nodes and chain to lines that a person can follow.
//!
//! Owns the wording, and what is told at once, gathered up, or left out. Where lines go, and how they look on a
//! terminal, is the display's part; what happens is everybody else's.

use lampkeeper_api::telemetry::{Event, Value};
use std::collections::BTreeMap;

/// Something that happened in the network.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The devnet itself did something; the text is final.
    Devnet {
        /// What it is about: `chain`, `nodes`, `store`, `damage`, `fetch`.
        subject: &'static str,
        /// What happened.
        text: String,
    },
    /// An epoch began.
    EpochBegan {
        /// Its number.
        epoch_id: u64,
    },
    /// A node's service told something.
    Node {
        /// The node's name.
        name: String,
        /// What it told.
        event: Event,
    },
    /// The chain emitted an event.
    Chain {
        /// The block.
        height: i64,
        /// The event's kind.
        kind: String,
        /// Its attributes.
        attributes: BTreeMap<String, String>,
    },
}

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Plain,
    /// Something was found to be wrong.
    Bad,
    /// Something was put right.
    Good,
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The epoch, on the first line of each; otherwise empty.
    pub epoch: String,
    /// Who did it.
    pub who: String,
    /// What, to whom, why, at what cost.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
}

/// What went well and is told as a sum when the epoch ends.
#[derive(Debug, Default)]
struct Quiet {
    challengers: std::collections::BTreeSet<String>,
    passed: u64,
    none_eligible: u64,
    probes_passed: u64,
    probe_bytes: u64,
    reports: u64,
}

/// A score that a report moved.
#[derive(Debug)]
struct Change {
    subject: String,
    before: i64,
    after: i64,
}

/// Turns happenings into lines.
#[derive(Debug, Default)]
pub struct Story {
    names: BTreeMap<String, String>,
    epoch: Option<u64>,
    epoch_shown: bool,
    quiet: Quiet,
    suspicion: BTreeMap<String, i64>,
    deterioration: BTreeMap<String, i64>,
    changes: BTreeMap<String, Vec<Change>>,
}

impl Story {
    /// A story about the nodes with these accounts and names.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { names: names.into_iter().collect(), ..Self::default() }
    }

    /// The lines that a happening adds.
    pub fn tell(&mut self, happening: &Happening) -> Vec<Line> {
        match happening {
            Happening::Devnet { subject, text } => vec![Line {
                epoch: (*subject).to_owned(),
                who: String::new(),
                text: text.clone(),
                tone: Tone::Plain,
            }],
            Happening::EpochBegan { epoch_id } => {
                // What happened before the first epoch was announced belongs to it.
                let lines = if self.epoch.is_some() { self.end_of_epoch() } else { Vec::new() };
                self.epoch = Some(*epoch_id);
                self.epoch_shown = false;
                lines
            }
            Happening::Node { name, event } => self.node(name, event),
            Happening::Chain { height, kind, attributes } => self.chain(*height, kind, attributes),
        }
    }

    /// The name of an account in this story.
    #[must_use]
    pub fn name(&self, account: &str) -> String {
        self.names.get(account).cloned().unwrap_or_else(|| account.to_owned())
    }

    fn line(&mut self, who: impl Into<String>, text: impl Into<String>, tone: Tone) -> Line {
        let epoch = match self.epoch {
            Some(epoch) if !self.epoch_shown => format!("epoch {epoch}"),
            _ => String::new(),
        };
        self.epoch_shown = true;
        Line { epoch, who: who.into(), text: text.into(), tone }
    }

    fn end_of_epoch(&mut self) -> Vec<Line> {
        let quiet = std::mem::take(&mut self.quiet);
        if quiet.challengers.is_empty() {
            return Vec::new();
        }
        let mut parts = Vec::new();
        if quiet.passed > 0 {
            parts.push(format!("{} passed", plural(quiet.passed, "challenge")));
        }
        if quiet.none_eligible > 0 {
            parts.push(format!("{} had no eligible ticket", plural(quiet.none_eligible, "bucket")));
        }
        if quiet.probes_passed > 0 {
            let (probes, bytes) = (plural(quiet.probes_passed, "probe"), bytes(quiet.probe_bytes));
            parts.push(format!("{probes} passed, {bytes} of proofs"));
        }
        parts.push(format!("{} accepted", plural(quiet.reports, "report")));
        let who = plural(quiet.challengers.len() as u64, "node");
        vec![self.line(who, parts.join(" · "), Tone::Plain)]
    }

    fn node(&mut self, who: &str, event: &Event) -> Vec<Line> {
        let field = Fields(event);
        match event.name.as_str() {
            "challenge.result" => self.challenge_result(who, &field),
            "challenge.no_eligible" => {
                self.quiet.challengers.insert(who.to_owned());
                self.quiet.none_eligible += 1;
                Vec::new()
            }
            "challenge.held" => {
                vec![self.line(who, format!("rows held back: {}", field.text("reason")), Tone::Bad)]
            }
            "probe.failed" => {
                let pair = format!("{who} → {}", self.name(&field.text("target")));
                let kind = field.text("artifact_class").to_lowercase();
                let text =
                    format!("probe of {kind} {} · {}", short(&field.text("artifact_key")), observed(&field));
                vec![self.line(pair, text, Tone::Bad)]
            }
            "probe.summary" => {
                self.quiet.challengers.insert(who.to_owned());
                self.quiet.probes_passed += field.number("passed");
                self.quiet.probe_bytes += field.number("bytes");
                self.probe_summary(who, &field)
            }
            "report.submitted" => self.report_submitted(who, &field),
            // Waiting for the challenger's rows is the ordinary case.
            "report.skipped" if field.text("reason") == "coverage_incomplete" => Vec::new(),
            "report.skipped" => {
                let reason = field.text("reason").replace('_', " ");
                vec![self.line(who, format!("no report: {reason}"), Tone::Bad)]
            }
            "recheck.submitted" => {
                let pair = format!("{who} → {}", self.name(&field.text("target")));
                let changes = self.take_changes(who);
                let text = format!(
                    "rechecked ticket {} of epoch {}: {}{changes}",
                    field.text("ticket_id"),
                    field.number("epoch_id"),
                    field.text("class").to_lowercase().replace('_', " ")
                );
                vec![self.line(pair, text, Tone::Plain)]
            }
            name if name.starts_with("heal.") => self.heal(who, name, &field),
            _ => Vec::new(),
        }
    }

    fn challenge_result(&mut self, who: &str, field: &Fields<'_>) -> Vec<Line> {
        self.quiet.challengers.insert(who.to_owned());
        if field.text("class") == "PASS" {
            self.quiet.passed += 1;
            return Vec::new();
        }
        let pair = format!("{who} → {}", self.name(&field.text("target")));
        let text = format!(
            "challenge {} of {} {} · {}",
            field.text("bucket"),
            field.text("artifact_class").to_lowercase(),
            short(&field.text("artifact_key")),
            observed(field)
        );
        vec![self.line(pair, text, Tone::Bad)]
    }

    fn probe_summary(&mut self, who: &str, field: &Fields<'_>) -> Vec<Line> {
        let failed = field.number("failed");
        if failed == 0 {
            return Vec::new();
        }
        let pair = format!("{who} → {}", self.name(&field.text("target")));
        let text = format!("{failed} of {} failed", plural(field.number("probed"), "probe"));
        vec![self.line(pair, text, Tone::Bad)]
    }

    fn report_submitted(&mut self, who: &str, field: &Fields<'_>) -> Vec<Line> {
        self.quiet.challengers.insert(who.to_owned());
        self.quiet.reports += 1;
        let changes = self.take_changes(who);
        if changes.is_empty() {
            return Vec::new();
        }
        vec![self.line(
            who,
            format!("report accepted at height {}{changes}", field.number("height")),
            Tone::Plain,
        )]
    }

    fn take_changes(&mut self, who: &str) -> String {
        let changes = self.changes.remove(who).unwrap_or_default();
        let moved = changes.iter().filter(|change| change.before != change.after);
        moved.map(|change| format!(" · {} {} → {}", change.subject, change.before, change.after)).collect()
    }

    /// Several rows of one report may move the same score: what counts is from where to where.
    fn note_change(&mut self, reporter: &str, subject: String, before: i64, after: i64) {
        let changes = self.changes.entry(reporter.to_owned()).or_default();
        match changes.iter_mut().find(|change| change.subject == subject) {
            Some(change) => change.after = after,
            None => changes.push(Change { subject, before, after }),
        }
    }

    fn heal(&mut self, who: &str, name: &str, field: &Fields<'_>) -> Vec<Line> {
        let line = |story: &mut Self, text: String, tone| vec![story.line(who, text, tone)];
        match name {
            "heal.surveyed" => {
                let text = format!(
                    "survey: {} of {} below {} copies · margin {} symbols",
                    field.number("lacking_count"),
                    plural(field.number("artifact_count"), "artifact"),
                    field.number("replica_count"),
                    field.signed("margin_symbols")
                );
                line(self, text, Tone::Plain)
            }
            "heal.reconstructed" => line(self, reconstructed(field), Tone::Plain),
            "heal.claimed" => {
                line(self, "claimed · hash equals the ticket's data hash".to_owned(), Tone::Plain)
            }
            "heal.failed" => line(
                self,
                format!("heal failed while {}: {}", field.text("stage"), field.text("reason")),
                Tone::Bad,
            ),
            "heal.voted" => {
                let healer = self.name(&field.text("healer"));
                let (vote, tone) = if field.flag("verified") {
                    ("yes".to_owned(), Tone::Plain)
                } else {
                    (format!("no, {}", field.text("reason")), Tone::Bad)
                };
                line(
                    self,
                    format!("streamed {} from {healer} · {vote}", bytes(field.number("streamed_bytes"))),
                    tone,
                )
            }
            "heal.published" => {
                let nodes: Vec<_> =
                    field.list("stored_on").iter().map(|account| self.name(account)).collect();
                let text = match field.number("artifact_count") {
                    0 => "nothing to publish: every replica is there".to_owned(),
                    count => format!(
                        "published {}, {}, to {}",
                        plural(count, "artifact"),
                        bytes(field.number("bytes")),
                        nodes.join(", ")
                    ),
                };
                line(self, text, Tone::Good)
            }
            "heal.dropped" => {
                line(self, format!("dropped its staging: heal op is {}", field.text("status")), Tone::Plain)
            }
            _ => Vec::new(),
        }
    }

    fn chain(&mut self, _height: i64, kind: &str, attributes: &BTreeMap<String, String>) -> Vec<Line> {
        let get = |name: &str| attributes.get(name).cloned().unwrap_or_default();
        match kind {
            "storage_truth_score_updated" => {
                self.score_updated(attributes);
                Vec::new()
            }
            "storage_truth_heal_op_scheduled" => {
                let verifiers: Vec<_> = get("verifiers")
                    .split(',')
                    .filter(|account| !account.is_empty())
                    .map(|a| self.name(a))
                    .collect();
                let text = format!(
                    "heal op {} for ticket {} · healer {} · verifiers {} · deadline epoch {}",
                    get("heal_op_id"),
                    get("ticket_id"),
                    self.name(&get("healer_supernode_account")),
                    verifiers.join(", "),
                    get("deadline_epoch_id")
                );
                vec![self.line("chain", text, Tone::Plain)]
            }
            "storage_truth_heal_op_verified" => {
                let text =
                    format!("heal op {} VERIFIED{}", get("heal_op_id"), self.ticket_change(attributes));
                vec![self.line("chain", text, Tone::Good)]
            }
            "storage_truth_heal_op_failed" | "storage_truth_heal_op_expired" => {
                let what = if kind.ends_with("failed") { "FAILED" } else { "EXPIRED" };
                let text = format!("heal op {} {what}{}", get("heal_op_id"), self.ticket_change(attributes));
                vec![self.line("chain", text, Tone::Bad)]
            }
            "supernode_postponed" | "supernode_recovered" | "supernode_storage_full" => {
                let what = kind.trim_start_matches("supernode_").replace('_', " ");
                let reason = get("reason");
                let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                let text = format!("{} is {what}{because}", self.name(&get("supernode_account")));
                let tone = if kind == "supernode_recovered" { Tone::Good } else { Tone::Bad };
                vec![self.line("chain", text, tone)]
            }
            _ => Vec::new(),
        }
    }

    fn score_updated(&mut self, attributes: &BTreeMap<String, String>) {
        let get = |name: &str| attributes.get(name).cloned().unwrap_or_default();
        let number = |name: &str| attributes.get(name).and_then(|score| score.parse::<i64>().ok());
        let (target, ticket) = (get("target_supernode_account"), get("ticket_id"));
        let reporter = self.name(&get("reporter_supernode_account"));
        if let Some(score) = number("node_suspicion_score") {
            let before = self.suspicion.insert(target.clone(), score).unwrap_or_default();
            if score > before {
                let subject = format!("{} suspicion", self.name(&target));
                self.note_change(&reporter, subject, before, score);
            }
        }
        if let Some(score) = number("ticket_deterioration_score") {
            let before = self.deterioration.insert(ticket.clone(), score).unwrap_or_default();
            self.note_change(&reporter, format!("ticket {ticket} deterioration"), before, score);
        }
    }

    fn ticket_change(&mut self, attributes: &BTreeMap<String, String>) -> String {
        let (Some(ticket), Some(score)) = (
            attributes.get("ticket_id"),
            attributes.get("ticket_deterioration_score").and_then(|score| score.parse::<i64>().ok()),
        ) else {
            return String::new();
        };
        let before = self.deterioration.insert(ticket.clone(), score).unwrap_or_default();
        format!(" · ticket {ticket} deterioration {before} → {score}")
    }
}

fn reconstructed(field: &Fields<'_>) -> String {
    let how = if field.flag("decoded") {
        format!("solved in {} ms", field.number("compute_ms"))
    } else {
        "every source symbol at hand, nothing to solve".to_owned()
    };
    let text = format!(
        "{}: fetched {}, {} · {how} · regenerated {} · staged {}, {}",
        field.text("strategy"),
        plural(field.number("fetched_count"), "symbol"),
        bytes(field.number("fetched_bytes")),
        plural(field.number("regenerated_count"), "symbol"),
        plural(field.number("staged_count"), "artifact"),
        bytes(field.number("staged_bytes")),
    );
    text
}

/// What was seen of an artifact, and how often it was looked for.
fn observed(field: &Fields<'_>) -> String {
    let what = match field.text("observation").as_str() {
        "missing" => "missing".to_owned(),
        "wrong_bytes" => "damaged".to_owned(),
        other => other.replace('_', " "),
    };
    match field.number("attempts") {
        0 | 1 => what,
        attempts => format!("{what}, asked {attempts} times"),
    }
}

/// The first characters of a key, enough to recognise it.
#[must_use]
pub fn short(key: &str) -> String {
    let head: String = key.chars().take(4).collect();
    if head.len() < key.len() { format!("{head}…") } else { head }
}

/// A count with its noun.
#[must_use]
pub fn plural(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if count == 1 { format!("{grouped} {noun}") } else { format!("{grouped} {noun}s") }
}

/// A number of bytes in the unit that suits it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit = UNITS[unit];
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Reads an event's fields without caring how they were written.
struct Fields<'a>(&'a Event);

impl Fields<'_> {
    fn text(&self, name: &str) -> String {
        match self.0.fields.get(name) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Float(number)) => number.to_string(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::List(list)) => list.join(", "),
            None => String::new(),
        }
    }

    fn signed(&self, name: &str) -> i64 {
        match self.0.fields.get(name) {
            Some(Value::Integer(number)) => *number,
            _ => 0,
        }
    }

    fn number(&self, name: &str) -> u64 {
        u64::try_from(self.signed(name)).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.0.fields.get(name), Some(Value::Bool(true)))
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.0.fields.get(name) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> Story {
        Story::new([("a1".to_owned(), "n1".to_owned()), ("a4".to_owned(), "n4".to_owned())])
    }

    fn told(story: &mut Story, happening: &Happening) -> Vec<String> {
        story
            .tell(happening)
            .iter()
            .map(|line| format!("{}|{}|{}", line.epoch, line.who, line.text))
            .collect()
    }

    fn node(event: Event) -> Happening {
        Happening::Node { name: "n1".to_owned(), event }
    }

    #[test]
    fn an_epoch_is_named_once_and_its_quiet_part_is_summed_up() {
        let mut story = story();
        assert!(story.tell(&Happening::EpochBegan { epoch_id: 3 }).is_empty());
        let pass = Event::new("challenge.result").with("class", "PASS").with("target", "a4");
        assert!(story.tell(&node(pass)).is_empty(), "what goes well is not told at once");
        let failed = Event::new("probe.failed")
            .with("target", "a4")
            .with("artifact_class", "SYMBOL")
            .with("artifact_key", "9fQkabcdef")
            .with("observation", "missing")
            .with("attempts", 2_u64);
        assert_eq!(
            told(&mut story, &node(failed)),
            ["epoch 3|n1 → n4|probe of symbol 9fQk… · missing, asked 2 times"]
        );
        let summary = Event::new("probe.summary").with("passed", 4_120_u64).with("bytes", 31_000_000_u64);
        assert!(story.tell(&node(summary)).is_empty());
        assert_eq!(
            told(&mut story, &Happening::EpochBegan { epoch_id: 4 }),
            ["|1 node|1 challenge passed · 4,120 probes passed, 31 MB of proofs · 0 reports accepted"]
        );
    }

    #[test]
    fn a_report_tells_what_the_chain_made_of_it() {
        let mut story = story();
        let attributes = [
            ("reporter_supernode_account", "a1"),
            ("target_supernode_account", "a4"),
            ("ticket_id", "1"),
            ("node_suspicion_score", "18"),
            ("ticket_deterioration_score", "5"),
        ];
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let scored =
            Happening::Chain { height: 23, kind: "storage_truth_score_updated".to_owned(), attributes };
        assert!(story.tell(&scored).is_empty());
        let report = Event::new("report.submitted").with("height", 23_u64);
        assert_eq!(
            told(&mut story, &node(report)),
            ["|n1|report accepted at height 23 · n4 suspicion 0 → 18 · ticket 1 deterioration 0 → 5"]
        );
    }

    #[test]
    fn numbers_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (65_532, "66 KB"),
            (999_600, "1.0 MB"),
            (20_900_000, "21 MB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
        assert_eq!(plural(1, "node"), "1 node");
        assert_eq!(plural(1_234_567, "probe"), "1,234,567 probes");
    }
}
