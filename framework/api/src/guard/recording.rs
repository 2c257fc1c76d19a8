//! Recorded calls of a seam: their text form, and a gate that answers from them.
//!
//! A recording is JSON lines. The first line, and the first of every further run that was appended, is a header:
//!
//! ```json
//! {"lampkeeper_recording":1,"seam":"chain:read","plugin":"self-healing"}
//! ```
//!
//! Every other line is one call: its method, its arguments as text (cut, with a digest of the whole), when it was
//! answered in milliseconds of the scheduler's time, and its answer as JSON, or why there is none.
//!
//! Owns the format and its limits. Files are the business of whoever writes and reads them.

use super::{Call, Decision, Gate, Method, Unavailable, UnavailableReason, contained};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

/// The version of the format.
pub const RECORDING_VERSION: u32 = 1;
/// The largest recording that is written or read, in bytes.
pub const RECORDING_LEN_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The longest answer that is recorded, in bytes of JSON.
pub const ANSWER_LEN_BYTES_MAX: usize = 1024 * 1024;
/// How much of a call's arguments is written down, in bytes.
pub const ARGUMENTS_LEN_BYTES_MAX: usize = 2048;
/// How much of a call's arguments tells calls apart, in bytes.
const ARGUMENTS_HASHED_LEN_BYTES_MAX: usize = 1024 * 1024;

/// Methods that say who somebody is. They are not asked of a recording: their answers don't change, and borrow.
const IDENTITY_METHODS: [&str; 5] =
    ["name", "account", "account_address", "public_key", "public_key_type_url"];

/// Whether a method only says who somebody is.
#[must_use]
pub fn is_identity(method: &Method) -> bool {
    IDENTITY_METHODS.contains(&method.name)
}

/// A call's arguments: the beginning of their text, and a digest by which calls are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentsText {
    /// The beginning.
    pub text: String,
    digest: u64,
    len_bytes: usize,
}

impl ArgumentsText {
    /// Formats the arguments of a call, as far as the limits go.
    #[must_use]
    pub fn of(arguments: fmt::Arguments<'_>) -> Self {
        // FNV-1a: it tells calls of one recording apart, and protects against nobody.
        let mut text = Self { text: String::new(), digest: 0xcbf2_9ce4_8422_2325, len_bytes: 0 };
        // An error only says that the rest is beyond the limit.
        let _ = text.write_fmt(arguments);
        text
    }

    /// The digest, as it stands in a recording.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        format!("{:016x}", self.digest)
    }
}

