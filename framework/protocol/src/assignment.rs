//! Who challenges whom in an epoch (wire 1.3 to 1.6, chain 3).
//!
//! Owns the two assignments of the chain: the storage-truth one and the k-regular walk of the legacy mode. Leaves to
//! the caller which accounts are eligible (see [`crate::score::is_eligible_challenger`]) and which parameters apply.
//!
//! Accounts are hashed and compared exactly as the chain spells them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::hash::{Digest, KeyedHash, keyed_hash, label, lowest_ranked};

/// The divisor that stands for 0 (wire 1.2).
pub const DEFAULT_TARGET_DIVISOR: u32 = 3;

/// The shortest seed from which the chain assigns (wire 1.6).
pub const ASSIGNMENT_SEED_LEN_BYTES_MIN: usize = 8;

/// The digest that ranks one account as a target; what [`rank_targets`] sorts by (wire 1.3).
#[must_use]
pub fn target_rank(account: &str, seed: &[u8]) -> Digest {
    keyed_hash(seed, &[account.as_bytes(), label::CHALLENGE_TARGET])
}

/// The digest that ranks one target for one challenger; what [`pair_challenger`] minimises (wire 1.4).
#[must_use]
pub fn pair_rank(challenger: &str, target: &str, seed: &[u8]) -> Digest {
    keyed_hash(seed, &[challenger.as_bytes(), target.as_bytes(), label::PAIR])
}

/// Ranks every account by `H(seed, account, "challenge_target")`, ascending, ties by name (wire 1.3).
///
/// Repeated accounts keep their repetitions.
#[must_use]
pub fn rank_targets<'a>(accounts: &[&'a str], seed: &[u8]) -> Vec<&'a str> {
    let prefix = KeyedHash::new(seed);
    let mut ranked: Vec<_> = accounts
        .iter()
        .map(|&account| {
            (prefix.clone().part(account.as_bytes()).part(label::CHALLENGE_TARGET).finish(), account)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, account)| account).collect()
}

/// The accounts to be challenged: the `ceil(n / divisor)` best ranked, at least one of any (wire 1.3).
///
/// Divisor 0 stands for [`DEFAULT_TARGET_DIVISOR`]. The input is not de-duplicated.
#[must_use]
pub fn select_targets<'a>(accounts: &[&'a str], seed: &[u8], divisor: u32) -> Vec<&'a str> {
    let mut ranked = rank_targets(accounts, seed);
    ranked.truncate(target_count(accounts.len(), divisor));
    ranked
}

/// The target of one challenger: the lowest `H(seed, challenger, target, "pair")` among `targets` that is neither the
/// challenger nor in `assigned`, ties by name (wire 1.4). `None` where the protocol says the empty string.
///
/// Empty entries take part, but an empty entry that leads gives way to whichever comes next, lower or not: the
/// reference marks "nothing chosen yet" with the empty string, and the known answers hold it to that.
#[must_use]
pub fn pair_challenger<'a>(
    challenger: &str,
    targets: &[&'a str],
    seed: &[u8],
    assigned: &[&str],
) -> Option<&'a str> {
    let assigned: HashSet<&str> = assigned.iter().copied().collect();
    let prefix = KeyedHash::new(seed).part(challenger.as_bytes());
    let mut best: Option<(Digest, &str)> = None;
    for &target in targets {
        if target == challenger || assigned.contains(target) {
            continue;
        }
        let ranked = (prefix.clone().part(target.as_bytes()).part(label::PAIR).finish(), target);
        if best.is_none_or(|best| best.1.is_empty() || ranked < best) {
            best = Some(ranked);
        }
    }
    best.map(|(_, target)| target).filter(|target| !target.is_empty())
}

