//! Compiles every schema under `proto/` to Rust messages and to one file descriptor set, without `protoc`.
//!
//! Owns the choice of which files are compiled (all of them) and how messages look in Rust. Code for the
//! services is left to whoever serves or calls them.
#![expect(clippy::disallowed_methods, reason = "a build script writes the code that it generates")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

/// The folder of the schemas; import paths start here.
const SCHEMA_ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA_ROOT}");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);

    let mut schemas = Vec::new();
    collect_schemas(Path::new(SCHEMA_ROOT), &mut schemas)?;
    schemas.sort(); // A folder's order is not stable; the descriptor set must be.

    // Comments become documentation of the Rust messages.
    let descriptors = protox::Compiler::new([SCHEMA_ROOT])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(schemas)?
        .file_descriptor_set();

    // Positions and comments are of no use at run time, and larger than all the rest.
    let mut embedded = descriptors.clone();
    for file in &mut embedded.file {
        file.source_code_info = None;
    }
    fs::write(out_dir.join("descriptors.bin"), embedded.encode_to_vec())?;

    prost_build::Config::new()
        .btree_map(["."]) // Equal messages encode to equal bytes.
        .enable_type_names() // Type URLs come from the schema, not from strings in the code.
        .include_file("packages.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Adds every `.proto` file under `folder` to `schemas`.
fn collect_schemas(folder: &Path, schemas: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_schemas(&path, schemas)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            schemas.push(path);
        }
    }
    Ok(())
}
