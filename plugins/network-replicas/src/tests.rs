//! Networks of this plugin over a transport that is a function call.

use crate::limits::{FETCH_ANSWER_LEN_BYTES_MAX, FETCH_KEYS_MAX, KEYS_REQUEST_LEN_BYTES_MAX};
use crate::{Config, ReplicaNetwork, Replicas, serve};
use lampkeeper_plugin_sdk::api::chain::{
    ChainError, PAGE_LIMIT_MAX, Page, PageRequest, PortState, Supernode, SupernodeState,
};
use lampkeeper_plugin_sdk::api::network::{Artifact, ArtifactNetwork, NetworkError, Possession};
use lampkeeper_plugin_sdk::api::scheduler::{Scheduler, within};
use lampkeeper_plugin_sdk::api::store::{
    ArtifactEntry, ArtifactStore, ByteRange, ProvenRanges, PutOutcome, StoreError, StoreUsage,
};
use lampkeeper_plugin_sdk::api::transport::{
    CallError, CallerMint, Handler, MessageStream, Peer, Router, ServerHandle, StatusCode, Transport,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::testkit::{MemoryStore, MockChain, RecordingTelemetry, VirtualScheduler, context};
use lampkeeper_proto::lampkeeper::v1;
use lampkeeper_proto::methods;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Down,
    Hanging,
}

/// Every node's routes, and who is in trouble.
#[derive(Default)]
struct Wires {
    routers: Mutex<BTreeMap<String, Router>>,
    troubles: Mutex<BTreeMap<String, Trouble>>,
    /// Whom each call went to, and its path.
    calls: Mutex<Vec<(String, String)>>,
}

impl Wires {
    fn count(&self, path: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|(_, called)| called == path).count()
    }
}

struct Wire {
    own: String,
    wires: Arc<Wires>,
    scheduler: Arc<dyn Scheduler>,
}

#[async_trait]
impl Transport for Wire {
    async fn call(
        &self,
        peer: &Peer,
        path: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let account = peer.account.clone();
        self.wires.calls.lock().unwrap().push((account.clone(), path.to_owned()));
        let trouble = self.wires.troubles.lock().unwrap().get(&account).copied();
        if trouble == Some(Trouble::Down) {
            return Err(CallError::Unreachable { peer: account, reason: "down".to_owned() });
        }
        let handler =
            match self.wires.routers.lock().unwrap().get(&account).and_then(|router| router.find(path)) {
                Some(Handler::Unary(handler)) => Arc::clone(handler),
                _ => return Err(CallError::Unreachable { peer: account, reason: "nobody there".to_owned() }),
            };
        let answer = async {
            if trouble == Some(Trouble::Hanging) {
                std::future::pending::<()>().await;
            }
            handler.call(CallerMint::for_host().proved(&self.own), request).await
        };
        match within(&*self.scheduler, timeout, answer).await {
            Some(outcome) => outcome.map_err(|status| CallError::Refused { peer: account, status }),
            None => Err(CallError::TimedOut { peer: account, timeout_ms: timeout.as_millis() as u64 }),
        }
    }

    async fn call_stream(
        &self,
        _peer: &Peer,
        _path: &str,
        _request: Vec<u8>,
        _timeout: Duration,
    ) -> Result<Box<dyn MessageStream>, CallError> {
        Err(CallError::Local { reason: "no streams here".to_owned() })
    }

    async fn serve(&self, _router: Router) -> Result<Box<dyn ServerHandle>, CallError> {
        Err(CallError::Local { reason: "the test adds the routes".to_owned() })
    }

    async fn probe_port(&self, _address: &str, _port: u16, _timeout: Duration) -> PortState {
        PortState::Unknown
    }
}

/// A store that returns other bytes than it was given.
struct LyingStore(MemoryStore);

