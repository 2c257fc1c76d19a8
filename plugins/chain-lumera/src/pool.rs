//! The endpoints of one chain: which of them is asked, and what happens when it fails.
//!
//! Owns the view of every endpoint (is it there, is it this chain, how far is it), the deadline and the limits of calls.
//! An endpoint answers only while it is known to be on the right chain, to have caught up, and not to be behind the
//! others: what an endpoint that lags calls "not found" may well exist. What a call means is its caller's business.

use crate::config::CallSettings;
use crate::endpoint::Target;
use crate::fault::{self, Fault, fault_of};
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainStatus};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler, within};
use lampkeeper_plugin_sdk::api::telemetry::{Level, Telemetry, Value};
use lampkeeper_plugin_sdk::futures::future::join_all;
use lampkeeper_plugin_sdk::futures::lock::Mutex as AsyncMutex;
use lampkeeper_proto::calls::{Call, tendermint, upgrade};
use lampkeeper_proto::cosmos::base::tendermint::v1beta1 as blocks;
use lampkeeper_proto::cosmos::upgrade::v1beta1::QueryModuleVersionsRequest;
use prost::Message;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// The chain's module of accounts of the EVM's kind (wire 9.6).
const EVM_MODULE: &str = "evm";

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
enum View {
    /// Nothing yet.
    Unknown,
    /// It can be asked; its last block when it was last looked at.
    Good { height: i64 },
    /// It is behind.
    Lagging { height: i64, best_height: i64 },
    /// It says itself that it is catching up.
    CatchingUp,
    /// It serves another chain.
    OtherChain { network: String },
    /// Its chain has no accounts of this node's kind.
    NoEvm { reason: String },
    /// It does not answer.
    Down { reason: String },
}

impl View {
    fn describe(&self) -> String {
        match self {
            Self::Unknown => "it was not asked yet".to_owned(),
            Self::Good { height } => format!("it is at height {height}"),
            Self::Lagging { height, best_height } => {
                format!("it is at height {height}, and the chain at {best_height}")
            }
            Self::CatchingUp => "it is catching up with the chain".to_owned(),
            Self::OtherChain { network } => format!("it serves the chain `{network}`"),
            Self::NoEvm { reason } => format!("{reason}, and this node's key is of the EVM's kind"),
            Self::Down { reason } => reason.clone(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Good { .. } => "good",
            Self::Lagging { .. } => "lagging",
            Self::CatchingUp => "catching_up",
            Self::OtherChain { .. } => "other_chain",
            Self::NoEvm { .. } => "no_evm",
            Self::Down { .. } => "down",
        }
    }
}

struct Endpoint {
    uri: String,
    channel: Channel,
    view: Mutex<View>,
}

/// What looking at an endpoint found.
enum Looked {
    At { height: i64 },
    Not(View),
}

/// The endpoints of one chain.
pub(crate) struct Pool {
    endpoints: Vec<Endpoint>,
    chain_id: String,
    settings: CallSettings,
    /// Whether the chain must have accounts of the EVM's kind, because this node's is one.
    needs_evm: bool,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    /// When all endpoints were last looked at; whoever holds it is looking.
    looked: AsyncMutex<Option<Moment>>,
    /// The greatest height that any endpoint was at, or that a transaction of ours was executed at.
    best_height: Mutex<i64>,
}

/// One endpoint that is good at the moment; it stays the same over several calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen(usize);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced as a whole, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// The pool of these endpoints, best first. Nothing is connected yet.
    pub(crate) fn new(
        targets: &[Target],
        chain_id: &str,
        settings: CallSettings,
        needs_evm: bool,
        scheduler: Arc<dyn Scheduler>,
        telemetry: Arc<dyn Telemetry>,
    ) -> Result<Self, String> {
        let mut endpoints = Vec::with_capacity(targets.len());
        for target in targets {
            let (uri, channel) = (target.uri.clone(), target.connect_lazily()?);
            endpoints.push(Endpoint { uri, channel, view: Mutex::new(View::Unknown) });
        }
        Ok(Self {
            endpoints,
            chain_id: chain_id.to_owned(),
            settings,
            needs_evm,
            scheduler,
            telemetry,
            looked: AsyncMutex::new(None),
            best_height: Mutex::new(0),
        })
    }

    pub(crate) fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// A block of this height exists: endpoints that don't have it by far are behind.
    pub(crate) fn saw_height(&self, height: i64) {
        let mut best = lock(&self.best_height);
        *best = height.max(*best);
    }

