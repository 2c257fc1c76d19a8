//! Tests of the parts together: a ticket is stored, damaged, and got back.

use super::fixture::{MemoryFile, MemoryNetwork, TicketFixture};
use super::*;
use crate::api::chain::{ChainMessage, ChainStatus, Supernode, Ticket, TicketState, TxReceipt};
use crate::api::network::Artifact;
use crate::api::scheduler::Scheduler;
use crate::api::signer::Signer;
use crate::protocol::artifact_key::ArtifactKey;
use crate::protocol::cascade::codec::FileSource;
use crate::testkit::{MockChain, TestSigner, VirtualScheduler};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const ACCOUNTS: [&str; 8] = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"];

/// Runs in virtual time with the documents of a fixture.
fn with_documents<T>(
    fixture: &TicketFixture,
    network: &MemoryNetwork,
    run: impl AsyncFnOnce(TicketDocuments, Arc<dyn Scheduler>) -> T,
) -> T {
    let scheduler = VirtualScheduler::new(0);
    let chain = fixture.known_to(MockChain::builder("ann")).build();
    scheduler.block_on(async {
        let documents = TicketDocuments::load(&*chain, network, &fixture.ticket).await.unwrap();
        run(documents, scheduler.handle()).await
    })
}

fn reconstruct(
    fixture: &TicketFixture,
    network: &MemoryNetwork,
    unlikely: &BTreeSet<u32>,
) -> (Result<Reconstructed, ReconstructError>, Vec<u8>) {
    with_documents(fixture, network, async |documents, scheduler| {
        let reconstructor = Reconstructor::new(Arc::new(network.clone()), scheduler);
        let file = MemoryFile::new();
        (reconstructor.reconstruct(&documents, unlikely, &file).await, file.bytes())
    })
}

#[test]
fn the_documents_name_every_artifact_and_make_the_id_files_anew() {
    let fixture = TicketFixture::new("1", 200_000, 1);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    with_documents(&fixture, &network, async |documents, _| {
        let named: BTreeSet<ArtifactKey> = documents.artifacts().map(|(key, _)| key).collect();
        let made: BTreeSet<ArtifactKey> = fixture.artifacts().map(|artifact| artifact.key).collect();
        assert_eq!(named, made);
        let kinds: Vec<ArtifactKind> = documents.artifacts().map(|(_, kind)| kind).collect();
        let files = documents.id_files(&kinds).unwrap();
        let originals: Vec<_> =
            fixture.id_files.iter().map(|artifact| (artifact.key, artifact.bytes.clone())).collect();
        assert_eq!(files, originals);
        assert_eq!(documents.kind_of(&fixture.symbols[3].key), Some(ArtifactKind::Symbol { esi: 3 }));
        assert_eq!(documents.kind_of(&ArtifactKey::of(b"another")), None);
    });
    assert_eq!(network.fetched_keys().len(), 1, "one layout file suffices");
}