#[async_trait]
impl ArtifactStore for LyingStore {
    async fn put(&self, key: &ArtifactKey, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        self.0.put(key, bytes).await
    }
    async fn get(&self, key: &ArtifactKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).await?.map(|bytes| bytes.iter().map(|byte| !byte).collect()))
    }
    async fn size(&self, key: &ArtifactKey) -> Result<Option<u64>, StoreError> {
        self.0.size(key).await
    }
    async fn read_range(&self, key: &ArtifactKey, range: ByteRange) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read_range(key, range).await
    }
    async fn prove_ranges(
        &self,
        key: &ArtifactKey,
        ranges: &[ByteRange],
    ) -> Result<Option<ProvenRanges>, StoreError> {
        self.0.prove_ranges(key, ranges).await
    }
    async fn delete(&self, key: &ArtifactKey) -> Result<bool, StoreError> {
        self.0.delete(key).await
    }
    async fn list(&self, after: Option<ArtifactKey>, limit: usize) -> Result<Vec<ArtifactEntry>, StoreError> {
        self.0.list(after, limit).await
    }
    async fn usage(&self) -> Result<StoreUsage, StoreError> {
        self.0.usage().await
    }
}

type Listing = Result<Page<Supernode>, ChainError>;

fn supernode(account: &str, state: SupernodeState) -> Supernode {
    Supernode { supernode_account: account.to_owned(), state, ..Supernode::default() }
}

fn listing(accounts: &[&str]) -> Listing {
    let items = accounts.iter().map(|account| supernode(account, SupernodeState::Active)).collect();
    Ok(Page { items, next_key: None })
}

fn first_page() -> PageRequest {
    PageRequest { key: None, limit: PAGE_LIMIT_MAX }
}

fn down() -> Listing {
    Err(ChainError::Transient { attempted: "list".into(), source: "down".into(), outcome_unknown: false })
}

struct Node {
    store: MemoryStore,
    telemetry: RecordingTelemetry,
    replicas: Arc<Replicas>,
    network: ReplicaNetwork,
}

struct Net {
    scheduler: VirtualScheduler,
    wires: Arc<Wires>,
    nodes: BTreeMap<String, Node>,
}

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

impl Net {
    fn new(config: &Config) -> Self {
        let mut net =
            Self { scheduler: VirtualScheduler::new(5), wires: Arc::default(), nodes: BTreeMap::new() };
        for name in NAMES {
            net.add(name, config, vec![listing(&NAMES)], false);
        }
        net
    }

    /// Adds a node whose chain answers with these listings, the last one for ever.
    fn add(&mut self, name: &str, config: &Config, listings: Vec<Listing>, lies: bool) {
        let mut chain = MockChain::builder(name).in_order();
        let last = listings.len() - 1;
        for (index, listing) in listings.into_iter().enumerate() {
            chain = chain.supernodes(first_page(), listing);
            if index == last {
                chain = chain.times(1_000_000).always();
            }
        }
        let (store, telemetry) = (MemoryStore::new(), RecordingTelemetry::new());
        let scheduler = self.scheduler.for_node(name, 0).handle();
        let wire =
            Wire { own: name.to_owned(), wires: Arc::clone(&self.wires), scheduler: Arc::clone(&scheduler) };
        let mut context = context("network-replicas")
            .telemetry(&telemetry)
            .seams(|seams| {
                seams.chain_reader = Some(chain.build());
                seams.transport = Some(Arc::new(wire));
                seams.store = Some(match lies {
                    true => Arc::new(LyingStore(store.clone())),
                    false => Arc::new(store.clone()),
                });
                seams.scheduler = Some(scheduler);
            })
            .build();
        name.clone_into(&mut context.node.account);
        let replicas = Arc::new(Replicas::new(&context, config.clone()).unwrap());
        let mut router = Router::default();
        for route in serve::routes(&replicas) {
            router.add(route).unwrap();
        }
        self.wires.routers.lock().unwrap().insert(name.to_owned(), router);
        let network = ReplicaNetwork(Arc::clone(&replicas));
        self.nodes.insert(name.to_owned(), Node { store, telemetry, replicas, network });
    }

