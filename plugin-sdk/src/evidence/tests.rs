//! What records are worth: honest ones, changed ones, and those of a challenger that lies.

use super::*;
use crate::api::challenge::Observation;
use crate::api::history::EVIDENCE_RECORD_LEN_BYTES_MAX;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::verified_slice;
use crate::testkit::TestSigner;
use crate::testkit::evidence::{
    answer, artifact, failure, half_lost, party, record, request, sign, true_slice, wrong_bytes,
};
use lampkeeper_proto::supernode::{
    ByteRange, CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse,
};
use prost::Message;
use serde_json::Value;

/// An answer, what the challenger says of it, and what that is worth.
#[test]
fn records_are_worth_what_was_signed() {
    let altered = |alter: fn(&mut GetCompoundProofResponse)| {
        let mut response = answer(&artifact());
        alter(&mut response);
        Some(response.encode_to_vec())
    };
    let lost = Some(answer(&half_lost()).encode_to_vec());
    let without_slice = {
        let mut response = answer(&half_lost());
        response.verified_slices.clear();
        Some(response.encode_to_vec())
    };
    let own_slice_betrays = {
        let mut response = answer(&half_lost());
        response.verified_slices = true_slice();
        Some(response.encode_to_vec())
    };
    let denial = |kind, text| Some(failure(kind, text).encode_to_vec());
    let (wrong, missing) = (Observation::WrongBytes, Observation::Missing);
    use CompoundProofFailure::{Damaged, Missing, Unavailable, Unspecified};
    type Bytes = Option<Vec<u8>>;
    // (what it is, what was observed, the answer, the slice of another copy, what the record is worth)
    let table: [(&str, Observation, Bytes, Bytes, Verdict); 19] = [
        ("signed wrong bytes, and a true copy", wrong, lost.clone(), Some(true_slice()), Verdict::Proven),
        ("the same of an older peer", wrong, without_slice.clone(), Some(true_slice()), Verdict::Proven),
        ("its own slice has other bytes", wrong, own_slice_betrays, None, Verdict::Proven),
        ("signed wrong bytes, and no copy", wrong, lost, None, Verdict::WordOnly),
        ("the same of an older peer, no copy", wrong, without_slice, None, Verdict::WordOnly),
        (
            "an honest answer whose slice was garbled, maybe by the challenger",
            wrong,
            altered(|response| response.verified_slices[40] ^= 1),
            Some(true_slice()),
            Verdict::WordOnly,
        ),
        (
            "an honest answer whose bytes were garbled",
            wrong,
            altered(|response| response.range_bytes[0][0] ^= 1),
            Some(true_slice()),
            Verdict::WordOnly,
        ),
        ("an honest answer", wrong, altered(|_| {}), Some(true_slice()), Verdict::Broken),
        ("an honest answer, no copy", wrong, altered(|_| {}), None, Verdict::Broken),
        ("an honest answer, as no answer", Observation::TimedOut, altered(|_| {}), None, Verdict::Broken),
        ("an honest answer, as malformed", Observation::Malformed, altered(|_| {}), None, Verdict::Broken),
        (
            "signed by somebody else",
            Observation::Malformed,
            altered(|response| {
                response.recipient_signature = sign(&request(), &response.proof_hash_hex, "other");
            }),
            None,
            Verdict::WordOnly,
        ),
        (
            "the answer to another challenge",
            Observation::Malformed,
            altered(|response| response.ticket_id = "42".to_owned()),
            None,
            Verdict::WordOnly,
        ),
        ("no message", Observation::Malformed, Some(vec![0xff; 9]), None, Verdict::WordOnly),
        ("silence", Observation::TimedOut, None, None, Verdict::WordOnly),
        ("busy", Observation::TimedOut, denial(Unavailable, "disk"), None, Verdict::WordOnly),
        ("a denial", missing, denial(Missing, "not here"), None, Verdict::WordOnly),
        ("a denial without a reason", missing, denial(Unspecified, "?"), None, Verdict::Broken),
        ("damage that it admits", wrong, denial(Damaged, "bit rot"), None, Verdict::WordOnly),
    ];
    for (what, observation, response, slice, expected) in table {
        let record = record(observation, response, slice);
        let verification = verify(&record);
        assert_eq!(verification.verdict, expected, "{what}: {verification:#?}");
        let expected =
            if expected == Verdict::Proven { Basis::TargetSignature } else { Basis::ChallengerWord };
        assert_eq!(record.basis, expected, "{what}");
        assert_eq!(EvidenceRecord::from_json(&record.to_json().unwrap()), Ok(record), "{what}");
    }
}

/// Changes a value into another of its kind.
fn changed(value: &Value) -> Value {
    match value {
        Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
        Value::String(text) => {
            let first = if text.starts_with('b') { 'c' } else { 'b' };
            format!("{first}{}", text.get(1..).unwrap_or_default()).into()
        }
        other => panic!("no field of a record is {other}"),
    }
}

