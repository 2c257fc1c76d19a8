//! A network whose holders keep everything in one file, so that what they have takes no memory of the healer's.

use crate::creator;
use lampkeeper_plugin_sdk::api::Account;
use lampkeeper_plugin_sdk::api::chain::Ticket;
use lampkeeper_plugin_sdk::api::network::{
    Artifact, ArtifactNetwork, NetworkError, Possession, Published, Survey,
};
use lampkeeper_plugin_sdk::async_trait;
use lampkeeper_plugin_sdk::cascade::fixture::TicketFixture;
use lampkeeper_plugin_sdk::protocol::artifact_key::ArtifactKey;
use lampkeeper_plugin_sdk::protocol::cascade::codec::Parameters;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Members of a replica set.
pub(crate) const REPLICAS: usize = 6;
const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];

/// What is lost.
pub(crate) enum Damage {
    /// So many symbols, spread over the file, of one of their holders each.
    Symbols(usize),
    /// So many repair symbols, of one of their holders each.
    Repair(usize),
    /// So many source symbols, of all their holders.
    Gone(usize),
    /// Everything that one node held.
    Wiped,
    Nothing,
}

impl Damage {
    pub(crate) fn parse(text: &str) -> Self {
        let (kind, count) = text.split_once('=').unwrap_or((text, "0"));
        let count = count.parse().unwrap();
        match kind {
            "symbols" => Self::Symbols(count),
            "repair" => Self::Repair(count),
            "gone" => Self::Gone(count),
            "wiped" => Self::Wiped,
            _ => Self::Nothing,
        }
    }
}

/// Where an artifact is in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    len_bytes: usize,
}

/// A ticket's artifacts on disk.
pub(crate) struct PacketFile {
    dir: PathBuf,
    ticket: Ticket,
    places: BTreeMap<ArtifactKey, Place>,
    /// Keys of the symbols by their encoding symbol id.
    symbols: Vec<ArtifactKey>,
}

impl PacketFile {
    /// Writes a ticket's artifacts: all bytes into one file, keys and lengths into another, symbols first.
    pub(crate) fn write(dir: &Path, fixture: &TicketFixture) {
        let mut packets = BufWriter::new(File::create(dir.join("packets")).unwrap());
        let mut index = BufWriter::new(File::create(dir.join("index")).unwrap());
        for artifact in fixture.symbols.iter().chain(&fixture.id_files) {
            packets.write_all(&artifact.bytes).unwrap();
            let class = if fixture.id_files.contains(artifact) { "id" } else { "symbol" };
            writeln!(index, "{} {} {class}", artifact.key, artifact.bytes.len()).unwrap();
        }
        packets.flush().unwrap();
        index.flush().unwrap();
        std::fs::write(dir.join("file"), &fixture.file).unwrap();
        std::fs::write(dir.join("ticket"), serde_json::to_vec(&fixture.ticket).unwrap()).unwrap();
    }

    pub(crate) fn open(dir: &Path) -> Self {
        let ticket = serde_json::from_slice(&std::fs::read(dir.join("ticket")).unwrap()).unwrap();
        let (mut places, mut symbols, mut offset) = (BTreeMap::new(), Vec::new(), 0);
        for line in std::fs::read_to_string(dir.join("index")).unwrap().lines() {
            let mut words = line.split(' ');
            let key: ArtifactKey = words.next().unwrap().parse().unwrap();
            let len_bytes: usize = words.next().unwrap().parse().unwrap();
            places.insert(key, Place { offset, len_bytes });
            offset += len_bytes as u64;
            if words.next() == Some("symbol") {
                symbols.push(key);
            }
        }
        Self { dir: dir.to_owned(), ticket, places, symbols }
    }