    fn trouble(&self, name: &str, trouble: Trouble) {
        self.wires.troubles.lock().unwrap().insert(name.to_owned(), trouble);
    }

    /// The replica set of a key, and everybody else.
    fn sides(&self, key: &ArtifactKey) -> (Vec<String>, Vec<String>) {
        let mut names: Vec<_> = NAMES.map(str::to_owned).into();
        names.sort_by_key(|name| key.distance_to_account(name));
        let others = names.split_off(6);
        (names, others)
    }

    /// Puts an artifact into one node's store.
    fn put(&self, name: &str, artifact: &Artifact) {
        let put = self.nodes[name].store.put(&artifact.key, artifact.bytes.clone());
        self.scheduler.block_on(put).unwrap();
    }

    fn fetch(&self, name: &str, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        self.scheduler.block_on(self.nodes[name].network.fetch(keys))
    }

    /// Calls a node's service as `caller`.
    fn ask<A: Message + Default>(
        &self,
        caller: &str,
        name: &str,
        path: &str,
        request: Vec<u8>,
    ) -> Result<A, StatusCode> {
        let wire = Wire {
            own: caller.to_owned(),
            wires: Arc::clone(&self.wires),
            scheduler: self.scheduler.handle(),
        };
        let peer = Peer { account: name.to_owned(), address: String::new() };
        match self.scheduler.block_on(wire.call(&peer, path, request, Duration::from_secs(60))) {
            Ok(answer) => Ok(A::decode(&*answer).unwrap()),
            Err(CallError::Refused { status, .. }) => Err(status.code),
            Err(error) => panic!("{error}"),
        }
    }
}

fn artifact(content: u8, len_bytes: usize) -> Artifact {
    let bytes = vec![content; len_bytes];
    Artifact { key: ArtifactKey::of(&bytes), bytes }
}

#[test]
fn what_is_published_is_on_its_replica_set_and_nowhere_else() {
    let net = Net::new(&Config::default());
    let artifacts: Vec<_> = (0..20).map(|content| artifact(content, 1000)).collect();
    let published = net.scheduler.block_on(net.nodes["a"].network.publish(artifacts.clone())).unwrap();
    let keys: Vec<_> = artifacts.iter().map(|artifact| artifact.key).collect();
    let surveys = net.scheduler.block_on(net.nodes["b"].network.survey(&keys, true)).unwrap();
    for ((artifact, published), survey) in artifacts.iter().zip(&published).zip(&surveys) {
        let (set, others) = net.sides(&artifact.key);
        assert_eq!((published.key, &published.stored_on), (artifact.key, &set));
        assert!(published.failed_on.is_empty(), "{published:?}");
        let holds = |name: &String| net.nodes[name].store.keys().contains(&artifact.key);
        assert!(set.iter().all(holds) && !others.iter().any(holds));
        assert_eq!(
            survey.holders,
            set.into_iter().map(|name| (name, Possession::Intact)).collect::<Vec<_>>()
        );
    }
    let wanted = [keys[3], keys[1], keys[3], ArtifactKey::of(b"nothing")];
    let fetched = net.fetch("c", &wanted).unwrap();
    let expected = [Some(&artifacts[3]), Some(&artifacts[1]), Some(&artifacts[3]), None];
    assert_eq!(fetched.iter().map(Option::as_ref).collect::<Vec<_>>(), expected);
}