/// The whole epoch's assignment, challenger to target: at most one target for each challenger, each target at most
/// once, never itself (wire 1.5).
///
/// `candidates` replaces a selected target that its challenger may not take; if it holds no name, the challengers
/// stand in. The work is one hash for each pair of a working challenger and an open target; what a challenger's
/// hashes share is hashed once.
#[must_use]
pub fn assign<'a>(
    active: &[&'a str],
    selected: &[&'a str],
    candidates: &[&'a str],
    seed: &[u8],
) -> BTreeMap<&'a str, &'a str> {
    let mut assignment = BTreeMap::new();
    if active.is_empty() {
        return assignment;
    }
    let challengers = unique_names(active);
    let mut pool = unique_names(selected);
    let quota = pool.len();
    let mut assigned = HashSet::new();
    // The fallback takes the lowest pair hash, so the rank order of wire 1.5 step 3 has no influence on it.
    let fallback = match unique_names(candidates) {
        names if names.is_empty() => challengers.clone(),
        names => names,
    };
    let prefix = KeyedHash::new(seed);
    for &challenger in &challengers {
        if assigned.len() >= quota {
            break;
        }
        let target = lowest_pair(challenger, pool.iter().copied(), &prefix).or_else(|| {
            let open = fallback.iter().copied().filter(|target| !assigned.contains(target));
            lowest_pair(challenger, open, &prefix)
        });
        let Some(target) = target else { continue };
        pool.remove(target);
        assigned.insert(target);
        assignment.insert(challenger, target);
    }
    assignment
}

/// The storage-truth assignment as the chain makes it (chain 3.3).
///
/// The number of targets is counted over the eligible challengers, and the targets are ranked over the anchor's target
/// list, which may hold postponed accounts. An empty target list is replaced by the eligible accounts.
///
/// ```
/// let nodes = ["sn-a", "sn-b", "sn-c", "sn-d", "sn-e", "sn-f"];
/// let seed = b"01234567890123456789012345678901";
/// let assignment = lampkeeper_protocol::assignment::assign_storage_truth(&nodes, &nodes, seed, 3);
/// assert_eq!(assignment.into_iter().collect::<Vec<_>>(), [("sn-a", "sn-f"), ("sn-b", "sn-e")]);
/// ```
#[must_use]
pub fn assign_storage_truth<'a>(
    eligible: &[&'a str],
    targets: &[&'a str],
    seed: &[u8],
    divisor: u32,
) -> BTreeMap<&'a str, &'a str> {
    let challengers = sorted_unique(eligible);
    let candidates = if targets.is_empty() { challengers.clone() } else { sorted_unique(targets) };
    if challengers.len() <= 1 || candidates.is_empty() {
        return BTreeMap::new();
    }
    let mut selected = rank_targets(&candidates, seed);
    selected.truncate(target_count(challengers.len(), divisor));
    assign(&challengers, &selected, &candidates, seed)
}

/// How many peers each node probes in the legacy mode (chain 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Reports wanted about each target (`peer_quorum_reports`).
    pub quorum: u32,
    /// The least targets of a prober (`min_probe_targets_per_epoch`).
    pub min: u32,
    /// The most targets of a prober (`max_probe_targets_per_epoch`).
    pub max: u32,
}

/// Which of the two assignments an epoch uses (chain 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentRule {
    /// Modes SHADOW, SOFT and FULL.
    StorageTruth {
        /// One in this many eligible accounts is challenged; 0 stands for [`DEFAULT_TARGET_DIVISOR`].
        divisor: u32,
    },
    /// Mode UNSPECIFIED.
    RegularWalk(ProbeCounts),
}

/// What an epoch asks of one reporter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReporterDuty {
    /// Whether the reporter is an eligible challenger; one may be a prober without targets.
    pub is_prober: bool,
    /// Its targets, in the order of choice.
    pub targets: Vec<String>,
}

/// Why the chain would answer no assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignmentError {
    /// The reporter's account is empty.
    #[error("can't assign targets to a reporter without an account")]
    NoReporter,
    /// The seed is shorter than [`ASSIGNMENT_SEED_LEN_BYTES_MIN`].
    #[error("can't assign targets from a seed of {len_bytes} bytes: at least 8 are needed")]
    SeedTooShort {
        /// Length of the seed that was given.
        len_bytes: usize,
    },
}

/// The targets of one reporter (wire 1.6, chain 3).
///
/// `eligible` and `targets` are the anchor's sorted lists, `eligible` after the check of chain 3.1.
///
/// # Errors
/// The reporter is empty or the seed is too short.
pub fn assigned_targets(
    reporter: &str,
    eligible: &[&str],
    targets: &[&str],
    seed: &[u8],
    rule: AssignmentRule,
) -> Result<ReporterDuty, AssignmentError> {
    if reporter.is_empty() {
        return Err(AssignmentError::NoReporter);
    }
    let Some(seed_head) = seed.first_chunk::<ASSIGNMENT_SEED_LEN_BYTES_MIN>() else {
        return Err(AssignmentError::SeedTooShort { len_bytes: seed.len() });
    };
    let Some(index) = eligible.iter().position(|&account| account == reporter) else {
        return Ok(ReporterDuty::default());
    };
    let targets: Vec<&str> = match rule {
        AssignmentRule::StorageTruth { divisor } => {
            assign_storage_truth(eligible, targets, seed, divisor).remove(reporter).into_iter().collect()
        }
        AssignmentRule::RegularWalk(counts) => {
            regular_walk(reporter, index, eligible.len(), targets, u64::from_be_bytes(*seed_head), counts)
        }
    };
    Ok(ReporterDuty { is_prober: true, targets: targets.into_iter().map(str::to_owned).collect() })
}

