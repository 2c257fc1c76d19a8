//! The fees of the budget's window on disk, so that a node that is started again and again does not spend a new budget each
//! time.
//!
//! Owns one small file in the node's data directory. Without it, or when it can't be read, the budget begins anew, which is
//! said: a runaway is stopped by what is remembered, and an honest node must not be.
#![expect(clippy::disallowed_methods, reason = "this module owns one file of the node's data directory")]

use crate::fee::Spent;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The file's name.
const FILE: &str = "chain-fees.json";
/// What it is called while it is written.
const UNFINISHED: &str = "chain-fees.json.unfinished";
/// The form of the file.
const FORMAT: u32 = 1;
/// The longest file that is read, in bytes: about a thousand entries.
const LEN_BYTES_MAX: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Contents {
    format: u32,
    spent: Vec<Spent>,
}

/// Where fees are remembered.
#[derive(Debug)]
pub(crate) struct Ledger {
    dir: PathBuf,
}

impl Ledger {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What an earlier run remembered; nothing if there was none.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(crate) fn load(&self) -> Result<Vec<Spent>, String> {
        let path = self.dir.join(FILE);
        let failed = |reason: String| format!("{}: {reason}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut text = String::new();
        file.take(LEN_BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        let read: Contents = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        match read.format {
            FORMAT => Ok(read.spent),
            other => Err(failed(format!("its format is {other}, and not {FORMAT}"))),
        }
    }

    /// Remembers this, and nothing else; durable when it returns.
    ///
    /// # Errors
    /// Why it can't be written.
    pub(crate) fn save(&self, spent: Vec<Spent>) -> Result<(), String> {
        let (unfinished, finished) = (self.dir.join(UNFINISHED), self.dir.join(FILE));
        let text = serde_json::to_string(&Contents { format: FORMAT, spent });
        let text = text.map_err(|error| error.to_string())?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &finished)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| format!("{}: {error}", finished.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(dir.path());
        assert_eq!(ledger.load(), Ok(Vec::new()));
        let spent = vec![Spent { at_ms: 5, fee: 7 }, Spent { at_ms: 6, fee: u64::MAX }];
        ledger.save(spent.clone()).unwrap();
        assert_eq!(Ledger::new(dir.path()).load(), Ok(spent));
        for damage in ["", "{", "{\"format\":2,\"spent\":[]}", "{\"format\":1,\"spent\":[{\"at_ms\":1}]}"] {
            std::fs::write(dir.path().join(FILE), damage).unwrap();
            assert!(ledger.load().is_err_and(|reason| reason.contains(FILE)), "{damage}");
        }
        let nowhere = Ledger::new(&dir.path().join("nowhere"));
        assert!(nowhere.save(Vec::new()).is_err_and(|reason| reason.contains(FILE)));
    }
}