#[test]
fn documents_that_were_tampered_with_are_refused() {
    type Tamper = fn(&mut Ticket);
    let other = || TicketFixture::new("2", 200_001, 2).ticket;
    type Row = (&'static str, Tamper, fn(&DocumentsError) -> bool);
    let table: [Row; 6] = [
        // The creator signed something else.
        (
            "signature",
            |ticket| ticket.signatures = ticket.signatures.replace('.', "A."),
            |error| matches!(error, DocumentsError::NotSigned { .. } | DocumentsError::Malformed { .. }),
        ),
        (
            "no signature",
            |ticket| ticket.signatures = "x".into(),
            |error| matches!(error, DocumentsError::Malformed { .. }),
        ),
        // The chain knows another file.
        (
            "data hash",
            |ticket| ticket.data_hash = "AAAA".into(),
            |error| matches!(error, DocumentsError::Inconsistent { .. }),
        ),
        (
            "size",
            |ticket| ticket.file_size_kbs += 1,
            |error| matches!(error, DocumentsError::Inconsistent { .. }),
        ),
        (
            "too many ids",
            |ticket| ticket.rq_ids_max = u64::MAX,
            |error| matches!(error, DocumentsError::Inconsistent { .. }),
        ),
        (
            "too many id files",
            |ticket| ticket.rq_ids_max = 5000,
            |error| matches!(error, DocumentsError::Malformed { .. }),
        ),
    ];
    let fixture = TicketFixture::new("1", 200_000, 1);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    let chain = fixture.known_to(MockChain::builder("ann")).build();
    let load =
        |ticket: &Ticket| VirtualScheduler::new(0).block_on(TicketDocuments::load(&*chain, &network, ticket));
    for (name, tamper, is_right) in table {
        let mut ticket = fixture.ticket.clone();
        tamper(&mut ticket);
        let error = load(&ticket).unwrap_err();
        assert!(is_right(&error) && !error.is_transient(), "{name}: {error:?}");
    }
    // The documents of another ticket: its layout is not in this network.
    let error = load(&other()).unwrap_err();
    assert!(matches!(error, DocumentsError::LayoutUnavailable { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn documents_are_remembered_up_to_a_limit() {
    let fixture = TicketFixture::new("1", 1000, 1);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    let chain = fixture.known_to(MockChain::builder("ann")).build();
    let cache = DocumentsCache::new();
    VirtualScheduler::new(0).block_on(async {
        for number in 0..DOCUMENTS_CACHE_ENTRIES_MAX + 1 {
            let ticket = Ticket { ticket_id: number.to_string(), ..fixture.ticket.clone() };
            cache.load(&*chain, &network, &ticket).await.unwrap();
            cache.load(&*chain, &network, &ticket).await.unwrap();
        }
    });
    assert_eq!(network.fetched_keys().len(), DOCUMENTS_CACHE_ENTRIES_MAX + 1);
    let remembered =
        |number: usize| cache.get(&Ticket { ticket_id: number.to_string(), ..fixture.ticket.clone() });
    assert!(remembered(0).is_none(), "the least recently used went");
    assert!(remembered(1).is_some() && remembered(DOCUMENTS_CACHE_ENTRIES_MAX).is_some());
}

#[test]
fn files_come_back_whatever_is_lost_as_long_as_enough_is_left() {
    // Length, then which symbols are lost, of K source and R repair symbols.
    type Lose = fn(u32, u32) -> Vec<u32>;
    let losses: [(&str, Lose); 6] = [
        ("nothing", |_, _| Vec::new()),
        ("one source symbol", |k, _| vec![k / 2]),
        ("the last source symbol", |k, _| vec![k - 1]),
        ("all source symbols", |k, _| (0..k).collect()),
        ("all repair symbols", |k, r| (k..k + r).collect()),
        ("every second symbol", |k, r| (0..k + r).step_by(2).collect()),
    ];
    // One symbol; one that is full; a bit more; several; with sub-blocks (above 160 source symbols).
    for len_bytes in [1, 65_528, 65_536, 400_000, 11_000_000] {
        let fixture = TicketFixture::new("1", len_bytes, 3);
        for (name, lose) in losses {
            let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
            let source = fixture.file.len().div_ceil(65_528) as u32;
            let lost = lose(source, fixture.symbols.len() as u32 - source);
            for esi in &lost {
                network.remove(&fixture.symbols[*esi as usize].key);
            }
            let lost_source = lost.iter().filter(|esi| **esi < source).count() as u64;
            for unlikely in [BTreeSet::new(), lost.iter().copied().collect()] {
                let (outcome, file) = reconstruct(&fixture, &network, &unlikely);
                let made = outcome.unwrap();
                assert!(file == fixture.file, "{len_bytes} bytes, {name}");
                assert_eq!(made.recovered_count, lost_source, "{len_bytes} bytes, {name}");
                assert!(made.fetched_count <= u64::from(source) + 2, "{len_bytes} bytes, {name}: {made:?}");
            }
        }
    }
}

#[test]
fn what_was_wrongly_believed_gone_is_found_in_the_end() {
    let fixture = TicketFixture::new("1", 300_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    for repair in &fixture.symbols[5..] {
        network.remove(&repair.key);
    }
    let (outcome, file) = reconstruct(&fixture, &network, &BTreeSet::from([0, 1, 2, 3, 4]));
    assert!(file == fixture.file && outcome.is_ok_and(|made| made.fetched_count == 5));
}

#[test]
fn a_file_with_too_few_symbols_left_is_lost() {
    let fixture = TicketFixture::new("1", 300_000, 3);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    for symbol in &fixture.symbols[4..] {
        network.remove(&symbol.key);
    }
    let (outcome, _) = reconstruct(&fixture, &network, &BTreeSet::new());
    assert!(matches!(outcome, Err(ReconstructError::Lost { have: 4, need: 5 })), "{outcome:?}");
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<Artifact>);

#[async_trait]
impl PacketSink for Kept {
    async fn accept(&mut self, symbols: Vec<Artifact>) -> Result<(), TargetError> {
        self.0.extend(symbols);
        Ok(())
    }
}

#[test]
fn regenerated_symbols_are_the_originals() {
    for len_bytes in [1, 65_536, 11_000_000] {
        let fixture = TicketFixture::new("1", len_bytes, 5);
        let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
        with_documents(&fixture, &network, async |documents, scheduler| {
            let file = MemoryFile::new();
            for (part, bytes) in fixture.file.chunks(TARGET_IO_LEN_BYTES_MAX).enumerate() {
                file.write_at((part * TARGET_IO_LEN_BYTES_MAX) as u64, bytes.to_vec()).await.unwrap();
            }
            let total = fixture.symbols.len() as u32;
            let wanted: BTreeSet<u32> = (0..total).filter(|esi| esi % 3 != 1 || esi + 1 == total).collect();
            let mut kept = Kept::default();
            regenerate_source_symbols(&documents, &file, &wanted, &mut kept).await.unwrap();
            regenerate_repair_symbols(&documents, &*scheduler, &file, &wanted, &mut kept).await.unwrap();
            let originals: Vec<&Artifact> =
                wanted.iter().map(|esi| &fixture.symbols[*esi as usize]).collect();
            assert!(kept.0.iter().eq(originals), "{len_bytes} bytes");

            let whole = Arc::new(read_whole_file(&file, len_bytes as u64).await.unwrap());
            let mut all = Kept::default();
            encode_symbols(&documents, &*scheduler, whole, &mut all).await.unwrap();
            assert!(all.0 == fixture.symbols, "{len_bytes} bytes");
        });
    }
}

#[test]
fn symbols_of_another_file_are_refused() {
    let fixture = TicketFixture::new("1", 70_000, 5);
    let network = MemoryNetwork::holding(&ACCOUNTS, &fixture);
    with_documents(&fixture, &network, async |documents, scheduler| {
        let other = Arc::new(vec![1; 70_000]);
        let outcome = encode_symbols(&documents, &*scheduler, other, &mut Kept::default()).await;
        assert!(matches!(outcome, Err(RegenerateError::KeyMismatch { esi: 0, .. })), "{outcome:?}");
    });
}

/// A chain on which this creator's request becomes ticket 9, in this state after it was finalised.
fn chain_for_storing(creator: &TestSigner, state: TicketState) -> Arc<MockChain> {
    let ticket =
        Ticket { ticket_id: "9".into(), state, rq_ids_max: 50, block_height: 14, ..Ticket::default() };
    let status = ChainStatus { latest_height: 12, latest_block_time_ms: 5000, ..chain_status() };
    let supernode = Supernode { supernode_account: creator.account().to_owned(), ..Supernode::default() };
    MockChain::builder(creator.account())
        .status(Ok(status))
        .always()
        .top_supernodes(13, 10, Ok(vec![supernode.clone()]))
        .submit_where(
            "a ticket is requested",
            |message| matches!(message, ChainMessage::RequestTicket(request) if request.expiration_time_s == 5 + 90_000),
            Ok(TxReceipt { response_id: "9".into(), ..TxReceipt::default() }),
        )
        .ticket("9", Ok(ticket))
        .always()
        .top_supernodes(14, 10, Ok(vec![supernode]))
        .submit_where(
            "ticket 9 is finalised",
            |message| matches!(message, ChainMessage::FinalizeTicket(finalize) if finalize.rq_ids_ids.len() == 50),
            Ok(TxReceipt::default()),
        )
        .build()
}

fn store(
    chain: &MockChain,
    network: &MemoryNetwork,
    creator: &TestSigner,
    file: Arc<dyn FileSource + Send + Sync>,
) -> (Result<StoredFile, StoreFileError>, Vec<StoreFileProgress>) {
    let scheduler = VirtualScheduler::new(0);
    let handle = scheduler.handle();
    let seams = StoreSeams { chain, network, scheduler: &*handle, signer: creator };
    let told = Mutex::new(Vec::new());
    let (file_name, layout_id_files) = ("file.bin".into(), LAYOUT_ID_FILES);
    let file = FileToStore { source: file, file_name, public: true, layout_id_files };
    let tell = |progress| told.lock().unwrap().push(progress);
    let outcome = scheduler.block_on(store_file(seams, file, &tell));
    (outcome, told.into_inner().unwrap())
}

#[test]
fn a_stored_file_can_be_fetched() {
    let creator = TestSigner::new("creator");
    let chain = chain_for_storing(&creator, TicketState::Done);
    let network = MemoryNetwork::new(&ACCOUNTS);
    let fixture = TicketFixture::new("9", 400_000, 8);
    let (outcome, told) = store(&chain, &network, &creator, Arc::new(Bytes(fixture.file.clone())));
    let stored = outcome.unwrap();
    assert_eq!(
        (stored.ticket_id.as_str(), stored.data_hash.as_str()),
        ("9", fixture.ticket.data_hash.as_str())
    );
    assert_eq!(stored.artifact_count, stored.symbol_count + 100);
    assert_eq!(told.first(), Some(&StoreFileProgress::Encoded { symbol_count: stored.symbol_count }));
    assert_eq!(told.last(), Some(&StoreFileProgress::Finalised { ticket_id: "9".into() }));

    let [ChainMessage::RequestTicket(request), ChainMessage::FinalizeTicket(finalize)] =
        &chain.submitted()[..]
    else {
        panic!("{:?}", chain.submitted())
    };
    let fixture = TicketFixture {
        ticket: Ticket {
            signatures: request.signatures.clone(),
            rq_ids_ic: request.rq_ids_ic,
            rq_ids_max: 50,
            rq_ids_ids: finalize.rq_ids_ids.clone(),
            ..fixture.ticket.clone()
        },
        ..fixture
    };
    let (outcome, file) = reconstruct(&fixture, &network, &BTreeSet::new());
    assert!(outcome.is_ok() && file == fixture.file);
    with_documents(&fixture, &network, async |documents, _| {
        let index: Vec<String> = documents.index_keys().iter().map(ToString::to_string).collect();
        assert_eq!(index, finalize.rq_ids_ids);
        for (key, _) in documents.artifacts() {
            assert!(network.replicas(&key).iter().all(|node| network.bytes_on(node, &key).is_some()));
        }
    });
}

#[test]
fn nothing_is_registered_for_a_file_that_cant_be_stored() {
    let creator = TestSigner::new("creator");
    let network = MemoryNetwork::new(&ACCOUNTS);
    let idle = MockChain::builder(creator.account()).build();
    let (outcome, _) = store(&idle, &network, &creator, Arc::new(Bytes(Vec::new())));
    assert!(matches!(outcome, Err(StoreFileError::EmptyFile)), "{outcome:?}");

    let status = ChainStatus { latest_height: 12, ..chain_status() };
    let outsider = MockChain::builder(creator.account())
        .status(Ok(status))
        .always()
        .top_supernodes(13, 10, Ok(Vec::new()))
        .build();
    let (outcome, _) = store(&outsider, &network, &creator, Arc::new(Bytes(vec![1])));
    assert!(matches!(outcome, Err(StoreFileError::NotAmongTop { .. })), "{outcome:?}");
}

#[test]
fn a_request_that_came_into_the_wrong_block_is_made_again() {
    let creator = TestSigner::new("creator");
    let network = MemoryNetwork::new(&ACCOUNTS);
    let supernode = Supernode { supernode_account: creator.account().to_owned(), ..Supernode::default() };
    let status =
        |latest_height| Ok(ChainStatus { latest_height, latest_block_time_ms: 5000, ..chain_status() });
    let ticket = |id: &str, block_height, state| Ticket {
        ticket_id: id.into(),
        state,
        rq_ids_max: 50,
        block_height,
        ..Ticket::default()
    };
    let receipt = |id: &str| Ok(TxReceipt { response_id: id.into(), ..TxReceipt::default() });
    let chain = MockChain::builder(creator.account())
        .status(status(12))
        .times(2)
        .status(status(20))
        .top_supernodes(13, 10, Ok(vec![supernode.clone()]))
        .submit_where("the first request", |message| message.kind() == "request_ticket", receipt("8"))
        .ticket("8", Ok(ticket("8", 15, TicketState::Pending)))
        .top_supernodes(15, 10, Ok(Vec::new()))
        .top_supernodes(21, 10, Ok(vec![supernode.clone()]))
        .submit_where("the second request", |message| message.kind() == "request_ticket", receipt("9"))
        .ticket("9", Ok(ticket("9", 21, TicketState::Done)))
        .times(2)
        .top_supernodes(21, 10, Ok(vec![supernode]))
        .submit_where("the second is finalised", |message| message.kind() == "finalize_ticket", receipt(""))
        .build();
    let (outcome, _) = store(&chain, &network, &creator, Arc::new(Bytes(vec![1; 1000])));
    assert_eq!(outcome.map(|stored| stored.ticket_id).ok().as_deref(), Some("9"));
}

#[test]
fn a_ticket_is_not_finalised_before_most_holders_have_everything() {
    let creator = TestSigner::new("creator");
    let network = MemoryNetwork::new(&ACCOUNTS[..6]);
    for account in &ACCOUNTS[..3] {
        network.set_down(account, true);
    }
    let ticket = Ticket { ticket_id: "9".into(), rq_ids_max: 50, ..Ticket::default() };
    let supernode = Supernode { supernode_account: creator.account().to_owned(), ..Supernode::default() };
    let chain = MockChain::builder(creator.account())
        .status(Ok(chain_status()))
        .always()
        .top_supernodes(1, 10, Ok(vec![supernode.clone()]))
        .submit_where("any", |_| true, Ok(TxReceipt { response_id: "9".into(), ..TxReceipt::default() }))
        .ticket("9", Ok(ticket))
        .top_supernodes(0, 10, Ok(vec![supernode]))
        .build();
    let (outcome, _) = store(&chain, &network, &creator, Arc::new(Bytes(vec![1; 1000])));
    assert!(matches!(outcome, Err(StoreFileError::NotDurable { stored: 3, members: 6, .. })), "{outcome:?}");
}

#[test]
fn a_finalisation_that_changed_nothing_is_noticed() {
    let creator = TestSigner::new("creator");
    let chain = chain_for_storing(&creator, TicketState::Pending);
    let network = MemoryNetwork::new(&ACCOUNTS);
    let (outcome, _) = store(&chain, &network, &creator, Arc::new(Bytes(vec![1; 1000])));
    assert!(matches!(outcome, Err(StoreFileError::NotFinalised { .. })), "{outcome:?}");
}

/// A file in memory that can be shared.
struct Bytes(Vec<u8>);

impl FileSource for Bytes {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        FileSource::read_at(&self.0[..], offset, buffer)
    }
}

fn chain_status() -> ChainStatus {
    ChainStatus { chain_id: "test".into(), latest_height: 0, latest_block_time_ms: 0 }
}
