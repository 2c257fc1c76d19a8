//! Evidence against liars in a whole network, handed to somebody who was not there: what is proven, what is only a word,
//! and that nobody honest is in it.

use crate::liars::Lie;
use crate::network::Network;
use lampkeeper_plugin_sdk::api::history::{HistoryFilter, HistoryJournal, KeptEvidence};
use lampkeeper_plugin_sdk::evidence::{EvidenceRecord, Finding, Verdict, verify};
use std::collections::BTreeMap;

const SEED: u64 = 41;
const EPOCHS: usize = 4;
const HONEST: usize = 8;
const FILE_LEN_BYTES: usize = 600_000;

/// A lie, and what evidence of it is worth. Only who signs bytes that are not the artifact's has proven it himself.
const LIARS: [(&str, Lie, Verdict); 5] = [
    ("invents bytes with a matching hash", Lie::Invents, Verdict::Proven),
    ("keeps each artifact's first half", Lie::FirstHalf, Verdict::Proven),
    ("serves another artifact's bytes", Lie::OtherArtifact, Verdict::Proven),
    ("signs with another key", Lie::OtherKey, Verdict::WordOnly),
    ("answers after the deadline", Lie::Late, Verdict::WordOnly),
];

/// All evidence that was kept in the network, by the name of its target.
fn kept(network: &Network) -> BTreeMap<String, Vec<KeptEvidence>> {
    let mut kept: BTreeMap<String, Vec<KeptEvidence>> = BTreeMap::new();
    for node in &network.nodes {
        let listed =
            network.scheduler.block_on(node.journal.evidence_list(&HistoryFilter::default())).unwrap();
        for summary in listed {
            let evidence = network.scheduler.block_on(node.journal.evidence(&summary.evidence_id)).unwrap();
            kept.entry(network.name_of(&summary.target_account).to_owned())
                .or_default()
                .push(evidence.unwrap());
        }
    }
    kept
}

/// What somebody else makes of a text that he was handed.
fn judge(text: &str) -> Verdict {
    EvidenceRecord::from_json(text).map_or(Verdict::Broken, |record| verify(&record).verdict)
}

#[test]
fn a_third_party_sees_what_is_proven_against_whom() {
    let honest = (1..=HONEST).map(|number| (format!("honest-{number}"), None));
    let liars = LIARS.iter().map(|(name, lie, _)| ((*name).to_owned(), Some(*lie)));
    let mut network = Network::start(SEED, &honest.chain(liars).collect::<Vec<_>>(), FILE_LEN_BYTES);
    for _ in 0..EPOCHS {
        network.finish_epoch();
    }
    let kept = kept(&network);
    for (name, lie, expected) in LIARS {
        let evidence = kept.get(name).unwrap_or_else(|| panic!("none against: {name}, seed {SEED}"));
        let mut worth: BTreeMap<String, usize> = BTreeMap::new();
        for one in evidence {
            let verdict = judge(&one.record);
            assert_ne!(verdict, Verdict::Broken, "{name}: {}, seed {SEED}", one.record);
            assert_eq!(one.is_proven, verdict == Verdict::Proven, "{name}");
            *worth.entry(format!("{verdict:?}")).or_default() += 1;
        }
        println!("{name}: {worth:?}");
        assert!(worth.contains_key(&format!("{expected:?}")), "{name} ({lie:?}): {worth:?}, seed {SEED}");
        assert!(
            expected == Verdict::Proven || worth.len() == 1,
            "{name} has signed nothing wrong: {worth:?}"
        );
    }
    let accused: Vec<_> = kept.keys().filter(|name| name.starts_with("honest")).collect();
    assert_eq!(accused, Vec::<&String>::new(), "seed {SEED}");
}

/// Whoever passes evidence on can't change whom it is against, or what was said.
#[test]
fn passed_on_evidence_can_not_be_turned_against_others() {
    let names = (1..=HONEST).map(|number| (format!("honest-{number}"), None));
    let names: Vec<_> = names.chain([("liar".to_owned(), Some(Lie::Invents))]).collect();
    let mut network = Network::start(SEED, &names, FILE_LEN_BYTES);
    for _ in 0..EPOCHS {
        network.finish_epoch();
    }
    let kept = kept(&network);
    let proven = kept["liar"].iter().find(|one| one.is_proven).expect("proven evidence");
    let record = EvidenceRecord::from_json(&proven.record).unwrap();
    assert_eq!(judge(&proven.record), Verdict::Proven);
    let victim = &network.nodes[0].account;
    for (from, to) in [
        (record.target.account.as_str(), victim.as_str()),
        (record.challenger.account.as_str(), victim.as_str()),
        (record.ticket_id.as_str(), "4711"),
        ("wrong_bytes", "missing"),
    ] {
        let forged = proven.record.replace(&format!("\"{from}\""), &format!("\"{to}\""));
        assert_ne!(forged, proven.record, "{from}");
        assert_eq!(judge(&forged), Verdict::Broken, "{from} as {to}");
    }
    // The verdict rests on parts that the challenger can't make.
    let statements = verify(&record).statements;
    for subject in ["target's key", "target's signature", "true bytes"] {
        let statement = statements.iter().find(|statement| statement.subject == subject);
        assert_eq!(statement.map(|statement| statement.finding), Some(Finding::Holds), "{subject}");
    }
}
