//! A digest for each seam: of the traits that a plugin which provides or needs it calls, or is called through.

use crate::chain::{ChainClient, ChainReader};
use crate::challenge::Challenger;
use crate::guard::SeamTrait;
use crate::heal::HealStrategy;
use crate::history::HistoryJournal;
use crate::journal::{HealJournal, Journal, ProofJournal, RecheckJournal};
use crate::network::ArtifactNetwork;
use crate::plugin::{Close, Seam};
use crate::scheduler::{Permits, Scheduler, TaskHandle};
use crate::service::Service;
use crate::signer::Signer;
use crate::staging::Staging;
use crate::store::ArtifactStore;
use crate::telemetry::Telemetry;
use crate::transport::{MessageStream, ServerHandle, StreamHandler, Transport, UnaryHandler};

/// What every plugin uses, whatever it declares.
pub(super) const COMMON: u64 =
    joined(&[<dyn Telemetry as SeamTrait>::DIGEST, <dyn Close as SeamTrait>::DIGEST]);

const READER: u64 = <dyn ChainReader as SeamTrait>::DIGEST;
const HANDLERS: [u64; 3] = [
    <dyn MessageStream as SeamTrait>::DIGEST,
    <dyn UnaryHandler as SeamTrait>::DIGEST,
    <dyn StreamHandler as SeamTrait>::DIGEST,
];

/// The digest of a seam's traits, those of the objects that they hand out included.
#[must_use]
pub const fn seam_digest(seam: Seam) -> u64 {
    match seam {
        Seam::ChainRead => READER,
        Seam::ChainSubmit => joined(&[READER, <dyn ChainClient as SeamTrait>::DIGEST]),
        Seam::Store => <dyn ArtifactStore as SeamTrait>::DIGEST,
        Seam::Staging => <dyn Staging as SeamTrait>::DIGEST,
        Seam::Journal => joined(&[
            <dyn Journal as SeamTrait>::DIGEST,
            <dyn HealJournal as SeamTrait>::DIGEST,
            <dyn RecheckJournal as SeamTrait>::DIGEST,
            <dyn ProofJournal as SeamTrait>::DIGEST,
            <dyn HistoryJournal as SeamTrait>::DIGEST,
        ]),
        Seam::Transport => joined(&[
            <dyn Transport as SeamTrait>::DIGEST,
            <dyn ServerHandle as SeamTrait>::DIGEST,
            joined(&HANDLERS),
        ]),
        Seam::Network => <dyn ArtifactNetwork as SeamTrait>::DIGEST,
        Seam::Scheduler => joined(&[
            <dyn Scheduler as SeamTrait>::DIGEST,
            <dyn TaskHandle as SeamTrait>::DIGEST,
            <dyn Permits as SeamTrait>::DIGEST,
        ]),
        Seam::Signer => <dyn Signer as SeamTrait>::DIGEST,
        Seam::HealStrategy | Seam::HealShadow => <dyn HealStrategy as SeamTrait>::DIGEST,
        Seam::Challenger => <dyn Challenger as SeamTrait>::DIGEST,
        Seam::Service => joined(&[<dyn Service as SeamTrait>::DIGEST, joined(&HANDLERS)]),
    }
}

/// FNV-1a over numbers.
pub(super) const fn joined(numbers: &[u64]) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < numbers.len() {
        let bytes = numbers[index].to_le_bytes();
        let mut byte = 0;
        while byte < bytes.len() {
            digest = (digest ^ bytes[byte] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            byte += 1;
        }
        index += 1;
    }
    digest
}
