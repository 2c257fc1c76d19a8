//! The queries of chain 9 by the names of their methods, and what they answered.

use super::arguments::Arguments;
use super::decode::decode;
use super::numbers::{heal_op_status, name_number};
use super::outcome::Outcome;
use super::problem::{Problem, unknown};
use super::value::{Kind, Table, Value};
use crate::State;
use crate::api::chain::{EpochInfo, HealOp, HealOpStatus, TicketState};
use crate::queries::{ActionFilter, ActionList, PageQuery, Paged, QueryError, ReportFilter};
use serde::Serialize;

/// Every query.
pub(super) const QUERIES: [&str; 42] = [
    "Params",
    "CurrentEpoch",
    "EpochAnchor",
    "CurrentEpochAnchor",
    "AssignedTargets",
    "EpochReport",
    "EpochReportsByReporter",
    "StorageChallengeReports",
    "HostReports",
    "NodeSuspicionState",
    "ReporterReliabilityState",
    "TicketDeteriorationState",
    "HealOp",
    "HealOpsByTicket",
    "HealOpsByStatus",
    "EvidenceById",
    "EvidenceBySubject",
    "EvidenceByAction",
    "SupernodeParams",
    "GetSuperNode",
    "GetSuperNodeBySuperNodeAddress",
    "ListSuperNodes",
    "GetTopSuperNodesForBlock",
    "GetMetrics",
    "PoolState",
    "SNEligibility",
    "PayoutHistory",
    "ActionParams",
    "GetAction",
    "GetActionFee",
    "ListActionsBySuperNode",
    "ListActionsByCreator",
    "ListActions",
    "ListExpiredActions",
    "ListActionsByBlockHeight",
    "NodeInfo",
    "LatestBlock",
    "BlockByHeight",
    "Account",
    "Balance",
    "GetTx",
    "Simulate",
];

/// Asks a query: `{ name = "HealOp", heal_op_id = 2, pagination = { ... } }`.
pub(super) fn ask(
    state: &State,
    name: &str,
    line: usize,
    arguments: &mut Arguments,
) -> Result<Outcome, Problem> {
    let page: Option<PageQuery> = match arguments.optional("pagination") {
        Some(value) => Some(decode(&value)?),
        None => None,
    };
    let page = page.as_ref();
    match name {
        _ if !QUERIES.contains(&name) => Err(unknown(line, "query", name, &QUERIES)),
        "Params" => Outcome::of(&state.query_params()),
        "CurrentEpoch" => Ok(Outcome::Answer(epoch_info(state.query_current_epoch()))),
        "EpochAnchor" => answer(state.query_epoch_anchor(arguments.read("epoch_id")?)),
        "CurrentEpochAnchor" => answer(state.query_current_epoch_anchor()),
        "AssignedTargets" => assigned_targets(state, arguments),
        "EpochReport" => {
            let account: String = arguments.read("supernode_account")?;
            answer(state.query_epoch_report(arguments.read("epoch_id")?, &account))
        }
        "EpochReportsByReporter" | "StorageChallengeReports" | "HostReports" => {
            let account: String = arguments.read("supernode_account")?;
            let filter = ReportFilter {
                epoch_id: arguments.read("epoch_id")?,
                filter_by_epoch_id: arguments.read("filter_by_epoch_id")?,
            };
            match name {
                "EpochReportsByReporter" => {
                    list(state.query_epoch_reports_by_reporter(&account, filter, page))
                }
                "HostReports" => list(state.query_host_reports(&account, filter, page)),
                _ => list(state.query_storage_challenge_reports(&account, filter, page)),
            }
        }
        "NodeSuspicionState" => {
            answer(state.query_node_suspicion(&arguments.read::<String>("supernode_account")?))
        }
        "ReporterReliabilityState" => {
            answer(state.query_reporter_reliability(&arguments.read::<String>("reporter_supernode_account")?))
        }
        "TicketDeteriorationState" => {
            answer(state.query_ticket_deterioration(&arguments.read::<String>("ticket_id")?))
        }
        "HealOp" => answer(state.query_heal_op(arguments.read("heal_op_id")?)),
        "HealOpsByTicket" => {
            list(state.query_heal_ops_by_ticket(&arguments.read::<String>("ticket_id")?, page))
        }
        "HealOpsByStatus" => heal_ops_by_status(state, arguments, page),
        "EvidenceById" => answer(state.query_evidence(arguments.read("evidence_id")?)),
        "EvidenceBySubject" => {
            list(state.query_evidence_by_subject(&arguments.read::<String>("subject_address")?, page))
        }
        "EvidenceByAction" => {
            list(state.query_evidence_by_action(&arguments.read::<String>("action_id")?, page))
        }
        _ => ask_other_modules(state, name, arguments, page),
    }
}

