//! What happens in which epoch: the plugin's configuration.

use lampkeeper_plugin_sdk::prelude::*;

/// The most epochs that a script may have.
const EPOCHS_MAX: usize = 1000;

/// A chain's course.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct Script {
    /// Time between two blocks, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub block_ms: u64,
    /// Blocks in an epoch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epoch_blocks: u64,
    /// The members of the network.
    pub supernodes: Vec<SupernodeScript>,
    /// What happens in each epoch, from epoch 0; the last one repeats for ever.
    pub epochs: Vec<EpochScript>,
}

impl Default for Script {
    fn default() -> Self {
        Self { block_ms: 500, epoch_blocks: 20, supernodes: Vec::new(), epochs: Vec::new() }
    }
}

/// A member of the network.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct SupernodeScript {
    /// Its account.
    pub account: String,
    /// Where it is, `host:port`.
    pub address: String,
}

/// One epoch.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", deny_unknown_fields, default)]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub struct EpochScript {
    /// The accounts that this node has to challenge.
    pub targets: Vec<String>,
    /// What becomes of what this node submits.
    pub submissions: Submissions,
}

/// What becomes of submissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "lampkeeper_plugin_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "lampkeeper_plugin_sdk::schemars")]
pub enum Submissions {
    /// They are executed.
    #[default]
    Accept,
    /// They are refused, for the reason that the creator is no supernode.
    Reject,
    /// They are lost on the way: the chain has not seen them, and may be asked again.
    Lose,
}

impl Script {
    /// What the schema can't say: the key and what is wrong with it.
    ///
    /// # Errors
    /// The first problem.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.epochs.len() > EPOCHS_MAX {
            return Err(("epochs", format!("{} are more than {EPOCHS_MAX}", self.epochs.len())));
        }
        let known = |target: &String| self.supernodes.iter().any(|node| node.account == *target);
        match self.epochs.iter().flat_map(|epoch| &epoch.targets).find(|target| !known(target)) {
            Some(target) => Err(("epochs", format!("the target {target} is not among `supernodes`"))),
            None => Ok(()),
        }
    }

    /// The last block after this time.
    pub fn height_at(&self, elapsed_ms: u64) -> u64 {
        elapsed_ms / self.block_ms.max(1) + 1
    }

    /// The epoch of a block; blocks count from 1.
    pub fn epoch_of(&self, height: u64) -> u64 {
        height.saturating_sub(1) / self.epoch_blocks.max(1)
    }

    /// What happens in an epoch.
    pub fn epoch(&self, epoch_id: u64) -> EpochScript {
        let index = usize::try_from(epoch_id).unwrap_or(usize::MAX);
        self.epochs.get(index).or(self.epochs.last()).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_at_their_time_and_the_last_epoch_repeats() {
        let epoch = |submissions| EpochScript { submissions, ..EpochScript::default() };
        let script = Script {
            block_ms: 100,
            epoch_blocks: 3,
            epochs: vec![epoch(Submissions::Accept), epoch(Submissions::Lose)],
            ..Script::default()
        };
        // Time, block, epoch, what becomes of submissions.
        let table = [
            (0, 1, 0, Submissions::Accept),
            (99, 1, 0, Submissions::Accept),
            (299, 3, 0, Submissions::Accept),
            (300, 4, 1, Submissions::Lose),
            (100_000, 1001, 333, Submissions::Lose),
        ];
        for (elapsed_ms, height, epoch_id, submissions) in table {
            assert_eq!(script.height_at(elapsed_ms), height, "{elapsed_ms} ms");
            assert_eq!(script.epoch_of(height), epoch_id, "{elapsed_ms} ms");
            assert_eq!(script.epoch(epoch_id).submissions, submissions, "{elapsed_ms} ms");
        }
    }

    #[test]
    fn a_target_has_to_be_a_member() {
        let epoch = EpochScript { targets: vec!["ann".to_owned()], ..EpochScript::default() };
        let script = Script { epochs: vec![epoch], ..Script::default() };
        assert_eq!(script.check().unwrap_err().0, "epochs");
    }
}
