//! Where a devnet's story goes: a terminal, plain lines, or JSON.
//!
//! Owns standard output while a devnet runs. On a terminal the last line shows the epoch's progress and changes in
//! place; piped, each line is final; as JSON, each happening is one object a line and nothing is summed up.
#![expect(clippy::print_stdout, reason = "this module is what writes a devnet's output")]

use super::story::{Happening, Line, Story, Tone};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lampkeeper_api::telemetry::Value;
use serde_json::json;
use std::io::{IsTerminal, Write};

/// Width of the column that names the epoch.
const EPOCH_WIDTH: usize = 9;
/// Width of the column that names who did it.
const WHO_WIDTH: usize = 9;

/// How far the current epoch has come.
#[derive(Debug, Clone, Default)]
pub struct EpochProgress {
    /// Its number.
    pub epoch_id: u64,
    /// Blocks of it that are committed.
    pub blocks_done: u64,
    /// Blocks that it has.
    pub blocks: u64,
    /// What is being waited for.
    pub waiting_for: String,
}

/// Writes a story.
pub struct Display {
    story: Story,
    form: Form,
}

enum Form {
    Live { bar: ProgressBar, colours: bool },
    Plain,
    Json,
}

impl Display {
    /// The form that suits where standard output goes.
    #[must_use]
    pub fn new(story: Story, as_json: bool) -> Self {
        let form = if as_json {
            Form::Json
        } else if std::io::stdout().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            Form::Live { bar, colours: std::env::var_os("NO_COLOR").is_none() }
        } else {
            Form::Plain
        };
        Self { story, form }
    }

    /// Shows what happened.
    pub fn show(&mut self, happening: &Happening) {
        let lines = self.story.tell(happening);
        match &self.form {
            Form::Json => {
                println!("{}", as_json(happening));
                let _ = std::io::stdout().flush();
            }
            Form::Plain => {
                for line in &lines {
                    println!("{}", as_text(line, false));
                }
                let _ = std::io::stdout().flush();
            }
            Form::Live { bar, colours } => {
                for line in &lines {
                    bar.println(as_text(line, *colours));
                }
            }
        }
    }

    /// Shows the devnet's own words.
    pub fn say(&mut self, subject: &'static str, text: impl Into<String>) {
        self.show(&Happening::Devnet { subject, text: text.into() });
    }

    /// Shows how far the epoch has come; only a terminal has room for it.
    pub fn progress(&self, progress: &EpochProgress) {
        if let Form::Live { bar, .. } = &self.form {
            let done = usize::try_from(progress.blocks_done.min(progress.blocks)).unwrap_or_default();
            let all = usize::try_from(progress.blocks).unwrap_or_default();
            bar.set_message(format!(
                "{:<EPOCH_WIDTH$}{}{} {done}/{all} blocks · {}",
                format!("epoch {}", progress.epoch_id),
                "▮".repeat(done),
                "▯".repeat(all.saturating_sub(done)),
                progress.waiting_for
            ));
        }
    }

    /// Takes the line that changes in place away.
    pub fn finish(&self) {
        if let Form::Live { bar, .. } = &self.form {
            bar.finish_and_clear();
        }
    }
}

fn as_text(line: &Line, colours: bool) -> String {
    let who = if line.who.is_empty() { String::new() } else { format!("{:<WHO_WIDTH$} ", line.who) };
    let (dim, tone, end) = match (colours, line.tone) {
        (false, _) => ("", "", ""),
        (true, Tone::Plain) => ("\x1b[2m", "", "\x1b[0m"),
        (true, Tone::Bad) => ("\x1b[2m", "\x1b[31m", "\x1b[0m"),
        (true, Tone::Good) => ("\x1b[2m", "\x1b[32m", "\x1b[0m"),
    };
    format!("{dim}{:<EPOCH_WIDTH$}{end}{tone}{who}{}{end}", line.epoch, line.text)
}

fn as_json(happening: &Happening) -> serde_json::Value {
    match happening {
        Happening::Devnet { subject, text } => json!({ "source": "devnet", "event": subject, "text": text }),
        Happening::EpochBegan { epoch_id } => {
            json!({ "source": "chain", "event": "epoch", "epoch_id": epoch_id })
        }
        Happening::Node { name, event } => {
            let fields: serde_json::Map<_, _> =
                event.fields.iter().map(|(name, value)| (name.clone(), json_value(value))).collect();
            json!({
                "source": "node", "node": name, "event": event.name, "fields": fields,
            })
        }
        Happening::Chain { height, kind, attributes } => {
            json!({ "source": "chain", "event": kind, "height": height, "fields": attributes })
        }
    }
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::List(list) => json!(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_api::telemetry::Event;

    #[test]
    fn columns_line_up_and_colours_stay_off_in_files() {
        let line = Line {
            epoch: "epoch 3".to_owned(),
            who: "n2 → n4".to_owned(),
            text: "probe".to_owned(),
            tone: Tone::Bad,
        };
        assert_eq!(as_text(&line, false), "epoch 3  n2 → n4   probe");
        assert!(as_text(&line, true).contains("\x1b[31m"));
    }

    #[test]
    fn json_keeps_types_and_names() {
        let event = Event::new("heal.claimed").with("heal_op_id", 1_u64).with("ok", true);
        let value = as_json(&Happening::Node { name: "n1".to_owned(), event });
        assert_eq!(value["node"], "n1");
        assert_eq!(value["fields"], json!({ "heal_op_id": 1, "ok": true }));
    }
}
