//! Transactions from outside: sequences, hashes, atomicity, and what the chain remembers of them.

use lampkeeper_chain_sim::chain::{Broadcast, SimChain, SimChainOptions};
use lampkeeper_chain_sim::{ChainConfig, Message, State, Transaction, address};
use lampkeeper_plugin_sdk::api::chain::ChainError;
use lampkeeper_plugin_sdk::testkit::VirtualScheduler;
use std::sync::Arc;

/// A chain that makes blocks on demand; alice and bob have 100 ulume each.
fn chain(scheduler: &VirtualScheduler, history_blocks_max: usize) -> (Arc<SimChain>, String, String) {
    let mut state = State::new(ChainConfig::default());
    let (alice, bob) = (address::labelled_account("alice"), address::labelled_account("bob"));
    state.bank.mint(&alice, 100);
    state.bank.mint(&bob, 100);
    let options = SimChainOptions { block_interval_ms: 0, history_blocks_max, ..SimChainOptions::default() };
    (SimChain::new(state, options, scheduler.handle()), alice, bob)
}

fn send(from: &str, to: &str, amount_ulume: u64) -> (String, Message) {
    (from.to_owned(), Message::BankSend { to: to.to_owned(), amount_ulume })
}

fn signed(messages: Vec<(String, Message)>, sequence: u64, hash: &str) -> Broadcast {
    Broadcast {
        transaction: Transaction { signer: messages[0].0.clone(), messages },
        tx_hash: Some(hash.to_owned()),
        raw: hash.as_bytes().to_vec(),
        sequence: Some(sequence),
    }
}

fn refused_code(error: &ChainError) -> (&str, u32) {
    match error {
        ChainError::Rejected(rejection) => (&rejection.codespace, rejection.code),
        other => panic!("{other}"),
    }
}

#[test]
fn sequences_count_what_waits_for_its_block() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, alice, bob) = chain(&scheduler, 10);
    for sequence in 0..3 {
        assert_eq!(chain.next_sequence(&alice), sequence);
        let hash = format!("A{sequence}");
        chain.broadcast(signed(vec![send(&alice, &bob, 1)], sequence, &hash)).unwrap();
    }
    let early = chain.broadcast(signed(vec![send(&alice, &bob, 1)], 5, "A5")).unwrap_err();
    assert_eq!(refused_code(&early), ("sdk", 32));
    assert!(early.to_string().contains("expected 3, got 5: incorrect account sequence"), "{early}");
    let again = chain.broadcast(signed(vec![send(&alice, &bob, 1)], 3, "a2")).unwrap_err();
    assert_eq!(refused_code(&again), ("sdk", 19), "hashes are the same in either case");
    assert_eq!(chain.account(&alice).map(|account| account.sequence), Some(0), "nothing is executed yet");
    chain.produce_block().unwrap();
    assert_eq!(chain.account(&alice).map(|account| (account.sequence, account.balance_ulume)), Some((3, 97)));
}

#[test]
fn a_transaction_with_a_refused_message_leaves_only_its_sequence_behind() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, alice, bob) = chain(&scheduler, 10);
    let messages = vec![send(&alice, &bob, 60), send(&alice, &bob, 60)];
    let simulated = chain.simulate(&Transaction { signer: alice.clone(), messages: messages.clone() });
    assert_eq!(simulated.unwrap_err().message_index, 1);
    let hash = chain.broadcast(signed(messages, 0, "F0")).unwrap();
    assert_eq!(chain.transaction(&hash), None, "no block has executed it");
    chain.produce_block().unwrap();
    let record = chain.transaction("f0").unwrap();
    assert_eq!((record.code(), record.codespace(), record.height, record.index), (5, "sdk", 1, 0));
    assert!(record.raw_log().starts_with("failed to execute message; message index: 1: "), "{record:?}");
    assert_eq!((record.events().count(), record.responses().count()), (0, 0));
    let account = chain.account(&alice).unwrap();
    assert_eq!((account.balance_ulume, account.sequence), (100, 1));
}

#[test]
fn blocks_and_transactions_are_remembered_for_a_while() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, alice, bob) = chain(&scheduler, 2);
    for number in 0..4 {
        chain.broadcast(signed(vec![send(&alice, &bob, 1)], number, &format!("B{number}"))).unwrap();
        chain.produce_block().unwrap();
    }
    let latest = chain.latest_block().unwrap();
    assert_eq!((latest.height, latest.tx_hashes.as_slice()), (4, ["B3".to_owned()].as_slice()));
    assert_eq!(latest.header_hash, chain.read(|state| state.header_hash(4)));
    assert_eq!(chain.block(3).map(|block| block.height), Some(3));
    assert_eq!((chain.block(2), chain.transaction("B1")), (None, None), "two blocks are kept");
    assert_eq!(chain.transaction("B2").map(|record| (record.height, record.raw)), Some((3, b"B2".to_vec())));
}

#[test]
fn a_transaction_without_messages_is_refused() {
    let scheduler = VirtualScheduler::new(1);
    let (chain, alice, bob) = chain(&scheduler, 2);
    for count in [0, 101] {
        let messages = vec![send(&alice, &bob, 1); count];
        let transaction = Transaction { signer: alice.clone(), messages };
        assert_eq!(refused_code(&chain.broadcast(transaction.into()).unwrap_err()), ("sdk", 18), "{count}");
    }
}
