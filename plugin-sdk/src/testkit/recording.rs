//! A recording of a real node's calls, as a fixture: served as the seam that was recorded.
//!
//! Owns the way from a file to a seam. The format, and what is answered when, is the API's (`guard`); recordings are
//! made by a node whose manifest has `[[inject]]` with `kind = "record"`.
#![expect(clippy::disallowed_methods, reason = "reads a fixture of a test")]

use super::{MemoryJournal, MemoryStaging, MemoryStore, MockChain, TestSigner};
use async_trait::async_trait;
use lampkeeper_api::chain::ChainClient;
use lampkeeper_api::challenge::{ChallengeError, ChallengeOutcome, ChallengeRequest, Challenger};
use lampkeeper_api::guard::{self, Border, Cross as _, RECORDING_LEN_BYTES_MAX, ReplayGate};
use lampkeeper_api::heal::{HealError, HealJob, HealStrategy, Reconstruction};
use lampkeeper_api::journal::Journal;
use lampkeeper_api::signer::Signer;
use lampkeeper_api::staging::Staging;
use lampkeeper_api::store::ArtifactStore;
use std::path::Path;
use std::sync::Arc;

/// Why a recording could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("loading the recording {path}: {reason}")]
pub struct LoadError {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A recording, to be served as a seam.
///
/// Calls of one method with the same arguments are answered in the order in which they were recorded, the last answer
/// again and again. What was not recorded, and what could not be (live objects, answers beyond the limit), is refused as
/// "not available" with words that say so. Each seam that is made from a recording begins anew.
///
/// ```
/// use lampkeeper_plugin_sdk::testkit::{Recording, VirtualScheduler};
///
/// let text = concat!(
///     r#"{"lampkeeper_recording":1,"seam":"store","plugin":null}"#, "\n",
///     r#"{"method":"usage","arguments":"","digest":"cbf29ce484222325","at_ms":5,"#,
///     r#""answer":{"Ok":{"artifact_count":3,"artifact_bytes":7,"volume_total_bytes":0,"volume_free_bytes":0}}}"#, "\n",
/// );
/// let recording = Recording::parse(text)?;
/// assert_eq!(recording.seam(), "store");
/// let store = recording.store();
/// let usage = VirtualScheduler::new(0).block_on(store.usage());
/// assert_eq!(usage.map(|usage| usage.artifact_count), Ok(3));
/// # Ok::<(), lampkeeper_plugin_sdk::testkit::LoadError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    inner: guard::Recording,
}

impl Recording {
    /// Loads a file.
    ///
    /// # Errors
    /// If it can't be read, is too large, or is no recording.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let failed = |reason: String| LoadError { path: path.display().to_string(), reason };
        let len_bytes = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if len_bytes > RECORDING_LEN_BYTES_MAX {
            return Err(failed(format!("{len_bytes} bytes are more than a recording may have")));
        }
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| failed(error.reason))
    }

    /// Reads a recording from its text.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let failed =
            |error: guard::RecordingError| LoadError { path: "-".to_owned(), reason: error.to_string() };
        Ok(Self { inner: guard::Recording::parse(text).map_err(failed)? })
    }

    /// The seam that was recorded, as manifests name it.
    #[must_use]
    pub fn seam(&self) -> &str {
        &self.inner.header.seam
    }

    /// How many calls were recorded.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.inner.calls.len()
    }

    /// A chain client that answers as the recorded one did. Its account is `recorded`.
    #[must_use]
    pub fn chain(&self) -> Arc<dyn ChainClient> {
        let nobody: Arc<dyn ChainClient> = MockChain::builder("recorded").build();
        nobody.cross(&self.border())
    }

    /// A store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn ArtifactStore> {
        (Arc::new(MemoryStore::new()) as Arc<dyn ArtifactStore>).cross(&self.border())
    }

    /// A staging area.
    #[must_use]
    pub fn staging(&self) -> Arc<dyn Staging> {
        (Arc::new(MemoryStaging::new()) as Arc<dyn Staging>).cross(&self.border())
    }

    /// A journal.
    #[must_use]
    pub fn journal(&self) -> Arc<dyn Journal> {
        (Arc::new(MemoryJournal::new()) as Arc<dyn Journal>).cross(&self.border())
    }

    /// A signer. Its account and key are those of the signer `recorded` of the test kit.
    #[must_use]
    pub fn signer(&self) -> Arc<dyn Signer> {
        (Arc::new(TestSigner::new("recorded")) as Arc<dyn Signer>).cross(&self.border())
    }

    /// A heal strategy. Its name is `recorded`.
    #[must_use]
    pub fn heal_strategy(&self) -> Arc<dyn HealStrategy> {
        (Arc::new(Nobody) as Arc<dyn HealStrategy>).cross(&self.border())
    }

    /// A challenger.
    #[must_use]
    pub fn challenger(&self) -> Arc<dyn Challenger> {
        (Arc::new(Nobody) as Arc<dyn Challenger>).cross(&self.border())
    }

    fn border(&self) -> Border {
        Border::giving(Arc::new(ReplayGate::new("recorded", self.inner.clone())))
    }
}

/// Stands behind a recording, and is never reached: every call is answered or refused before.
struct Nobody;

#[async_trait]
impl HealStrategy for Nobody {
    fn name(&self) -> &str {
        "recorded"
    }

    async fn reconstruct(&self, _: HealJob) -> Result<Reconstruction, HealError> {
        Err(HealError::Unavailable { reason: "nobody stands behind a recording".to_owned() })
    }
}

#[async_trait]
impl Challenger for Nobody {
    async fn challenge(&self, _: ChallengeRequest) -> Result<ChallengeOutcome, ChallengeError> {
        Err(ChallengeError::Unavailable { reason: "nobody stands behind a recording".to_owned() })
    }
}