impl fmt::Write for ArgumentsText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let left = ARGUMENTS_LEN_BYTES_MAX.saturating_sub(self.text.len());
        let end = (0..=left.min(part.len())).rev().find(|end| part.is_char_boundary(*end)).unwrap_or(0);
        if self.text.len() == self.len_bytes {
            self.text.push_str(part.get(..end).unwrap_or_default());
        }
        self.digest = part
            .bytes()
            .fold(self.digest, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.len_bytes += part.len();
        if self.len_bytes > ARGUMENTS_HASHED_LEN_BYTES_MAX { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingHeader {
    /// [`RECORDING_VERSION`].
    pub lampkeeper_recording: u32,
    /// The seam, as manifests name it.
    pub seam: String,
    /// Whose use of the seam was recorded; `None` for that of all plugins.
    pub plugin: Option<String>,
}

impl RecordingHeader {
    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        line_of(self)
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedCall {
    /// The method.
    pub method: String,
    /// The beginning of its arguments.
    pub arguments: String,
    /// [`ArgumentsText::digest_hex`] of the whole.
    pub digest: String,
    /// When it was answered, in milliseconds of the scheduler's clock.
    pub at_ms: u64,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

impl RecordedCall {
    /// A call and what [`Gate::outcome`] was handed.
    #[must_use]
    pub fn new(method: &Method, arguments: ArgumentsText, at_ms: u64, answer: Option<&str>) -> Self {
        let (answer, left_out) = match answer {
            None => (None, Some("the answer is a live object".to_owned())),
            Some(text) if text.len() > ANSWER_LEN_BYTES_MAX => {
                (None, Some(format!("the answer has {} bytes, more than {ANSWER_LEN_BYTES_MAX}", text.len())))
            }
            Some(text) => match serde_json::from_str(text) {
                Ok(answer) => (Some(answer), None),
                Err(error) => (None, Some(format!("the answer is not JSON: {error}"))),
            },
        };
        let digest = arguments.digest_hex();
        Self { method: method.name.to_owned(), arguments: arguments.text, digest, at_ms, answer, left_out }
    }

    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        line_of(self)
    }
}

fn line_of(value: &impl Serialize) -> String {
    // Nothing in these types can fail to be JSON.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// Why a text is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RecordingError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A recording that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// What was recorded.
    pub header: RecordingHeader,
    /// The calls, in the order in which they were answered.
    pub calls: Vec<RecordedCall>,
}

impl Recording {
    /// Reads a recording. A last line that a crash cut off is left out.
    ///
    /// ```
    /// use lampkeeper_api::guard::Recording;
    ///
    /// let text = "{\"lampkeeper_recording\":1,\"seam\":\"chain:read\",\"plugin\":null}\n{\"method\":\"ti";
    /// let recording = Recording::parse(text)?;
    /// assert_eq!((recording.header.seam.as_str(), recording.calls.len()), ("chain:read", 0));
    /// # Ok::<(), lampkeeper_api::guard::RecordingError>(())
    /// ```
    ///
    /// # Errors
    /// The first line that can't be read.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let error = |index: usize, reason: String| RecordingError { line: index + 1, reason };
        let mut lines = text.split_inclusive('\n').enumerate();
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let header = header_of(first).map_err(|reason| error(0, reason))?;
        let mut calls = Vec::new();
        for (index, line) in lines {
            match serde_json::from_str(line) {
                Ok(call) => calls.push(call),
                // Cut off by a crash, or the header of a run that was appended.
                Err(_) if !line.ends_with('\n') => {}
                Err(reason) => match header_of(line) {
                    Ok(again) if again == header => {}
                    Ok(other) => {
                        return Err(error(index, format!("from here on it is one of `{}`", other.seam)));
                    }
                    Err(_) => return Err(error(index, reason.to_string())),
                },
            }
        }
        Ok(Self { header, calls })
    }
}

fn header_of(line: &str) -> Result<RecordingHeader, String> {
    let header: RecordingHeader =
        serde_json::from_str(line).map_err(|error| format!("not the header of a recording: {error}"))?;
    match header.lampkeeper_recording {
        RECORDING_VERSION => Ok(header),
        other => Err(format!("version {other} of the format; this program reads {RECORDING_VERSION}")),
    }
}

/// Method and digest of the arguments.
type Key = (String, String);

/// Answers calls from a recording; nothing behind it is called, but for who somebody is.
///
/// Calls of one method with the same arguments are answered in the order in which they were recorded; the last answer is
/// repeated. What was not recorded is refused with words that say so.
pub struct ReplayGate {
    plugin_id: String,
    answers: BTreeMap<Key, Vec<RecordedCall>>,
    given: Mutex<BTreeMap<Key, usize>>,
}

impl ReplayGate {
    /// A gate that answers for `plugin_id`.
    #[must_use]
    pub fn new(plugin_id: impl Into<String>, recording: Recording) -> Self {
        let mut answers: BTreeMap<Key, Vec<RecordedCall>> = BTreeMap::new();
        for call in recording.calls {
            answers.entry((call.method.clone(), call.digest.clone())).or_default().push(call);
        }
        Self { plugin_id: plugin_id.into(), answers, given: Mutex::default() }
    }

    /// What to answer to a call.
    #[must_use]
    pub fn decide(&self, call: &Call<'_>) -> Decision {
        let arguments = ArgumentsText::of(call.arguments);
        let key = (call.method.name.to_owned(), arguments.digest_hex());
        let recorded = self.answers.get(&key).and_then(|answers| {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            let next = given.entry(key).or_default();
            let answer = answers.get((*next).min(answers.len().saturating_sub(1)));
            *next += 1;
            answer
        });
        let reason = match recorded.map(|call| (&call.answer, &call.left_out)) {
            Some((Some(answer), _)) => return Decision::Answer(answer.to_string()),
            Some((None, why)) => {
                let why = why.as_deref().unwrap_or("no reason was noted");
                format!("the recording has no answer of {}.{}: {why}", call.method.seam, call.method.name)
            }
            None => format!(
                "the recording does not have the call {}.{}({})",
                call.method.seam, call.method.name, arguments.text
            ),
        };
        Decision::Refuse(Unavailable {
            plugin_id: self.plugin_id.clone(),
            reason: UnavailableReason::Refused(reason),
        })
    }
}

impl Gate for ReplayGate {
    fn plugin_id(&self) -> &str {
        &self.plugin_id
    }

    fn step(&self, _: &'static Method, work: &mut dyn FnMut()) -> Result<(), String> {
        contained(work)
    }

    fn before(&self, call: &Call<'_>) -> Decision {
        if is_identity(call.method) { Decision::Pass } else { self.decide(call) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PUT: Method = Method::new("store", "put");

    fn call(text: &str, answer: Option<&str>) -> RecordedCall {
        RecordedCall::new(&PUT, ArgumentsText::of(format_args!("{text}")), 7, answer)
    }

    fn recording(calls: &[RecordedCall]) -> String {
        let header = RecordingHeader { lampkeeper_recording: 1, seam: "store".to_owned(), plugin: None };
        calls.iter().fold(header.line(), |text, call| text + &call.line())
    }

    fn answer(gate: &ReplayGate, text: &str) -> String {
        match gate.decide(&Call { method: &PUT, arguments: format_args!("{text}") }) {
            Decision::Answer(text) => text,
            Decision::Refuse(why) => why.to_string(),
            _ => panic!("neither an answer nor a refusal"),
        }
    }

    #[test]
    fn answers_come_in_order_and_the_last_is_repeated() {
        let calls =
            [call("a", Some("1")), call("b", Some("{\"x\":18446744073709551615}")), call("a", Some("2"))];
        let read = Recording::parse(&recording(&calls)).unwrap();
        assert_eq!(read.calls, calls);
        let gate = ReplayGate::new("disk", read);
        let given: Vec<String> = ["a", "a", "a", "b"].iter().map(|text| answer(&gate, text)).collect();
        assert_eq!(given, ["1", "2", "2", "{\"x\":18446744073709551615}"]);
        assert_eq!(
            answer(&gate, "c"),
            "plugin disk is not available: the recording does not have the call store.put(c)"
        );
    }

    #[test]
    fn what_has_no_answer_says_why() {
        let long = format!("\"{}\"", "x".repeat(ANSWER_LEN_BYTES_MAX));
        let table =
            [(None, "a live object"), (Some(long.as_str()), "more than 1048576"), (Some("{"), "not JSON")];
        for (text, words) in table {
            let gate = ReplayGate::new("disk", Recording::parse(&recording(&[call("a", text)])).unwrap());
            assert!(answer(&gate, "a").contains(words), "{}", answer(&gate, "a"));
        }
    }

    #[test]
    fn long_arguments_are_cut_and_still_told_apart() {
        let (one, other) = ("ä".repeat(5000), "ä".repeat(5001));
        let (first, second) =
            (ArgumentsText::of(format_args!("{one}")), ArgumentsText::of(format_args!("{other}")));
        assert!(first.text.len() <= ARGUMENTS_LEN_BYTES_MAX && first.text == second.text);
        assert_ne!(first.digest_hex(), second.digest_hex());
    }

    #[test]
    fn a_recording_that_a_crash_cut_off_is_read_up_to_there_and_others_are_refused() {
        let whole = recording(&[call("a", Some("1")), call("b", Some("2"))]);
        let header_len = whole.find('\n').unwrap() + 1;
        for end in header_len..whole.len() {
            let read = Recording::parse(&whole[..end]).unwrap();
            assert!(read.calls.len() <= 2, "cut at {end}");
        }
        let twice = format!("{whole}{whole}");
        assert_eq!(Recording::parse(&twice).unwrap().calls.len(), 4, "a second run was appended");
        let table = [
            (String::new(), "line 1: not the header"),
            (whole.replacen("recording\":1", "recording\":9", 1), "line 1: version 9"),
            (whole.replacen("\"method\"", "\"mode\"", 1), "line 2"),
            (format!("{whole}{}", whole.replace("store", "journal")), "line 4: from here on"),
        ];
        for (text, words) in table {
            let refused = Recording::parse(&text).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}: lacks {words}");
        }
    }
}
