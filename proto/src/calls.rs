//! The calls that a chain answers (wire 2.6 to 2.10), each with its path and the types of its two messages.
//!
//! Owns the table that the chain's clients and servers share, so that neither spells a path or pairs two messages
//! itself. A test compares every entry with the schemas. How a call travels is left to the crates that make or answer it.
//!
//! ```
//! use lampkeeper_proto::calls;
//!
//! assert_eq!(calls::audit::HEAL_OP.path(), "/lumera.audit.v1.Query/HealOp");
//! ```

use std::marker::PhantomData;

/// A unary call: a request `Q` to a path is answered with an `R`.
pub struct Call<Q, R> {
    path: &'static str,
    messages: PhantomData<fn(Q) -> R>,
}

impl<Q, R> Call<Q, R> {
    const fn new(path: &'static str) -> Self {
        Self { path, messages: PhantomData }
    }

    /// The path on the wire, `/package.Service/Method`.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        self.path
    }
}

impl<Q, R> Clone for Call<Q, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q, R> Copy for Call<Q, R> {}

impl<Q, R> std::fmt::Debug for Call<Q, R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Call").field(&self.path).finish()
    }
}

/// What a test compares with the schemas: path, full name of the request, full name of the answer.
pub type Described = (&'static str, String, String);

macro_rules! service {
    (
        $(#[$doc:meta])* $module:ident, $service:literal, $($package:ident)::+ {
            $($(#[$call_doc:meta])* $name:ident = $method:literal, $request:ident => $response:ident;)+
        }
    ) => {
        $(#[$doc])*
        pub mod $module {
            use super::{Call, Described};
            use crate::$($package)::+ as wire;
            use prost::Name as _;

            $($(#[$call_doc])*
            pub const $name: Call<wire::$request, wire::$response> = Call::new(concat!("/", $service, "/", $method));)+

            /// Every call of this service.
            #[must_use]
            pub fn all() -> Vec<Described> {
                vec![$(($name.path(), wire::$request::full_name(), wire::$response::full_name()),)+]
            }
        }
    };
}

service! {
    /// The audit module (wire 2.6, chain 9.1).
    audit, "lumera.audit.v1.Query", lumera::audit::v1 {
        /// The stored parameters.
        PARAMS = "Params", QueryParamsRequest => QueryParamsResponse;
        /// The epoch of the last committed block.
        CURRENT_EPOCH = "CurrentEpoch", QueryCurrentEpochRequest => QueryCurrentEpochResponse;
        /// The anchor of an epoch.
        EPOCH_ANCHOR = "EpochAnchor", QueryEpochAnchorRequest => QueryEpochAnchorResponse;
        /// The anchor of the current epoch.
        CURRENT_EPOCH_ANCHOR = "CurrentEpochAnchor", QueryCurrentEpochAnchorRequest => QueryCurrentEpochAnchorResponse;
        /// Whom an account challenges.
        ASSIGNED_TARGETS = "AssignedTargets", QueryAssignedTargetsRequest => QueryAssignedTargetsResponse;
        /// One report.
        EPOCH_REPORT = "EpochReport", QueryEpochReportRequest => QueryEpochReportResponse;
        /// The reports of one account.
        EPOCH_REPORTS_BY_REPORTER = "EpochReportsByReporter",
            QueryEpochReportsByReporterRequest => QueryEpochReportsByReporterResponse;
        /// Who observed the ports of an account.
        STORAGE_CHALLENGE_REPORTS = "StorageChallengeReports",
            QueryStorageChallengeReportsRequest => QueryStorageChallengeReportsResponse;
        /// What an account said of itself.
        HOST_REPORTS = "HostReports", QueryHostReportsRequest => QueryHostReportsResponse;
        /// The raw score of a node.
        NODE_SUSPICION_STATE = "NodeSuspicionState",
            QueryNodeSuspicionStateRequest => QueryNodeSuspicionStateResponse;
        /// The raw score of a reporter.
        REPORTER_RELIABILITY_STATE = "ReporterReliabilityState",
            QueryReporterReliabilityStateRequest => QueryReporterReliabilityStateResponse;
        /// The raw score of a ticket.
        TICKET_DETERIORATION_STATE = "TicketDeteriorationState",
            QueryTicketDeteriorationStateRequest => QueryTicketDeteriorationStateResponse;
        /// One heal operation.
        HEAL_OP = "HealOp", QueryHealOpRequest => QueryHealOpResponse;
        /// The heal operations of a ticket.
        HEAL_OPS_BY_TICKET = "HealOpsByTicket", QueryHealOpsByTicketRequest => QueryHealOpsByTicketResponse;
        /// The heal operations in a status.
        HEAL_OPS_BY_STATUS = "HealOpsByStatus", QueryHealOpsByStatusRequest => QueryHealOpsByStatusResponse;
        /// One evidence.
        EVIDENCE_BY_ID = "EvidenceById", QueryEvidenceByIdRequest => QueryEvidenceByIdResponse;
        /// The evidence about an account.
        EVIDENCE_BY_SUBJECT = "EvidenceBySubject", QueryEvidenceBySubjectRequest => QueryEvidenceBySubjectResponse;
        /// The evidence about an action.
        EVIDENCE_BY_ACTION = "EvidenceByAction", QueryEvidenceByActionRequest => QueryEvidenceByActionResponse;
    }
}

service! {
    /// The action module (wire 2.7, chain 9.3).
    action, "lumera.action.v1.Query", lumera::action::v1 {
        /// The parameters.
        PARAMS = "Params", QueryParamsRequest => QueryParamsResponse;
        /// One action.
        GET_ACTION = "GetAction", QueryGetActionRequest => QueryGetActionResponse;
        /// The price of an action of a size.
        GET_ACTION_FEE = "GetActionFee", QueryGetActionFeeRequest => QueryGetActionFeeResponse;
        /// Actions by type and state.
        LIST_ACTIONS = "ListActions", QueryListActionsRequest => QueryListActionsResponse;
        /// The actions that an account asked for.
        LIST_ACTIONS_BY_CREATOR = "ListActionsByCreator",
            QueryListActionsByCreatorRequest => QueryListActionsByCreatorResponse;
        /// The actions that an account finalised.
        LIST_ACTIONS_BY_SUPERNODE = "ListActionsBySuperNode",
            QueryListActionsBySuperNodeRequest => QueryListActionsBySuperNodeResponse;
        /// The actions that were asked for in a block.
        LIST_ACTIONS_BY_BLOCK_HEIGHT = "ListActionsByBlockHeight",
            QueryListActionsByBlockHeightRequest => QueryListActionsByBlockHeightResponse;
        /// The actions that lapsed.
        LIST_EXPIRED_ACTIONS = "ListExpiredActions",
            QueryListExpiredActionsRequest => QueryListExpiredActionsResponse;
        /// The actions whose metadata has a value.
        QUERY_ACTION_BY_METADATA = "QueryActionByMetadata",
            QueryActionByMetadataRequest => QueryActionByMetadataResponse;
    }
}

service! {
    /// The supernode module (wire 2.8, chain 9.2).
    supernode, "lumera.supernode.v1.Query", lumera::supernode::v1 {
        /// The parameters.
        PARAMS = "Params", QueryParamsRequest => QueryParamsResponse;
        /// One supernode, by its operator.
        GET_SUPERNODE = "GetSuperNode", QueryGetSuperNodeRequest => QueryGetSuperNodeResponse;
        /// One supernode, by its account.
        GET_SUPERNODE_BY_ACCOUNT = "GetSuperNodeBySuperNodeAddress",
            QueryGetSuperNodeBySuperNodeAddressRequest => QueryGetSuperNodeBySuperNodeAddressResponse;
        /// All supernodes.
        LIST_SUPERNODES = "ListSuperNodes", QueryListSuperNodesRequest => QueryListSuperNodesResponse;
        /// The supernodes closest to a height.
        GET_TOP_SUPERNODES_FOR_BLOCK = "GetTopSuperNodesForBlock",
            QueryGetTopSuperNodesForBlockRequest => QueryGetTopSuperNodesForBlockResponse;
        /// What a supernode last reported of its machine.
        GET_METRICS = "GetMetrics", QueryGetMetricsRequest => QueryGetMetricsResponse;
        /// The reward pool.
        POOL_STATE = "PoolState", QueryPoolStateRequest => QueryPoolStateResponse;
        /// Whether a supernode takes part in rewards.
        SN_ELIGIBILITY = "SNEligibility", QuerySnEligibilityRequest => QuerySnEligibilityResponse;
        /// What a supernode was paid.
        PAYOUT_HISTORY = "PayoutHistory", QueryPayoutHistoryRequest => QueryPayoutHistoryResponse;
    }
}

service! {
    /// Accounts (wire 2.10).
    auth, "cosmos.auth.v1beta1.Query", cosmos::auth::v1beta1 {
        /// An account as the message of its own type.
        ACCOUNT = "Account", QueryAccountRequest => QueryAccountResponse;
        /// The part that all types of account share.
        ACCOUNT_INFO = "AccountInfo", QueryAccountInfoRequest => QueryAccountInfoResponse;
    }
}

service! {
    /// Balances (wire 2.10).
    bank, "cosmos.bank.v1beta1.Query", cosmos::bank::v1beta1 {
        /// An account's coins of one kind.
        BALANCE = "Balance", QueryBalanceRequest => QueryBalanceResponse;
        /// Those of them that are not locked.
        SPENDABLE_BALANCE_BY_DENOM = "SpendableBalanceByDenom",
            QuerySpendableBalanceByDenomRequest => QuerySpendableBalanceByDenomResponse;
    }
}

service! {
    /// Transactions (wire 2.10, 10.6, 10.7).
    tx, "cosmos.tx.v1beta1.Service", cosmos::tx::v1beta1 {
        /// What a transaction would cost, and whether it would be refused.
        SIMULATE = "Simulate", SimulateRequest => SimulateResponse;
        /// An executed transaction, by its hash.
        GET_TX = "GetTx", GetTxRequest => GetTxResponse;
        /// Hands a transaction to the chain.
        BROADCAST_TX = "BroadcastTx", BroadcastTxRequest => BroadcastTxResponse;
        /// Executed transactions, by what they told.
        GET_TXS_EVENT = "GetTxsEvent", GetTxsEventRequest => GetTxsEventResponse;
    }
}

service! {
    /// Blocks and the chain's node itself (wire 2.10).
    tendermint, "cosmos.base.tendermint.v1beta1.Service", cosmos::base::tendermint::v1beta1 {
        /// The node and its network.
        GET_NODE_INFO = "GetNodeInfo", GetNodeInfoRequest => GetNodeInfoResponse;
        /// Whether the node is still catching up.
        GET_SYNCING = "GetSyncing", GetSyncingRequest => GetSyncingResponse;
        /// The last committed block.
        GET_LATEST_BLOCK = "GetLatestBlock", GetLatestBlockRequest => GetLatestBlockResponse;
        /// A block by its height.
        GET_BLOCK_BY_HEIGHT = "GetBlockByHeight", GetBlockByHeightRequest => GetBlockByHeightResponse;
        /// The validators of the last block.
        GET_LATEST_VALIDATOR_SET = "GetLatestValidatorSet",
            GetLatestValidatorSetRequest => GetLatestValidatorSetResponse;
        /// The validators of a block.
        GET_VALIDATOR_SET_BY_HEIGHT = "GetValidatorSetByHeight",
            GetValidatorSetByHeightRequest => GetValidatorSetByHeightResponse;
    }
}

service! {
    /// Which modules the chain runs (wire 9.6).
    upgrade, "cosmos.upgrade.v1beta1.Query", cosmos::upgrade::v1beta1 {
        /// Versions of modules.
        MODULE_VERSIONS = "ModuleVersions", QueryModuleVersionsRequest => QueryModuleVersionsResponse;
    }
}

/// Every call of this module.
#[must_use]
pub fn all() -> Vec<Described> {
    [
        audit::all(),
        action::all(),
        supernode::all(),
        auth::all(),
        bank::all(),
        tx::all(),
        tendermint::all(),
        upgrade::all(),
    ]
    .concat()
}
