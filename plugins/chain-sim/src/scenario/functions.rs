//! The chain's functions that a file can call by name, outside any message.
//!
//! Most are pure. The few that write do what a module does internally: create evidence, anchor counts, share out fees,
//! import a genesis.

use super::arguments::Arguments;
use super::decode::decode;
use super::messages::params_over;
use super::outcome::Outcome;
use super::problem::{Problem, unknown};
use super::questions::table;
use super::reference::named_key;
use super::value::{Kind, Value};
use crate::action_module::{commitment, merkle};
use crate::api::chain::{EnforcementMode, Params};
use crate::genesis::AuditGenesis;
use crate::protocol::assignment::{self as assignment_rules, AssignmentRule, ProbeCounts};
use crate::protocol::cascade::id_files::IdFileSeries;
use crate::protocol::document_signature::wallet_envelope;
use crate::protocol::epoch;
use crate::protocol::heal::{heal_hash, heal_participants};
use crate::protocol::score::decay;
use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};
use crate::scoring::{Deltas, scale};
use crate::state::actions::{Action, AvailabilityCommitment, ChunkProof};
use crate::state::evidence::EvidenceType;
use crate::state::facts::is_class_a;
use crate::state::tickets::ArtifactCounts;
use crate::{State, assignment, params};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Every function.
pub(super) const FUNCTIONS: [&str; 32] = [
    "decay",
    "scale",
    "classify",
    "base_deltas",
    "trust_band",
    "epoch_of",
    "header_hash",
    "anchor_seed",
    "set_commitment",
    "build_anchor",
    "write_anchor",
    "assignment",
    "assigned_targets",
    "target_rank",
    "pair_rank",
    "legacy_challengers",
    "heal_hash",
    "heal_participants",
    "validate_params",
    "default_params",
    "params_commitment",
    "validate_commitment",
    "merkle_leaf",
    "merkle_root",
    "merkle_proof",
    "merkle_verify",
    "id_file_keys",
    "sign_document",
    "share_fees",
    "anchor_artifact_counts",
    "create_evidence",
    "genesis",
];

/// Calls a function: `{ name = "decay", score = 1000, ... }`.
pub(super) fn call(
    state: &mut State,
    name: &str,
    line: usize,
    arguments: &mut Arguments,
) -> Result<Outcome, Problem> {
    match name {
        "decay" | "scale" | "classify" | "base_deltas" | "trust_band" => scores(state, name, arguments),
        "epoch_of" | "heal_hash" | "heal_participants" => heals(state, name, arguments),
        "write_anchor" | "assigned_targets" | "target_rank" | "pair_rank" => ranks(state, name, arguments),
        "header_hash" | "anchor_seed" | "set_commitment" | "build_anchor" | "assignment"
        | "legacy_challengers" => anchors(state, name, arguments),
        "validate_params" | "default_params" | "params_commitment" => parameters(state, name, arguments),
        "validate_commitment"
        | "merkle_leaf"
        | "merkle_root"
        | "merkle_proof"
        | "merkle_verify"
        | "id_file_keys" => commitments(state, name, arguments),
        "share_fees" | "anchor_artifact_counts" | "create_evidence" => writing(state, name, arguments),
        "sign_document" => sign_document(line, arguments),
        "genesis" => genesis(state, arguments),
        _ => Err(unknown(line, "function", name, &FUNCTIONS)),
    }
}

fn scores(state: &State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    match name {
        "decay" => integer(decay(
            arguments.read_required("score")?,
            arguments.read_required("factor")?,
            arguments.read_required("epochs")?,
        )),
        "scale" => integer(scale(arguments.read_required("delta")?, arguments.read_required("percent")?)),
        "classify" => {
            let class: ResultClass = arguments.read_required("result_class")?;
            Ok(Outcome::Answer(table(vec![
                ("failure", Kind::Bool(class.is_failure()).into()),
                ("class_a", Kind::Bool(is_class_a(class)).into()),
                ("class_b", Kind::Bool(class == ResultClass::TimeoutOrNoResponse).into()),
                ("recheck_eligible", Kind::Bool(class.is_recheck_eligible()).into()),
            ])))
        }
        "base_deltas" => {
            let class: ResultClass = arguments.read_required("result_class")?;
            let deltas = Deltas::base(
                class,
                arguments.read::<Bucket>("bucket_type")?,
                arguments.read::<ArtifactClass>("artifact_class")?,
            );
            Ok(Outcome::Answer(table(vec![
                ("node", Value::integer(deltas.node)),
                ("reporter", Value::integer(deltas.reporter)),
                ("ticket", Value::integer(deltas.ticket)),
            ])))
        }
        _ => {
            let band = crate::scoring::trust_band(arguments.read_required("score")?, &state.params());
            Ok(Outcome::Answer(band.name().into()))
        }
    }
}

