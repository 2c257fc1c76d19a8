//! Finds what other nodes reported, asking for each report as seldom as possible (wire 6.2, steps 1 to 4).
//!
//! Owns a bounded cache of candidates. A report never changes once it is executed, and none can come for an epoch that is
//! over: so a report that was read is never asked for again, and neither is one that a closed epoch turned out not to have.
//! Only for the open epoch are those asked again who had not reported yet.

use crate::candidate::{Candidate, candidates_of};
use crate::config::Config;
use crate::keys::{ReporterKeys, Verdict};
use crate::spread::Pace;
use lampkeeper_plugin_sdk::api::EpochId;
use lampkeeper_plugin_sdk::api::chain::{ChainError, ChainReader, EpochReport, PageRequest};
use lampkeeper_plugin_sdk::futures::{StreamExt, stream};
use lampkeeper_plugin_sdk::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reporters that are looked at; a longer list is cut, and counted.
const REPORTERS_MAX: usize = 20_000;
/// Supernodes in a page.
const PAGE_LIMIT: u32 = 500;
/// Pages that are read: even short ones end.
const PAGES_MAX: usize = 1_000;
/// Candidates of one epoch that are remembered; more are counted and dropped.
const CANDIDATES_PER_EPOCH_MAX: usize = 2_000;
/// Failed queries in one look after which the chain, and not a reporter, is taken to be at fault.
const QUERY_FAILURES_MAX: usize = 32;

/// Whether a candidate is rechecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Its reporter's claim holds together.
    First,
    /// It does not: it is rechecked if nobody else accuses the same target of the same.
    Last,
    /// It is not rechecked.
    Never,
}

/// Looks through reports.
pub(crate) struct Discovery {
    chain: Arc<dyn ChainReader>,
    telemetry: Arc<dyn Telemetry>,
    own_account: String,
    config: Config,
    keys: ReporterKeys,
    epochs: Mutex<BTreeMap<EpochId, KnownEpoch>>,
}

/// What is known of an epoch.
#[derive(Default)]
struct KnownEpoch {
    /// Reporters about whom nothing new can come.
    settled: BTreeSet<Arc<str>>,
    /// Sorted by ticket, target and reporter; each with the height from which on it is rechecked.
    candidates: Vec<(Arc<Candidate>, i64)>,
    /// Those whose claim was found not to hold together, by reporter, ticket and target: they are counted once.
    unverified: BTreeSet<(String, String, String)>,
}

impl Discovery {
    pub(crate) fn new(
        chain: Arc<dyn ChainReader>,
        telemetry: Arc<dyn Telemetry>,
        own_account: String,
        config: Config,
    ) -> Self {
        let (keys, epochs) = (ReporterKeys::default(), Mutex::default());
        Self { chain, telemetry, own_account, config, keys, epochs }
    }

    /// The accounts of all supernodes but this one, sorted. Nobody rechecks itself, so its own reports are not read.
    pub(crate) async fn reporters(&self) -> Result<Vec<Arc<str>>, ChainError> {
        let mut reporters: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut next = Some(PageRequest { key: None, limit: PAGE_LIMIT });
        for _ in 0..PAGES_MAX {
            let Some(request) = next else { break };
            let page = self.chain.supernodes(request.clone()).await?;
            next = request.after(&page);
            let accounts = page.items.iter().map(|node| node.supernode_account.trim());
            reporters.extend(accounts.filter(|account| !account.is_empty()).map(Arc::from));
            if reporters.len() > REPORTERS_MAX {
                break;
            }
        }
        reporters.remove(self.own_account.as_str());
        self.telemetry.gauge("recheck_reporters", &[], reporters.len() as f64);
        if reporters.len() > REPORTERS_MAX || next.is_some() {
            let fields = [("reporters_max", REPORTERS_MAX.into())];
            self.telemetry.log(Level::Warn, "not all supernodes are looked at for rechecks", &fields);
        }
        Ok(reporters.into_iter().take(REPORTERS_MAX).collect())
    }

    /// Forgets the epochs outside a window.
    pub(crate) fn keep_only(&self, window: std::ops::RangeInclusive<EpochId>) {
        self.lock().retain(|epoch_id, _| window.contains(epoch_id));
    }

    /// Reads the reports of an epoch that are not known yet. Nobody's error is anybody else's: who can't be read is asked
    /// again at the next look. `failures` counts over a whole look; `Err` when there are too many of them.
    pub(crate) async fn read_epoch(
        &self,
        epoch_id: EpochId,
        is_closed: bool,
        reporters: &[Arc<str>],
        pace: Pace,
        failures: &mut usize,
    ) -> Result<(), ChainError> {
        let unknown: Vec<Arc<str>> = {
            let mut epochs = self.lock();
            let settled = &epochs.entry(epoch_id).or_default().settled;
            reporters.iter().filter(|reporter| !settled.contains(*reporter)).cloned().collect()
        };
        self.telemetry.count("recheck_report_queries_total", &[], unknown.len() as u64);
        let answers = stream::iter(unknown).map(|reporter| async move {
            let answer = self.chain.epoch_report(&reporter, epoch_id).await;
            (reporter, answer)
        });
        let mut answers = answers.buffered(self.config.max_concurrent_queries.max(1) as usize);
        while let Some((reporter, answer)) = answers.next().await {
            match answer {
                Ok(report) => self.learn(epoch_id, reporter, Some(&report), pace),
                Err(error) if error.is_not_found() && is_closed => self.learn(epoch_id, reporter, None, pace),
                Err(error) if error.is_not_found() => {}
                Err(error) => self.count_failure(&reporter, error, failures)?,
            }
        }
        Ok(())
    }

