//! Whether the chain knows a peer (wire 11.5, point 7).
//!
//! Owns a bounded cache of the chain's answers, apart for yes and no, so that strangers can't push out peers. That the
//! peer is who it says it is was proved before.

use crate::channel::handshake::{PeerIdentity, PeerType};
use crate::config::{Config, millis};
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainReader};
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Permits, Scheduler, within};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much longer than usual a yes is believed while the chain can't be asked.
const BELIEVED_WITHOUT_CHAIN_FACTOR: u32 = 24;

/// What the chain says of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is what it says.
    Known,
    /// It is not.
    Unknown,
    /// The chain can't be asked, and was not asked about this peer before.
    CannotTell(String),
}

/// An account and what it says to be: an account may be known as one and not as the other.
type Claim = (Account, PeerType);

/// Remembers what the chain said.
pub(crate) struct KnownPeers {
    chain: Arc<dyn ChainReader>,
    scheduler: Arc<dyn Scheduler>,
    questions: Arc<dyn Permits>,
    timeout: Duration,
    answers: Mutex<Answers>,
}

struct Answers {
    known: Remembered,
    unknown: Remembered,
}

/// Claims with the moment of their answer, at most so many.
struct Remembered {
    since: BTreeMap<Claim, Moment>,
    max: usize,
    ttl: Duration,
}

impl Remembered {
    fn holds(&self, claim: &Claim, now: Moment, ttl: Duration) -> bool {
        self.since.get(claim).is_some_and(|since| now.since(*since) < ttl)
    }

    fn insert(&mut self, claim: Claim, now: Moment) {
        if self.since.len() >= self.max && !self.since.contains_key(&claim) {
            let oldest = self.since.iter().min_by_key(|(_, since)| **since).map(|(claim, _)| claim.clone());
            if let Some(oldest) = oldest {
                self.since.remove(&oldest);
            }
        }
        self.since.insert(claim, now);
    }
}

impl KnownPeers {
    pub(crate) fn new(chain: Arc<dyn ChainReader>, scheduler: Arc<dyn Scheduler>, config: &Config) -> Self {
        let remembered = |ttl_ms| Remembered {
            since: BTreeMap::new(),
            max: config.known_peers_max as usize,
            ttl: millis(ttl_ms),
        };
        Self {
            questions: scheduler.permits(config.chain_checks_max as usize),
            timeout: millis(config.chain_check_timeout_ms),
            answers: Mutex::new(Answers {
                known: remembered(config.known_peer_ttl_ms),
                unknown: remembered(config.unknown_peer_ttl_ms),
            }),
            chain,
            scheduler,
        }
    }

    /// What the chain says of this peer.
    pub(crate) async fn standing(&self, peer: &PeerIdentity) -> Standing {
        let claim = (peer.account.clone(), peer.peer_type);
        if let Some(standing) = self.remembered(&claim) {
            return standing;
        }
        let asking = async {
            let _permit = self.questions.acquire().await;
            self.ask(peer).await
        };
        let asked = within(&*self.scheduler, self.timeout, asking).await;
        let now = self.scheduler.now();
        let mut answers = self.lock();
        match asked {
            Some(Ok(true)) => {
                answers.unknown.since.remove(&claim);
                answers.known.insert(claim, now);
                Standing::Known
            }
            Some(Ok(false)) => {
                answers.known.since.remove(&claim);
                answers.unknown.insert(claim, now);
                Standing::Unknown
            }
            _ if answers.known.holds(&claim, now, answers.known.ttl * BELIEVED_WITHOUT_CHAIN_FACTOR) => {
                Standing::Known
            }
            Some(Err(error)) => Standing::CannotTell(error.to_string()),
            None => Standing::CannotTell(format!("no answer within {} ms", self.timeout.as_millis())),
        }
    }

    fn remembered(&self, claim: &Claim) -> Option<Standing> {
        let now = self.scheduler.now();
        let answers = self.lock();
        if answers.known.holds(claim, now, answers.known.ttl) {
            return Some(Standing::Known);
        }
        answers.unknown.holds(claim, now, answers.unknown.ttl).then_some(Standing::Unknown)
    }

