//! `keys` from outside: what is printed, what is in the files, and who may read them.
#![expect(clippy::unwrap_used, reason = "a test may fail")]
#![expect(clippy::disallowed_methods, reason = "a test lays out files")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The words of Ethereum's own tests, and their first accounts of both types.
const WORDS: &str = "test test test test test test test test test test test junk";
const PASSPHRASE: &str = "correct horse battery";

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs a command in the directory, without a terminal.
    fn run(&self, passphrase: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lampkeeper"));
        command.current_dir(self.dir.path()).args(arguments).stdin(Stdio::null());
        command.env_remove("LAMPKEEPER_PASSPHRASE");
        command.envs(passphrase.map(|passphrase| ("LAMPKEEPER_PASSPHRASE", passphrase)));
        let output = command.output().unwrap();
        // Whatever happens, no passphrase is printed.
        assert!(!told(&output).contains("horse"), "{}", told(&output));
        output
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn first_line(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_key_is_encrypted_unless_a_test_key_is_asked_for() {
    let bench = Bench::new();
    let account = first_line(&bench.run(Some(PASSPHRASE), &["keys", "create", "key.json"]));
    assert!(account.starts_with("lumera1"), "{account}");
    assert!(
        bench.text("key.json").contains("encrypted_key") && !bench.text("key.json").contains("secret_key")
    );
    assert_eq!(mode(&bench.path("key.json")), 0o600);
    // Showing needs no passphrase, unlocking the right one.
    assert_eq!(first_line(&bench.run(None, &["keys", "show", "key.json"])), account);
    let unlock = ["keys", "show", "--unlock", "key.json"];
    assert_eq!(first_line(&bench.run(Some(PASSPHRASE), &unlock)), account);
    for passphrase in [None, Some("wrong horse battery")] {
        let refused = bench.run(passphrase, &unlock);
        assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    }

    let plain = bench.run(None, &["keys", "create", "--keyring", "test", "plain.json"]);
    assert!(told(&plain).contains("not encrypted"), "{}", told(&plain));
    assert!(bench.text("plain.json").contains("secret_key"));
    let again = bench.run(None, &["keys", "create", "--keyring", "test", "plain.json"]);
    assert!(told(&again).contains("never overwritten"), "{}", told(&again));
}

#[test]
fn passphrases_have_a_length_and_come_from_private_files() {
    let bench = Bench::new();
    let short = bench.run(Some("horse"), &["keys", "create", "key.json"]);
    assert_eq!(short.status.code(), Some(3), "{}", told(&short));
    let nobody = bench.run(None, &["keys", "create", "key.json"]);
    assert!(told(&nobody).contains("no terminal"), "{}", told(&nobody));
    bench.write("open", PASSPHRASE, 0o644);
    let arguments = |file| ["keys", "create", "--passphrase-file", file, "key.json"];
    let refused = bench.run(None, &arguments("open"));
    assert!(told(&refused).contains("chmod 600"), "{}", told(&refused));
    assert!(!bench.path("key.json").exists());
    bench.write("private", &format!("{PASSPHRASE}\n"), 0o600);
    let account = first_line(&bench.run(None, &arguments("private")));
    // The end of the line is not part of it.
    let shown = bench.run(Some(PASSPHRASE), &["keys", "show", "--unlock", "key.json"]);
    assert_eq!(first_line(&shown), account);
}

#[test]
fn words_give_the_accounts_that_wallets_give() {
    let bench = Bench::new();
    bench.write("words", &format!("{WORDS}\n"), 0o600);
    let import = |file: &str, more: &[&str]| {
        let arguments = ["keys", "import", "--keyring", "test", "--mnemonic-file", "words", file];
        first_line(&bench.run(None, &[&arguments[..], more].concat()))
    };
    // 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 and 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 as bech32.
    let first = import("first.json", &[]);
    let second = import("second.json", &["--path", "m/44'/60'/0'/0/1"]);
    let ordinary = import("ordinary.json", &["--key-type", "secp256k1"]);
    let address = |account: &str| {
        let bytes = lampkeeper_protocol::account::decode_account(account).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(address(&first), "f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    assert_eq!(address(&second), "70997970c51812dc3a010c7d01b50e0d17dc79c8");
    assert!(ordinary != first && ordinary != second);

    bench.write("open", WORDS, 0o640);
    let refused =
        bench.run(None, &["keys", "import", "--keyring", "test", "--mnemonic-file", "open", "x.json"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(!told(&refused).contains("junk"), "{}", told(&refused));
}

#[test]
fn the_words_of_a_new_key_make_it_again() {
    let bench = Bench::new();
    let made = bench.run(None, &["keys", "create", "--mnemonic", "--keyring", "test", "key.json"]);
    let text = String::from_utf8(made.stdout.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [account, words] = &lines[..] else { panic!("{text}") };
    assert_eq!(words.split(' ').count(), 24);
    bench.write("words", words, 0o600);
    let arguments = ["keys", "import", "--keyring", "test", "--mnemonic-file", "words", "again.json"];
    assert_eq!(first_line(&bench.run(None, &arguments)), **account);
}
