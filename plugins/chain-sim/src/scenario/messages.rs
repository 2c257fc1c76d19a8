//! Messages of a file, with defaults such that a row only states what its case is about.
//!
//! A default is what an honest node would send: a row of proof is a complete PASS, a vote repeats the claimed hash. With
//! `raw = true` nothing is filled in, and what is left out is empty.

use super::arguments::Arguments;
use super::decode::decode;
use super::numbers::{name_mode, name_numbers};
use super::problem::Problem;
use super::reference::operator_of;
use super::value::{Kind, Table, Value};
use crate::State;
use crate::api::chain::Params;
use crate::message::Message;
use crate::transaction::Transaction;

/// A transaction as a file sends it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) transaction: Transaction,
    /// The sequence that it claims to be signed with.
    pub(super) sequence: Option<u64>,
}

impl Sent {
    /// What faults in calls know it by: the kind of its first message.
    pub(super) fn call(&self) -> String {
        let kind = self.transaction.messages.first().map_or("nothing", |(_, message)| message.kind());
        format!("submit.{kind}")
    }
}

const KINDS: [&str; 17] = [
    "nil",
    "epoch_report",
    "evidence",
    "recheck_evidence",
    "heal_claim",
    "heal_verification",
    "update_params",
    "register_supernode",
    "deregister_supernode",
    "start_supernode",
    "stop_supernode",
    "update_supernode",
    "report_metrics",
    "request_action",
    "finalize_action",
    "approve_action",
    "bank_send",
];

/// Reads `{ as = "account", KIND = { ... } }`, or `{ as = "account", messages = [{ KIND = { ... } }, ...] }`.
pub(super) fn sent(state: &State, value: Value) -> Result<Sent, Problem> {
    let mut arguments = Arguments::of(value)?;
    let signer: String = arguments.read_required("as")?;
    let sequence: Option<u64> = arguments.read("sequence")?;
    let Some(rows) = arguments.optional("messages") else {
        let message = one_message(state, &signer, &mut arguments)?;
        arguments.finish()?;
        return Ok(Sent { transaction: Transaction::single(&signer, message), sequence });
    };
    arguments.finish()?;
    let mut messages = Vec::new();
    for row in rows.into_list()? {
        let mut arguments = Arguments::of(row)?;
        let creator: String = arguments.read::<Option<String>>("as")?.unwrap_or_else(|| signer.clone());
        let message = one_message(state, &creator, &mut arguments)?;
        arguments.finish()?;
        messages.push((creator, message));
    }
    Ok(Sent { transaction: Transaction { signer, messages }, sequence })
}

/// The one message of a table, with its defaults filled in.
fn one_message(state: &State, creator: &str, arguments: &mut Arguments) -> Result<Message, Problem> {
    let line = arguments.line();
    let is_raw: bool = arguments.read("raw")?;
    let Some((kind, mut body)) = arguments.one_of(&KINDS, "message")? else {
        let message = format!("this message has no kind; add one of {} = {{ ... }}", KINDS.join(", "));
        return Err(Problem::at(line, message));
    };
    if !is_raw {
        fill_in(state, kind, creator, &mut body)?;
    }
    name_numbers(kind, &mut body)?;
    message(kind, &body)
}

fn message(kind: &str, body: &Value) -> Result<Message, Problem> {
    // Metadata may be a table, which is written as JSON text.
    let mut body = body.clone();
    if let Kind::Table(table) = &mut body.kind
        && let Some(metadata) = table.get_mut("metadata")
        && matches!(metadata.kind, Kind::Table(_))
    {
        metadata.kind = Kind::Text(metadata.to_string());
    }
    let body = &body;
    Ok(match kind {
        "nil" => Message::Nil,
        "epoch_report" => Message::EpochReport(decode(body)?),
        "evidence" => Message::Evidence(decode(body)?),
        "recheck_evidence" => Message::RecheckEvidence(decode(body)?),
        "heal_claim" => Message::HealClaim(decode(body)?),
        "heal_verification" => Message::HealVerification(decode(body)?),
        "update_params" => {
            let (params, has_unnamed_mode) = params_over(&Params::zeroed(), body.clone())?;
            Message::UpdateParams { params, has_unnamed_mode }
        }
        "register_supernode" => Message::RegisterSupernode(decode(body)?),
        "update_supernode" => Message::UpdateSupernode(decode(body)?),
        "request_action" => Message::RequestAction(decode(body)?),
        "finalize_action" => Message::FinalizeAction(decode(body)?),
        _ => return small_message(kind, body),
    })
}

