//! The choices of the challenge scheme before LEP-6, which old peers still run (wire 1.16, chain 3.4).
//!
//! Owns the XOR rankings and the helpers around them. They have no effect on scores; the chain still uses the
//! challengers to authorise one kind of evidence.

use crate::artifact_key::ARTIFACT_KEY_TEXT_LEN_MAX;
use crate::hash::{Digest, first_eight_bytes};

/// The text from which the challengers of an epoch are ranked.
#[must_use]
pub fn comparison_target(seed: &[u8], epoch_id: u64) -> String {
    format!("sc:challengers:{}:{epoch_id}", hex::encode(seed))
}

/// How many of `node_count` nodes challenge: as requested, or a third (at least one) if 0 is requested.
#[must_use]
pub fn challenger_count(node_count: usize, requested: usize) -> usize {
    match requested {
        0 => node_count.div_ceil(3),
        _ => requested.min(node_count),
    }
}

/// The `count` ids whose BLAKE3 is closest to the target by XOR, ties by id.
///
/// A target of exactly 32 bytes is used as it is, any other is hashed with BLAKE3.
#[must_use]
pub fn closest_by_xor<'a>(ids: &[&'a str], target: &[u8], count: usize) -> Vec<&'a str> {
    let target: Digest = target.try_into().unwrap_or_else(|_| blake3::hash(target).into());
    let mut ranked: Vec<(Digest, &str)> = ids
        .iter()
        .map(|&id| {
            let hash = blake3::hash(id.as_bytes());
            (std::array::from_fn(|i| hash.as_bytes()[i] ^ target[i]), id)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(count).map(|(_, id)| id).collect()
}

/// The challengers of an epoch.
#[must_use]
pub fn challengers<'a>(ids: &[&'a str], seed: &[u8], epoch_id: u64, requested: usize) -> Vec<&'a str> {
    let count = challenger_count(ids.len(), requested);
    closest_by_xor(ids, comparison_target(seed, epoch_id).as_bytes(), count)
}

/// The nodes that hold a file, which is named by its base58 key; `None` if the key decodes to nothing.
///
/// Keys of other lengths than an artifact's are accepted, as the rule has it, up to a bound.
#[must_use]
pub fn replica_set<'a>(ids: &[&'a str], file_key: &str, count: usize) -> Option<Vec<&'a str>> {
    // Twice a key's length: base58 decoding is quadratic, and no real key is longer.
    if file_key.len() > 2 * ARTIFACT_KEY_TEXT_LEN_MAX {
        return None;
    }
    let target = bs58::decode(file_key).into_vec().ok()?;
    (!target.is_empty()).then(|| closest_by_xor(ids, &target, count))
}

/// The files that a challenger asks about: `count` of them, drawn one after the other from the sorted keys.
#[must_use]
pub fn file_keys<'a>(
    keys: &[&'a str],
    challenger: &str,
    seed: &[u8],
    epoch_id: u64,
    count: usize,
) -> Vec<&'a str> {
    let mut open = keys.to_vec();
    open.sort_unstable();
    let seed = hex::encode(seed);
    (0..count.min(keys.len()))
        .map(|i| {
            let draw = text_number(&format!("sc:files:{challenger}:{epoch_id}:{seed}:{i}"));
            open.remove((draw % open.len() as u64) as usize)
        })
        .collect()
}

/// How long a node waits in an epoch before it starts, in milliseconds below `max_ms` (0 if that is 0).
#[must_use]
pub fn start_jitter_ms(seed: &[u8], epoch_id: u64, account: &str, max_ms: u64) -> u64 {
    let draw = text_number(&format!("sc:jitter:{}:{epoch_id}:{account}", hex::encode(seed)));
    draw.checked_rem(max_ms).unwrap_or(0)
}

/// The id of a challenge, as 64 hex digits.
#[must_use]
pub fn challenge_id(seed: &[u8], epoch_id: u64, file_key: &str, challenger: &str, recipient: &str) -> String {
    let seed = hex::encode(seed);
    let text = format!("sc:challenge:{seed}:{epoch_id}:{file_key}:{challenger}:{recipient}");
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn text_number(text: &str) -> u64 {
    first_eight_bytes(blake3::hash(text.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact_key::ArtifactKey;

    const SEED: &[u8] = b"01234567890123456789012345678901";
    const NODES: [&str; 6] = ["sn-a", "sn-b", "sn-c", "sn-d", "sn-e", "sn-f"];

    #[test]
    fn order_and_jitter_agree_with_the_published_values() {
        let order = challengers(&NODES, SEED, 42, NODES.len());
        assert_eq!(order, ["sn-a", "sn-d", "sn-c", "sn-b", "sn-f", "sn-e"]);
        assert_eq!(start_jitter_ms(SEED, 42, "sn-a", 60_000), 52_096);
        assert_eq!(start_jitter_ms(SEED, 42, "sn-a", 0), 0);
    }

    #[test]
    fn counts_have_their_edges() {
        // Nodes, requested, challengers.
        for (nodes, requested, expected) in [(0, 0, 0), (0, 5, 0), (1, 0, 1), (6, 0, 2), (7, 0, 3), (6, 9, 6)]
        {
            assert_eq!(challenger_count(nodes, requested), expected, "{requested} of {nodes}");
        }
    }

    #[test]
    fn file_keys_are_drawn_without_repetition() {
        let drawn = file_keys(&NODES, "sn-a", SEED, 42, 10);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, NODES);
        assert_eq!(file_keys(&NODES, "sn-a", SEED, 42, 2), drawn[..2]);
    }

    #[test]
    fn replica_sets_need_a_key() {
        let key = ArtifactKey::of(b"file");
        let expected = closest_by_xor(&NODES, key.as_bytes(), 3);
        assert_eq!(replica_set(&NODES, &key.to_string(), 3), Some(expected));
        for key in ["", "0OIl", &"1".repeat(1000)] {
            assert_eq!(replica_set(&NODES, key, 3), None, "{key}");
        }
    }
}