    /// A supernode's state does not matter (wire 11.5). An account's key does, where the chain has one.
    async fn ask(&self, peer: &PeerIdentity) -> Result<bool, ChainError> {
        let answer = match peer.peer_type {
            PeerType::Supernode => {
                let supernode = self.chain.supernode(&peer.account).await;
                supernode.map(|supernode| supernode.supernode_account == peer.account)
            }
            PeerType::Account => self.chain.account(&peer.account).await.map(|account| {
                let has_this_key = account.public_key.is_empty()
                    || (account.public_key == peer.public_key.to_bytes()
                        && account.public_key_type_url == peer.public_key.key_type().type_url());
                account.address == peer.account && has_this_key
            }),
        };
        match answer {
            Err(error) if error.is_not_found() => Ok(false),
            other => other,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lampkeeper_plugin_sdk::api::chain::{AccountInfo, Supernode};
    use lampkeeper_plugin_sdk::api::signer::Signer;
    use lampkeeper_plugin_sdk::testkit::{MockChain, TestSigner, VirtualScheduler};

    fn peer(seed: &str, peer_type: PeerType) -> PeerIdentity {
        let signer = TestSigner::new(seed);
        let public_key = signer.secret_key().public_key();
        PeerIdentity { account: signer.account().to_owned(), peer_type, public_key }
    }

    fn known_peers(chain: Arc<MockChain>, scheduler: &VirtualScheduler, config: &Config) -> KnownPeers {
        KnownPeers::new(chain, scheduler.handle(), config)
    }

    fn supernode(account: &str) -> Supernode {
        Supernode { supernode_account: account.to_owned(), ..Supernode::default() }
    }

    fn not_found() -> ChainError {
        ChainError::NotFound { what: "it".to_owned() }
    }

    fn transient() -> ChainError {
        ChainError::Transient { attempted: "to ask".into(), source: "down".into(), outcome_unknown: false }
    }

    #[test]
    fn a_peer_is_known_as_what_the_chain_says() {
        let (alice, bob) = (peer("alice", PeerType::Supernode), peer("bob", PeerType::Account));
        let info = |public_key: Vec<u8>, type_url: &str| AccountInfo {
            address: bob.account.clone(),
            public_key,
            public_key_type_url: type_url.to_owned(),
            ..AccountInfo::default()
        };
        let key = bob.public_key.to_bytes();
        let url = bob.public_key.key_type().type_url();
        let script = || MockChain::builder("lumera1own");
        let table = [
            ("a supernode", &alice, script().supernode(&alice.account, Ok(supernode(&alice.account))), true),
            ("another's entry", &alice, script().supernode(&alice.account, Ok(supernode("lumera1x"))), false),
            ("no supernode", &alice, script().supernode(&alice.account, Err(not_found())), false),
            ("an account", &bob, script().account(&bob.account, Ok(info(key.clone(), url))), true),
            ("one without a key", &bob, script().account(&bob.account, Ok(info(vec![], ""))), true),
            ("one with another key", &bob, script().account(&bob.account, Ok(info(vec![2; 33], url))), false),
            (
                "one with another type",
                &bob,
                script().account(&bob.account, Ok(info(key.clone(), "/x"))),
                false,
            ),
            ("no account", &bob, script().account(&bob.account, Err(not_found())), false),
        ];
        for (what, peer, chain, is_known) in table {
            let scheduler = VirtualScheduler::new(0);
            let known = known_peers(chain.build(), &scheduler, &Config::default());
            let expected = if is_known { Standing::Known } else { Standing::Unknown };
            // The second time it is remembered: the script has one answer.
            for _ in 0..2 {
                assert_eq!(scheduler.block_on(known.standing(peer)), expected, "{what}");
            }
        }
    }

    #[test]
    fn while_the_chain_is_silent_only_those_it_knew_are_known() {
        let (alice, bob) = (peer("alice", PeerType::Supernode), peer("bob", PeerType::Supernode));
        let chain = MockChain::builder("lumera1own")
            .in_order()
            .supernode(&alice.account, Ok(supernode(&alice.account)))
            .supernode(&alice.account, Err(transient()))
            .supernode(&bob.account, Err(transient()))
            .supernode(&alice.account, Err(transient()))
            .build();
        let scheduler = VirtualScheduler::new(0);
        let config = Config::default();
        let known = known_peers(chain, &scheduler, &config);
        scheduler.block_on(async {
            let clock = scheduler.handle();
            assert_eq!(known.standing(&alice).await, Standing::Known);
            clock.sleep(millis(config.known_peer_ttl_ms)).await;
            assert_eq!(known.standing(&alice).await, Standing::Known, "the last word counts");
            assert!(matches!(known.standing(&bob).await, Standing::CannotTell(_)));
            clock.sleep(millis(config.known_peer_ttl_ms) * BELIEVED_WITHOUT_CHAIN_FACTOR).await;
            assert!(matches!(known.standing(&alice).await, Standing::CannotTell(_)), "but not for ever");
        });
    }

    #[test]
    fn strangers_push_out_strangers_and_nobody_else() {
        let config = Config { known_peers_max: 3, ..Config::default() };
        let alice = peer("alice", PeerType::Supernode);
        let mut chain =
            MockChain::builder("lumera1own").supernode(&alice.account, Ok(supernode(&alice.account)));
        let strangers: Vec<_> =
            (0..10).map(|number| peer(&number.to_string(), PeerType::Supernode)).collect();
        for stranger in &strangers {
            chain = chain.supernode(&stranger.account, Err(not_found()));
        }
        let scheduler = VirtualScheduler::new(0);
        let known = known_peers(chain.build(), &scheduler, &config);
        scheduler.block_on(async {
            assert_eq!(known.standing(&alice).await, Standing::Known);
            for stranger in &strangers {
                assert_eq!(known.standing(stranger).await, Standing::Unknown);
                assert!(known.lock().unknown.since.len() <= 3 && known.lock().known.since.len() <= 3);
            }
            assert_eq!(known.standing(&alice).await, Standing::Known, "without asking again");
        });
    }
}
