//! House rules that no other tool knows: where `unsafe` may stand, and that every file says what it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::root;

/// The rooms that may contain `unsafe`, as prefixes of paths.
const UNSAFE_ROOMS: &[&str] = &[
    "dpdk-sys/",
    "nf-core/src/dpdk/",
    // Calls libpcap's compiler.
    "nf-core/src/filter/libpcap.rs",
    "nf-core/src/packet/",
    "nf-core/src/publish/",
    // The C interface of the host libraries.
    "nf-clone/c/src/",
    // Packet sockets and an ioctl, for tests only: no safe interface has them.
    "testkit/src/frames.rs",
    "testkit/src/offload.rs",
];

/// This file, whose tests are full of the word.
const MYSELF: &str = "xtask/src/tidy.rs";

const FOLDERS: &[&str] = &[
    "dpdk-sys", "nf-core", "nf-clone", "workload", "nf-sim", "sluice", "pktgen", "testkit",
    "xtask", "examples",
];

/// Checks every Rust file of the workspace.
pub fn check() -> Result<()> {
    let root = root();
    let mut files = Vec::new();
    for folder in FOLDERS {
        rust_files(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut problems = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let path = file
            .strip_prefix(&root)
            .unwrap_or(file)
            .to_string_lossy()
            .into_owned();
        problems.extend(check_file(&path, &text));
    }
    if !problems.is_empty() {
        bail!("{} breaches:\n  {}", problems.len(), problems.join("\n  "));
    }
    eprintln!("{} files in order", files.len());
    Ok(())
}

fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") && !text.starts_with("#!") {
        problems.push(format!(
            "{path}:1: the file does not begin by saying what it is (`//! ...`)"
        ));
    }
    if path != MYSELF && !UNSAFE_ROOMS.iter().any(|room| path.starts_with(room)) {
        for (number, line) in text.lines().enumerate() {
            if uses_unsafe(line) {
                problems.push(format!(
                    "{path}:{}: `unsafe` outside its rooms ({})",
                    number + 1,
                    UNSAFE_ROOMS.join(", ")
                ));
            }
        }
    }
    problems
}

/// Whether a line of code, without its comment, begins an unsafe block, function, trait or impl.
fn uses_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or("");
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices("unsafe").any(|(at, word)| {
        let after = &code[at + word.len()..];
        let begins = ["{", "fn ", "impl", "extern", "trait"];
        !code[..at].ends_with(is_name)
            && !after.starts_with(is_name)
            && begins
                .iter()
                .any(|begin| after.trim_start().starts_with(begin))
    })
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_seen_where_it_is_used() {
        for line in [
            "    unsafe { x() }",
            "let a = unsafe { x() };",
            "unsafe fn f() {}",
            "pub unsafe extern \"C\" fn f() {}",
            "unsafe impl Send for X {}",
            "f(unsafe { x() })",
            "let y = {unsafe { x() }};",
        ] {
            assert!(uses_unsafe(line), "{line}");
        }
        for line in [
            "// unsafe { }",
            "x(); // unsafe fn",
            "#![deny(unsafe_op_in_unsafe_fn)]",
            "let unsafe_rooms = 1;",
            "the word \"unsafe\" in a string",
        ] {
            assert!(!uses_unsafe(line), "{line}");
        }
    }

    #[test]
    fn a_file_outside_the_rooms_may_not() {
        let text = concat!("//! A file.\nfn f() { un", "safe { g() } }\n");
        assert_eq!(check_file("nf-core/src/chain/mod.rs", text).len(), 1);
        assert!(check_file("nf-core/src/dpdk/eal.rs", text).is_empty());
        assert_eq!(check_file("a.rs", "fn f() {}\n").len(), 1);
    }
}