fn heals(state: &State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    match name {
        "epoch_of" => {
            let schedule = state.schedule();
            let epoch_id = schedule.epoch_at(arguments.read_required("height")?);
            Ok(Outcome::Answer(table(vec![
                ("epoch_id", Value::integer(epoch_id)),
                ("start", Value::integer(schedule.start_height(epoch_id))),
                ("end", Value::integer(schedule.end_height(epoch_id))),
            ])))
        }
        "heal_hash" => {
            let ticket_id: String = arguments.read_required("ticket_id")?;
            Ok(Outcome::Answer(format!("{:016x}", heal_hash(&ticket_id, arguments.read("epoch_id")?)).into()))
        }
        _ => {
            let ticket_id: String = arguments.read_required("ticket_id")?;
            let accounts: Vec<String> = arguments.read_required("accounts")?;
            let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
            let verifiers = state.params().storage_truth_heal_verifier_count;
            let found = heal_participants(&accounts, &ticket_id, arguments.read("epoch_id")?, verifiers);
            Ok(Outcome::Answer(table(vec![
                ("healer", found.healer.unwrap_or_default().into()),
                ("verifiers", Value::of(&found.verifiers)?),
            ])))
        }
    }
}

fn ranks(state: &mut State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    match name {
        "write_anchor" => {
            let epoch_id = arguments.read("epoch_id")?;
            let hash: Vec<u8> = arguments.read("block_hash")?;
            Ok(match state.write_anchor(epoch_id, &hash) {
                Ok(()) => Outcome::Answer(Kind::Null.into()),
                Err(error) => Outcome::of_block_error(&error),
            })
        }
        "assigned_targets" => assigned_targets(state, arguments),
        _ => {
            let seed: Vec<u8> = arguments.read_required("seed")?;
            let account: String = arguments.read_required("account")?;
            match name {
                "target_rank" => digest(&assignment_rules::target_rank(&account, &seed)),
                _ => {
                    let target: String = arguments.read_required("target")?;
                    digest(&assignment_rules::pair_rank(&account, &target, &seed))
                }
            }
        }
    }
}

/// The assignment of chain 3 for any lists and any seed, with the present parameters.
fn assigned_targets(state: &State, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    let reporter: String = arguments.read_required("reporter")?;
    let (eligible, targets) =
        (arguments.read::<Vec<String>>("eligible")?, arguments.read::<Vec<String>>("targets")?);
    let seed: Vec<u8> = arguments.read_required("seed")?;
    let params = state.params();
    let rule = if params.storage_truth_enforcement_mode == EnforcementMode::Unspecified {
        AssignmentRule::RegularWalk(ProbeCounts {
            quorum: params.peer_quorum_reports,
            min: params.min_probe_targets_per_epoch,
            max: params.max_probe_targets_per_epoch,
        })
    } else {
        AssignmentRule::StorageTruth { divisor: params.storage_truth_challenge_target_divisor }
    };
    let [eligible, targets] =
        [&eligible, &targets].map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
    match assignment_rules::assigned_targets(&reporter, &eligible, &targets, &seed, rule) {
        Ok(duty) => Ok(Outcome::Answer(table(vec![
            ("prober", Kind::Bool(duty.is_prober).into()),
            ("targets", Value::of(&duty.targets)?),
        ]))),
        Err(error) => Ok(Outcome::of_words(error)),
    }
}

fn integer(number: i64) -> Result<Outcome, Problem> {
    Ok(Outcome::Answer(Value::integer(number)))
}

