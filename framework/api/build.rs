//! Gathers what two images must have in common before one may call the other: the compiler, its flags, and the source
//! of everything that crosses.
//!
//! The source digest leaves out comments, tests and the seams' traits: the traits have digests of their own, and a
//! plugin is only compared in those that it uses.
#![expect(clippy::expect_used, reason = "a build that can't read its own sources has to stop")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The crates whose code, or whose generated code, runs on both sides of a border.
const SOURCES: [&str; 3] = ["src", "../api-macros/src", "../protocol/src"];

fn main() {
    let rustc = rustc_version();
    let field = |name: &str| {
        let line = rustc.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
    };
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut features: Vec<String> =
        env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default().split(',').map(str::to_owned).collect();
    features.sort();
    let facts = [
        ("RUSTC_COMMIT", field("commit-hash:")),
        ("RUSTC_RELEASE", field("release:")),
        ("TARGET", env::var("TARGET").unwrap_or_default()),
        ("TARGET_FEATURES", features.join(",")),
        ("FLAGS", flags.replace('\u{1f}', " ")),
        ("FLAGS_DIGEST", hex(fnv1a(START, flags.as_bytes()))),
        ("API_DIGEST", hex(source_digest())),
    ];
    for (name, value) in facts {
        println!("cargo::rustc-env=LAMPKEEPER_BUILD_{name}={value}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
}

fn rustc_version() -> String {
    let rustc = env::var_os("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("-vV").output().expect("the compiler runs");
    String::from_utf8(output.stdout).expect("the compiler answers in UTF-8")
}

/// FNV-1a over every file's place and code, in the order of their places.
fn source_digest() -> u64 {
    let mut digest = START;
    for root in SOURCES {
        let root = Path::new(root);
        let mut files = rust_files(root);
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).expect("a readable source file");
            let place = file.strip_prefix(root).expect("a file below its root").to_string_lossy();
            digest = fnv1a(digest, place.as_bytes());
            digest = fnv1a(digest, code_of(&text).as_bytes());
        }
    }
    digest
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable source folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "tests" {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    files
}

/// The code of a file: without comments on lines of their own, the test module at its end, and the seams' traits.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut in_seam = false;
    for line in text.lines() {
        if line == "#[cfg(test)]" {
            break;
        }
        in_seam |= line.starts_with("#[seam(");
        if !in_seam && !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
        in_seam &= line != "}" && !line.ends_with("{}");
    }
    code
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest, |digest, byte| (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}