    /// The ticket, without its bytes.
    pub(crate) fn ticket(&self) -> TicketFixture {
        TicketFixture {
            creator: creator(),
            ticket: self.ticket.clone(),
            file: Vec::new(),
            symbols: Vec::new(),
            id_files: Vec::new(),
        }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> File {
        File::open(self.dir.join("file")).unwrap()
    }

    /// A network that has lost something.
    pub(crate) fn damaged(self, damage: &Damage) -> PacketNetwork {
        let packets = File::open(self.dir.join("packets")).unwrap();
        let mut network = PacketNetwork {
            missing: BTreeSet::new(),
            fetched_bytes: AtomicU64::new(0),
            packets,
            places: self.places,
            dir: self.dir,
        };
        let len_bytes = std::fs::metadata(network.dir.join("file")).unwrap().len();
        let source = Parameters::for_file_len(len_bytes).unwrap().source_symbols() as usize;
        let spread = |from: &[ArtifactKey], count: usize| -> Vec<ArtifactKey> {
            (0..count.min(from.len())).map(|number| from[number * from.len() / count]).collect()
        };
        match damage {
            Damage::Symbols(count) => {
                spread(&self.symbols, *count).iter().for_each(|key| network.lose(key, 1));
            }
            Damage::Repair(count) => {
                spread(&self.symbols[source..], *count).iter().for_each(|key| network.lose(key, 1));
            }
            Damage::Gone(count) => {
                spread(&self.symbols[..source], *count).iter().for_each(|key| network.lose(key, REPLICAS));
            }
            Damage::Wiped => {
                let keys: Vec<ArtifactKey> = network.places.keys().copied().collect();
                let held = keys.into_iter().filter(|key| replicas(key).contains(&ACCOUNTS[0].to_owned()));
                network.missing.extend(held.map(|key| (key, ACCOUNTS[0].to_owned())));
            }
            Damage::Nothing => {}
        }
        network
    }
}

/// The network.
pub(crate) struct PacketNetwork {
    dir: PathBuf,
    packets: File,
    places: BTreeMap<ArtifactKey, Place>,
    missing: BTreeSet<(ArtifactKey, Account)>,
    fetched_bytes: AtomicU64,
}

fn replicas(key: &ArtifactKey) -> Vec<Account> {
    let mut accounts = ACCOUNTS.map(str::to_owned).to_vec();
    accounts.sort_by_key(|account| key.distance_to_account(account));
    accounts.truncate(REPLICAS);
    accounts
}

impl PacketNetwork {
    fn lose(&mut self, key: &ArtifactKey, copies: usize) {
        self.missing.extend(replicas(key).into_iter().take(copies).map(|account| (*key, account)));
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }

    fn holds(&self, key: &ArtifactKey, account: &Account) -> bool {
        self.places.contains_key(key) && !self.missing.contains(&(*key, account.clone()))
    }

    /// Reads an artifact and checks it, as whoever fetches does.
    fn read(&self, key: &ArtifactKey) -> Option<Artifact> {
        let place = self.places.get(key)?;
        replicas(key).iter().find(|account| self.holds(key, account))?;
        let mut bytes = vec![0; place.len_bytes];
        self.packets.read_exact_at(&mut bytes, place.offset).unwrap();
        assert_eq!(ArtifactKey::of(&bytes), *key);
        self.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some(Artifact { key: *key, bytes })
    }
}

#[async_trait]
impl ArtifactNetwork for PacketNetwork {
    async fn replica_set(&self, key: &ArtifactKey) -> Result<Vec<Account>, NetworkError> {
        Ok(replicas(key))
    }

    async fn publish(&self, _: Vec<Artifact>) -> Result<Vec<Published>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn publish_to(&self, _: Vec<Artifact>, _: &[Account]) -> Result<Vec<Published>, NetworkError> {
        Err(NetworkError::NoMembers)
    }

    async fn fetch(&self, keys: &[ArtifactKey]) -> Result<Vec<Option<Artifact>>, NetworkError> {
        Ok(keys.iter().map(|key| self.read(key)).collect())
    }

    async fn survey(&self, keys: &[ArtifactKey], _: bool) -> Result<Vec<Survey>, NetworkError> {
        let possession = |key: &ArtifactKey, account: &Account| {
            if self.holds(key, account) { Possession::Intact } else { Possession::Absent }
        };
        let survey = |key: &ArtifactKey| {
            let holders =
                replicas(key).into_iter().map(|account| (account.clone(), possession(key, &account)));
            Survey { key: *key, holders: holders.collect() }
        };
        Ok(keys.iter().map(survey).collect())
    }
}
