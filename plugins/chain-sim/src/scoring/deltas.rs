//! What one result is worth before anything else is looked at (chain 5.3).

use crate::protocol::words::{ArtifactClass, Bucket, ResultClass};

/// Changes of the three scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Deltas {
    /// Of the target's suspicion.
    pub(crate) node: i64,
    /// Of the reporter's reliability score.
    pub(crate) reporter: i64,
    /// Of the ticket's deterioration.
    pub(crate) ticket: i64,
}

impl Deltas {
    /// The base deltas of a result.
    pub(crate) const fn base(class: ResultClass, bucket: Bucket, artifact: ArtifactClass) -> Self {
        let (node, reporter, ticket) = match (class, bucket, artifact) {
            (ResultClass::Pass, Bucket::Recent, _) => (-3, 0, -2),
            (ResultClass::Pass, Bucket::Old, _) => (-2, 0, -3),
            (ResultClass::Pass, _, _) => (-2, 0, -2),
            (ResultClass::HashMismatch, _, ArtifactClass::Index) => (26, 1, 12),
            (ResultClass::HashMismatch, _, _) => (18, 1, 5),
            (ResultClass::TimeoutOrNoResponse, _, _) => (7, 0, 3),
            (ResultClass::ObserverQuorumFail, _, _) => (4, 0, 0),
            (ResultClass::RecheckConfirmedFail, _, _) => (15, 3, 8),
            (
                ResultClass::NoEligibleTicket | ResultClass::InvalidTranscript | ResultClass::Unspecified,
                _,
                _,
            ) => (0, 0, 0),
        };
        Self { node, reporter, ticket }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_deltas_agree_with_the_published_table() {
        use ArtifactClass::{Index, Symbol, Unspecified};
        use Bucket::{Old, Probation, Recent, Recheck};
        // Chain 5.3: class, bucket, artifact, node, reporter, ticket.
        let table = [
            (ResultClass::Pass, Recent, Index, -3, 0, -2),
            (ResultClass::Pass, Old, Index, -2, 0, -3),
            (ResultClass::Pass, Probation, Symbol, -2, 0, -2),
            (ResultClass::Pass, Recheck, Unspecified, -2, 0, -2),
            (ResultClass::HashMismatch, Recent, Index, 26, 1, 12),
            (ResultClass::HashMismatch, Old, Symbol, 18, 1, 5),
            (ResultClass::HashMismatch, Recheck, Unspecified, 18, 1, 5),
            (ResultClass::TimeoutOrNoResponse, Old, Index, 7, 0, 3),
            (ResultClass::ObserverQuorumFail, Recent, Symbol, 4, 0, 0),
            (ResultClass::NoEligibleTicket, Recent, Unspecified, 0, 0, 0),
            (ResultClass::InvalidTranscript, Recent, Index, 0, 0, 0),
            (ResultClass::RecheckConfirmedFail, Recheck, Unspecified, 15, 3, 8),
        ];
        for (class, bucket, artifact, node, reporter, ticket) in table {
            let expected = Deltas { node, reporter, ticket };
            assert_eq!(Deltas::base(class, bucket, artifact), expected, "{class} {bucket} {artifact}");
        }
    }
}
