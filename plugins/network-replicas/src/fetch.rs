//! Fetching artifacts from wherever they are.
//!
//! Owns the hunt: whom each key is asked for next, when a slow holder gets company, and what is believed (nothing that does
//! not hash to its key). Everything goes through the replica set, nearest first, before anybody else is asked.

use crate::limits::{BEYOND_REPLICA_SET_MAX, FETCH_KEYS_MAX, STORE_OPERATIONS_AT_ONCE};
use crate::remote::Fetched;
use crate::replicas::{Replicas, is_lost};
use crate::roster::Roster;
use lampkeeper_plugin_sdk::api::BoxFuture;
use lampkeeper_plugin_sdk::api::network::{Artifact, NetworkError};
use lampkeeper_plugin_sdk::api::scheduler::within;
use lampkeeper_plugin_sdk::api::telemetry::{Event, Level};
use lampkeeper_plugin_sdk::api::transport::CallError;
use lampkeeper_plugin_sdk::futures::stream::{self, FuturesUnordered, StreamExt};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};

/// A key that is still wanted.
struct Wanted {
    /// Whom to ask, in order, as indices of the roster.
    holders: Vec<usize>,
    /// How many of them were asked.
    asked: usize,
    /// How many of those may answer any moment; one that takes its time no longer counts.
    waiting: usize,
    /// Whether `holders` reaches beyond the replica set.
    is_beyond: bool,
}

/// What happens next in a hunt.
enum Step<'a> {
    /// A holder takes its time; the rest of its call goes on.
    Slow { keys: Vec<ArtifactKey>, rest: BoxFuture<'a, Step<'a>> },
    /// A holder has answered, or failed.
    Answered(Answered),
}

/// The end of a call.
struct Answered {
    member: usize,
    keys: Vec<ArtifactKey>,
    answer: Result<Vec<Fetched>, CallError>,
    /// Whether it was given up on before, so that others are being asked already.
    is_late: bool,
}

/// One fetch from peers.
struct Hunt<'a> {
    replicas: &'a Replicas,
    roster: &'a Roster,
    wanted: BTreeMap<ArtifactKey, Wanted>,
    found: BTreeMap<ArtifactKey, Vec<u8>>,
    /// Members that are not asked any more.
    lost: BTreeSet<usize>,
    steps: FuturesUnordered<BoxFuture<'a, Step<'a>>>,
    /// Whether any peer was heard of; if none was because of us, nothing is known about the artifacts.
    is_anybody_heard: bool,
    own_fault: Option<CallError>,
}

impl Replicas {
    /// Each artifact that somebody has, in the order of the keys.
    pub(crate) async fn fetch_all(
        &self,
        keys: &[ArtifactKey],
    ) -> Result<Vec<Option<Artifact>>, NetworkError> {
        let mut uses: BTreeMap<ArtifactKey, usize> = BTreeMap::new();
        for key in keys {
            *uses.entry(*key).or_default() += 1;
        }
        let mut found = self.fetch_here(uses.keys().copied().collect()).await;
        let here = found.len();
        let missing: Vec<_> = uses.keys().filter(|key| !found.contains_key(key)).copied().collect();
        if !missing.is_empty() {
            let roster = self.roster().await?;
            found.extend(Hunt::new(self, &roster, &missing).run().await?);
        }
        for (source, amount) in
            [("here", here), ("peers", found.len() - here), ("nowhere", uses.len() - found.len())]
        {
            self.telemetry.count("network_fetched_total", &[("source", source)], amount as u64);
        }
        let take = |key: &ArtifactKey| {
            let left = uses.get_mut(key)?;
            *left -= 1;
            // The last use takes the bytes, so that nothing is copied unless a key was given twice.
            let bytes = if *left == 0 { found.remove(key) } else { found.get(key).cloned() };
            bytes.map(|bytes| Artifact { key: *key, bytes })
        };
        Ok(keys.iter().map(take).collect())
    }

