//! Windows of panics, and the pace of warnings.

use super::*;

fn at(seconds: u64) -> Moment {
    Moment::from_start(Duration::from_secs(seconds))
}

fn account() -> Arc<PluginAccount> {
    PluginAccount::with_limits("guest", Some(SupervisionSection::default().into()))
}

#[test]
fn quarantine_begins_with_the_panic_that_is_one_too_many_in_its_window() {
    // (seconds at which it panics, whether the last one leads to quarantine); five in 600 s are too many
    let table: [(&[u64], bool); 5] = [
        (&[0, 0, 0, 0], false),
        (&[0, 0, 0, 0, 0], true),
        (&[0, 150, 300, 450, 600], true),
        (&[0, 150, 300, 450, 601], false),
        (&[0, 300, 600, 900, 1200, 1500], false),
    ];
    for (seconds, expected) in table {
        let account = account();
        let told: Vec<Option<String>> =
            seconds.iter().map(|s| account.note_panic(at(*s), "store", "put", "out of luck")).collect();
        assert_eq!(account.quarantined().is_some(), expected, "{seconds:?}");
        assert_eq!(told.last().unwrap().is_some(), expected, "{seconds:?}");
        assert!(told.iter().rev().skip(1).all(Option::is_none), "{seconds:?}");
        assert_eq!(account.panics(), seconds.len() as u64);
        if expected {
            assert_eq!(account.note_panic(at(601), "store", "put", "again"), None, "it is told once");
        }
    }
}

#[test]
fn who_may_not_be_quarantined_is_not() {
    let scheduler = account();
    scheduler.never_quarantine();
    for spared in [scheduler, PluginAccount::new("host")] {
        (0..100).for_each(|_| assert_eq!(spared.note_panic(at(0), "scheduler", "now", "x"), None));
        assert_eq!((spared.panics(), spared.quarantined()), (100, None));
    }
}

#[test]
fn long_steps_are_counted_and_warned_of_once_a_minute() {
    static PUT: Method = Method::new("store", "put");
    static WORK: Method = Method::new("scheduler", "work");
    let account = account();
    let long = Duration::from_millis(1001);
    assert_eq!(account.note_step(&PUT, Duration::from_secs(1), at(1)), None, "not longer than the limit");
    assert_eq!(account.note_step(&PUT, long, at(2)), Some(1));
    assert_eq!(account.note_step(&PUT, long, at(3)), None);
    assert_eq!(account.note_step(&PUT, long, at(61)), None);
    assert_eq!(account.note_step(&PUT, long, at(62)), Some(3), "the two that were not told of, and this one");
    assert_eq!(account.note_step(&WORK, long, at(200)), None, "blocking work may hold its thread");
    assert_eq!(account.thread_holds(), 4);
}

#[test]
fn tasks_are_known_by_name_until_they_end() {
    let account = account();
    let (first, second) = (account.begin_task("sweep"), account.begin_task("sweep"));
    drop(first);
    assert_eq!(account.tasks(), ["sweep"]);
    drop(second);
    assert!(account.tasks().is_empty());
}
