//! Which artifact of a ticket a challenge names, and which bytes of it.
//!
//! Owns the draws. Everything follows from the epoch's seed, so that two challengers of one target draw the same.
//! Class, ordinal and count in the row are the canonical ones that the chain expects (wire 1.10, 1.11, 4.2); the
//! artifact behind them is a real one that placement puts on the target, because the canonical keys are those of
//! files that anybody can compute from chain data (wire 4.3, "real symbols are never challenged").

use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::hash::{first_eight_bytes, keyed_hash};
use lampkeeper_plugin_sdk::protocol::selection::{select_artifact_class, select_artifact_ordinal};
use lampkeeper_plugin_sdk::protocol::words::ArtifactClass;

/// An artifact of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TicketArtifact {
    /// Its key.
    pub(crate) key: ArtifactKey,
    /// Id files are INDEX, symbols are SYMBOL.
    pub(crate) class: ArtifactClass,
    /// Its place among the artifacts of its class.
    pub(crate) position: u32,
    /// Its length, known from the ticket's signed documents and not from the target.
    pub(crate) len_bytes: u64,
}

/// What is challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Draw {
    /// The artifact whose bytes are asked for.
    pub(crate) artifact: TicketArtifact,
    /// The ordinal in the row.
    pub(crate) ordinal: u32,
    /// The count in the row.
    pub(crate) count: u32,
}

/// The canonical numbers of artifacts, as the chain anchored them (wire 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) index: u32,
    pub(crate) symbol: u32,
}

impl Counts {
    pub(crate) const fn of(self, class: ArtifactClass) -> u32 {
        match class {
            ArtifactClass::Index => self.index,
            ArtifactClass::Symbol => self.symbol,
            ArtifactClass::Unspecified => 0,
        }
    }
}

/// The draw of a canonical row among what the target has to hold; `None` if that is nothing of the class that was rolled.
///
/// There is no substitution of one class by the other (wire 1.10).
pub(crate) fn canonical(
    seed: &[u8],
    target: &str,
    ticket_id: &str,
    counts: Counts,
    held: &[TicketArtifact],
) -> Option<Draw> {
    let class = select_artifact_class(seed, target, ticket_id, counts.index, counts.symbol);
    let count = counts.of(class);
    let ordinal = select_artifact_ordinal(seed, target, ticket_id, class, count).ok()?;
    let of_class: Vec<_> = held.iter().filter(|artifact| artifact.class == class).collect();
    let label: &[u8] = b"lampkeeper_artifact";
    let start = keyed_hash(seed, &[target.as_bytes(), ticket_id.as_bytes(), class.name().as_bytes(), label]);
    let place = first_eight_bytes(&start).checked_rem(of_class.len() as u64)?;
    let artifact = **of_class.get(usize::try_from(place).ok()?)?;
    Some(Draw { artifact, ordinal, count })
}

/// The draws of up to `wanted` probes among the artifacts that the target holds, without repetition.
pub(crate) fn probes(
    seed: &[u8],
    target: &str,
    ticket_id: &str,
    counts: Counts,
    held: &[TicketArtifact],
    wanted: usize,
) -> Vec<Draw> {
    let mut ranked: Vec<_> = held
        .iter()
        .map(|artifact| {
            let parts: [&[u8]; 4] =
                [target.as_bytes(), ticket_id.as_bytes(), artifact.key.as_bytes(), b"lampkeeper_probe"];
            (keyed_hash(seed, &parts), artifact)
        })
        .collect();
    let wanted = wanted.min(ranked.len());
    if wanted == 0 {
        return Vec::new();
    }
    ranked.select_nth_unstable_by(wanted - 1, |left, right| left.0.cmp(&right.0));
    ranked.truncate(wanted);
    ranked.sort_unstable_by_key(|(digest, _)| *digest);
    ranked
        .into_iter()
        .filter(|(_, artifact)| counts.of(artifact.class) > 0)
        .map(|(_, artifact)| {
            let count = counts.of(artifact.class);
            Draw { artifact: *artifact, ordinal: artifact.position % count, count }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SEED: &[u8] = b"01234567890123456789012345678901";

    fn artifacts() -> Vec<TicketArtifact> {
        (0..200_u32)
            .map(|number| TicketArtifact {
                key: ArtifactKey::of(&number.to_be_bytes()),
                class: if number < 100 { ArtifactClass::Index } else { ArtifactClass::Symbol },
                position: number % 100,
                len_bytes: 65_532,
            })
            .collect()
    }

    #[test]
    fn two_challengers_draw_the_same_of_the_class_that_was_rolled() {
        let held = artifacts();
        let counts = Counts { index: 50, symbol: 50 };
        let (mut classes, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for ticket in 0..200 {
            let ticket_id = format!("t-{ticket}");
            let first = canonical(SEED, "sn-3", &ticket_id, counts, &held).expect("a draw");
            assert_eq!(Some(first), canonical(SEED, "sn-3", &ticket_id, counts, &held));
            assert!(first.ordinal < first.count);
            assert_eq!(
                first.artifact.class,
                select_artifact_class(SEED, "sn-3", &ticket_id, counts.index, counts.symbol)
            );
            classes.insert(first.artifact.class);
            keys.insert(first.artifact.key);
        }
        assert_eq!(classes.len(), 2);
        assert!(keys.len() > 100, "the draws are spread over what the target holds, not over one place");
    }

    #[test]
    fn one_class_is_not_drawn_in_place_of_the_other() {
        let only_index: Vec<_> =
            artifacts().into_iter().filter(|artifact| artifact.class == ArtifactClass::Index).collect();
        let counts = Counts { index: 50, symbol: 50 };
        for ticket in 0..50 {
            let ticket_id = format!("t-{ticket}");
            let rolled = select_artifact_class(SEED, "sn-3", &ticket_id, counts.index, counts.symbol);
            let draw = canonical(SEED, "sn-3", &ticket_id, counts, &only_index);
            assert_eq!(draw.is_some(), rolled == ArtifactClass::Index, "{ticket_id}");
        }
        assert_eq!(canonical(SEED, "sn-3", "t", Counts { index: 0, symbol: 0 }, &artifacts()), None);
    }

    #[test]
    fn probes_are_distinct_and_differ_between_epochs() {
        let held = artifacts();
        let counts = Counts { index: 50, symbol: 50 };
        let first = probes(SEED, "sn-3", "t", counts, &held, 64);
        let keys: BTreeSet<_> = first.iter().map(|draw| draw.artifact.key).collect();
        assert_eq!(keys.len(), 64);
        assert!(first.iter().all(|draw| draw.ordinal < draw.count));
        assert_ne!(first, probes(b"another seed", "sn-3", "t", counts, &held, 64));
        assert_eq!(
            probes(SEED, "sn-3", "t", counts, &held, 1000).len(),
            200,
            "all of them, if asked for more"
        );
        assert!(probes(SEED, "sn-3", "t", counts, &[], 5).is_empty());
    }
}
