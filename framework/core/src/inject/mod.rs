//! What a manifest puts in front of seams: recordings, their replay, faults and delays.
//!
//! Owns the gates and who passes through them. What stands in the manifest was checked there ([`crate::manifest`]);
//! the form of recordings is the API's. Time and chance are the node's scheduler's, so that injections replay with a
//! seed.

mod delay;
mod fault;
mod gate;
mod record;
mod replay;

#[cfg(test)]
mod tests;

pub(crate) use fault::fault_words;

use crate::resolve::Grants;
use crate::telemetry::NodeTelemetry;
use gate::InjectionGate;
use lampkeeper_api::guard::{Border, Cross, Gate, SeamTrait};
use lampkeeper_api::plugin::{Provided, Seam};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One table `[[inject]]` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// In front of which seam.
    pub seam: Seam,
    /// Whose use of it; `None` for that of all plugins.
    pub plugin_id: Option<String>,
    /// Which method; `None` for all but those that say who somebody is.
    pub method: Option<String>,
    /// Which of the calls.
    pub when: When,
    /// What happens to them.
    pub kind: InjectionKind,
    /// The line of the table.
    pub line: usize,
}

/// Which of the calls that an injection is in front of are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every one.
    Always,
    /// The one with this number, from 1, since the node started.
    Nth(u64),
    /// One in so many, by chance.
    OneIn(u64),
}

/// What an injection does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InjectionKind {
    /// Writes calls and their answers to a file.
    Record {
        /// The file; what it holds is added to.
        file: PathBuf,
    },
    /// Answers calls from a file, and does not make them.
    Replay {
        /// The file.
        file: PathBuf,
    },
    /// Answers calls with an error, and does not make them.
    Fault {
        /// One of the words of the seam.
        error: String,
    },
    /// Makes calls later.
    Delay {
        /// How much later at least.
        delay: Duration,
        /// How much more by chance at most.
        jitter: Duration,
    },
}

impl Injection {
    /// The injection in words, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let whose = self.plugin_id.as_ref().map_or("all plugins".to_owned(), |id| format!("plugin {id}"));
        let what = match &self.method {
            Some(method) => format!("{}.{method}", self.seam),
            None => format!("all calls of {}", self.seam),
        };
        let when = match self.when {
            When::Always => String::new(),
            When::Nth(nth) => format!(", call {nth} only"),
            When::OneIn(count) => format!(", one in {count} by chance"),
        };
        let done = match &self.kind {
            InjectionKind::Record { file } => format!("are recorded to {}", file.display()),
            InjectionKind::Replay { file } => format!("are answered from {}", file.display()),
            InjectionKind::Fault { error } => format!("fail with `{error}`"),
            InjectionKind::Delay { delay, jitter } if jitter.is_zero() => {
                format!("wait {} ms", delay.as_millis())
            }
            InjectionKind::Delay { delay, jitter } => {
                format!("wait {} to {} ms", delay.as_millis(), (*delay + *jitter).as_millis())
            }
        };
        format!("{what} by {whose} {done}{when} (line {})", self.line)
    }
}

/// The seams that something can be put in front of. The scheduler is not one: delays come from it; nor is a service,
/// which is only called by the node.
pub(crate) fn injectable() -> impl Iterator<Item = Seam> {
    Seam::ALL.into_iter().filter(|seam| !matches!(seam, Seam::Service | Seam::Scheduler))
}

