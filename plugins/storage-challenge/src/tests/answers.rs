//! Honest and lying answers, weighed.

use super::support::{CHALLENGER, EPOCH, SEED, account, public_key};
use crate::answer::{Asked, Weighed, weigh};
use lampkeeper_plugin_sdk::api::challenge::Observation;
use lampkeeper_plugin_sdk::api::signer::Signer;
use lampkeeper_plugin_sdk::protocol::account::PublicKey;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::transcript::{ChallengedArtifact, Transcript, hash_ranges};
use lampkeeper_plugin_sdk::protocol::verified_slice;
use lampkeeper_plugin_sdk::protocol::words::{ArtifactClass, Bucket};
use lampkeeper_plugin_sdk::testkit::TestSigner;
use lampkeeper_proto::supernode::{
    ByteRange, CompoundProofFailure, GetCompoundProofRequest, GetCompoundProofResponse,
};
use std::ops::Range;

const TARGET: &str = "alpha";
const TICKET: &str = "17";

/// A challenge of [`TARGET`] and what is needed to answer it.
struct Exam {
    artifact: Vec<u8>,
    request: GetCompoundProofRequest,
    derivation: String,
    target_key: PublicKey,
}

fn bytes(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|index| (index / 7 % 251) as u8 ^ salt).collect()
}

impl Exam {
    fn of(artifact: Vec<u8>, epoch_id: u64) -> Self {
        let target = account(TARGET);
        let challenged = ChallengedArtifact {
            target: &target,
            ticket_id: TICKET,
            class: ArtifactClass::Symbol,
            ordinal: 2,
        };
        let offsets = challenged.range_offsets(&SEED, artifact.len() as u64, 256, 4).unwrap();
        let derivation = challenged.derivation_input_hash(&SEED, &offsets, 256).unwrap();
        let request = GetCompoundProofRequest {
            challenge_id: challenged.challenge_id(&SEED, epoch_id),
            epoch_id,
            seed: SEED.to_vec(),
            ticket_id: TICKET.into(),
            target_supernode_account: target.clone(),
            challenger_account: account(CHALLENGER),
            artifact_class: 2,
            artifact_ordinal: 2,
            artifact_count: 5,
            bucket_type: 1,
            artifact_key: ArtifactKey::of(&artifact).to_string(),
            artifact_size: artifact.len() as u64,
            ranges: offsets.iter().map(|&start| ByteRange { start, end: start + 256 }).collect(),
            want_verified_slices: true,
            ..GetCompoundProofRequest::default()
        };
        Self { artifact, request, derivation, target_key: public_key(TARGET) }
    }

    fn new() -> Self {
        Self::of(bytes(65_532, 0), EPOCH)
    }

    fn weigh(&self, response: &GetCompoundProofResponse, copy: Option<&[u8]>) -> Weighed {
        self.weigh_as(response, copy, self.artifact.len() as u64)
    }

    /// Weighs with another length in the ticket's documents.
    fn weigh_as(&self, response: &GetCompoundProofResponse, copy: Option<&[u8]>, len_bytes: u64) -> Weighed {
        let asked = Asked {
            request: &self.request,
            key: self.request.artifact_key.parse().unwrap(),
            len_bytes,
            target_key: &self.target_key,
        };
        weigh(&asked, response, copy)
    }

    fn ranges(&self) -> Vec<Range<u64>> {
        self.request.ranges.iter().map(|range| range.start..range.end).collect()
    }

    fn signed(&self, mut response: GetCompoundProofResponse, by: &str) -> GetCompoundProofResponse {
        let hash = Transcript {
            epoch_id: self.request.epoch_id,
            challenger: &self.request.challenger_account,
            target: &self.request.target_supernode_account,
            ticket_id: TICKET,
            bucket: Bucket::Recent,
            class: ArtifactClass::Symbol,
            ordinal: 2,
            artifact_key: &self.request.artifact_key,
            derivation_input_hash: &self.derivation,
            compound_proof_hash: &response.proof_hash_hex,
            observers: &[],
        }
        .hash()
        .unwrap();
        response.recipient_signature = hex::encode(TestSigner::new(by).sign(hash.as_bytes()).unwrap());
        response
    }

    /// The ranges of some bytes, with their hash and the target's signature: what an older peer sends.
    fn older(&self, held: &[u8]) -> GetCompoundProofResponse {
        let cut = |range: &ByteRange| held[range.start as usize..range.end as usize].to_vec();
        let range_bytes: Vec<Vec<u8>> = self.request.ranges.iter().map(cut).collect();
        let response = GetCompoundProofResponse {
            challenge_id: self.request.challenge_id.clone(),
            epoch_id: self.request.epoch_id,
            ticket_id: TICKET.into(),
            artifact_class: 2,
            artifact_ordinal: 2,
            bucket_type: 1,
            artifact_key: self.request.artifact_key.clone(),
            proof_hash_hex: hash_ranges(range_bytes.iter().map(Vec::as_slice)),
            range_bytes,
            ok: true,
            ..GetCompoundProofResponse::default()
        };
        self.signed(response, TARGET)
    }