/// The messages with a field or two.
fn small_message(kind: &str, body: &Value) -> Result<Message, Problem> {
    let mut fields = Arguments::of(body.clone())?;
    let message = match kind {
        "deregister_supernode" => {
            Message::DeregisterSupernode { validator_address: fields.read("validator_address")? }
        }
        "start_supernode" => Message::StartSupernode { validator_address: fields.read("validator_address")? },
        "stop_supernode" => Message::StopSupernode {
            validator_address: fields.read("validator_address")?,
            reason: fields.read("reason")?,
        },
        "report_metrics" => Message::ReportMetrics {
            validator_address: fields.read("validator_address")?,
            metrics: fields.read("metrics")?,
        },
        "approve_action" => Message::ApproveAction { action_id: fields.read("action_id")? },
        _ => Message::BankSend { to: fields.read("to")?, amount_ulume: fields.read("amount_ulume")? },
    };
    fields.finish()?;
    Ok(message)
}

/// Parameters with the values that a table names, and whether their enforcement mode is a number without a name.
pub(super) fn params_over(base: &Params, mut values: Value) -> Result<(Params, bool), Problem> {
    let line = values.line;
    let has_unnamed_mode = name_mode(&mut values)?;
    let mut merged = Value::of(base)?.at(line);
    merged.merge(values);
    Ok((decode(&merged)?, has_unnamed_mode))
}

fn text(text: &str) -> Value {
    Value::from(text)
}

/// Puts defaults under what the file wrote.
fn under(body: &mut Value, defaults: Vec<(&str, Value)>) {
    let table: Table = defaults.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let line = body.line;
    let given = std::mem::replace(body, Value { line, kind: Kind::Table(table) });
    body.merge(given);
}

fn fill_in(state: &State, kind: &str, creator: &str, body: &mut Value) -> Result<(), Problem> {
    let field = |name: &str| body.pointer(&format!("/{name}")).cloned();
    let number = |name: &str| field(name).map_or(Ok(0), |value| value.as_integer::<u64>());
    match kind {
        "epoch_report" => fill_in_report(state, creator, body)?,
        "recheck_evidence" => {
            let hash = field("challenged_result_transcript_hash")
                .map_or_else(|| Ok(String::new()), Value::into_text)?;
            let challenged = state.audit.transcripts.get(&hash);
            under(
                body,
                vec![
                    (
                        "epoch_id",
                        Value::integer(challenged.map_or(state.current_epoch(), |record| record.epoch_id)),
                    ),
                    ("challenged_supernode_account", text(challenged.map_or("", |record| &record.target))),
                    ("ticket_id", text(challenged.map_or("", |record| &record.ticket_id))),
                    ("recheck_transcript_hash", text(&format!("recheck of {hash} by {creator}"))),
                    ("recheck_result_class", text("RECHECK_CONFIRMED_FAIL")),
                ],
            );
        }
        "heal_claim" => {
            let operation = state.audit.heal_ops.get(number("heal_op_id")?);
            under(
                body,
                vec![
                    ("ticket_id", text(operation.map_or("ticket-1", |operation| &operation.ticket_id))),
                    ("heal_manifest_hash", text("manifest-1")),
                ],
            );
        }
        "heal_verification" => {
            let claimed = state
                .audit
                .heal_ops
                .get(number("heal_op_id")?)
                .map(|operation| operation.result_hash.as_str());
            let hash = claimed.filter(|hash| !hash.is_empty()).unwrap_or("manifest-1");
            under(body, vec![("verified", Kind::Bool(true).into()), ("verification_hash", text(hash))]);
        }
        "register_supernode" => under(
            body,
            vec![
                ("validator_address", text(&operator_of(creator))),
                ("ip_address", text("127.0.0.1:4444")),
                ("supernode_account", text(creator)),
            ],
        ),
        "deregister_supernode" | "start_supernode" | "stop_supernode" | "update_supernode" => {
            under(body, vec![("validator_address", text(&operator_of(creator)))]);
        }
        "report_metrics" => {
            let node = state.supernode.supernodes.by_account(creator);
            let operator = node.map_or_else(|| operator_of(creator), |node| node.validator_address.clone());
            under(body, vec![("validator_address", Value::from(operator))]);
        }
        "request_action" => fill_in_request(state, body),
        "finalize_action" => under(body, vec![("action_type", text("CASCADE"))]),
        "evidence" => under(body, vec![("metadata", text("{}"))]),
        _ => {}
    }
    Ok(())
}