fn digest(bytes: &[u8]) -> Result<Outcome, Problem> {
    Ok(Outcome::Answer(hex::encode(bytes).into()))
}

fn unit<E: ToString>(result: Result<(), E>) -> Result<Outcome, Problem> {
    Ok(match result {
        Ok(()) => Outcome::Answer(Kind::Null.into()),
        Err(error) => Outcome::of_words(error.to_string()),
    })
}

fn anchors(state: &State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    let epoch_id: u64 = match name {
        "header_hash" | "set_commitment" => 0,
        _ => arguments.read("epoch_id")?,
    };
    match name {
        "header_hash" => digest(&state.header_hash(arguments.read_required("height")?)),
        "set_commitment" => {
            let accounts: Vec<String> = arguments.read_required("accounts")?;
            digest(&epoch::set_commitment(&accounts.iter().map(String::as_str).collect::<Vec<_>>()))
        }
        "anchor_seed" => {
            let raw: Vec<u8> = arguments.read("block_hash")?;
            digest(&epoch::anchor_seed(&raw, arguments.read("start_height")?, epoch_id))
        }
        "build_anchor" => {
            let hash: Vec<u8> = arguments.read("block_hash")?;
            let (start, end) =
                (arguments.read_required("start_height")?, arguments.read_required("end_height")?);
            match state.build_anchor(epoch_id, start, end, &hash) {
                Ok(anchor) => Outcome::of(&anchor),
                Err(error) => Ok(Outcome::of_words(error)),
            }
        }
        _ => {
            let anchor = match state.query_epoch_anchor(epoch_id) {
                Ok(anchor) => anchor,
                Err(error) => return Ok(Outcome::of_words(error)),
            };
            if name == "legacy_challengers" {
                // Evidence reads the current parameters (chain 1.3).
                return Outcome::of(&assignment::legacy_challengers(anchor, &state.params()));
            }
            let params = state.params_of_epoch(epoch_id);
            let mut found = Vec::new();
            for account in &anchor.target_supernode_accounts {
                let duty = match state.duty_of(account, anchor, &params) {
                    Ok(duty) => duty,
                    Err(error) => return Ok(Outcome::of_words(error)),
                };
                let entry = table(vec![
                    ("prober", Kind::Bool(duty.is_prober).into()),
                    ("targets", Value::of(&duty.targets)?),
                ]);
                found.push((account.as_str(), entry));
            }
            Ok(Outcome::Answer(table(found)))
        }
    }
}

/// `params` names values over `base`: the current ones, the `defaults`, or all `zeros`.
fn parameters(state: &State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    let values = arguments.optional("params").unwrap_or_else(|| table(Vec::new()));
    let line = arguments.line();
    let base = match arguments.read::<String>("base")?.as_str() {
        "" | "current" => state.audit.params.clone(),
        "defaults" => Params::default(),
        "zeros" => Params::zeroed(),
        other => return Err(unknown(line, "base of parameters", other, &["current", "defaults", "zeros"])),
    };
    let (params, has_unnamed_mode) = params_over(&base, values)?;
    match name {
        "validate_params" => unit(params::validate_with_mode(&params, has_unnamed_mode)),
        "default_params" => Outcome::of(&params.with_defaults()),
        _ => digest(&params::commitment(&params)),
    }
}

fn leaves(arguments: &mut Arguments) -> Result<Vec<merkle::Node>, Problem> {
    let chunks: Vec<String> = arguments.read_required("chunks")?;
    Ok((0_u32..).zip(&chunks).map(|(index, chunk)| merkle::leaf(index, chunk.as_bytes())).collect())
}

