//! Which callers the chain knows: only registered supernodes are answered.
//!
//! Owns a bounded cache of the chain's answers. Who called is what the handshake proved; that is the transport's part.

use lampkeeper_plugin_sdk::api::chain::ChainReader;
use lampkeeper_plugin_sdk::api::scheduler::{Moment, Scheduler};
use lampkeeper_plugin_sdk::api::transport::{Caller, Status, StatusCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Accounts that are remembered; the oldest answers are forgotten first.
const CACHED_ACCOUNTS_MAX: usize = 4096;
/// How long a supernode is believed to be one.
const BELIEVED_FOR: Duration = Duration::from_secs(60);
/// How long anybody else is believed to be none. Short, because a challenger that has just registered would take our
/// refusal for a fault of ours; not zero, because each question costs the chain one.
const DISBELIEVED_FOR: Duration = Duration::from_secs(1);

/// Asks the chain whether a caller is a supernode.
pub(crate) struct RegisteredCallers {
    chain: Arc<dyn ChainReader>,
    scheduler: Arc<dyn Scheduler>,
    answers: Mutex<BTreeMap<String, (Moment, bool)>>,
}

impl RegisteredCallers {
    pub(crate) fn new(chain: Arc<dyn ChainReader>, scheduler: Arc<dyn Scheduler>) -> Self {
        Self { chain, scheduler, answers: Mutex::new(BTreeMap::new()) }
    }

    /// Refuses callers that are no supernodes. While the chain can't be asked, nobody is: our refusal would be held against
    /// us, and what an answer gives away is a few ranges of artifacts, within the caps, to an account that the handshake
    /// proved.
    pub(crate) async fn check(&self, caller: &Caller) -> Result<(), Status> {
        let now = self.scheduler.now();
        let known = self.lock().get(caller.account()).copied();
        let registered = match known {
            Some((at, true)) if now.since(at) < BELIEVED_FOR => true,
            Some((at, false)) if now.since(at) < DISBELIEVED_FOR => false,
            _ => self.ask(caller.account(), now).await,
        };
        if registered {
            return Ok(());
        }
        let message = format!("{} is not a registered supernode", caller.account());
        Err(Status::new(StatusCode::PermissionDenied, message))
    }

    async fn ask(&self, account: &str, now: Moment) -> bool {
        let registered = match self.chain.supernode(account).await {
            Ok(_) => true,
            Err(error) if error.is_not_found() => false,
            Err(_) => return true,
        };
        let mut answers = self.lock();
        if answers.len() >= CACHED_ACCOUNTS_MAX
            && let Some(oldest) =
                answers.iter().min_by_key(|(_, (at, _))| *at).map(|(account, _)| account.clone())
        {
            answers.remove(&oldest);
        }
        answers.insert(account.to_owned(), (now, registered));
        registered
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Moment, bool)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