    /// Counts a reporter that could not be read; `Err` when that has happened too often.
    pub(crate) fn count_failure(
        &self,
        reporter: &str,
        error: ChainError,
        failures: &mut usize,
    ) -> Result<(), ChainError> {
        self.telemetry.count("recheck_reporter_failures_total", &[], 1);
        let fields = [("reporter", reporter.into()), ("reason", error.to_string().into())];
        self.telemetry.log(Level::Debug, "a reporter can't be read and is passed over", &fields);
        *failures += 1;
        if *failures > QUERY_FAILURES_MAX { Err(error) } else { Ok(()) }
    }

    /// The candidates of an epoch that are due at a height, in the order in which they are tried (wire 6.2, step 4).
    pub(crate) fn candidates(&self, epoch_id: EpochId, height: i64) -> Vec<Arc<Candidate>> {
        let epochs = self.lock();
        let known = epochs.get(&epoch_id).map(|epoch| epoch.candidates.as_slice()).unwrap_or_default();
        known.iter().filter(|(_, due)| *due <= height).map(|(candidate, _)| Arc::clone(candidate)).collect()
    }

    /// Whether the reporter's own claim holds together. A row that does not verify is counted and comes last or, if the
    /// operator does not want those, is forgotten (closes wire 6.2).
    pub(crate) async fn worth(&self, candidate: &Candidate) -> Result<Worth, ChainError> {
        let Verdict::Unverified(reason) = self.keys.check(self.chain.as_ref(), candidate).await? else {
            return Ok(Worth::First);
        };
        if self.note_unverified(candidate) {
            self.tell_unverified(candidate, reason);
        }
        Ok(if self.config.recheck_unverified_rows { Worth::Last } else { Worth::Never })
    }

    /// Notes that a candidate's claim does not hold together, and forgets the candidate if it is not wanted; whether that
    /// is news.
    fn note_unverified(&self, candidate: &Candidate) -> bool {
        let mut epochs = self.lock();
        let Some(epoch) = epochs.get_mut(&candidate.epoch_id) else { return false };
        if !self.config.recheck_unverified_rows {
            epoch.candidates.retain(|(known, _)| **known != *candidate);
        }
        let claim = (candidate.reporter.clone(), candidate.ticket_id.clone(), candidate.target.clone());
        epoch.unverified.insert(claim)
    }

    fn tell_unverified(&self, candidate: &Candidate, reason: &'static str) {
        self.telemetry.count("recheck_rows_unverified_total", &[("reason", reason)], 1);
        let fields = [
            ("reporter", (&candidate.reporter).into()),
            ("epoch_id", candidate.epoch_id.into()),
            ("ticket_id", (&candidate.ticket_id).into()),
            ("reason", reason.into()),
        ];
        self.telemetry.log(Level::Warn, "a reported failure does not verify", &fields);
    }

    fn learn(&self, epoch_id: EpochId, reporter: Arc<str>, report: Option<&EpochReport>, pace: Pace) {
        let is_answer =
            |report: &&EpochReport| report.epoch_id == epoch_id && *report.supernode_account == *reporter;
        let (candidates, malformed) = report.filter(is_answer).map(candidates_of).unwrap_or_default();
        if malformed > 0 {
            self.telemetry.count("recheck_rows_unverified_total", &[("reason", "malformed")], malformed);
        }
        let mut epochs = self.lock();
        let epoch = epochs.entry(epoch_id).or_default();
        epoch.settled.insert(reporter);
        if candidates.is_empty() {
            return;
        }
        self.telemetry.count("recheck_candidates_total", &[], candidates.len() as u64);
        let placed = candidates.into_iter().map(|candidate| {
            let due = pace.due_height(&self.own_account, &candidate);
            (Arc::new(candidate), due)
        });
        epoch.candidates.extend(placed);
        epoch.candidates.sort_by(|(a, _), (b, _)| {
            (&a.ticket_id, &a.target, &a.reporter).cmp(&(&b.ticket_id, &b.target, &b.reporter))
        });
        let excess = epoch.candidates.len().saturating_sub(CANDIDATES_PER_EPOCH_MAX);
        if excess > 0 {
            epoch.candidates.truncate(CANDIDATES_PER_EPOCH_MAX);
            self.telemetry.count("recheck_candidates_dropped_total", &[], excess as u64);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EpochId, KnownEpoch>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
