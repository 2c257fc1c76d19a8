//! Every scenario file passes, a wrong expectation fails, broken files are told apart, and the examples of the format's
//! reference run.

use lampkeeper_chain_sim::scenario::{self, ScenarioReport};
use lampkeeper_tests::repository;
use std::fs;
use std::path::PathBuf;

/// The catalogue has scenarios S01 to S75.
const CATALOGUE_COUNT: usize = 75;

fn files() -> Vec<PathBuf> {
    let folder = repository().join("tests/scenarios");
    let Ok(entries) = fs::read_dir(&folder) else { panic!("reading {}", folder.display()) };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

fn name_of(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn every_scenario_file_passes() {
    let mut failed = String::new();
    for path in files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let report = scenario::run(&name_of(&path), &text);
        if !report.passed() {
            failed.push_str(&report.to_string());
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

#[test]
fn the_catalogue_is_complete_and_every_file_says_what_it_is_about() {
    let names: Vec<String> = files().iter().map(|path| name_of(path)).collect();
    for number in 1..=CATALOGUE_COUNT {
        let prefix = format!("s{number:02}-");
        let found = names.iter().filter(|name| name.starts_with(&prefix)).count();
        assert_eq!(found, 1, "files that begin with {prefix}");
    }
    assert!(names.len() >= CATALOGUE_COUNT + 15, "scenarios beyond the catalogue");
    for path in files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let comment = text.lines().take_while(|line| line.starts_with('#')).collect::<String>();
        assert!(comment.len() > 30, "{} begins with a comment that states its case", path.display());
    }
}

#[test]
fn a_run_is_the_same_every_time() {
    for path in files().iter().step_by(7) {
        let text = fs::read_to_string(path).expect("a readable file");
        assert_eq!(scenario::run("file", &text), scenario::run("file", &text), "{}", path.display());
    }
}

/// Every expectation of a file can fail: with its pattern negated, the check that passed fails.
#[test]
fn a_wrong_expectation_fails() {
    let setup =
        "[setup]\nchain.height = 1\nsuspicion = [{ supernode_account = \"a\", suspicion_score = 7 }]\n";
    let suspicion = "state = { store = \"suspicion\", key = \"a\" }";
    let claim = "submit = { as = \"a\", heal_claim = { heal_op_id = 3 } }";
    for (step, found) in [
        (
            format!("expect = [{{ {suspicion}, is = {{ suspicion_score = 8 }} }}]"),
            "`/suspicion_score` is 7, not 8",
        ),
        (
            format!("expect = [{{ {suspicion}, is = {{ suspicion_score = {{ at_least = 8 }} }} }}]"),
            "at_least = 8",
        ),
        (
            format!("expect = [{{ {suspicion}, is = {{ suspicion_score = {{ at_most = 6 }} }} }}]"),
            "at_most = 6",
        ),
        (format!("expect = [{{ {suspicion}, is = {{ suspicion_score = {{ not = 7 }} }} }}]"), "not = 7"),
        (
            format!("expect = [{{ {suspicion}, is = {{ suspicion_score = {{ one_of = [1, 2] }} }} }}]"),
            "one_of",
        ),
        (
            format!("expect = [{{ {suspicion}, is = {{ supernode_account = {{ contains = \"b\" }} }} }}]"),
            "contains",
        ),
        (
            format!("expect = [{{ {suspicion}, is = {{ suspicion_score = {{ absent = true }} }} }}]"),
            "is there",
        ),
        (format!("expect = [{{ {suspicion}, absent = true }}]"), "the other way round"),
        ("expect = [{ state = { store = \"suspicion\" }, count = 2 }]".to_owned(), "is 1, not 2"),
        (
            "expect = [{ state = { store = \"suspicion\", key = \"b\" }, is = {} }]".to_owned(),
            "there is no value",
        ),
        ("expect = [{ pointer = \"/height\", is = 2 }]".to_owned(), "is 1, not 2"),
        ("expect = [{ pointer = \"/nowhere\", is = 2 }]".to_owned(), "there is no value"),
        ("expect = [{ events = { kind = \"x\" }, count = 1 }]".to_owned(), "is 0, not 1"),
        (
            "expect = [{ call = { name = \"scale\", delta = 10, percent = 50 }, is = 6 }]".to_owned(),
            "is 5, not 6",
        ),
        ("expect = [{ query = { name = \"HealOp\", heal_op_id = 1 }, ok = true }]".to_owned(), "NotFound"),
        (
            "expect = [{ query = { name = \"HealOp\" }, refused = { code = \"NotFound\" } }]".to_owned(),
            "the code is InvalidArgument, not NotFound",
        ),
        (claim.to_owned(), "it was refused"),
        (format!("{claim}\nrefused = {{ code = \"audit/12\" }}"), "the code is audit/11, not audit/12"),
        (format!("{claim}\nrefused = {{ phrase = \"op 4\" }}"), "\"op 4\" is not in its words"),
        (format!("{claim}\nexpect = [{{ result = true, ok = true }}]"), "the other way round"),
        ("advance = 1\nrefused = { code = \"block\" }".to_owned(), "it was accepted"),
    ] {
        let report = scenario::run("file", &format!("{setup}[[step]]\n{step}\n"));
        assert_eq!(report.error, None, "{step}");
        assert!(!report.passed(), "this passes: {step}");
        assert!(report.to_string().contains(found), "`{found}` is missing for {step}:\n{report}");
    }
}

#[test]
fn a_broken_file_is_told_with_its_line_and_what_to_write() {
    for (text, expected) in [
        ("[setup\n", "file:1: this is not TOML"),
        ("[setup]\n", "file:1: `step` is missing here"),
        ("[[step]]\nadvance = 1\n[extra]\n", "file:3: unknown key `extra`"),
        ("[[step]]\n\nadvanse = 1\n", "file:3: unknown key `advanse`; did you mean `advance`?"),
        ("[[step]]\nadvance = \"1\"\n", "file:2: this is a text; write a whole number"),
        ("[[step]]\nadvance = -1\n", "file:2: -1 is out of the range"),
        ("[[step]]\nadvance = 99000000\n", "file:2: 99000000 blocks are more than the 1000000 of one step"),
        ("[[step]]\nadvance = 1\nsave = \"x\"\n", "`advance` and `save` stand in one step; make two of them"),
        ("[[step]]\nload = \"x\"\n", "file:2: unknown saved state `x`"),
        ("[[step]]\nto_height = -5\n", "file:2: height -5 is past"),
        ("[[step]]\nsubmit = { as = \"a\" }\n", "file:2: this message has no kind; add one of nil"),
        ("[[step]]\nsubmit = { nil = {} }\n", "file:2: `as` is missing here"),
        ("[[step]]\nsubmit = { as = \"a\", heal_claim = { op = 1 } }\n", "file:2: unknown key `op`"),
        (
            "[[step]]\n[step.submit]\nas = \"a\"\n[step.submit.epoch_report]\nhost_report = { cpu = 1.0 }\n",
            "file:5: unknown key `cpu`; known are cpu_usage_percent",
        ),
        (
            "[setup]\nsuspicion = [\n  { supernode_account = \"a\" },\n  { supernode_account = \"b\", suspicion_score = \"x\" },\n]\n[[step]]\n",
            "file:4: `suspicion_score`: this is string \"x\"; write a whole number in its range",
        ),
        (
            "[setup]\nsuspicions = []\n[[step]]\n",
            "file:2: unknown store `suspicions`; did you mean `suspicion`?",
        ),
        (
            "[setup]\nsuspicion = [{}]\n[[step]]\n",
            "file:2: a record of `suspicion` needs `supernode_account`",
        ),
        ("[setup.params]\nepoch_len = 1\n[[step]]\n", "file:2: unknown key `epoch_len`"),
        (
            "[setup]\nchain.heigth = 1\n[[step]]\n",
            "unknown field of `chain` `heigth`; did you mean `height`?",
        ),
        (
            "[setup]\nnodes = [{ account = \"a\", state = \"DEAD\" }]\n[[step]]\n",
            "file:2: `state`: unknown value `DEAD`",
        ),
        (
            "[[step]]\nquery = { name = \"HealOps\" }\n",
            "file:2: unknown query `HealOps`; did you mean `HealOp`?",
        ),
        ("[[step]]\nquery = { name = \"HealOp\", id = 1 }\n", "file:2: unknown key `id`"),
        (
            "[[step]]\ncall = { name = \"decays\" }\n",
            "file:2: unknown function `decays`; did you mean `decay`?",
        ),
        ("[[step]]\nadvance = 1\nexpect = [{ is = 1 }]\n", "does not say where to look; add one of result"),
        ("[[step]]\nadvance = 1\nexpect = [{ result = true }]\n", "does not say what to find; add one of is"),
        ("[[step]]\nadvance = 1\nexpect = [{ result = 7, ok = true }]\n", "the step has 1 results"),
        ("[[step]]\nadvance = 1\nexpect = [{ pointer = \"x\", is = 1 }]\n", "a pointer begins with `/`"),
        ("[[step]]\nsave = \"${nobody}\"\n", "file:2: unknown reference `nobody`"),
        ("[[step]]\nsave = \"${hex:zz}\"\n", "\"zz\" is not hex"),
        (
            "[[step]]\nremove = { suspicion = [\"a\"] }\n",
            "there is no record [\"a\"] in `suspicion` to remove",
        ),
        ("[[step]]\nset = { \"/height/deep\" = 1 }\n", "leads nowhere in the state"),
        (
            "[[step]]\nset = { \"/height\" = \"one\" }\n",
            "file:2: `height`: this is string \"one\"; write a whole number in its range",
        ),
        (
            "[setup]\nchain.height = 9223372036854775807\n[[step]]\n",
            "9223372036854775807 is no height or time",
        ),
        ("[[step]]\nsave = \"x\"\n", "nothing is expected here; add `expect` to a step"),
        ("[[step]]\nadvance = 1\nrefused = {}\n", "this refusal says nothing"),
        (
            "[[step]]\ninject = { calls = [{ call = \"params\", fault = { type = \"delay\" } }] }\n",
            "`delay_ms` is missing here; add `delay_ms = ...`",
        ),
        (
            "[[step]]\ninject = { calls = [{ call = \"params\", fault = { type = \"late\" } }] }\n",
            "unknown value `late`; did you mean `lag`? known are fail",
        ),
        (
            "[[step]]\ninject = { calls = [{ call = \"*\", account = \"a\", fault = { type = \"delay\", delay_ms = 99000000000 } }] }\n[[step]]\nquery = { name = \"Params\", as = \"a\" }\n",
            "99000000 blocks are more than the 1000000 of one step",
        ),
        (
            "[setup]\nnodes = [{ account = \"a\", state = \"ACTIVE\", states = [] }]\n[[step]]\n",
            "`state` and `states` exclude each other",
        ),
        ("[[step]]\nquery = { name = \"HealOpsByStatus\", status = \"DONE\" }\n", "unknown value `DONE`"),
        (
            "[[step]]\ncall = { name = \"sign_document\", key = \"a\", document = \"d\", what = \"all\" }\n",
            "unknown thing to sign `all`; known are text, document",
        ),
        (
            "[[step]]\nblock = { transactions = [{ as = \"a\", messages = [{ nil = {}, bank_send = {} }] }] }\n",
            "`nil` and `bank_send` stand in one message; make two of them",
        ),
    ] {
        let report = scenario::run("file", text);
        let error = report.error.clone().unwrap_or_default();
        assert!(error.starts_with("file:"), "{text:?}: {error}");
        assert!(error.contains(expected), "`{expected}` is missing in `{error}` for {text:?}");
    }
}

#[test]
fn deep_files_are_refused_and_not_followed() {
    let deep = format!("[[step]]\nset = {{ x = {}{} }}\n", "[".repeat(2000), "]".repeat(2000));
    let report: ScenarioReport = scenario::run("file", &deep);
    assert!(report.error.is_some());
}

/// The examples of the reference page: every fenced TOML block is a whole file that passes.
#[test]
fn the_examples_of_the_reference_run() {
    let text = fs::read_to_string(repository().join("docs/scenarios.md")).expect("the reference page");
    let blocks: Vec<&str> =
        text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= 10, "{} examples", blocks.len());
    for block in blocks {
        let report = scenario::run("docs/scenarios.md", block);
        assert!(report.passed(), "{report}\nin\n{block}");
    }
}