fn ask_other_modules(
    state: &State,
    name: &str,
    arguments: &mut Arguments,
    page: Option<&PageQuery>,
) -> Result<Outcome, Problem> {
    match name {
        "SupernodeParams" => Outcome::of(&state.supernode.params),
        "GetSuperNode" => answer(state.query_supernode(&arguments.read::<String>("validator_address")?)),
        "GetSuperNodeBySuperNodeAddress" => {
            answer(state.query_supernode_by_account(&arguments.read::<String>("supernode_address")?))
        }
        "ListSuperNodes" => list(state.query_supernodes(page)),
        "GetTopSuperNodesForBlock" => answer(state.query_top_supernodes(
            arguments.read("block_height")?,
            arguments.read("limit")?,
            &arguments.read::<String>("state")?,
        )),
        "GetMetrics" => answer(state.query_metrics(&arguments.read::<String>("validator_address")?)),
        "SNEligibility" => {
            let found = state.query_eligibility(&arguments.read::<String>("validator_address")?);
            Ok(Outcome::Answer(table(vec![
                ("eligible", Kind::Bool(found.eligible).into()),
                ("reason", found.reason.into()),
                ("cascade_kademlia_db_bytes", Kind::Float(found.cascade_kademlia_db_bytes).into()),
                ("smoothed_weight", Kind::Float(found.smoothed_weight).into()),
            ])))
        }
        "PoolState" => Outcome::of(&state.query_pool_state()),
        "PayoutHistory" => {
            list(state.query_payout_history(&arguments.read::<String>("validator_address")?, page))
        }
        "ActionParams" => Outcome::of(&state.action.params),
        "GetAction" => answer(state.query_action(&arguments.read::<String>("action_id")?)),
        "GetActionFee" => answer(state.query_action_fee(&arguments.read::<String>("data_size")?)),
        "ListActionsBySuperNode" => {
            let account: String = arguments.read("supernode_address")?;
            list(state.query_action_list(ActionList::OfSupernode(&account), page))
        }
        "ListActionsByCreator" => {
            let creator: String = arguments.read("creator")?;
            list(state.query_action_list(ActionList::OfCreator(&creator), page))
        }
        "ListActions" => {
            let filter = ActionFilter {
                action_type: arguments.read("action_type")?,
                state: arguments.read("action_state")?,
                block_height: None,
            };
            list(state.query_actions(filter, page))
        }
        "ListExpiredActions" => {
            let filter = ActionFilter { state: TicketState::Expired, ..ActionFilter::default() };
            list(state.query_actions(filter, page))
        }
        "ListActionsByBlockHeight" => {
            let height = arguments.read_required("block_height")?;
            let filter = ActionFilter { block_height: Some(height), ..ActionFilter::default() };
            list(state.query_actions(filter, page))
        }
        _ => super::base::ask(state, name, arguments),
    }
}

/// A status without a name has no operations.
fn heal_ops_by_status(
    state: &State,
    arguments: &mut Arguments,
    page: Option<&PageQuery>,
) -> Result<Outcome, Problem> {
    let mut given: Table =
        arguments.optional("status").map(|status| ("status".to_owned(), status)).into_iter().collect();
    if name_number(&mut given, "status", heal_op_status)? {
        return list(Ok(Paged::<HealOp> { items: Vec::new(), next_key: Vec::new(), total: 0 }));
    }
    let status = match given.get("status") {
        Some(status) => decode::<HealOpStatus>(status)?,
        None => HealOpStatus::Unspecified,
    };
    list(state.query_heal_ops_by_status(status, page))
}

fn assigned_targets(state: &State, arguments: &mut Arguments) -> Result<Outcome, Problem> {
    let account: String = arguments.read("supernode_account")?;
    let epoch_id: u64 = arguments.read("epoch_id")?;
    let is_filtered: bool = arguments.read("filter_by_epoch_id")?;
    let found = match state.query_assigned_targets(&account, is_filtered.then_some(epoch_id)) {
        Ok(found) => found,
        Err(error) => return Ok(refused(&error)),
    };
    Ok(Outcome::Answer(table(vec![
        ("epoch_id", Value::integer(found.epoch_id)),
        ("epoch_start_height", Value::integer(found.epoch_start_height)),
        ("required_open_ports", Value::of(&found.required_open_ports)?),
        ("target_supernode_accounts", Value::of(&found.target_supernode_accounts)?),
    ])))
}

fn epoch_info(info: EpochInfo) -> Value {
    table(vec![
        ("epoch_id", Value::integer(info.epoch_id)),
        ("epoch_start_height", Value::integer(info.epoch_start_height)),
        ("epoch_end_height", Value::integer(info.epoch_end_height)),
    ])
}

/// A table of named values.
pub(super) fn table(entries: Vec<(&str, Value)>) -> Value {
    let table: Table = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Kind::Table(table).into()
}

pub(super) fn refused(error: &QueryError) -> Outcome {
    Outcome::Refused { code: format!("{:?}", error.code), text: error.message.clone() }
}

fn answer<T: Serialize>(found: Result<T, QueryError>) -> Result<Outcome, Problem> {
    match found {
        Ok(found) => Outcome::of(&found),
        Err(error) => Ok(refused(&error)),
    }
}

fn list<T: Serialize>(found: Result<Paged<T>, QueryError>) -> Result<Outcome, Problem> {
    answer(found)
}