#[test]
fn a_survey_says_what_each_holder_has() {
    let net = Net::new(&Config::default());
    let artifact = artifact(1, 100);
    let (set, _) = net.sides(&artifact.key);
    for holder in &set[..4] {
        net.put(holder, &artifact);
    }
    net.nodes[&set[1]].store.damage(&artifact.key);
    net.trouble(&set[3], Trouble::Down);
    let asker = net.nodes.keys().find(|name| !set.contains(name)).unwrap();
    let ask = |verify| {
        let keys = [artifact.key];
        let survey = net.scheduler.block_on(net.nodes[asker].network.survey(&keys, verify));
        let survey = survey.unwrap().remove(0);
        survey.holders.into_iter().map(|(_, says)| says).collect::<Vec<_>>()
    };
    use Possession::{Absent, Corrupt, Intact, Present, Unknown};
    assert_eq!(ask(true), [Intact, Corrupt, Intact, Unknown, Absent, Absent]);
    assert_eq!(ask(false), [Present, Present, Present, Unknown, Absent, Absent]);
}

#[test]
fn holders_that_are_down_hang_or_lie_are_passed_over() {
    let mut net = Net::new(&Config::default());
    let artifact = artifact(7, 5000);
    let (set, others) = net.sides(&artifact.key);
    net.add(&set[2], &Config::default(), vec![listing(&NAMES)], true);
    for holder in &set {
        net.put(holder, &artifact);
    }
    net.trouble(&set[0], Trouble::Down);
    net.trouble(&set[1], Trouble::Hanging);
    let fetched = net.fetch(&others[0], &[artifact.key]).unwrap();
    assert_eq!(fetched, [Some(artifact.clone())]);
    let telemetry = &net.nodes[&others[0]].telemetry;
    assert_eq!(telemetry.counter("network_wrong_artifacts_total", &[("peer", &set[2])]), 1);
    assert_eq!(telemetry.events_named("network.wrong_artifact").len(), 1);
    let took = net.scheduler.now().since_start();
    assert_eq!(took, Config::default().hedge_delay(), "the one that hangs got company, not a timeout");
}

#[test]
fn a_fetch_looks_beyond_the_replica_set_if_it_may() {
    for (fetch_beyond_replica_set, expected) in [(true, true), (false, false)] {
        let net = Net::new(&Config { fetch_beyond_replica_set, ..Config::default() });
        let artifact = artifact(9, 10);
        let (set, others) = net.sides(&artifact.key);
        net.put(&others[2], &artifact);
        let fetched = net.fetch(&set[0], &[artifact.key]).unwrap();
        assert_eq!(fetched[0].is_some(), expected);
    }
}

#[test]
fn an_answer_that_stops_early_is_asked_on() {
    let config = Config { replica_count: 1, fetch_beyond_replica_set: false, ..Config::default() };
    let net = Net::new(&config);
    let artifacts: Vec<_> = (0..200_u8).map(|content| artifact(content, 1024 * 1024)).collect();
    let of_b: Vec<_> = artifacts.iter().filter(|artifact| net.sides(&artifact.key).0[0] == "b").collect();
    assert!(of_b.len() as u64 * 1024 * 1024 > FETCH_ANSWER_LEN_BYTES_MAX, "only {}", of_b.len());
    of_b.iter().for_each(|artifact| net.put("b", artifact));
    let keys: Vec<_> = of_b.iter().map(|artifact| artifact.key).collect();
    let fetched = net.fetch("a", &keys).unwrap();
    assert!(fetched.iter().all(Option::is_some));
    assert_eq!(net.wires.count(methods::FETCH), of_b.len().div_ceil(12));
}