    /// Asks the best endpoint, and the next ones if it fails in a way that says nothing about the question.
    pub(crate) async fn call<Q, R>(&self, call: Call<Q, R>, request: Q) -> Result<R, ChainError>
    where
        Q: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        for is_second_round in [false, true] {
            // The second round starts with another look: somebody may be back.
            self.look(is_second_round).await;
            for chosen in self.good() {
                match self.call_at(chosen, call, request.clone()).await {
                    Ok(response) => return Ok(response),
                    Err(status) if fault_of(&status) == Fault::Transient => {}
                    Err(status) => return Err(fault::query_error(call.path(), &status)),
                }
            }
        }
        Err(self.nobody(call.path()))
    }

    /// An endpoint that can be asked now.
    pub(crate) async fn choose(&self, attempted: &str) -> Result<Chosen, ChainError> {
        for is_second_round in [false, true] {
            self.look(is_second_round).await;
            if let Some(chosen) = self.good().first() {
                return Ok(*chosen);
            }
        }
        Err(self.nobody(attempted))
    }

    /// Asks one endpoint once. A failure of the connection makes others be preferred from then on.
    pub(crate) async fn call_at<Q, R>(
        &self,
        chosen: Chosen,
        call: Call<Q, R>,
        request: Q,
    ) -> Result<R, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let endpoint = &self.endpoints[chosen.0];
        let answered = self.send(endpoint, call, request).await;
        if let Err(status) = &answered
            && fault_of(status) == Fault::Transient
        {
            self.telemetry.count("chain_calls_failed_total", &[("endpoint", &endpoint.uri)], 1);
            self.set_view(endpoint, View::Down { reason: fault::describe(status) });
        }
        answered
    }

    /// The last block of an endpoint.
    pub(crate) async fn status_at(&self, chosen: Chosen) -> Result<ChainStatus, Status> {
        let latest =
            self.call_at(chosen, tendermint::GET_LATEST_BLOCK, blocks::GetLatestBlockRequest {}).await?;
        let status = read_status(latest)?;
        self.saw_height(status.latest_height);
        Ok(status)
    }

    async fn send<Q, R>(&self, endpoint: &Endpoint, call: Call<Q, R>, request: Q) -> Result<R, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc =
            Grpc::new(endpoint.channel.clone()).max_decoding_message_size(self.settings.answer_len_bytes_max);
        let mut request = Request::new(request);
        request.set_timeout(self.settings.timeout);
        let answer = async {
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            let codec = ProstCodec::<Q, R>::default();
            grpc.unary(request, PathAndQuery::from_static(call.path()), codec).await
        };
        match within(self.scheduler.as_ref(), self.settings.timeout, answer).await {
            Some(answered) => answered.map(tonic::Response::into_inner),
            None => Err(Status::deadline_exceeded("no answer came in time")),
        }
    }

    /// The endpoints that can be asked, in the order of the configuration.
    fn good(&self) -> Vec<Chosen> {
        let is_good = |endpoint: &Endpoint| matches!(*lock(&endpoint.view), View::Good { .. });
        let good = self.endpoints.iter().enumerate().filter(|(_, endpoint)| is_good(endpoint));
        good.map(|(index, _)| Chosen(index)).collect()
    }

    /// Nobody could be asked: why not.
    fn nobody(&self, attempted: &str) -> ChainError {
        let views: Vec<View> = self.endpoints.iter().map(|endpoint| lock(&endpoint.view).clone()).collect();
        let all = self.endpoints.iter().zip(&views);
        let reasons: Vec<String> =
            all.map(|(endpoint, view)| format!("{}: {}", endpoint.uri, view.describe())).collect();
        let reasons = reasons.join("; ");
        if views.iter().all(|view| matches!(view, View::OtherChain { .. } | View::NoEvm { .. })) {
            let reason = format!("no endpoint serves the chain `{}` to this node ({reasons})", self.chain_id);
            return ChainError::Unavailable { reason };
        }
        fault::transient(format!("asking the chain for {attempted}"), reasons, false)
    }

    /// Looks at all endpoints if that is due. Many callers at once cause one look.
    async fn look(&self, is_urgent: bool) {
        let asked_at = self.scheduler.now();
        let mut looked = self.looked.lock().await;
        let is_fresh = looked.is_some_and(|at| {
            // An urgent look is one that began after it was asked for.
            if is_urgent { at > asked_at } else { asked_at.since(at) < self.settings.check_interval }
        });
        if is_fresh {
            return;
        }
        let began_at = self.scheduler.now();
        let found = join_all(self.endpoints.iter().map(|endpoint| self.look_at(endpoint))).await;
        for looked in &found {
            if let Looked::At { height } = looked {
                self.saw_height(*height);
            }
        }
        let best_height = *lock(&self.best_height);
        for (endpoint, looked) in self.endpoints.iter().zip(found) {
            self.set_view(endpoint, self.judge(looked, best_height));
        }
        *looked = Some(began_at);
    }

    fn judge(&self, looked: Looked, best_height: i64) -> View {
        match looked {
            Looked::Not(view) => view,
            Looked::At { height } if best_height.saturating_sub(height) > self.settings.lag_blocks_max => {
                View::Lagging { height, best_height }
            }
            Looked::At { height } => View::Good { height },
        }
    }

    async fn look_at(&self, endpoint: &Endpoint) -> Looked {
        let down = |status: Status| Looked::Not(View::Down { reason: fault::describe(&status) });
        let is_known = matches!(*lock(&endpoint.view), View::Good { .. } | View::Lagging { .. });
        if !is_known {
            match self.send(endpoint, tendermint::GET_NODE_INFO, blocks::GetNodeInfoRequest {}).await {
                Err(status) => return down(status),
                Ok(info) => {
                    let network = info.default_node_info.unwrap_or_default().network;
                    // A node that does not tell is believed, as the reference does (wire 10.8).
                    if !network.is_empty() && network != self.chain_id {
                        return Looked::Not(View::OtherChain { network });
                    }
                }
            }
            if self.needs_evm
                && let Err(view) = self.look_for_evm(endpoint).await
            {
                return Looked::Not(view);
            }
        }
        match self.send(endpoint, tendermint::GET_SYNCING, blocks::GetSyncingRequest {}).await {
            Err(status) => return down(status),
            Ok(answer) if answer.syncing => return Looked::Not(View::CatchingUp),
            Ok(_) => {}
        }
        let latest =
            self.send(endpoint, tendermint::GET_LATEST_BLOCK, blocks::GetLatestBlockRequest {}).await;
        match latest.and_then(read_status) {
            Err(status) => down(status),
            Ok(status) if !status.chain_id.is_empty() && status.chain_id != self.chain_id => {
                Looked::Not(View::OtherChain { network: status.chain_id })
            }
            Ok(status) => Looked::At { height: status.latest_height },
        }
    }

    /// Whether the chain has the EVM's module. No word of it counts as none, as with the reference, which gives up after
    /// five tries (wire 9.6); here the next look asks again.
    async fn look_for_evm(&self, endpoint: &Endpoint) -> Result<(), View> {
        let request = QueryModuleVersionsRequest { module_name: EVM_MODULE.to_owned() };
        match self.send(endpoint, upgrade::MODULE_VERSIONS, request).await {
            Ok(answer) if answer.module_versions.iter().any(|module| module.name == EVM_MODULE) => Ok(()),
            Ok(_) => Err(View::NoEvm { reason: format!("it has no module `{EVM_MODULE}`") }),
            Err(status) if fault_of(&status) == Fault::Transient => {
                Err(View::Down { reason: fault::describe(&status) })
            }
            Err(status) => {
                let reason = format!("it does not tell of its module `{EVM_MODULE}`");
                Err(View::NoEvm { reason: format!("{reason} ({})", fault::describe(&status)) })
            }
        }
    }

    /// Remembers a view, and says so if it means something else than the one before.
    fn set_view(&self, endpoint: &Endpoint, view: View) {
        let before = std::mem::replace(&mut *lock(&endpoint.view), view.clone());
        let labels = [("endpoint", endpoint.uri.as_str())];
        if let View::Good { height } | View::Lagging { height, .. } = &view {
            self.telemetry.gauge("chain_endpoint_height", &labels, *height as f64);
        }
        if before.name() == view.name() {
            return;
        }
        let is_good = matches!(view, View::Good { .. });
        self.telemetry.gauge("chain_endpoint_good", &labels, if is_good { 1.0 } else { 0.0 });
        let level = if is_good { Level::Info } else { Level::Warn };
        let fields = [("endpoint", Value::from(&endpoint.uri)), ("because", Value::from(view.describe()))];
        self.telemetry.log(level, &format!("an endpoint of the chain is {}", view.name()), &fields);
    }
}

/// The header of a block: that of the SDK's form, or of the older one (wire 2.10).
fn read_status(latest: blocks::GetLatestBlockResponse) -> Result<ChainStatus, Status> {
    let of_sdk = latest.sdk_block.and_then(|block| block.header);
    let (chain_id, height, time) = match (of_sdk, latest.block.and_then(|block| block.header)) {
        (Some(header), _) => (header.chain_id, header.height, header.time),
        (None, Some(header)) => (header.chain_id, header.height, header.time),
        (None, None) => return Err(Status::internal("the latest block has no header")),
    };
    let time = time.unwrap_or_default();
    let time_ms = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000));
    Ok(ChainStatus { chain_id, latest_height: height, latest_block_time_ms: time_ms })
}
