//! The enumerations that take part in hashes and on the wire, with their numbers and domain words.
//!
//! Owns the mapping between a value, its protobuf number and the word that is hashed for it (wire 1.1, wire 2.6).
//! The messages that carry them belong to the wire crate.

use serde::{Deserialize, Serialize};

/// Which kind of artifact a challenge names (wire 2.6, `StorageProofArtifactClass`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ArtifactClass {
    /// No class; only valid in a row that says that no ticket was eligible.
    #[default]
    Unspecified,
    /// An index id file.
    Index,
    /// Everything else that a ticket stores.
    Symbol,
}

/// Which kind of ticket a challenge is about, by age or purpose (wire 2.6, `StorageProofBucketType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Bucket {
    /// In no bucket.
    #[default]
    Unspecified,
    /// Registered a short while ago.
    Recent,
    /// Registered long ago.
    Old,
    /// An additional probe beyond the two canonical rows.
    Probation,
    /// A repeated challenge.
    Recheck,
}

/// What a challenge found (wire 2.6, `StorageProofResultClass`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResultClass {
    /// Not a result.
    #[default]
    Unspecified,
    /// The target proved that it holds the bytes.
    Pass,
    /// The target answered with other bytes.
    HashMismatch,
    /// The target did not answer in time.
    TimeoutOrNoResponse,
    /// Observers disagreed; never produced by today's challengers.
    ObserverQuorumFail,
    /// The target had no ticket in the bucket.
    NoEligibleTicket,
    /// The target's answer was not a valid answer.
    InvalidTranscript,
    /// A recheck confirmed a failure.
    RecheckConfirmedFail,
}

macro_rules! wire_numbers {
    ($type:ident { $($variant:ident = $number:literal, $word:literal;)+ }) => {
        impl $type {
            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)+ }
            }
            /// The value with this wire number; `None` for a number that the protocol does not name.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
            /// The name without its protobuf prefix, as it appears in events, scenarios and vectors.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
            /// The value with this name (the exact spelling of [`Self::name`]).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.name())
            }
        }
    };
}

wire_numbers!(ArtifactClass { Unspecified = 0, "UNSPECIFIED"; Index = 1, "INDEX"; Symbol = 2, "SYMBOL"; });
wire_numbers!(Bucket {
    Unspecified = 0, "UNSPECIFIED"; Recent = 1, "RECENT"; Old = 2, "OLD"; Probation = 3, "PROBATION";
    Recheck = 4, "RECHECK";
});
wire_numbers!(ResultClass {
    Unspecified = 0, "UNSPECIFIED"; Pass = 1, "PASS"; HashMismatch = 2, "HASH_MISMATCH";
    TimeoutOrNoResponse = 3, "TIMEOUT_OR_NO_RESPONSE"; ObserverQuorumFail = 4, "OBSERVER_QUORUM_FAIL";
    NoEligibleTicket = 5, "NO_ELIGIBLE_TICKET"; InvalidTranscript = 6, "INVALID_TRANSCRIPT";
    RecheckConfirmedFail = 7, "RECHECK_CONFIRMED_FAIL";
});

impl ArtifactClass {
    /// The word that is hashed for this class; `None` where the protocol calls the class unsupported (wire 1.1).
    #[must_use]
    pub const fn domain_word(self) -> Option<&'static str> {
        match self {
            Self::Unspecified => None,
            Self::Index => Some("INDEX"),
            Self::Symbol => Some("SYMBOL"),
        }
    }
}

impl Bucket {
    /// The word that is hashed for this bucket; `None` where the protocol calls the bucket unsupported (wire 1.1).
    #[must_use]
    pub const fn domain_word(self) -> Option<&'static str> {
        match self {
            Self::Unspecified => None,
            Self::Recent => Some("RECENT"),
            Self::Old => Some("OLD"),
            Self::Probation => Some("PROBATION"),
            Self::Recheck => Some("RECHECK"),
        }
    }
}

impl ResultClass {
    /// Whether the chain counts this result as a failure of the target (chain 0.4).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::HashMismatch
            | Self::TimeoutOrNoResponse
            | Self::ObserverQuorumFail
            | Self::InvalidTranscript
            | Self::RecheckConfirmedFail => true,
            Self::Unspecified | Self::Pass | Self::NoEligibleTicket => false,
        }
    }

    /// Whether another node may repeat this challenge and submit the outcome (chain 0.4).
    #[must_use]
    pub const fn is_recheck_eligible(self) -> bool {
        match self {
            Self::HashMismatch
            | Self::TimeoutOrNoResponse
            | Self::ObserverQuorumFail
            | Self::InvalidTranscript => true,
            Self::Unspecified | Self::Pass | Self::NoEligibleTicket | Self::RecheckConfirmedFail => false,
        }
    }
}
