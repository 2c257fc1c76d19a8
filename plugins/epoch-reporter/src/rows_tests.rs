//! Tables for the selection of rows.

use super::*;
use lampkeeper_plugin_sdk::protocol::words::ResultClass;

const OWN: &str = "own";

/// A row from a short text, `target bucket ticket`, such as `a R 7`; an empty ticket says "no eligible ticket".
fn row(text: &str) -> StorageProofResult {
    let mut words = text.split_whitespace();
    let target = words.next().unwrap();
    let bucket_type = match words.next().unwrap() {
        "R" => Bucket::Recent,
        "O" => Bucket::Old,
        "P" => Bucket::Probation,
        "K" => Bucket::Recheck,
        other => panic!("unknown bucket {other}"),
    };
    let ticket_id = words.next().unwrap_or_default().to_owned();
    let result_class = if ticket_id.is_empty() { ResultClass::NoEligibleTicket } else { ResultClass::Pass };
    StorageProofResult {
        target_supernode_account: target.to_owned(),
        challenger_supernode_account: OWN.to_owned(),
        bucket_type,
        ticket_id,
        result_class,
        ..StorageProofResult::default()
    }
}

fn text(row: &StorageProofResult) -> String {
    let bucket = &row.bucket_type.name()[..1];
    let bucket = if row.bucket_type == Bucket::Recheck { "K" } else { bucket };
    format!("{} {bucket} {}", row.target_supernode_account, row.ticket_id).trim().to_owned()
}

fn waiting(texts: &[&str]) -> Vec<PendingProofRow> {
    let rows = texts.iter().zip(1..);
    rows.map(|(text, sequence)| PendingProofRow { sequence, epoch_id: 3, row: row(text) }).collect()
}

#[test]
fn the_throttle_is_fair_and_the_order_is_fixed() {
    // What it is about, the limit, rows in the order of arrival, rows of the report.
    let table: [(&str, usize, &[&str], &[&str]); 11] = [
        ("nothing", 2, &[], &[]),
        (
            "no limit reached: sorted by bucket, then ticket",
            4,
            &["a O 1", "a R 9", "a R 10", "a P 1"],
            &["a R 10", "a R 9", "a O 1", "a P 1"],
        ),
        ("equal in both: in order of arrival", 3, &["b R 1", "a R 1"], &["b R 1", "a R 1"]),
        ("no eligible ticket sorts first in its bucket", 3, &["a R 1", "b R"], &["b R", "a R 1"]),
        (
            "the largest group loses its oldest",
            3,
            &["a P 1", "a P 2", "a R 1", "a O 1"],
            &["a R 1", "a O 1", "a P 2"],
        ),
        ("again and again", 3, &["a P 1", "a P 2", "a P 3", "a P 4", "a R 1"], &["a R 1", "a P 3", "a P 4"]),
        (
            "of equal groups, that of the smaller target",
            3,
            &["b P 1", "b P 2", "a P 1", "a P 2"],
            &["b P 1", "b P 2", "a P 2"],
        ),
        (
            "then that of the smaller bucket number",
            3,
            &["a P 1", "a P 2", "a R 1", "a R 2"],
            &["a R 2", "a P 1", "a P 2"],
        ),
        (
            "groups of one are spared while there are others",
            2,
            &["a R 1", "b P 1", "b P 2", "b P 3"],
            &["a R 1", "b P 3"],
        ),
        ("only groups of one: the globally oldest go", 2, &["c R 1", "b R 1", "a R 1"], &["b R 1", "a R 1"]),
        ("a limit of none", 0, &["a R 1", "a R 2"], &[]),
    ];
    for (about, rows_max, rows, expected) in table {
        let kept: Vec<_> = throttle(waiting(rows), rows_max).iter().map(text).collect();
        assert_eq!(kept, expected, "{about}");
    }
}

#[test]
fn a_full_journal_is_throttled_to_what_the_chain_takes() {
    let texts: Vec<String> = (0..4096).map(|i| format!("t{} P {i}", i % 500)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let kept = throttle(waiting(&texts), ROWS_PER_REPORT_MAX);
    assert_eq!(kept.len(), ROWS_PER_REPORT_MAX);
    // Every group ends as one row, its newest, and of those the newest remain.
    let mut tickets: Vec<u32> = kept.iter().map(|row| row.ticket_id.parse().unwrap()).collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (4080..4096).collect::<Vec<_>>());
}

