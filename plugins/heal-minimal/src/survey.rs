//! What is left of a ticket in the network, and who lacks what.

use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::heal::HealError;
use lampkeeper_plugin_sdk::api::network::{ArtifactNetwork, Survey};
use lampkeeper_plugin_sdk::cascade::{ArtifactKind, TicketDocuments, network_error};
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use std::collections::{BTreeMap, BTreeSet};

/// Artifacts that the holders are asked about in one call: they hash up to 32 MiB to answer.
const KEYS_PER_SURVEY: usize = 512;

/// The state of a ticket's artifacts. A member that could not be asked counts neither as holding nor as lacking.
#[derive(Debug, Default)]
pub(crate) struct TicketSurvey {
    /// Members that lack an artifact, by its key.
    pub(crate) lacking: BTreeMap<ArtifactKey, Vec<Account>>,
    /// Id files that some member lacks.
    pub(crate) lacking_id_files: Vec<ArtifactKind>,
    /// Symbols that some member lacks.
    pub(crate) lacking_symbols: BTreeSet<u32>,
    /// Symbols that no member has, as far as they say.
    pub(crate) gone_symbols: BTreeSet<u32>,
    /// Members of the largest replica set.
    pub(crate) replica_count: usize,
}

impl TicketSurvey {
    /// Asks every holder about every artifact; they hash their bytes first.
    ///
    /// # Errors
    /// The network could not be used.
    pub(crate) async fn take(
        network: &dyn ArtifactNetwork,
        documents: &TicketDocuments,
    ) -> Result<Self, HealError> {
        let artifacts: Vec<(ArtifactKey, ArtifactKind)> = documents.artifacts().collect();
        let mut ticket = Self::default();
        for batch in artifacts.chunks(KEYS_PER_SURVEY) {
            let keys: Vec<ArtifactKey> = batch.iter().map(|(key, _)| *key).collect();
            let surveys = network.survey(&keys, true).await;
            let surveys = surveys.map_err(|error| network_error("asking holders what they have", &error))?;
            for ((_, kind), survey) in batch.iter().zip(surveys) {
                ticket.add(*kind, &survey);
            }
        }
        Ok(ticket)
    }

    fn add(&mut self, kind: ArtifactKind, survey: &Survey) {
        self.replica_count = self.replica_count.max(survey.holders.len());
        if let ArtifactKind::Symbol { esi } = kind
            && survey.holding().next().is_none()
        {
            self.gone_symbols.insert(esi);
        }
        let lacking: Vec<Account> = survey.lacking().cloned().collect();
        if lacking.is_empty() {
            return;
        }
        self.lacking.insert(survey.key, lacking);
        match kind {
            ArtifactKind::Symbol { esi } => drop(self.lacking_symbols.insert(esi)),
            ArtifactKind::IndexFile { .. } | ArtifactKind::LayoutFile { .. } => {
                self.lacking_id_files.push(kind)
            }
        }
    }

    /// Distinct symbols that somebody has beyond those needed.
    pub(crate) fn margin_symbols(&self, documents: &TicketDocuments) -> i64 {
        let parameters = documents.parameters();
        i64::from(parameters.total_symbols())
            - self.gone_symbols.len() as i64
            - i64::from(parameters.needed_symbols())
    }

    /// How many artifacts each member lacks, by account.
    pub(crate) fn lacking_by_account(&self) -> BTreeMap<&Account, usize> {
        let mut counts = BTreeMap::new();
        for account in self.lacking.values().flatten() {
            *counts.entry(account).or_default() += 1;
        }
        counts
    }
}