    /// What a node answers that holds `held` under the key.
    fn answer(&self, held: &[u8]) -> GetCompoundProofResponse {
        let verified_slices = verified_slice::prove(held, &self.ranges()).unwrap();
        let artifact_size = held.len() as u64;
        GetCompoundProofResponse { verified_slices, artifact_size, ..self.older(held) }
    }

    fn honest(&self) -> GetCompoundProofResponse {
        self.answer(&self.artifact)
    }

    fn failure(&self, failure: CompoundProofFailure, error: &str) -> GetCompoundProofResponse {
        GetCompoundProofResponse {
            failure: failure.into(),
            error: error.into(),
            ok: false,
            ..GetCompoundProofResponse::default()
        }
    }
}

/// What came out, in a word.
fn word(weighed: &Weighed) -> String {
    match weighed {
        Weighed::Proven { proof, .. } => format!("proven by {proof}"),
        Weighed::NeedsCopy => "needs a copy".into(),
        Weighed::Against(observation, _) => observation.name().into(),
        Weighed::NoAnswer(_) => "no answer".into(),
        Weighed::Unfit(_) => "unfit".into(),
    }
}

/// Checks what comes out without a copy, and with one.
fn check(exam: &Exam, what: &str, response: &GetCompoundProofResponse, without: &str, with: &str) {
    assert_eq!(word(&exam.weigh(response, None)), without, "{what}, without a copy");
    assert_eq!(word(&exam.weigh(response, Some(&exam.artifact))), with, "{what}, with a copy");
}

#[test]
fn an_honest_answer_proves_itself_and_an_older_peer_s_is_compared() {
    let exam = Exam::new();
    let proven = "proven by verified_slice";
    check(&exam, "honest", &exam.honest(), proven, proven);
    check(&exam, "older", &exam.older(&exam.artifact), "needs a copy", "proven by compared");
    let Weighed::Proven { proof_hash, .. } = exam.weigh(&exam.honest(), None) else { panic!("not proven") };
    assert_eq!(proof_hash, exam.honest().proof_hash_hex);
    for len in [1, 255, 256, 257, 1023, 1024, 1025, 65_532] {
        let artifact = bytes(len, 5);
        let range_len = 256.min(len as u64);
        let mut exam = Exam::of(bytes(1000, 5), EPOCH);
        let challenged = ChallengedArtifact {
            target: &account(TARGET),
            ticket_id: TICKET,
            class: ArtifactClass::Symbol,
            ordinal: 2,
        };
        let offsets = challenged.range_offsets(&SEED, len as u64, range_len, 4).unwrap();
        exam.derivation = challenged.derivation_input_hash(&SEED, &offsets, range_len).unwrap();
        exam.request.ranges =
            offsets.iter().map(|&start| ByteRange { start, end: start + range_len }).collect();
        exam.request.artifact_key = ArtifactKey::of(&artifact).to_string();
        exam.artifact = artifact;
        assert_eq!(word(&exam.weigh(&exam.honest(), None)), proven, "{len} bytes");
    }
}

#[test]
fn no_lie_passes() {
    let exam = Exam::new();
    let other = bytes(65_532, 99);
    let against = |what: &str, response: GetCompoundProofResponse, word: &str| {
        check(&exam, what, &response, word, word);
    };
    let resigned = |response| exam.signed(response, TARGET);

    let invented = exam.older(&other);
    check(&exam, "invented bytes with a matching hash", &invented, "needs a copy", "wrong_bytes");
    against("another ticket's bytes, properly proven", exam.answer(&other), "wrong_bytes");
    let mixed =
        GetCompoundProofResponse { verified_slices: exam.honest().verified_slices, ..exam.older(&other) };
    against("a right proof beside other bytes", mixed, "wrong_bytes");

    let mut contradictory = exam.honest();
    contradictory.proof_hash_hex = hash_ranges([b"other".as_slice()]);
    against("bytes that contradict their hash", resigned(contradictory), "wrong_bytes");

    let mut truncated = exam.honest();
    truncated.range_bytes[1].pop();
    truncated.proof_hash_hex = hash_ranges(truncated.range_bytes.iter().map(Vec::as_slice));
    against("a truncated range", resigned(truncated), "malformed");
    let mut fewer = exam.honest();
    fewer.range_bytes.pop();
    against("a range too few", fewer, "malformed");

    let mut shifted = exam.honest();
    let ranges: Vec<_> =
        exam.ranges().into_iter().map(|range| range.start / 2..range.start / 2 + 256).collect();
    shifted.verified_slices = verified_slice::prove(&exam.artifact, &ranges).unwrap();
    against("a proof of other ranges", shifted, "wrong_bytes");
    let mut cut = exam.honest();
    cut.verified_slices.truncate(cut.verified_slices.len() / 2);
    against("half a proof", cut, "wrong_bytes");
    let mut long = exam.honest();
    long.verified_slices.extend([0; 1000]);
    against("a proof with something behind it", long, "wrong_bytes");

    against("another signer", exam.signed(exam.honest(), "beta"), "malformed");
    against(
        "no signature",
        GetCompoundProofResponse { recipient_signature: String::new(), ..exam.honest() },
        "malformed",
    );
    against(
        "no hex",
        GetCompoundProofResponse { recipient_signature: "xyz".into(), ..exam.honest() },
        "malformed",
    );
    against(
        "no ranges at all",
        GetCompoundProofResponse { ok: true, ..GetCompoundProofResponse::default() },
        "malformed",
    );
}