#[test]
fn what_the_chain_would_refuse_is_left_out() {
    let targets = ["a".to_owned(), "b".to_owned()];
    let terms = Terms { own_account: OWN, targets: &targets, fallback: Fallback::AllRows };
    // What it is about, rows, rows of the report, what was left out.
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [(&'static str, u64)]);
    let table: [Row<'_>; 5] = [
        ("all good", &["a R 1", "a O", "b P 1"], &["a R 1", "a O", "b P 1"], &[]),
        ("not assigned", &["c R 1", "a R 1"], &["a R 1"], &[("not_assigned", 1)]),
        ("the oldest row of a canonical bucket counts", &["a R 5", "a R 1"], &["a R 5"], &[("repeated", 1)]),
        ("the same artifact twice", &["a P 5", "a P 5", "b P 5"], &["a P 5", "b P 5"], &[("repeated", 1)]),
        ("each for itself", &["a O 2", "a O", "c P 1"], &["a O 2"], &[("not_assigned", 1), ("repeated", 1)]),
    ];
    for (about, rows, expected, left_out) in table {
        let selection = select(waiting(rows), terms);
        assert_eq!(selection.rows.iter().map(text).collect::<Vec<_>>(), expected, "{about}");
        assert_eq!(selection.left_out, left_out.iter().copied().collect(), "{about}");
    }
    let mut foreign = waiting(&["a R 1"]);
    foreign[0].row.challenger_supernode_account = "other".to_owned();
    assert_eq!(select(foreign, terms).left_out, BTreeMap::from([("other_challenger", 1)]));
    let without = Terms { fallback: Fallback::WithoutProbation, ..terms };
    let selection = select(waiting(&["a P 1", "a R 1"]), without);
    assert_eq!(selection.rows.iter().map(text).collect::<Vec<_>>(), ["a R 1"]);
    assert_eq!(selection.left_out, BTreeMap::from([("refused_by_chain", 1)]));
}

#[test]
fn seventeen_rows_are_one_too_many() {
    let targets = ["a".to_owned()];
    let terms = Terms { own_account: OWN, targets: &targets, fallback: Fallback::AllRows };
    let texts: Vec<String> = ["a R 1".to_owned(), "a O 1".to_owned()]
        .into_iter()
        .chain((0..15).map(|i| format!("a P {i}")))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (count, throttled) in [(16, None), (17, Some(&1))] {
        let selection = select(waiting(&texts[..count]), terms);
        assert_eq!(selection.rows.len(), ROWS_PER_REPORT_MAX);
        assert_eq!(selection.left_out.get("throttled"), throttled);
        assert_eq!(
            missing_coverage(&selection.rows, &targets),
            None,
            "the canonical rows are never throttled"
        );
    }
}

#[test]
fn coverage_is_one_row_of_each_bucket_for_each_target() {
    // Targets, rows, whether they are complete (wire 7.4).
    let table: [(&[&str], &[&str], bool); 10] = [
        (&[], &[], true),
        (&[], &["a R 1"], true), // rows of others are nobody's business
        (&["a"], &[], false),
        (&["a"], &["a R 1"], false),
        (&["a"], &["a O 1"], false),
        (&["a"], &["a R 1", "a O 1"], true),
        (&["a"], &["a R", "a O"], true), // "no eligible ticket" is an answer
        (&["a"], &["a R 1", "a O 1", "a P 1", "a K 1", "b R 1"], true),
        (&["a"], &["a R 1", "a R 2", "a O 1"], false), // exactly one
        (&["a", "b"], &["a R 1", "a O 1", "b R 1"], false),
    ];
    for (targets, rows, complete) in table {
        let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
        let rows: Vec<_> = rows.iter().map(|text| row(text)).collect();
        let missing = missing_coverage(&rows, &targets);
        assert_eq!(missing.is_none(), complete, "{targets:?}: {missing:?}");
    }
}