/// The k-regular walk (chain 3.2): `k` neighbours in the target list, from a place that the seed and the reporter's
/// index decide.
fn regular_walk<'a>(
    reporter: &str,
    index: usize,
    eligible_count: usize,
    targets: &[&'a str],
    seed_head: u64,
    counts: ProbeCounts,
) -> Vec<&'a str> {
    let walk_len = regular_walk_len(eligible_count, targets.len(), counts);
    let count = targets.len() as u128;
    let mut chosen = BTreeSet::new();
    let mut order = Vec::with_capacity(walk_len);
    for step in 0..walk_len {
        let start = (u128::from(seed_head) + index as u128 * walk_len as u128 + step as u128) % count;
        let free = (0..targets.len())
            .map(|advance| (start as usize + advance) % targets.len())
            .find(|slot| targets[*slot] != reporter && !chosen.contains(slot));
        let Some(slot) = free else { break };
        chosen.insert(slot);
        order.push(targets[slot]);
    }
    order
}

/// `k` of the walk: the quorum spread over the probers, within its bounds, and never more than all others (chain 3.2).
#[must_use]
pub fn regular_walk_len(eligible_count: usize, target_count: usize, counts: ProbeCounts) -> usize {
    if eligible_count == 0 || target_count <= 1 {
        return 0;
    }
    let spread = (counts.quorum as usize).saturating_mul(target_count).div_ceil(eligible_count);
    spread.max(counts.min as usize).min(counts.max as usize).min(target_count - 1)
}

/// `ceil(n / divisor)` within `[1, n]`, and 0 of none (wire 1.3).
fn target_count(account_count: usize, divisor: u32) -> usize {
    let divisor = if divisor == 0 { DEFAULT_TARGET_DIVISOR } else { divisor };
    account_count.div_ceil(divisor as usize).clamp(usize::from(account_count > 0), account_count)
}

/// The target other than the challenger with the lowest pair hash (wire 1.4).
fn lowest_pair<'a>(
    challenger: &str,
    targets: impl Iterator<Item = &'a str>,
    seeded: &KeyedHash,
) -> Option<&'a str> {
    let prefix = seeded.clone().part(challenger.as_bytes());
    lowest_ranked(targets.filter(|target| *target != challenger), |target| {
        prefix.clone().part(target.as_bytes()).part(label::PAIR).finish()
    })
}

fn unique_names<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().filter(|name| !name.is_empty()).collect()
}

