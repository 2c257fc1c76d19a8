//! The chain on disk: the whole state now and then, and every block since.
//!
//! Owns the two files and their order of writing. A block is on disk before it is executed, and the state machine makes the
//! same of the same blocks, so that a chain that was killed goes on at the height that it had told.

use crate::chain::ExecutedTx;
use lampkeeper_chain_sim::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The file with the whole state.
const SNAPSHOT_FILE: &str = "chain.json";
/// The file with the blocks since, one a line.
const BLOCKS_FILE: &str = "blocks.jsonl";
/// What [`SNAPSHOT_FILE`] is written as before it is complete.
const UNFINISHED_FILE: &str = "chain.json.unfinished";
/// The form of both files.
const FORMAT: u32 = 1;
/// The longest file that is read, in bytes.
const FILE_LEN_BYTES_MAX: u64 = 4 << 30;

/// A block as it is kept: what the state machine needs to make it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredBlock {
    pub(crate) height: i64,
    pub(crate) time_ms: i64,
    pub(crate) transactions_hex: Vec<String>,
}

#[derive(Serialize)]
struct SnapshotRef<'a> {
    format: u32,
    state: &'a State,
    transactions: Vec<&'a ExecutedTx>,
    block_times: &'a BTreeMap<i64, i64>,
}

#[derive(Deserialize)]
pub(crate) struct Snapshot {
    format: u32,
    pub(crate) state: State,
    pub(crate) transactions: Vec<ExecutedTx>,
    pub(crate) block_times: BTreeMap<i64, i64>,
}

/// What an earlier run left.
pub(crate) struct Kept {
    pub(crate) snapshot: Snapshot,
    pub(crate) blocks: Vec<StoredBlock>,
}

/// Why a chain can't be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system failed.
    #[error("{attempted} {} failed: {source}", path.display())]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// What is there is not a chain, or not a whole one.
    #[error("the kept chain can't be used: {reason}; move its directory away to begin anew")]
    Damaged {
        /// Why not.
        reason: String,
    },
    /// There is no chain yet, and none can be begun.
    #[error("the chain can't begin: {reason}")]
    Genesis {
        /// Why not.
        reason: String,
    },
}

/// The files of one chain.
pub(crate) struct Store {
    dir: PathBuf,
    blocks_file: File,
    /// Blocks that were written since the snapshot.
    blocks: usize,
}

fn io(attempted: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { attempted, path, source }
}

impl Store {
    /// Opens a directory, which is made if it is not there, and reads what an earlier run left in it.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Option<Kept>), StoreError> {
        DirBuilder::new().recursive(true).create(dir).map_err(io("making", dir))?;
        let path = dir.join(BLOCKS_FILE);
        let options = OpenOptions::new().create(true).append(true).read(true).clone();
        let blocks_file = options.open(&path).map_err(io("opening", &path))?;
        let mut store = Self { dir: dir.to_owned(), blocks_file, blocks: 0 };
        let Some(text) = read_text(&dir.join(SNAPSHOT_FILE))? else { return Ok((store, None)) };
        let snapshot: Snapshot = serde_json::from_str(&text)
            .map_err(|error| StoreError::Damaged { reason: format!("{SNAPSHOT_FILE}: {error}") })?;
        if snapshot.format != FORMAT {
            let reason = format!("{SNAPSHOT_FILE} has format {}, not {FORMAT}", snapshot.format);
            return Err(StoreError::Damaged { reason });
        }
        let blocks = read_blocks(&read_text(&path)?.unwrap_or_default())?;
        store.blocks = blocks.len();
        Ok((store, Some(Kept { snapshot, blocks })))
    }

    /// How many blocks were written since the snapshot.
    pub(crate) const fn blocks(&self) -> usize {
        self.blocks
    }

    /// Writes a block durably.
    pub(crate) fn append(&mut self, block: &StoredBlock) -> Result<(), StoreError> {
        let path = self.dir.join(BLOCKS_FILE);
        let mut line = serde_json::to_string(block).map_err(|error| damaged(&error))?;
        line.push('\n');
        let written = self.blocks_file.write_all(line.as_bytes());
        written.and_then(|()| self.blocks_file.sync_data()).map_err(io("writing", &path))?;
        self.blocks += 1;
        Ok(())
    }

    /// Writes the whole state, and then forgets the blocks that led to it.
    #[expect(clippy::disallowed_methods, reason = "this module owns the chain's files")]
    pub(crate) fn save_snapshot(
        &mut self,
        state: &State,
        transactions: Vec<&ExecutedTx>,
        block_times: &BTreeMap<i64, i64>,
    ) -> Result<(), StoreError> {
        let (unfinished, finished) = (self.dir.join(UNFINISHED_FILE), self.dir.join(SNAPSHOT_FILE));
        let snapshot = SnapshotRef { format: FORMAT, state, transactions, block_times };
        let text = serde_json::to_string(&snapshot).map_err(|error| damaged(&error))?;
        let mut file = File::create(&unfinished).map_err(io("creating", &unfinished))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(io("writing", &unfinished))?;
        std::fs::rename(&unfinished, &finished).map_err(io("replacing", &finished))?;
        let synced = OpenOptions::new().read(true).open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(io("writing", &self.dir))?;
        // Only now: until here the old blocks on the old state were the chain.
        self.blocks_file.set_len(0).map_err(io("emptying", &self.dir.join(BLOCKS_FILE)))?;
        self.blocks = 0;
        Ok(())
    }
}

fn damaged(error: &serde_json::Error) -> StoreError {
    StoreError::Damaged { reason: format!("it has no JSON form: {error}") }
}

fn read_text(path: &Path) -> Result<Option<String>, StoreError> {
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("opening", path)(error)),
    };
    let mut text = String::new();
    file.take(FILE_LEN_BYTES_MAX).read_to_string(&mut text).map_err(io("reading", path))?;
    Ok(Some(text))
}

/// The blocks of the file. A last line without its end was being written when the process died: nobody was told of it.
fn read_blocks(text: &str) -> Result<Vec<StoredBlock>, StoreError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let read = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| StoreError::Damaged {
            reason: format!("{BLOCKS_FILE}, line {}: {error}", number + 1),
        })
    };
    whole.lines().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_block_was_never_made() {
        let block = |height| StoredBlock { height, time_ms: 1, transactions_hex: vec!["00".to_owned()] };
        let line = |height| serde_json::to_string(&block(height)).unwrap();
        let whole = format!("{}\n{}\n", line(1), line(2));
        assert_eq!(read_blocks(&whole).unwrap(), [block(1), block(2)]);
        let torn = format!("{whole}{}", &line(3)[..10]);
        assert_eq!(read_blocks(&torn).unwrap(), [block(1), block(2)]);
        assert_eq!(read_blocks("").unwrap(), []);
        assert!(read_blocks("nonsense\n").is_err());
    }
}