/// The methods that an injection in front of a seam sees. Reading the chain and submitting to it are apart.
pub(crate) fn methods(seam: Seam) -> Vec<&'static str> {
    use lampkeeper_api::{chain, challenge, heal, journal, network, signer, staging, store, transport};
    let lists: &[&[&str]] = match seam {
        Seam::ChainRead => &[<dyn chain::ChainReader as SeamTrait>::METHODS],
        Seam::ChainSubmit => &[<dyn chain::ChainClient as SeamTrait>::METHODS],
        Seam::Store => &[<dyn store::ArtifactStore as SeamTrait>::METHODS],
        Seam::Staging => &[<dyn staging::Staging as SeamTrait>::METHODS],
        Seam::Journal => &[
            <dyn journal::HealJournal as SeamTrait>::METHODS,
            <dyn journal::RecheckJournal as SeamTrait>::METHODS,
            <dyn journal::ProofJournal as SeamTrait>::METHODS,
            <dyn lampkeeper_api::history::HistoryJournal as SeamTrait>::METHODS,
        ],
        Seam::Transport => &[<dyn transport::Transport as SeamTrait>::METHODS],
        Seam::Network => &[<dyn network::ArtifactNetwork as SeamTrait>::METHODS],
        Seam::Signer => &[<dyn signer::Signer as SeamTrait>::METHODS],
        Seam::HealStrategy | Seam::HealShadow => &[<dyn heal::HealStrategy as SeamTrait>::METHODS],
        Seam::Challenger => &[<dyn challenge::Challenger as SeamTrait>::METHODS],
        _ => &[],
    };
    lists.iter().flat_map(|list| list.iter().copied()).collect()
}

/// Whether a method with this seam in its name belongs to `seam`.
fn belongs_to(method_seam: &str, seam: Seam) -> bool {
    match seam {
        Seam::Journal => method_seam == "journal" || method_seam.starts_with("journal:"),
        Seam::HealShadow => method_seam == Seam::HealStrategy.name(),
        other => method_seam == other.name(),
    }
}

/// The injections of a node, ready to be passed through.
pub(crate) struct Injections {
    prepared: Vec<(Injection, Arc<gate::Shared>)>,
}

impl Injections {
    /// Opens the files that recordings are written to and read from.
    ///
    /// # Errors
    /// Which injection can't work, and why.
    pub(crate) fn prepare(injections: &[Injection], telemetry: &NodeTelemetry) -> Result<Self, String> {
        let prepare = |injection: &Injection| {
            let shared = gate::Shared::prepare(injection, telemetry)
                .map_err(|reason| format!("[[inject]] in line {}: {reason}", injection.line))?;
            Ok((injection.clone(), Arc::new(shared)))
        };
        let prepared = injections.iter().map(prepare).collect::<Result<_, String>>()?;
        Ok(Self { prepared })
    }

    /// Puts what the manifest says in front of the seams that a plugin was granted. Of several in front of one seam the
    /// first of the manifest is asked first.
    pub(crate) fn put_before(&self, plugin_id: &str, grants: &Grants, seams: &mut Provided) {
        let applies =
            |injection: &Injection| injection.plugin_id.as_ref().is_none_or(|only| only == plugin_id);
        for (injection, shared) in self.prepared.iter().rev().filter(|(injection, _)| applies(injection)) {
            let is_reader = injection.seam == Seam::ChainRead;
            let submitter = grants.get(&Seam::ChainSubmit).filter(|_| is_reader);
            let Some(provider_id) = grants.get(&injection.seam).or(submitter) else { continue };
            let gate: Arc<dyn Gate> = Arc::new(InjectionGate::new(provider_id, Arc::clone(shared)));
            put(injection.seam, &Border::giving(gate), seams);
        }
    }
}

fn put(seam: Seam, border: &Border, seams: &mut Provided) {
    fn behind<T: Cross>(slot: &mut Option<T>, border: &Border) {
        *slot = slot.take().map(|object| object.cross(border));
    }
    match seam {
        Seam::ChainRead => {
            behind(&mut seams.chain_reader, border);
            behind(&mut seams.chain, border);
        }
        Seam::ChainSubmit => behind(&mut seams.chain, border),
        Seam::Store => behind(&mut seams.store, border),
        Seam::Staging => behind(&mut seams.staging, border),
        Seam::Journal => behind(&mut seams.journal, border),
        Seam::Transport => behind(&mut seams.transport, border),
        Seam::Network => behind(&mut seams.network, border),
        Seam::Signer => behind(&mut seams.signer, border),
        Seam::HealStrategy => behind(&mut seams.heal_strategy, border),
        Seam::HealShadow => behind(&mut seams.heal_shadow, border),
        Seam::Challenger => behind(&mut seams.challenger, border),
        // Refused by the manifest's check.
        _ => {}
    }
}