fn sorted_unique<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: &[u8] = b"01234567890123456789012345678901";
    const NODES: [&str; 6] = ["sn-a", "sn-b", "sn-c", "sn-d", "sn-e", "sn-f"];

    /// Pairs like `a→f` as an assignment of `sn-` accounts.
    fn pairs(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace()
            .map(|pair| pair.split_once('→').unwrap())
            .map(|(challenger, target)| (format!("sn-{challenger}"), format!("sn-{target}")))
            .collect()
    }

    fn owned(assignment: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
        assignment
            .into_iter()
            .map(|(challenger, target)| (challenger.to_owned(), target.to_owned()))
            .collect()
    }

    #[test]
    fn ranks_agree_with_the_published_values() {
        // Wire 1.17, chain 3.3.
        let ranks = [
            ("sn-a", "bf2bd1e684b3640d2bb047f4d71db719f8f4aa2c3b1601df492115f6e3552b7f"),
            ("sn-b", "f55a8f2385f629d626db44da2ebe4f35f8f8fffdefc93349ab9abd44f6652e34"),
            ("sn-c", "d57058c6a0488841ea27d75101694984c9267dd8f41db12ae929544d5ac67514"),
            ("sn-d", "74c818a1ef902401b4cb1e31313c1168975e730a791d2331ed547cbaac03c88f"),
            ("sn-e", "29065082c2e297405639a8564775535005b3d2da246e1e28cf5329ce65cd33a7"),
            ("sn-f", "22c4175a33b11a36b0f50e4b1b3853092c47c4d4e6eee5aec24344490461a35f"),
        ];
        for (account, expected) in ranks {
            assert_eq!(hex::encode(target_rank(account, SEED)), expected, "{account}");
        }
        assert_eq!(rank_targets(&NODES, SEED), ["sn-f", "sn-e", "sn-d", "sn-a", "sn-c", "sn-b"]);
        let pair_ranks = [
            ("sn-a", "sn-f", "4dee09cdd30f83981b25f1e2fcc893eb7db6b9ee248a5e5bdba2e6db915d1c87"),
            ("sn-a", "sn-e", "7e5750328218312a3a2ba7bd392b7187ab00b244287468764c0a56ecc02791e0"),
            ("sn-b", "sn-f", "fd5aa4c225ff964ebcedf62351843a86e37d8fde735047c1eba1c1032dcf97d9"),
            ("sn-b", "sn-e", "6be48aea5f40a2c9ed4787ee30abcaa158a8cd3098a5a3110feb39b068b02995"),
        ];
        for (challenger, target, expected) in pair_ranks {
            assert_eq!(hex::encode(pair_rank(challenger, target, SEED)), expected, "{challenger} {target}");
        }
    }

    #[test]
    fn selections_agree_with_the_published_values() {
        // Wire 1.17: accounts, divisor, selected.
        let letters = ["x", "y", "z", "a", "b", "c", "d", "e", "f", "g", "h"];
        let table: [(&[&str], u32, &[&str]); 7] = [
            (&NODES, 3, &["sn-f", "sn-e"]),
            (&NODES, 0, &["sn-f", "sn-e"]),
            (&letters, 4, &["z", "f", "c"]),
            (&NODES[..2], 3, &["sn-a"]),
            (&NODES[..3], 3, &["sn-a"]),
            (&NODES[..1], 3, &["sn-a"]),
            (&[], 3, &[]),
        ];
        for (accounts, divisor, expected) in table {
            assert_eq!(select_targets(accounts, SEED, divisor), expected, "{accounts:?} / {divisor}");
        }
        assert_eq!(select_targets(&["sn-a", "sn-a"], SEED, 1), ["sn-a", "sn-a"], "not de-duplicated");
    }

    #[test]
    fn pairings_agree_with_the_published_values() {
        // Wire 1.17: targets, those already assigned, the target of sn-a.
        let table: [(&[&str], &[&str], Option<&str>); 3] = [
            (&NODES[1..4], &["sn-b", "sn-c"], Some("sn-d")),
            (&NODES[1..4], &["sn-b", "sn-c", "sn-d"], None),
            (&NODES[..3], &[], Some("sn-b")),
        ];
        for (targets, assigned, expected) in table {
            assert_eq!(pair_challenger("sn-a", targets, SEED, assigned), expected, "{targets:?}");
        }
    }

    #[test]
    fn assignments_agree_with_the_published_values() {
        // Wire 1.17: active accounts, selected targets, candidates, assignment.
        type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str);
        let table: [Row<'_>; 4] = [
            (&NODES, &["sn-f", "sn-e"], &NODES, "a→f b→e"),
            (&NODES[..2], &["sn-a"], &NODES[..2], "a→b"),
            (&NODES[..3], &["sn-a", "sn-a", ""], &NODES[..3], "a→b"),
            (&NODES[..2], &["sn-postponed"], &["sn-postponed"], "a→postponed"),
        ];
        for (active, selected, candidates, expected) in table {
            let assignment = assign(active, selected, candidates, SEED);
            assert_eq!(owned(assignment), pairs(expected), "{active:?} {selected:?}");
        }
    }

    #[test]
    fn storage_truth_agrees_with_the_published_table() {
        let with_postponed = ["sn-a", "sn-b", "sn-c", "sn-p"];
        // Chain 3.3 and, last, wire 1.17: eligible accounts, targets, divisor, assignment.
        let table: [(&[&str], &[&str], u32, &str); 9] = [
            (&NODES, &NODES, 3, "a→f b→e"),
            (&NODES, &NODES, 1, "a→f b→d c→a d→b e→c f→e"),
            (&NODES, &NODES, 2, "a→f b→d c→e"),
            (&NODES[..3], &NODES[..3], 1, "a→b b→a"),
            (&NODES[..3], &with_postponed, 1, "a→p b→a c→b"),
            (&NODES[..3], &with_postponed, 3, "a→p"),
            (&NODES[..1], &NODES, 1, ""),
            (&NODES, &[], 3, "a→f b→e"),
            (&NODES[..2], &["sn-postponed"], 1, "a→postponed"),
        ];
        for (eligible, targets, divisor, expected) in table {
            let assignment = assign_storage_truth(eligible, targets, SEED, divisor);
            assert_eq!(owned(assignment), pairs(expected), "{eligible:?} {targets:?} / {divisor}");
        }
    }

    #[test]
    fn the_walk_agrees_with_the_published_table() {
        let three = ProbeCounts { quorum: 3, min: 3, max: 5 };
        let two = ProbeCounts { quorum: 2, min: 1, max: 2 };
        let one = ProbeCounts { quorum: 1, min: 1, max: 1 };
        // Chain 3.2: eligible accounts, counts, then each reporter's targets.
        let table: [(&[&str], ProbeCounts, &[&str]); 3] = [
            (&NODES, three, &["bcd", "efa", "bde", "efa", "bcd", "eab"]),
            (&NODES[..4], two, &["bc", "de", "fa", "bc"]),
            (&NODES[..1], one, &["b"]),
        ];
        for (eligible, counts, expected) in table {
            for (reporter, expected) in eligible.iter().zip(expected) {
                let rule = AssignmentRule::RegularWalk(counts);
                let duty = assigned_targets(reporter, eligible, &NODES, SEED, rule).unwrap();
                let targets: Vec<_> = expected.chars().map(|name| format!("sn-{name}")).collect();
                assert_eq!(duty, ReporterDuty { is_prober: true, targets }, "{reporter} of {eligible:?}");
            }
        }
        assert_eq!(regular_walk_len(4, 6, three), 5);
        assert_eq!(regular_walk_len(0, 6, three), 0);
        assert_eq!(regular_walk_len(6, 1, three), 0);
    }

    #[test]
    fn duties_have_their_edges() {
        let rule = AssignmentRule::StorageTruth { divisor: 3 };
        let duty = |reporter, seed| assigned_targets(reporter, &NODES, &NODES, seed, rule);
        assert_eq!(duty("", SEED), Err(AssignmentError::NoReporter));
        assert_eq!(duty("sn-a", &SEED[..7]), Err(AssignmentError::SeedTooShort { len_bytes: 7 }));
        assert_eq!(duty("stranger", SEED).unwrap(), ReporterDuty::default());
        assert_eq!(duty("sn-a", SEED).unwrap().targets, ["sn-f"]);
        let idle = duty("sn-c", SEED).unwrap();
        assert!(idle.is_prober && idle.targets.is_empty());
    }

    proptest! {
        #[test]
        fn nobody_gets_itself_and_no_target_is_given_twice(
            active in proptest::collection::vec("[a-f]{0,2}", 0..30),
            targets in proptest::collection::vec("[a-f]{0,2}", 0..30),
            seed in proptest::collection::vec(any::<u8>(), 0..40),
            divisor in 0_u32..5,
        ) {
            let active: Vec<&str> = active.iter().map(String::as_str).collect();
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            let selected = select_targets(&targets, &seed, divisor);
            let quota = unique_names(&selected).len();
            for assignment in [
                assign(&active, &selected, &targets, &seed),
                assign_storage_truth(&active, &targets, &seed, divisor),
            ] {
                prop_assert!(assignment.iter().all(|(challenger, target)| challenger != target));
                let given: BTreeSet<_> = assignment.values().collect();
                prop_assert_eq!(given.len(), assignment.len());
                prop_assert!(assignment.keys().all(|challenger| active.contains(challenger)));
            }
            prop_assert!(assign(&active, &selected, &targets, &seed).len() <= quota);
        }

        #[test]
        fn a_walk_visits_others_once(
            index in 0_usize..6,
            quorum in any::<u32>(),
            max in any::<u32>(),
            seed in any::<[u8; 8]>(),
        ) {
            let rule = AssignmentRule::RegularWalk(ProbeCounts { quorum, min: 0, max });
            let duty = assigned_targets(NODES[index], &NODES, &NODES, &seed, rule).unwrap();
            let unique: BTreeSet<_> = duty.targets.iter().collect();
            prop_assert_eq!(unique.len(), duty.targets.len());
            prop_assert!(!duty.targets.iter().any(|target| target == NODES[index]));
        }
    }
}
