//! `keys create`, `keys import` and `keys show`: the file with a node's key.
//!
//! Owns the commands' arguments. Files and encryption are core's, where passphrases come from is `passphrase`'s.

use super::passphrase;
use crate::output::{self, Failure, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use lampkeeper_api::signer::Signer;
use lampkeeper_core::FileSigner;
use lampkeeper_core::identity::{self, Protection, mnemonic};
use lampkeeper_protocol::account::KeyType;
use std::path::{Path, PathBuf};

/// Key files.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key and print its account; an existing file is never overwritten.
    Create {
        /// The file to make; only its owner will be able to read it.
        file: PathBuf,
        /// Make the key of 24 words, and print them: whoever has them has the key.
        #[arg(long)]
        mnemonic: bool,
        /// Which key, and how it is kept.
        #[command(flatten)]
        args: NewKeyArgs,
    },
    /// Make the key file for the words of a wallet, and print its account.
    Import {
        /// The file to make; only its owner will be able to read it.
        file: PathBuf,
        /// A file with the words, which only its owner may read; they are asked for if absent.
        #[arg(long, value_name = "FILE")]
        mnemonic_file: Option<PathBuf>,
        /// The derivation path, if it is not that of the type's first account: m/44'/118'/0'/0/0 or m/44'/60'/0'/0/0.
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        /// Which key, and how it is kept.
        #[command(flatten)]
        args: NewKeyArgs,
    },
    /// Print the account of a key; an encrypted one needs no passphrase for that.
    Show {
        /// The key file.
        file: PathBuf,
        /// Unlock the key, to see that the file and the passphrase are right.
        #[arg(long)]
        unlock: bool,
        /// A file with the passphrase.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// A new key.
#[derive(Debug, Clone, Args)]
pub struct NewKeyArgs {
    /// The type of the account: the present network's are those of the EVM.
    #[arg(long, value_enum, default_value_t = KeyTypeArg::EthSecp256k1)]
    pub key_type: KeyTypeArg,
    /// How the key is kept: encrypted with a passphrase, or as it is, for tests.
    #[arg(long, value_enum, default_value_t = Keyring::File)]
    pub keyring: Keyring,
    /// A file with the passphrase, which only its owner may read. Without it the environment variable
    /// LAMPKEEPER_PASSPHRASE is read, and then whoever sits at the terminal is asked.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// A type of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyTypeArg {
    /// An ordinary account.
    Secp256k1,
    /// An account of the EVM.
    EthSecp256k1,
}

impl From<KeyTypeArg> for KeyType {
    fn from(key_type: KeyTypeArg) -> Self {
        match key_type {
            KeyTypeArg::Secp256k1 => Self::Secp256k1,
            KeyTypeArg::EthSecp256k1 => Self::EthSecp256k1,
        }
    }
}

/// How a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Keyring {
    /// Encrypted with a passphrase.
    File,
    /// As it is: for tests and local networks.
    Test,
}

/// Carries out a command about key files.
pub fn carry_out(command: &KeysCommand) -> Outcome {
    match command {
        KeysCommand::Create { file, mnemonic: false, args } => protected(args, |protection| {
            FileSigner::create_protected(file, args.key_type.into(), protection).map_err(Failure::failed)
        }),
        KeysCommand::Create { file, mnemonic: true, args } => {
            let words = identity::new_mnemonic().map_err(Failure::failed)?;
            import(file, &words, None, args)?;
            output::line(words.as_str());
            Ok(())
        }
        KeysCommand::Import { file, mnemonic_file, path, args } => {
            let words = match mnemonic_file {
                Some(words) => identity::read_private(words, mnemonic::MNEMONIC_LEN_BYTES_MAX as u64)
                    .map_err(Failure::invalid)?,
                None => passphrase::ask("the mnemonic", "name a file with --mnemonic-file")
                    .map_err(Failure::invalid)?,
            };
            import(file, &words, path.as_deref(), args)
        }
        KeysCommand::Show { file, unlock, passphrase_file } => {
            show(file, *unlock, passphrase_file.as_deref())
        }
    }
}

fn import(file: &Path, words: &str, path: Option<&str>, args: &NewKeyArgs) -> Outcome {
    let key_type = args.key_type.into();
    let secret = mnemonic::secret_of(words, key_type, path).map_err(Failure::invalid)?;
    protected(args, |protection| {
        FileSigner::import_protected(file, key_type, secret.as_slice(), protection).map_err(Failure::failed)
    })
}

/// Makes a key file with the protection that was asked for, and prints its account.
fn protected(args: &NewKeyArgs, make: impl FnOnce(Protection<'_>) -> Result<FileSigner, Failure>) -> Outcome {
    let signer = match args.keyring {
        Keyring::Test => {
            output::remark("the key is not encrypted (--keyring test): for tests and local networks only");
            make(Protection::None)?
        }
        Keyring::File => {
            let passphrase =
                passphrase::for_new_key(args.passphrase_file.as_deref()).map_err(Failure::invalid)?;
            make(Protection::Passphrase(&passphrase))?
        }
    };
    output::line(signer.account());
    Ok(())
}

fn show(file: &Path, unlock: bool, passphrase_file: Option<&Path>) -> Outcome {
    let described = FileSigner::describe(file).map_err(Failure::failed)?;
    if unlock || !described.is_encrypted {
        FileSigner::open_with(file, || passphrase::of_key(passphrase_file)).map_err(Failure::failed)?;
    }
    let kind = match described.key_type {
        KeyType::Secp256k1 => "an ordinary account",
        KeyType::EthSecp256k1 => "an account of the EVM",
    };
    let kept = if described.is_encrypted { "encrypted" } else { "not encrypted (test keyring)" };
    output::line(&described.account);
    output::remark(&format!("{kind}; {kept}"));
    Ok(())
}