    /// What this node's own store has intact. A store that fails is no reason not to ask peers.
    async fn fetch_here(&self, keys: Vec<ArtifactKey>) -> BTreeMap<ArtifactKey, Vec<u8>> {
        let get = |key: ArtifactKey| -> BoxFuture<'_, _> {
            Box::pin(async move {
                let outcome = self.store.get(&key).await;
                if let Err(error) = &outcome {
                    let fields = [("key", key.to_string().into()), ("error", error.to_string().into())];
                    self.telemetry.log(Level::Warn, "an artifact of this node could not be read", &fields);
                    self.telemetry.count("network_own_store_failures_total", &[], 1);
                }
                Some((key, outcome.ok()??))
            })
        };
        let work: Vec<_> = keys.into_iter().map(get).collect();
        let outcomes = stream::iter(work).buffer_unordered(STORE_OPERATIONS_AT_ONCE);
        outcomes.filter_map(std::future::ready).collect().await
    }
}

impl<'a> Hunt<'a> {
    fn new(replicas: &'a Replicas, roster: &'a Roster, keys: &[ArtifactKey]) -> Self {
        let wanted = |key: &ArtifactKey| {
            let holders = roster.replica_set(key, replicas.replica_count());
            (*key, Wanted { holders, asked: 0, waiting: 0, is_beyond: false })
        };
        let own = roster.members.iter().position(|member| member.account == replicas.own_account);
        Self {
            replicas,
            roster,
            wanted: keys.iter().map(wanted).collect(),
            found: BTreeMap::new(),
            lost: own.into_iter().collect(), // the own store was asked before
            steps: FuturesUnordered::new(),
            is_anybody_heard: false,
            own_fault: None,
        }
    }

    async fn run(mut self) -> Result<BTreeMap<ArtifactKey, Vec<u8>>, NetworkError> {
        self.ask_next(self.wanted.keys().copied().collect());
        while !self.wanted.is_empty() {
            // Without steps, everybody was asked.
            let Some(step) = self.steps.next().await else { break };
            match step {
                Step::Slow { keys, rest } => {
                    self.steps.push(rest);
                    self.hedge(keys);
                }
                Step::Answered(answered) => self.take(answered),
            }
        }
        match self.own_fault {
            Some(error) if !self.wanted.is_empty() && !self.is_anybody_heard => {
                Err(NetworkError::Call(error))
            }
            _ => Ok(self.found),
        }
    }

    /// Asks one more holder for each key, in as few calls as possible.
    fn ask_next(&mut self, keys: Vec<ArtifactKey>) {
        let mut by_member: BTreeMap<usize, Vec<ArtifactKey>> = BTreeMap::new();
        for key in keys {
            if let Some(member) = self.next_holder(&key) {
                by_member.entry(member).or_default().push(key);
            }
        }
        for (member, keys) in by_member {
            for batch in keys.chunks(FETCH_KEYS_MAX) {
                self.ask(member, batch.to_vec());
            }
        }
    }

    /// The holder to ask next for a key, which is then waited for.
    fn next_holder(&mut self, key: &ArtifactKey) -> Option<usize> {
        let wanted = self.wanted.get_mut(key)?;
        loop {
            while let Some(&member) = wanted.holders.get(wanted.asked) {
                wanted.asked += 1;
                if !self.lost.contains(&member) {
                    wanted.waiting += 1;
                    return Some(member);
                }
            }
            if wanted.is_beyond || !self.replicas.config.fetch_beyond_replica_set {
                return None;
            }
            wanted.is_beyond = true;
            let beyond = self.roster.beyond(key, &wanted.holders, BEYOND_REPLICA_SET_MAX);
            wanted.holders.extend(beyond);
        }
    }