#[test]
fn a_replayed_answer_is_worth_nothing() {
    let exam = Exam::new();
    let old = Exam::of(exam.artifact.clone(), EPOCH - 1).honest();
    assert_eq!(word(&exam.weigh(&old, None)), "malformed", "as it was");
    let renamed =
        GetCompoundProofResponse { challenge_id: exam.request.challenge_id.clone(), epoch_id: EPOCH, ..old };
    assert_eq!(word(&exam.weigh(&renamed, None)), "malformed", "under the new challenge's name");
    for change in [
        |response: &mut GetCompoundProofResponse| response.ticket_id.push('1'),
        |response: &mut GetCompoundProofResponse| response.artifact_key.push('1'),
        |response: &mut GetCompoundProofResponse| response.epoch_id += 1,
    ] {
        let mut response = exam.honest();
        change(&mut response);
        assert_eq!(word(&exam.weigh(&response, None)), "malformed");
    }
}

/// A slice without the last chunk verifies under lengths that the artifact does not have. Ours always has it.
#[test]
fn a_false_length_with_an_otherwise_valid_slice_is_refused() {
    let exam = Exam::new();
    let lengths = [65_533_u64, 65_536, 70_000, 131_064, 1 << 23, 65_531, 65_000];
    for len in lengths {
        let mut response = exam.honest();
        response.verified_slices[..8].copy_from_slice(&len.to_le_bytes());
        response.artifact_size = len;
        assert_eq!(word(&exam.weigh(&response, None)), "wrong_bytes", "{len}");
    }
    let mut huge = exam.honest();
    huge.verified_slices[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(word(&exam.weigh(&huge, None)), "wrong_bytes");

    // A length that leaves no room for the ranges is proven by nothing: only a copy tells who is wrong.
    for len in [0_u64, 1, 100] {
        let mut response = exam.honest();
        response.verified_slices = len.to_le_bytes().to_vec();
        check(&exam, &format!("length {len}"), &response, "needs a copy", "wrong_bytes");
    }
}

#[test]
fn wrong_documents_of_a_ticket_are_nobody_s_fault() {
    let exam = Exam::new();
    let documented = exam.artifact.len() as u64 + 1000;
    assert_eq!(word(&exam.weigh_as(&exam.honest(), None, documented)), "unfit", "the slice proves it");
    let copy = Some(exam.artifact.as_slice());
    assert_eq!(word(&exam.weigh_as(&exam.older(&exam.artifact), copy, documented)), "unfit");
    let refusal = exam.failure(CompoundProofFailure::InvalidRequest, "range 3 is outside");
    assert_eq!(word(&exam.weigh_as(&refusal, copy, documented)), "unfit");
}

#[test]
fn a_refusal_counts_by_its_kind_and_not_by_its_words() {
    use CompoundProofFailure as Failure;
    let exam = Exam::new();
    // (kind, text, without a copy, with one)
    for (failure, error, without, with) in [
        (Failure::Missing, "timeout", "missing", "missing"),
        (Failure::Damaged, "", "wrong_bytes", "wrong_bytes"),
        (Failure::Unavailable, "the disk is busy", "no answer", "no answer"),
        // Otherwise "your request is wrong" would excuse everybody.
        (Failure::InvalidRequest, "bad request", "needs a copy", "refused"),
        (Failure::Unspecified, "", "no answer", "no answer"),
        (Failure::Unspecified, "no response", "refused", "refused"),
        (Failure::Unspecified, "TIMEOUT", "refused", "refused"),
        (Failure::Unspecified, "out of bounds", "refused", "refused"),
    ] {
        check(&exam, &format!("{failure:?} {error:?}"), &exam.failure(failure, error), without, with);
    }
    let Weighed::Against(Observation::Missing, text) =
        exam.weigh(&exam.failure(Failure::Missing, &"x".repeat(100_000)), None)
    else {
        panic!("not missing")
    };
    assert_eq!(text.len(), 200, "a peer's text is cut");
}
