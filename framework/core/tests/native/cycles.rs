//! The same library many times over: nothing may grow.

use super::support::Running;
use std::fs;

/// Open files, threads, and mapped libraries of this process.
fn holdings() -> (usize, usize, usize) {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter(|line| line.contains("lampkeeper_native_guest")).count();
    (count("/proc/self/fd"), count("/proc/self/task"), mapped)
}

/// Bytes in memory.
fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// One node, start to end.
fn cycle() {
    Running::start("greeting = 'again'").unwrap().drain();
}

// Other tests of this process load and start things too: they would be counted.
#[test]
#[ignore = "counts what the whole process holds: `cargo test -p lampkeeper-core --test native -- --ignored`"]
fn a_thousand_cycles_of_one_library_grow_nothing() {
    const CYCLES: usize = 1000;
    // What is made once and kept: the library, its runtime, caches of the allocator.
    (0..CYCLES / 10).for_each(|_| cycle());
    let (held, resident) = (holdings(), resident_bytes());
    (0..CYCLES).for_each(|_| cycle());
    assert_eq!(holdings(), held, "open files, threads, mappings");
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < CYCLES * 1024, "{grown} bytes more after {CYCLES} cycles");
}
