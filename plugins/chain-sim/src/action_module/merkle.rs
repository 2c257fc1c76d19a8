//! The chunk tree of an availability commitment (chain Appendix C, "Merkle").

use crate::state::actions::ChunkProof;

/// A node of the tree.
pub type Node = [u8; 32];

/// `BLAKE3(00 ‖ u32be(index) ‖ data)`.
#[must_use]
pub fn leaf(index: u32, data: &[u8]) -> Node {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[0]).update(&index.to_be_bytes()).update(data);
    hasher.finalize().into()
}

fn parent(left: &Node, right: &Node) -> Node {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[1]).update(left).update(right);
    hasher.finalize().into()
}

/// The root over leaves in order; `None` of none. In an odd level the last node is doubled.
#[must_use]
pub fn root(leaves: &[Node]) -> Option<Node> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| parent(&pair[0], pair.last().unwrap_or(&pair[0]))).collect();
    }
    level.first().copied()
}

/// The proof of one leaf; `None` for an index that the tree does not have.
#[must_use]
pub fn prove(leaves: &[Node], index: u32) -> Option<ChunkProof> {
    let mut position = usize::try_from(index).ok()?;
    let leaf_hash = leaves.get(position)?.to_vec();
    let mut level = leaves.to_vec();
    let (mut path_hashes, mut path_directions) = (Vec::new(), Vec::new());
    while level.len() > 1 {
        let is_left = position.is_multiple_of(2);
        let sibling =
            if is_left { level.get(position + 1).unwrap_or(&level[position]) } else { &level[position - 1] };
        path_hashes.push(sibling.to_vec());
        path_directions.push(is_left);
        level = level.chunks(2).map(|pair| parent(&pair[0], pair.last().unwrap_or(&pair[0]))).collect();
        position /= 2;
    }
    Some(ChunkProof { chunk_index: index, leaf_hash, path_hashes, path_directions })
}

/// Why a proof does not hold, or nothing.
///
/// # Errors
/// The reason, for people.
pub fn verify(proof: &ChunkProof, root: &[u8]) -> Result<(), String> {
    if proof.path_hashes.len() != proof.path_directions.len() {
        let (hashes, directions) = (proof.path_hashes.len(), proof.path_directions.len());
        return Err(format!("path_hashes/path_directions length mismatch: {hashes}/{directions}"));
    }
    let node = |name: &str, bytes: &[u8]| {
        Node::try_from(bytes).map_err(|_| format!("{name} must be 32 bytes, got {}", bytes.len()))
    };
    let mut current = node("leaf_hash", &proof.leaf_hash)?;
    for (index, (hash, sibling_is_right)) in proof.path_hashes.iter().zip(&proof.path_directions).enumerate()
    {
        let sibling = node(&format!("path_hashes[{index}]"), hash)?;
        current = if *sibling_is_right { parent(&current, &sibling) } else { parent(&sibling, &current) };
    }
    if current.as_slice() == root {
        Ok(())
    } else {
        Err(format!("proof for chunk {} failed verification", proof.chunk_index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_agree_with_the_published_values() {
        let leaves = |texts: &[&str]| -> Vec<Node> {
            texts.iter().enumerate().map(|(index, text)| leaf(index as u32, text.as_bytes())).collect()
        };
        let four = leaves(&["A", "B", "C", "D"]);
        assert_eq!(hex::encode(four[0]), "61fc687f706598a45b7d144a0364bc0575002a9fc6e3eee98b6e44a578b21c86");
        assert_eq!(
            hex::encode(root(&four).unwrap()),
            "3f7929c46869e30cdceb151eaa7a01b1862962a0a5c464e341f2703bf377e33b"
        );
        let five = leaves(&["A", "B", "C", "D", "E"]);
        assert_eq!(
            hex::encode(root(&five).unwrap()),
            "f408c608d856ca7c1c6f90a0aab1bd0f8f963a790564da59a268f10c8145c457"
        );
        for tree in [&four, &five] {
            let root = root(tree).unwrap();
            for index in 0..tree.len() as u32 {
                let proof = prove(tree, index).unwrap();
                assert_eq!(verify(&proof, &root), Ok(()), "chunk {index} of {}", tree.len());
                assert!(verify(&proof, &[0; 32]).is_err());
            }
        }
    }
}