fn fill_in_request(state: &State, body: &mut Value) {
    let params = &state.action.params;
    let metadata = [
        ("data_hash", text("aGFzaA==")),
        ("file_name", text("file")),
        ("rq_ids_ic", Value::integer(7)),
        ("signatures", text("aW5kZXg=.c2lnbmF0dXJl")),
    ];
    let metadata: Table = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let price = params.base_action_fee_ulume.saturating_add(params.fee_per_kbyte_ulume);
    let expiration =
        (state.block_time_ms / 1000).saturating_add(params.expiration_duration_s.saturating_mul(2));
    under(
        body,
        vec![
            ("action_type", text("CASCADE")),
            ("price", Value::from(format!("{price}ulume"))),
            ("expiration_time", Value::from(expiration.to_string())),
            ("file_size_kbs", text("1")),
            ("metadata", Kind::Table(metadata).into()),
        ],
    );
}

fn fill_in_report(state: &State, creator: &str, body: &mut Value) -> Result<(), Problem> {
    let epoch_id = state.current_epoch();
    let params = state.params_of_epoch(epoch_id);
    let duty =
        state.audit.anchors.get(&epoch_id).and_then(|anchor| state.duty_of(creator, anchor, &params).ok());
    let target = duty.and_then(|duty| duty.targets.first().cloned()).unwrap_or_default();
    under(body, vec![("epoch_id", Value::integer(epoch_id))]);
    let Kind::Table(table) = &mut body.kind else { return Ok(()) };
    let ports: Vec<Value> = params.required_open_ports.iter().map(|_| text("OPEN")).collect();
    for observation in rows_of(table, "storage_challenge_observations")? {
        under(
            observation,
            vec![
                ("target_supernode_account", text(&target)),
                ("port_states", Kind::List(ports.clone()).into()),
            ],
        );
    }
    for (index, row) in rows_of(table, "storage_proof_results")?.into_iter().enumerate() {
        let is_empty = matches!(row.pointer("/result_class").map(|class| &class.kind),
            Some(Kind::Text(class)) if class == "NO_ELIGIBLE_TICKET");
        let mut defaults = vec![
            ("target_supernode_account", text(&target)),
            ("challenger_supernode_account", text(creator)),
            ("bucket_type", text("RECENT")),
            ("result_class", text("PASS")),
            ("transcript_hash", Value::from(format!("transcript of {creator} in {epoch_id}, {index}"))),
        ];
        if !is_empty {
            defaults.extend([
                ("ticket_id", text("ticket-1")),
                ("artifact_class", text("INDEX")),
                ("artifact_key", text("key-1")),
                ("artifact_count", Value::integer(8)),
                ("derivation_input_hash", text("derivation")),
                ("challenger_signature", text("signature")),
            ]);
        }
        under(row, defaults);
    }
    Ok(())
}

/// The rows of a list that are no nils.
fn rows_of<'a>(table: &'a mut Table, name: &str) -> Result<Vec<&'a mut Value>, Problem> {
    match table.get_mut(name) {
        None => Ok(Vec::new()),
        Some(Value { kind: Kind::List(list), .. }) => {
            Ok(list.iter_mut().filter(|row| matches!(row.kind, Kind::Table(_))).collect())
        }
        Some(other) => {
            Err(Problem::at(other.line, format!("`{name}` is {}; write a list of rows", other.name())))
        }
    }
}
