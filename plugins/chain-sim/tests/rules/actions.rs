//! Actions, supernodes, parameters and evidence (chain Appendices A to C; scenarios S61 to S74).

use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lampkeeper_chain_sim::message::{FinalizeAction, RegisterSupernode, RequestAction, Response};
use lampkeeper_chain_sim::state::actions::Action;
use lampkeeper_chain_sim::state::bank::{ACTION_MODULE, GOVERNANCE_MODULE};
use lampkeeper_chain_sim::state::evidence::EvidenceType;
use lampkeeper_chain_sim::state::supernodes::Validator;
use lampkeeper_chain_sim::state::tickets::ArtifactCounts;
use lampkeeper_chain_sim::{Message, State, address};
use lampkeeper_plugin_sdk::api::chain::{Params, SupernodeState, TicketState};
use lampkeeper_plugin_sdk::protocol::account::{KeyType, SecretKey};
use lampkeeper_plugin_sdk::protocol::cascade::id_files::IdFileSeries;

const PRICE_ULUME: u64 = 20_000;
const IDS: u32 = 50;

fn request(change: impl FnOnce(&mut RequestAction)) -> Message {
    let mut request = RequestAction {
        action_type: "CASCADE".to_owned(),
        metadata:
            r#"{"data_hash": "aGFzaA==", "file_name": "f", "rq_ids_ic": 7, "signatures": "aW5kZXg=.c2ln"}"#
                .to_owned(),
        price: format!("{PRICE_ULUME}ulume"),
        expiration_time: (1_700_000_000 + 200_000).to_string(),
        file_size_kbs: "12".to_owned(),
        app_pubkey: Vec::new(),
    };
    change(&mut request);
    Message::RequestAction(request)
}

fn finalisation(ids: Vec<String>) -> Message {
    Message::FinalizeAction(FinalizeAction {
        action_id: "1".to_owned(),
        action_type: "ACTION_TYPE_CASCADE".to_owned(),
        metadata: serde_json::json!({ "rq_ids_ids": ids }).to_string(),
    })
}

/// A chain with a paying creator and twelve ACTIVE supernodes with real addresses.
fn market() -> (State, String, Vec<String>) {
    let mut state = chain(|_| {});
    let creator = address::labelled_account("creator");
    state.bank.mint(&creator, 100_000);
    let nodes: Vec<String> = (0..12).map(|node| address::labelled_account(&format!("node {node}"))).collect();
    for node in &nodes {
        plant_nodes(&mut state, &[node], SupernodeState::Active);
    }
    (state, creator, nodes)
}

