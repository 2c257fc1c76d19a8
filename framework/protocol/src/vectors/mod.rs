//! Runs sets of known answers against this crate, so that any node can prove that it agrees with the others.
//!
//! A set is a JSON array of `{"name", "input", "expect"}`; its name says which function answers. Byte strings are hex,
//! other texts are hashed as their UTF-8, and integers use all 64 bits. A function that may refuse its input answers
//! `{"ok": value}` or `{"error": text}`; that it refuses must agree, the text is only an explanation.
//!
//! Owns comparing answers. What each set asks for is in the modules below; the files are data of the caller.

mod layout_set;
mod sets;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Texts of answers in a report are cut to this many characters.
const REPORTED_LEN_MAX: usize = 200;

/// What came of running a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetReport {
    /// Number of cases with the expected answer.
    pub passed: usize,
    /// The other cases. A set that can't be run at all is one failure under its own name.
    pub failed: Vec<CaseFailure>,
}

/// A case with another answer than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFailure {
    /// Name of the case, or its index where it has none.
    pub name: String,
    /// The expected answer as JSON, shortened.
    pub expected: String,
    /// The answer as JSON, shortened, or why there is none.
    pub actual: String,
}

/// Answers the input of a case, or says why the input is none.
type Answer = fn(&Value) -> Result<Value, String>;

/// Every set that can be run, with its function.
const SETS: [(&str, Answer); 17] = [
    ("assign_challenger_targets", sets::assign_challenger_targets),
    ("assignment_hash", sets::assignment_hash),
    ("challenge_id", sets::challenge_id),
    ("classify_bucket", sets::classify_bucket),
    ("compound_hash", sets::compound_hash),
    ("decay", sets::decay),
    ("derivation_input_hash", sets::derivation_input_hash),
    ("heal_participants", sets::heal_participants),
    ("negative_attestation_hash", sets::negative_attestation_hash),
    ("pair_challenger", sets::pair_challenger),
    ("range_offsets", sets::range_offsets),
    ("raptorq_layout", layout_set::raptorq_layout),
    ("select_artifact_class", sets::select_artifact_class),
    ("select_artifact_ordinal", sets::select_artifact_ordinal),
    ("select_targets", sets::select_targets),
    ("select_ticket", sets::select_ticket),
    ("transcript_hash", sets::transcript_hash),
];

/// The names of all sets that [`check_set`] can run, in alphabetical order.
pub fn set_names() -> impl Iterator<Item = &'static str> {
    SETS.iter().map(|(name, _)| *name)
}

/// Runs the set called `name` over the text of its file.
///
/// Nothing in the text makes this panic: an unknown set, text that is no set, and a case without a usable input are
/// failures in the report.
///
/// ```
/// use lampkeeper_protocol::vectors::check_set;
/// let text = r#"[{"name": "plain", "input": {"score": 1000, "factor": 920, "elapsed": 1}, "expect": 920}]"#;
/// assert_eq!(check_set("decay", text).passed, 1);
/// assert_eq!(check_set("unknown", text).failed.len(), 1);
/// ```
#[must_use]
pub fn check_set(name: &str, json: &str) -> SetReport {
    let unusable = |expected: &str, actual: String| SetReport {
        passed: 0,
        failed: vec![CaseFailure { name: name.to_owned(), expected: expected.to_owned(), actual }],
    };
    let Some((_, answer)) = SETS.iter().find(|(set, _)| *set == name) else {
        let known = set_names().collect::<Vec<_>>().join(", ");
        return unusable(&format!("one of {known}"), "no set of this name".to_owned());
    };
    let cases: Vec<Value> = match serde_json::from_str(json) {
        Ok(cases) => cases,
        Err(error) => return unusable("an array of cases", error.to_string()),
    };
    if cases.is_empty() {
        return unusable("an array of cases", "no case at all".to_owned());
    }
    let mut report = SetReport::default();
    for (index, case) in cases.iter().enumerate() {
        match check_case(index, case, *answer) {
            Ok(()) => report.passed += 1,
            Err(failure) => report.failed.push(failure),
        }
    }
    report
}

fn check_case(index: usize, case: &Value, answer: Answer) -> Result<(), CaseFailure> {
    let failure = |expected: String, actual: String| CaseFailure {
        name: case.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned),
        expected,
        actual,
    };
    let (Some(input), Some(expect)) = (case.get("input"), case.get("expect")) else {
        return Err(failure("an input and an expected answer".to_owned(), shorten(case)));
    };
    match answer(input) {
        Ok(actual) if agrees(expect, &actual) => Ok(()),
        Ok(actual) => Err(failure(shorten(expect), shorten(&actual))),
        Err(problem) => Err(failure(shorten(expect), format!("the input is malformed: {problem}"))),
    }
}

/// Whether an answer is the expected one. Two refusals agree whatever they say.
fn agrees(expect: &Value, actual: &Value) -> bool {
    match (expect.get("error"), actual.get("error")) {
        (Some(_), Some(_)) => true,
        _ => expect == actual,
    }
}

fn shorten(value: &Value) -> String {
    value.to_string().chars().take(REPORTED_LEN_MAX).collect()
}

/// Reads the input of a case.
fn parse<I: DeserializeOwned>(input: &Value) -> Result<I, String> {
    I::deserialize(input).map_err(|error| error.to_string())
}

/// The answer of a function that may refuse.
fn outcome<T: Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Value {
    match result {
        Ok(value) => json!({"ok": value}),
        Err(error) => json!({"error": error.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_in_order() {
        assert!(set_names().is_sorted());
    }

    #[test]
    fn wrong_answers_are_reported_with_both_sides() {
        let text = r#"[{"name": "a", "input": {"score": 1000, "factor": 920, "elapsed": 1}, "expect": 921},
                       {"input": {"score": 1000, "factor": 920, "elapsed": 1}, "expect": 920}]"#;
        let report = check_set("decay", text);
        let failure =
            CaseFailure { name: "a".to_owned(), expected: "921".to_owned(), actual: "920".to_owned() };
        assert_eq!(report, SetReport { passed: 1, failed: vec![failure] });
    }

    #[test]
    fn a_refusal_only_agrees_with_a_refusal() {
        let refused = r#"{"seed": "", "target": "", "ticket_id": "", "class": "INDEX", "count": 0}"#;
        let accepted = r#"{"seed": "", "target": "", "ticket_id": "", "class": "INDEX", "count": 1}"#;
        // Input, expected answer, whether it agrees.
        let table = [
            (refused, r#"{"error": "any text"}"#, true),
            (refused, r#"{"ok": 0}"#, false),
            (accepted, r#"{"ok": 0}"#, true),
            (accepted, r#"{"error": "any text"}"#, false),
        ];
        for (input, expect, agrees) in table {
            let text = format!(r#"[{{"name": "a", "input": {input}, "expect": {expect}}}]"#);
            assert_eq!(check_set("select_artifact_ordinal", &text).passed == 1, agrees, "{text}");
        }
    }

    #[test]
    fn malformed_sets_are_failures() {
        let malformed =
            ["", "{}", "[]", "[1]", "[{}]", r#"[{"input": {}, "expect": 1}]"#, r#"[{"input": 1}]"#];
        for name in set_names() {
            for text in malformed {
                let report = check_set(name, text);
                assert_eq!((report.passed, report.failed.len()), (0, 1), "{name}: {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            for name in set_names() {
                prop_assert_eq!(check_set(name, &text).passed, 0);
            }
        }
    }
}
