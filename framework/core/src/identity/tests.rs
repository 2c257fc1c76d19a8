//! Key files: making, reading, refusing.

use super::*;
use lampkeeper_protocol::account::PublicKey;

#[test]
fn a_new_key_is_read_back_and_signs() {
    let folder = tempfile::tempdir().unwrap();
    for (name, key_type) in [("plain.json", KeyType::Secp256k1), ("evm.json", KeyType::EthSecp256k1)] {
        let path = folder.path().join(name);
        let made = FileSigner::create(&path, key_type).unwrap();
        let read = FileSigner::open(&path).unwrap();
        assert_eq!(made.account(), read.account());
        assert_eq!(read.public_key_type_url(), key_type.type_url());
        let public_key = PublicKey::from_bytes(key_type, &made.public_key()).unwrap();
        public_key.verify(b"message", &read.sign(b"message").unwrap()).unwrap();
    }
    let accounts =
        ["plain.json", "evm.json"].map(|name| FileSigner::open(&folder.path().join(name)).unwrap().account);
    assert_ne!(accounts[0], accounts[1], "keys are drawn anew");
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let first = FileSigner::create(&path, KeyType::Secp256k1).unwrap();
    let refused = FileSigner::create(&path, KeyType::Secp256k1).unwrap_err();
    assert!(matches!(refused, IdentityError::Exists { .. }), "{refused}");
    assert_eq!(FileSigner::open(&path).unwrap().account(), first.account());
    let missing = FileSigner::open(&folder.path().join("other.json")).unwrap_err();
    assert!(matches!(missing, IdentityError::NotFound { .. }), "{missing}");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_to_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    FileSigner::create(&path, KeyType::Secp256k1).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    for open_mode in [0o640, 0o604, 0o620, 0o601] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open_mode)).unwrap();
        let refused = FileSigner::open(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("run `chmod 600 {}`", path.display())), "{refused}");
    }
}

#[test]
fn malformed_key_files_are_refused_without_quoting_the_key() {
    let secret = "07".repeat(32);
    let account = FileSigner::from_secret(KeyType::Secp256k1, &[7; 32]).unwrap().account;
    let url = KeyType::Secp256k1.type_url();
    let file = |key_type: &str, account: &str, secret: &str| {
        format!(r#"{{"key_type": "{key_type}", "account": "{account}", "secret_key": "{secret}"}}"#)
    };
    let zeros = "00".repeat(32);
    let table = [
        (String::new(), "it is not a key file (line 2, column 0)"),
        (format!("{secret} "), "it is not a key file"),
        (format!(r#"{{"secret_key": {secret}}}"#), "it is not a key file"),
        (format!(r#"{{"{secret}": 1}}"#), "it is not a key file"),
        (file("/other", &account, &secret), "`/other` is not a known type of key"),
        (file(url, "lumera1other", &secret), "its key belongs to lumera1"),
        (file(url, &account, "07xx"), "its secret key is not hexadecimal"),
        (file(url, &account, "0707"), "can't read a secret key from 2 bytes"),
        (file(url, &account, &zeros), "can't read a secret key from 32 bytes"),
    ];
    let both = format!(r#"{{"key_type": "{url}", "account": "{account}"}}"#);
    let table = table.into_iter().chain([(both, "it has to have one secret key")]);
    let folder = tempfile::tempdir().unwrap();
    for (number, (text, expected)) in table.enumerate() {
        let path = folder.path().join(format!("{number}.json"));
        write_new(&path, &text).unwrap();
        let refused = FileSigner::open(&path).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains(&secret[..8]), "{refused}");
    }
    let path = folder.path().join("good.json");
    write_new(&path, &file(url, &account, &secret)).unwrap();
    assert_eq!(FileSigner::open(&path).unwrap().account, account);
}

#[test]
fn an_encrypted_key_needs_its_passphrase_and_names_its_account_without() {
    use super::encryption::tests::{LITTLE, passphrase};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let right = passphrase("correct horse");
    let protection = Protection::Passphrase(&right);
    let made = FileSigner::import_with(&path, KeyType::EthSecp256k1, &[7; 32], protection, LITTLE).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&"07".repeat(4)) && !text.contains("horse"), "{text}");

    let opened = FileSigner::open_with(&path, || Ok(passphrase("correct horse"))).unwrap();
    assert_eq!((opened.account(), opened.public_key()), (made.account(), made.public_key()));
    let described = FileSigner::describe(&path).unwrap();
    assert_eq!(described.account, made.account);
    assert!(described.is_encrypted && described.key_type == KeyType::EthSecp256k1);

    let refusals = [
        FileSigner::open_with(&path, || Ok(passphrase("wrong horse"))).unwrap_err(),
        FileSigner::open_with(&path, || Err("nobody was there".to_owned())).unwrap_err(),
        FileSigner::open(&path).unwrap_err(),
    ];
    for refused in refusals {
        assert!(matches!(refused, IdentityError::Locked { .. }), "{refused}");
    }
    // The account in the file is part of what is encrypted.
    let other = FileSigner::from_secret(KeyType::EthSecp256k1, &[8; 32]).unwrap().account;
    let forged = folder.path().join("forged.json");
    write_new(&forged, &text.replace(made.account(), &other)).unwrap();
    let refused = FileSigner::open_with(&forged, || Ok(passphrase("correct horse"))).unwrap_err();
    assert!(matches!(refused, IdentityError::Locked { .. }), "{refused}");
}

#[test]
fn words_make_the_same_key_again() {
    let words = new_mnemonic().unwrap();
    assert_eq!(words.split(' ').count(), 24);
    assert_ne!(words, new_mnemonic().unwrap());
    let secrets = [0, 1].map(|_| mnemonic::secret_of(&words, KeyType::Secp256k1, None).unwrap());
    assert_eq!(secrets[0], secrets[1]);
}

#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    write_new(&path, &" ".repeat(100_000)).unwrap();
    let refused = FileSigner::open(&path).unwrap_err().to_string();
    assert!(refused.ends_with("it is too long"), "{refused}");
}

#[test]
fn the_key_is_never_printed() {
    let signer = FileSigner::from_secret(KeyType::Secp256k1, &[7; 32]).unwrap();
    let printed = format!("{signer:?}");
    assert!(
        printed.contains(signer.account()) && !printed.contains("0707") && !printed.contains("7, 7"),
        "{printed}"
    );
}