fn commitments(state: &State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    match name {
        "validate_commitment" => {
            let commitment: AvailabilityCommitment = arguments.read_required("commitment")?;
            let params = &state.action.params;
            unit(commitment::validate(
                &commitment,
                params.svc_challenge_count,
                params.svc_min_chunks_for_challenge,
            ))
        }
        "merkle_leaf" => {
            let chunk: String = arguments.read_required("chunk")?;
            digest(&merkle::leaf(arguments.read("index")?, chunk.as_bytes()))
        }
        "merkle_root" => match merkle::root(&leaves(arguments)?) {
            Some(root) => digest(&root),
            None => Ok(Outcome::of_words("a tree without chunks has no root")),
        },
        "merkle_proof" => {
            let leaves = leaves(arguments)?;
            match merkle::prove(&leaves, arguments.read("index")?) {
                Some(proof) => Outcome::of(&proof),
                None => Ok(Outcome::of_words("there is no such chunk")),
            }
        }
        "merkle_verify" => {
            let proof: ChunkProof = arguments.read_required("proof")?;
            let root: Vec<u8> = arguments.read_required("root")?;
            unit(merkle::verify(&proof, &root))
        }
        _ => {
            let signatures: String = arguments.read_required("signatures")?;
            let keys =
                IdFileSeries::new(&signatures, arguments.read("first")?, arguments.read_required("count")?)
                    .and_then(|series| series.keys());
            match keys {
                Ok(keys) => Outcome::of(&keys.iter().map(ToString::to_string).collect::<Vec<_>>()),
                Err(error) => Ok(Outcome::of_words(error)),
            }
        }
    }
}

/// The text of a document and a signature by a named key over it, as `signatures` holds them (chain Appendix C).
fn sign_document(line: usize, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    let key = named_key(&arguments.read_required::<String>("key")?);
    let document: String = arguments.read_required("document")?;
    let what: String = arguments.read::<Option<String>>("what")?.unwrap_or_else(|| "text".to_owned());
    let is_enveloped: bool = arguments.read("envelope")?;
    let text = STANDARD.encode(&document);
    let data = match what.as_str() {
        "text" => &text,
        "document" => &document,
        other => return Err(unknown(line, "thing to sign", other, &["text", "document"])),
    };
    let signature = if is_enveloped {
        key.sign(wallet_envelope(data.as_bytes(), &key.public_key().account()).as_bytes())
    } else {
        key.sign(data.as_bytes())
    };
    Ok(Outcome::Answer(format!("{text}.{}", STANDARD.encode(signature)).into()))
}

fn writing(state: &mut State, name: &str, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    match name {
        "share_fees" => {
            let action: Action = arguments.read_required("action")?;
            state.distribute_fees(&action);
            Ok(Outcome::Answer(Kind::Null.into()))
        }
        "anchor_artifact_counts" => {
            let ticket_id: String = arguments.read_required("ticket_id")?;
            let counts =
                ArtifactCounts { index: arguments.read("index")?, symbol: arguments.read("symbol")? };
            Ok(match state.anchor_artifact_counts(&ticket_id, counts) {
                Ok(()) => Outcome::Answer(Kind::Null.into()),
                Err(refusal) => Outcome::of_refusal(&refusal),
            })
        }
        _ => {
            let [reporter, subject, action_id] = [
                arguments.read::<String>("reporter")?,
                arguments.read::<String>("subject")?,
                arguments.read::<String>("action_id")?,
            ];
            let evidence_type: EvidenceType = arguments.read("evidence_type")?;
            let metadata =
                arguments.optional("metadata").map_or_else(|| Ok("{}".to_owned()), Value::into_text)?;
            Ok(match state.create_evidence(&reporter, &subject, &action_id, evidence_type, &metadata) {
                Ok(id) => Outcome::Answer(Value::integer(id)),
                Err(refusal) => Outcome::of_refusal(&refusal),
            })
        }
    }
}

/// Exports, validates or imports the audit module's genesis. `over` is laid over the given or the current one.
fn genesis(state: &mut State, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    let line = arguments.line();
    let act: String = arguments.read_required("act")?;
    let mut genesis = match arguments.optional("genesis") {
        Some(given) => given,
        None if arguments.read("from_default")? => Value::of(&AuditGenesis::default())?,
        None => Value::of(&state.export_audit_genesis())?,
    };
    if let Some(over) = arguments.optional("over") {
        genesis.merge(over);
    }
    let typed: AuditGenesis = decode(&genesis)?;
    match act.as_str() {
        "export" => Ok(Outcome::Answer(genesis)),
        "validate" => unit(typed.validate()),
        "import" => unit(state.import_audit_genesis(&typed)),
        other => Err(unknown(line, "act", other, &["export", "validate", "import"])),
    }
}
