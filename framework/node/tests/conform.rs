//! `lampkeeper plugins conform`: every plugin of this build passes the suites of its seams, and what is no plugin is
//! refused. The same for plugins that are loaded is in the tests of `examples`.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "a test lays out files")]

mod conformable;

use conformable::{ALONE, Chain, conform};
use std::process::Command;

#[test]
fn our_plugins_conform() {
    let folder = tempfile::tempdir().unwrap();
    for plugin in ALONE {
        let verdict = conform(folder.path(), &["--id", plugin.id], plugin.config);
        verdict.assert_passed(plugin.id, plugin.suites);
        if plugin.id != "chain-sim" {
            assert_eq!(verdict.not_tested, Vec::<String>::new(), "{}", plugin.id);
        }
    }
}

#[test]
fn our_client_of_the_chain_conforms_against_a_chain_in_a_process_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::start(folder.path());
    let verdict = conform(folder.path(), &["--id", "chain-lumera"], &chain.config());
    verdict.assert_passed("chain-lumera", &["chain"]);
    // Faults can't be forced on a chain that is somewhere else.
    assert_eq!(verdict.not_tested.len(), 3, "{:?}", verdict.not_tested);
}

#[test]
fn what_is_no_plugin_is_refused() {
    let table = [
        (["--id", "nobody"].as_slice(), 1, "there is no plugin nobody"),
        (&[env!("CARGO_BIN_EXE_lampkeeper")], 3, "no plugin header"),
        #[cfg(not(feature = "journal-postgres"))]
        (&["--id", "journal-postgres"], 1, "its feature is `journal-postgres`"),
    ];
    for (arguments, code, words) in table {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        let output = command.args(["plugins", "conform"]).args(arguments).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    }
}