fn right_ids() -> Vec<String> {
    let series = IdFileSeries::new("aW5kZXg=.c2ln", 7, IDS).unwrap();
    series.keys().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn an_action_is_requested_finalised_and_approved() {
    let (mut state, creator, _) = market();
    let delivered = state.deliver(&request(|_| {}), &creator).unwrap();
    let expected = Response::Action { action_id: "1".to_owned(), status: "ACTION_STATE_PENDING".to_owned() };
    assert_eq!(delivered.response, expected);
    assert_eq!(state.bank.balance_ulume(&creator), 80_000);
    assert_eq!(state.bank.module_balance_ulume(ACTION_MODULE), PRICE_ULUME);
    let top = state.top_supernodes(1, 10, Some(SupernodeState::Active));
    let finalizer = top[0].supernode_account.clone();
    accept(&mut state, &finalizer, finalisation(right_ids()));
    let done = state.query_action("1").unwrap();
    assert_eq!((done.state, &done.supernodes), (TicketState::Done, &vec![finalizer.clone()]));
    assert_eq!(state.audit.artifact_counts["1"], ArtifactCounts { index: IDS, symbol: IDS });
    assert_eq!(state.bank.balance_ulume(&finalizer), PRICE_ULUME - 400);
    assert_eq!(state.bank.module_balance_ulume(ACTION_MODULE), 0);
    let approval = || Message::ApproveAction { action_id: "1".to_owned() };
    refuse(&mut state, &finalizer, approval(), "action/5", "only the creator");
    accept(&mut state, &creator, approval());
    refuse(&mut state, &creator, approval(), "action/5", "cannot be approved: current state");
    refuse(&mut state, &finalizer, finalisation(right_ids()), "action/5", "cannot be finalized");
}

#[test]
fn requests_are_checked() {
    let (mut state, creator, _) = market();
    let poor = address::labelled_account("poor");
    state.bank.mint(&poor, 1);
    type Change = fn(&mut RequestAction);
    let table: &[(Change, &str, &str)] = &[
        (|r| r.action_type = "OTHER".into(), "action/2", "not simulated"),
        (|r| r.price.clear(), "action/12", "price cannot be empty"),
        (|r| r.price = "12".into(), "action/12", "invalid price format"),
        (|r| r.expiration_time.clear(), "action/11", "expiration_time cannot be empty"),
        (|r| r.expiration_time = "-1".into(), "action/11", "must be positive"),
        (|r| r.metadata.clear(), "action/4", "metadata cannot be empty"),
        (|r| r.metadata = r#"{"data_hash": "x"}"#.into(), "action/4", "file_name is required"),
        (|r| r.metadata = r#"{"rq_ids_ic": "7"}"#.into(), "action/4", "failed to unmarshal"),
        (|r| r.metadata = r#"{"unknown": 7}"#.into(), "action/4", "unknown field"),
        (|r| r.file_size_kbs = "x".into(), "action/15", "invalid fileSizeKbs"),
        (|r| r.app_pubkey = vec![1], "action/16", "must be empty"),
        (|r| r.expiration_time = "5".into(), "action/1", "must be in the future"),
        (|r| r.expiration_time = "1700000100".into(), "action/1", "at least 86400 seconds"),
        (|r| r.price = "10009ulume".into(), "sdk/18", "below the minimum 10010ulume"),
        (|r| r.price = "100001ulume".into(), "sdk/5", "only has 100000ulume"),
    ];
    for (change, code, phrase) in table {
        refuse(&mut state, &creator, request(change), code, phrase);
    }
    refuse(&mut state, &poor, request(|_| {}), "sdk/5", "only has 1ulume");
    refuse(&mut state, "sn-a", request(|_| {}), "sdk/7", "invalid creator address");
    let stranger = address::labelled_account("stranger");
    refuse(&mut state, &stranger, request(|_| {}), "action/13", "creator account not found");
}

#[test]
fn an_outsider_leaves_evidence_and_a_pending_action() {
    let (mut state, creator, nodes) = market();
    accept(&mut state, &creator, request(|_| {}));
    let top: Vec<String> = state
        .top_supernodes(1, 10, Some(SupernodeState::Active))
        .iter()
        .map(|node| node.supernode_account.clone())
        .collect();
    let outsider = nodes.iter().find(|node| !top.contains(node)).unwrap();
    let events = accept(&mut state, outsider, finalisation(right_ids()));
    assert_eq!(events[0].kind, "action_finalization_rejected");
    let waiting = state.query_action("1").unwrap();
    assert!(waiting.state == TicketState::Pending && waiting.supernodes.is_empty());
    let found = state.query_evidence_by_subject(outsider, None).unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].evidence_type, EvidenceType::ActionFinalizationNotInTop10);
    assert_eq!(found[0].metadata.matches("lumeravaloper").count(), 10);
    let events = accept(&mut state, &top[0], finalisation(vec!["wrong".to_owned(); IDS as usize]));
    assert!(events[0].attribute("error").unwrap().contains("rq_ids_ids verification failed"));
    let epoch_id = state.current_epoch();
    let kind = EvidenceType::ActionFinalizationSignatureFailure;
    assert_eq!(state.audit.evidence.count(epoch_id, &top[0], kind), 1);
}

#[test]
fn an_action_that_nobody_wants_expires_with_a_refund() {
    let (mut state, creator, _) = market();
    accept(&mut state, &creator, request(|_| {}));
    let lapse_ms = (1_700_000_000 + 200_000) * 1000;
    for (time_ms, expected) in [(lapse_ms - 1000, TicketState::Pending), (lapse_ms, TicketState::Expired)] {
        state.begin_block(state.height + 1, &[], time_ms).unwrap();
        state.end_block().unwrap();
        assert_eq!(state.query_action("1").unwrap().state, expected, "{time_ms}");
    }
    assert_eq!(state.bank.balance_ulume(&creator), 100_000);
    assert_eq!(state.query_evidence_by_action("1", None).unwrap().items.len(), 10);
}

#[test]
fn actions_are_listed_by_number_and_by_text() {
    let (mut state, _, nodes) = market();
    for number in 1..=12 {
        state.action.actions.insert(Action {
            action_id: number.to_string(),
            supernodes: vec![nodes[0].clone()],
            ..Action::default()
        });
    }
    let ids = |actions: Vec<Action>| {
        actions.into_iter().map(|action| action.action_id).collect::<Vec<_>>().join(" ")
    };
    let all = state.query_actions(Default::default(), None).unwrap().items;
    assert_eq!(ids(all), "1 10 11 12 2 3 4 5 6 7 8 9");
    let (first, next) = state.actions_by_number(&[], 10);
    assert_eq!((first.len(), next.as_deref()), (10, Some(b"11".as_slice())));
    let (rest, end) = state.actions_by_number(&next.unwrap(), 10);
    assert_eq!((rest.len(), end), (2, None));
}

#[test]
fn artifact_counts_are_immutable() {
    let mut state = chain(|_| {});
    for (index, code) in [(10, None), (10, None), (11, Some("immutable")), (0, Some("must be > 0"))] {
        let outcome = state.anchor_artifact_counts("t", ArtifactCounts { index, symbol: 40 });
        match code {
            None => assert!(outcome.is_ok()),
            Some(phrase) => assert!(outcome.unwrap_err().to_string().contains(phrase)),
        }
    }
}

#[test]
fn fees_are_quoted() {
    let mut state = chain(|_| {});
    state.action.params.fee_per_kbyte_ulume = 100;
    assert_eq!(state.query_action_fee("200").unwrap(), "30000");
    assert!(state.query_action_fee("x").unwrap_err().message.contains("invalid data_size"));
}

#[test]
fn governance_updates_parameters() {
    let mut state = chain(|_| {});
    let governance = address::module_account(GOVERNANCE_MODULE);
    let update = |params| Message::UpdateParams { params, has_unnamed_mode: false };
    refuse(&mut state, "invalid", update(Params::default()), "audit/1", "invalid authority");
    accept(&mut state, &governance, update(Params::zeroed()));
    accept(&mut state, &governance, update(Params::default()));
    let other = Params { epoch_length_blocks: 20, ..Params::default() };
    refuse(&mut state, &governance, update(other), "audit/1", "epoch_length_blocks is immutable");
    let bad = Params { max_probe_targets_per_epoch: 2000, ..Params::default() };
    refuse(&mut state, &governance, update(bad), "undefined/1", "max_probe_targets_per_epoch must be within");
}

#[test]
fn the_action_modules_evidence_is_its_own() {
    let mut state = chain(|_| {});
    let subject = address::labelled_account("subject");
    let message = Message::Evidence(lampkeeper_chain_sim::message::Evidence {
        subject_address: subject.clone(),
        evidence_type: EvidenceType::ActionExpired,
        action_id: "action-123".to_owned(),
        metadata: "{}".to_owned(),
    });
    let creator = address::labelled_account("creator");
    refuse(&mut state, &creator, message, "audit/1101", "evidence type is reserved for the action module");
    let module = address::module_account(ACTION_MODULE);
    let id =
        state.create_evidence(&module, &subject, "action-123", EvidenceType::ActionExpired, "{}").unwrap();
    assert_eq!(id, 1);
    assert_eq!(state.query_evidence(1).unwrap().action_id, "action-123");
    assert_eq!(state.query_evidence_by_subject(&subject, None).unwrap().items.len(), 1);
    assert_eq!(state.query_evidence_by_action("action-123", None).unwrap().items.len(), 1);
    let foreign =
        state.create_evidence(&creator, &subject, "a", EvidenceType::ActionExpired, "{}").unwrap_err();
    assert_eq!(foreign.code, 1104);
    let strict =
        state.create_evidence(&module, &subject, "a", EvidenceType::ActionExpired, r#"{"x":1}"#).unwrap_err();
    assert_eq!(strict.code, 1102);
}

#[test]
fn supernodes_register_stop_start_and_leave() {
    let mut state = chain(|_| {});
    let creator = address::labelled_account("operator");
    let operator = address::operator_of_account(&creator).unwrap();
    let account = address::labelled_account("node");
    let register = || {
        Message::RegisterSupernode(RegisterSupernode {
            validator_address: operator.clone(),
            ip_address: "10.0.0.1".to_owned(),
            supernode_account: account.clone(),
            p2p_port: String::new(),
        })
    };
    let start = || Message::StartSupernode { validator_address: operator.clone() };
    let stop = || Message::StopSupernode { validator_address: operator.clone(), reason: String::new() };
    let leave = || Message::DeregisterSupernode { validator_address: operator.clone() };
    refuse(&mut state, &creator, register(), "sdk/38", "validator not found");
    let validator = Validator { self_delegation_ulume: 1, ..Validator::default() };
    state.supernode.validators.insert(operator.clone(), validator);
    refuse(&mut state, &account, register(), "sdk/4", "is not the validator operator account");
    accept(&mut state, &creator, register());
    assert_eq!(state.query_supernode_by_account(&account).unwrap().p2p_port, "4445");
    refuse(&mut state, &creator, register(), "sdk/18", "supernode already exists for validator");
    refuse(&mut state, &creator, start(), "sdk/18", "already started");
    accept(&mut state, &creator, stop());
    refuse(&mut state, &creator, stop(), "sdk/18", "already stopped");
    refuse(&mut state, &creator, register(), "sdk/18", "cannot re-register supernode in state");
    accept(&mut state, &creator, start());
    accept(&mut state, &creator, leave());
    refuse(&mut state, &creator, start(), "sdk/18", "is disabled and must be re-registered");
    accept(&mut state, &creator, leave());
    accept(&mut state, &creator, register());
    assert_eq!(node_state(&state, &account).0, SupernodeState::Active);
}

#[test]
fn the_creators_signature_counts_once_its_key_is_known() {
    let (mut state, _, _) = market();
    let key = SecretKey::from_bytes(KeyType::Secp256k1, &[7; 32]).unwrap();
    let creator = key.public_key().account();
    state.bank.mint(&creator, 100_000);
    let account = state.bank.account_mut(&creator);
    account.public_key = key.public_key().to_bytes();
    account.public_key_type_url = KeyType::Secp256k1.type_url().to_owned();
    let signed = |text: &str| {
        let signatures = format!("{text}.{}", STANDARD.encode(key.sign(b"aW5kZXg=")));
        let metadata = serde_json::json!({
            "data_hash": "aGFzaA==", "file_name": "f", "rq_ids_ic": 7, "signatures": signatures,
        });
        request(|request| request.metadata = metadata.to_string())
    };
    refuse(&mut state, &creator, request(|_| {}), "action/4", "failed to verify creator's signature");
    refuse(&mut state, &creator, signed("b3RoZXI="), "action/4", "failed to verify creator's signature");
    refuse(&mut state, &creator, signed("a.b"), "action/4", "invalid signature format");
    accept(&mut state, &creator, signed("aW5kZXg="));
}