    fn ask(&self, member: usize, keys: Vec<ArtifactKey>) {
        let replicas = self.replicas;
        let peer = self.roster.members[member].peer();
        self.steps.push(Box::pin(async move {
            let permit = replicas.remote.permit().await;
            let asked = keys.clone();
            let mut call: BoxFuture<'a, _> = Box::pin(async move {
                let _permit = permit;
                replicas.remote.fetch(&peer, asked).await
            });
            let delay = replicas.config.hedge_delay();
            match within(&*replicas.scheduler, delay, call.as_mut()).await {
                Some(answer) => Step::Answered(Answered { member, keys, answer, is_late: false }),
                None => Step::Slow {
                    keys: keys.clone(),
                    rest: Box::pin(async move {
                        Step::Answered(Answered { member, keys, answer: call.await, is_late: true })
                    }),
                },
            }
        }));
    }

    /// Asks another holder too for what is still wanted.
    fn hedge(&mut self, keys: Vec<ArtifactKey>) {
        let late = keys.iter().filter(|key| self.wanted.contains_key(key)).count();
        self.replicas.telemetry.count("network_hedged_keys_total", &[], late as u64);
        self.go_on(keys);
    }

    /// Takes what a holder sent, or notes that it did not.
    fn take(&mut self, answered: Answered) {
        let Answered { member, keys, answer, is_late } = answered;
        let in_vain = match answer {
            Ok(answers) => {
                self.is_anybody_heard = true;
                let left_out = keys[answers.len()..].to_vec();
                self.ask_rest(member, left_out, is_late);
                self.keep_right(member, keys, answers)
            }
            Err(error) => {
                self.note_failure(member, error);
                keys
            }
        };
        if !is_late {
            self.go_on(in_vain);
        }
    }

    /// Asks a holder that answered with as much as fits one message for the rest.
    fn ask_rest(&mut self, member: usize, mut keys: Vec<ArtifactKey>, is_late: bool) {
        keys.retain(|key| self.wanted.contains_key(key));
        if keys.is_empty() {
            return;
        }
        if is_late {
            // It counts again.
            for key in &keys {
                if let Some(wanted) = self.wanted.get_mut(key) {
                    wanted.waiting += 1;
                }
            }
        }
        self.ask(member, keys);
    }

    /// Keeps the artifacts that are right; the keys of which nothing came.
    fn keep_right(
        &mut self,
        member: usize,
        keys: Vec<ArtifactKey>,
        answers: Vec<Fetched>,
    ) -> Vec<ArtifactKey> {
        let mut in_vain = Vec::new();
        for (key, answer) in keys.into_iter().zip(answers) {
            match answer {
                Fetched::Found(bytes) => {
                    if self.wanted.remove(&key).is_some() {
                        self.found.insert(key, bytes);
                    }
                }
                Fetched::Absent => in_vain.push(key),
                Fetched::Wrong => {
                    self.tell_wrong(member, &key);
                    in_vain.push(key);
                }
            }
        }
        in_vain
    }

    fn note_failure(&mut self, member: usize, error: CallError) {
        if error.is_ours() {
            self.own_fault = Some(error);
            return;
        }
        self.is_anybody_heard = true;
        if is_lost(&error) {
            self.lost.insert(member);
        }
    }

    /// Asks on for the keys that nobody else is being asked for.
    fn go_on(&mut self, keys: Vec<ArtifactKey>) {
        let mut unanswered = Vec::new();
        for key in keys {
            if let Some(wanted) = self.wanted.get_mut(&key) {
                wanted.waiting -= 1;
                if wanted.waiting == 0 {
                    unanswered.push(key);
                }
            }
        }
        self.ask_next(unanswered);
    }

    fn tell_wrong(&self, member: usize, key: &ArtifactKey) {
        let account = &self.roster.members[member].account;
        let telemetry = &self.replicas.telemetry;
        telemetry.count("network_wrong_artifacts_total", &[("peer", account)], 1);
        telemetry
            .event(Event::new("network.wrong_artifact").with("peer", account).with("key", key.to_string()));
    }
}