/// The paths of all fields, such as `/target/account`.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| paths(value, &format!("{path}/{name}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_changed_field_is_found_out() {
    let proven: Value = serde_json::from_str(&wrong_bytes().to_json().unwrap()).unwrap();
    let mut all = Vec::new();
    paths(&proven, "", &mut all);
    assert_eq!(all.len(), 26, "{all:?}");
    for path in &all {
        let mut forged = proven.clone();
        let field = forged.pointer_mut(path).unwrap();
        *field = changed(field);
        match EvidenceRecord::from_json(&forged.to_string()) {
            Err(_) => {}
            Ok(record) => assert_eq!(verify(&record).verdict, Verdict::Broken, "{path}"),
        }
    }
    for optional in ["response", "authentic_slice"] {
        let mut forged = proven.clone();
        forged[optional] = Value::Null;
        let record = EvidenceRecord::from_json(&forged.to_string()).unwrap();
        assert_eq!(verify(&record).verdict, Verdict::Broken, "without {optional}");
    }
    let mut more = proven.clone();
    more["comment"] = "believe me".into();
    assert!(EvidenceRecord::from_json(&more.to_string()).is_err());
}

/// A challenger that signs what it has changed is found out as well, or proves nothing.
#[test]
fn a_lying_challenger_proves_nothing() {
    let resigned = |alter: &dyn Fn(&mut EvidenceRecord)| {
        let mut record = wrong_bytes();
        alter(&mut record);
        record.signed(&TestSigner::new("challenger")).unwrap()
    };
    let altered_request = |alter: fn(&mut GetCompoundProofRequest)| {
        move |record: &mut EvidenceRecord| {
            let mut altered = request();
            alter(&mut altered);
            record.request = Base64(altered.encode_to_vec());
        }
    };
    type Alter = Box<dyn Fn(&mut EvidenceRecord)>;
    let table: [(&str, Alter, &str); 10] = [
        (
            "another target",
            Box::new(|record| record.target = party("innocent")),
            "target is not the record's",
        ),
        ("another's key", Box::new(|record| record.target.account = party("innocent").account), "address is"),
        (
            "another artifact",
            Box::new(|record| record.artifact_key = ArtifactKey::of(b"x").to_string()),
            "key",
        ),
        ("another length", Box::new(|record| record.artifact_len_bytes += 1), "length is not the record's"),
        (
            "a false copy",
            Box::new(|record| record.authentic_slice.as_mut().unwrap().0[99] ^= 1),
            "slice is wrong",
        ),
        (
            "a stronger basis",
            Box::new(|record| record.authentic_slice = None),
            "the record says target_signature",
        ),
        ("a pass", Box::new(|record| record.observation = "pass".to_owned()), "does not show pass"),
        ("no observation", Box::new(|record| record.observation = "guilty".to_owned()), "not an observation"),
        ("a request without ranges", Box::new(altered_request(|request| request.ranges.clear())), "0 ranges"),
        (
            "a request with another seed",
            Box::new(altered_request(|request| request.seed = vec![4; 32])),
            "its id does not follow",
        ),
    ];
    for (what, alter, expected) in table {
        let verification = verify(&resigned(&alter));
        assert_eq!(verification.verdict, Verdict::Broken, "{what}: {verification:#?}");
        assert!(verification.conclusion.contains(expected), "{what}: {}", verification.conclusion);
    }
    // Ranges that the target did not sign for: its signature no longer fits, so that nothing is proven.
    let mut moved = request();
    moved.ranges = vec![ByteRange { start: 0, end: 256 }, ByteRange { start: 512, end: 768 }];
    let slice = verified_slice::prove(&artifact(), &[0..256, 512..768]).unwrap();
    let record = resigned(&|record| {
        record.request = Base64(moved.encode_to_vec());
        record.authentic_slice = Some(Base64(slice.clone()));
    });
    assert_eq!(verify(&record).verdict, Verdict::Broken);
    assert_eq!(verify(&record.with_basis()).verdict, Verdict::Broken, "the signature covers the basis");
}

#[test]
fn what_is_no_record_is_refused() {
    let record = wrong_bytes().to_json().unwrap();
    let long = " ".repeat(EVIDENCE_RECORD_LEN_BYTES_MAX + 1);
    let table = [
        (String::new(), "not a record of evidence"),
        ("[]".to_owned(), "not a record of evidence"),
        ("{}".to_owned(), "missing field `format`"),
        (
            record.replace(EVIDENCE_FORMAT, "lampkeeper-evidence/2"),
            "this version reads `lampkeeper-evidence/1`",
        ),
        (record.replace("\"attempts\": 2", "\"attempts\": -2"), "not a record of evidence"),
        (long, "are more than a record"),
    ];
    for (text, expected) in table {
        let error = EvidenceRecord::from_json(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// The longest parts together still make a record that can be read.
#[test]
fn the_longest_record_is_kept() {
    let mut record = wrong_bytes();
    record.response = Some(Base64(vec![0xff; RESPONSE_LEN_BYTES_MAX]));
    record.authentic_slice = Some(Base64(vec![0xff; verified_slice::PROOF_LEN_BYTES_MAX]));
    record.details = "\u{1f56f}".repeat(400);
    assert!(record.to_json().is_ok());
    record.details = "x".repeat(EVIDENCE_RECORD_LEN_BYTES_MAX);
    assert!(matches!(record.to_json(), Err(EvidenceError::TooLong { .. })));
}