#[test]
fn a_fault_of_our_own_is_an_error_and_not_an_absence() {
    struct Cut;
    #[async_trait]
    impl Transport for Cut {
        async fn call(&self, _: &Peer, _: &str, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, CallError> {
            Err(CallError::Local { reason: "shutting down".to_owned() })
        }
        async fn call_stream(
            &self,
            _: &Peer,
            _: &str,
            _: Vec<u8>,
            _: Duration,
        ) -> Result<Box<dyn MessageStream>, CallError> {
            Err(CallError::Local { reason: "shutting down".to_owned() })
        }
        async fn serve(&self, _: Router) -> Result<Box<dyn ServerHandle>, CallError> {
            Err(CallError::Local { reason: "shutting down".to_owned() })
        }
        async fn probe_port(&self, _: &str, _: u16, _: Duration) -> PortState {
            PortState::Unknown
        }
    }
    let scheduler = VirtualScheduler::new(0);
    let chain = MockChain::builder("a").supernodes(first_page(), listing(&NAMES)).always().build();
    let context = context("network-replicas").memory_seams(&scheduler).seams(|seams| {
        seams.chain_reader = Some(chain);
        seams.transport = Some(Arc::new(Cut));
    });
    let replicas = Replicas::new(&context.build(), Config::default()).unwrap();
    let network = ReplicaNetwork(Arc::new(replicas));
    let outcome = scheduler.block_on(network.fetch(&[ArtifactKey::of(b"x")]));
    assert!(matches!(outcome, Err(NetworkError::Call(_))), "{outcome:?}");
}

#[test]
fn artifacts_that_nobody_would_take_fail_everywhere_and_strangers_alone() {
    let net = Net::new(&Config::default());
    let good = artifact(1, 10);
    let bad = Artifact { key: ArtifactKey::of(b"other"), bytes: vec![2; 10] };
    let targets = ["b".to_owned(), "nobody".to_owned(), "b".to_owned()];
    let publish = net.nodes["a"].network.publish_to(vec![good, bad], &targets);
    let published = net.scheduler.block_on(publish).unwrap();
    let failed = |index: usize| -> Vec<_> {
        published[index].failed_on.iter().map(|(account, _)| account.as_str()).collect()
    };
    let (set, others) = net.sides(&published[0].key);
    // The slack is two: of nine nodes, the furthest is not responsible.
    let takes = set.iter().chain(&others[..2]).any(|name| name == "b");
    assert_eq!(published[0].stored_on.contains(&"b".to_owned()), takes);
    assert!(failed(0).contains(&"nobody"));
    assert_eq!(failed(1), ["b", "nobody"]);
}

#[test]
fn the_service_refuses_what_is_too_much_or_not_its_own() {
    let mut net = Net::new(&Config::default());
    let keys = |count: usize| vec![ArtifactKey::of(b"x").to_string(); count];
    let fetch = |count| v1::FetchRequest { keys: keys(count) }.encode_to_vec();
    let possess = |count| v1::PossessRequest { keys: keys(count), verify: false }.encode_to_vec();
    let many = v1::StoreRequest { artifacts: vec![Vec::new(); 257] }.encode_to_vec();
    for (path, request, expected) in [
        (methods::FETCH, fetch(0), Err(StatusCode::InvalidArgument)),
        (methods::FETCH, fetch(FETCH_KEYS_MAX), Ok(())),
        (methods::FETCH, fetch(FETCH_KEYS_MAX + 1), Err(StatusCode::InvalidArgument)),
        (methods::POSSESS, possess(1024), Ok(())),
        (methods::POSSESS, possess(1025), Err(StatusCode::InvalidArgument)),
        (methods::POSSESS, vec![0; KEYS_REQUEST_LEN_BYTES_MAX + 1], Err(StatusCode::InvalidArgument)),
        (methods::STORE, many, Err(StatusCode::InvalidArgument)),
        (methods::STORE, vec![0xff; 9], Err(StatusCode::InvalidArgument)),
    ] {
        let len_bytes = request.len();
        let outcome = net.ask::<v1::FetchRequest>("a", "b", path, request).map(drop);
        assert_eq!(outcome, expected, "{path} with {len_bytes} bytes");
    }
    let artifact = artifact(3, 10);
    let store = v1::StoreRequest { artifacts: vec![artifact.bytes.clone()] }.encode_to_vec();
    let (set, others) = net.sides(&artifact.key);
    for (name, expected) in [(&set[5], true), (&others[1], true), (&others[2], false)] {
        let answer: v1::StoreResponse = net.ask("a", name, methods::STORE, store.clone()).unwrap();
        let refusals: Vec<_> = answer.refused.iter().map(v1::RefusedArtifact::reason).collect();
        assert_eq!(answer.stored_keys == [artifact.key.to_string()], expected, "{refusals:?}");
        assert_eq!(refusals == [v1::RefusalReason::NotResponsible], !expected);
    }
    // A node that the chain has set aside takes nothing new, and still has what it has.
    let mut set_aside = listing(&NAMES).unwrap();
    set_aside.items[1].state = SupernodeState::Postponed;
    net.add("b", &Config::default(), vec![Ok(set_aside)], false);
    let outcome = net.ask::<v1::StoreResponse>("a", "b", methods::STORE, store.clone());
    assert_eq!(outcome, Err(StatusCode::FailedPrecondition));
    net.put("b", &artifact);
    assert!(net.ask::<v1::StoreResponse>("a", "b", methods::STORE, store).is_ok());
}

#[test]
fn a_stranger_is_let_in_once_the_chain_knows_it() {
    let mut net = Net::new(&Config::default());
    let mut with_z = NAMES.to_vec();
    with_z.push("z");
    net.add("b", &Config::default(), vec![listing(&NAMES), listing(&with_z)], false);
    let request = v1::FetchRequest { keys: vec![ArtifactKey::of(b"x").to_string()] }.encode_to_vec();
    let ask = || net.ask::<v1::FetchResponse>("z", "b", methods::FETCH, request.clone()).map(drop);
    assert_eq!(ask(), Err(StatusCode::PermissionDenied));
    assert_eq!(ask(), Err(StatusCode::PermissionDenied), "the chain is not asked for every stranger");
    net.scheduler.run_for(Duration::from_secs(6));
    assert_eq!(ask(), Ok(()));
}

#[test]
fn an_old_membership_outlives_failures_and_empty_lists() {
    let mut net = Net::new(&Config::default());
    let listings = vec![down(), listing(&["a", "b"]), down(), listing(&[]), listing(&["a"])];
    net.add("a", &Config::default(), listings, false);
    let membership = &net.nodes["a"].replicas.membership;
    let read = || {
        let roster = net.scheduler.block_on(membership.not_older_than(Duration::from_secs(30)));
        net.scheduler.run_for(Duration::from_secs(30));
        roster.map(|roster| roster.members.len()).map_err(|error| error.kind())
    };
    let found: Vec<_> = (0..5).map(|_| read()).collect();
    assert_eq!(found, [Err("transient"), Ok(2), Ok(2), Ok(2), Ok(1)]);
    assert_eq!(net.nodes["a"].telemetry.events_named("network.membership").len(), 2);
}

#[test]
fn the_membership_is_read_to_its_last_page_and_no_further() {
    let page = |account: &str, next_key: Option<&[u8]>| {
        let items = vec![supernode(account, SupernodeState::Active)];
        Ok(Page { items, next_key: next_key.map(<[u8]>::to_vec) })
    };
    let second = PageRequest { key: Some(vec![1]), ..first_page() };
    for (last, expected) in [(None, Ok(2)), (Some(&[1_u8][..]), Err("transient"))] {
        let scheduler = VirtualScheduler::new(0);
        let chain = MockChain::builder("a")
            .supernodes(first_page(), page("a", Some(&[1])))
            .supernodes(second.clone(), page("b", last))
            .build();
        let telemetry = Arc::new(RecordingTelemetry::new());
        let handle = scheduler.handle();
        let membership = crate::membership::Membership::new(chain, handle, telemetry, "a".to_owned());
        let roster = scheduler.block_on(membership.not_older_than(Duration::from_secs(1)));
        let found = roster.map(|roster| roster.members.len()).map_err(|error| error.kind());
        assert_eq!(found, expected);
    }
}
