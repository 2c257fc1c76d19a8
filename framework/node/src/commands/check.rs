//! `check`: everything about a manifest that can be told without starting it, all problems at once.
//!
//! Owns what core can't know: the files around the manifest. The manifest's own problems are core's.

use crate::output::{self, Failure, Outcome};
use crate::plugins::{advisory, registry};
use lampkeeper_api::signer::Signer;
use lampkeeper_core::manifest::MANIFEST_LEN_BYTES_MAX;
use lampkeeper_core::{FileSigner, Manifest, Registry};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The text of a manifest.
pub fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |reason: String| {
        let hint = "name another with --manifest, or write one after docs/manifest.md";
        Failure::invalid(format!("{}: {reason}; {hint}", path.display()))
    };
    let len_bytes = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if len_bytes > MANIFEST_LEN_BYTES_MAX as u64 {
        return Err(unreadable(format!("{len_bytes} bytes are more than a manifest may have")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// Reads a manifest and everything that it resolves to.
pub fn load(path: &Path) -> Result<(Manifest, Registry), Failure> {
    let registry = registry().map_err(Failure::failed)?;
    let text = read(path)?;
    let registry = registry.with_native_of(path, &text);
    let manifest = Manifest::parse(path, &text, &registry).map_err(|problems| {
        Failure::invalid(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    Ok((manifest, registry))
}

/// Lists every problem, or says that there is none.
pub fn check(path: &Path) -> Outcome {
    let (manifest, _) = load(path)?;
    let mut problems = Vec::new();
    check_key(&manifest, &mut problems);
    check_data_dir(&manifest, &mut problems);
    if let Some(line) = advisory().line(&manifest) {
        output::remark(&format!("{}: note: {line}", path.display()));
    }
    for injection in &manifest.inject {
        output::remark(&format!("{}: note: under test: {}", path.display(), injection.describe()));
    }
    if !problems.is_empty() {
        let problems: Vec<_> =
            problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
        return Err(Failure::invalid(problems.join("\n")));
    }
    let order: Vec<_> = manifest.plan.steps.iter().map(|step| step.plugin_id.as_str()).collect();
    output::line(format!("{}: fine; starts {}", path.display(), order.join(", ")));
    Ok(())
}

fn check_key(manifest: &Manifest, problems: &mut Vec<String>) {
    let path = &manifest.identity.key_file;
    let described = FileSigner::describe(path).and_then(|key| match key.is_encrypted {
        // What it says of itself has to do without the passphrase.
        true => Ok((key.account, "encrypted")),
        false => FileSigner::open(path).map(|signer| (signer.account().to_owned(), "not encrypted")),
    });
    match described {
        Ok((account, kept)) => output::remark(&format!("account {account}, its key {kept}")),
        Err(error) => problems.push(format!("identity.key_file: {error}")),
    }
}

fn check_data_dir(manifest: &Manifest, problems: &mut Vec<String>) {
    let dir = &manifest.node.data_dir;
    let problem = match std::fs::metadata(dir) {
        Ok(metadata) if !metadata.is_dir() => format!("{} is not a directory", dir.display()),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            format!("{} can be entered by other users: run `chmod 700 {}`", dir.display(), dir.display())
        }
        Ok(metadata) if metadata.permissions().readonly() => format!("{} can't be written to", dir.display()),
        Ok(_) => return,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() || parent.is_dir() => return,
            _ => format!("{} can't be made: the directory above it is missing", dir.display()),
        },
        Err(error) => format!("{}: {error}", dir.display()),
    };
    problems.push(format!("node.data_dir: {problem}"));
}
