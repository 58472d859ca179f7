//! All interleavings of replies and requests in the table of outstanding requests, by `loom`. Empty
//! unless compiled with `--cfg sluice_loom`, as `cargo xtask test` does:
//! `cargo rustc -p nf-clone --test plain_model -- --cfg sluice_loom`.
#![cfg(sluice_loom)]
// The modules are compiled here once more, and this file uses a part of them.
#![allow(dead_code, missing_docs, unused_imports)]

#[path = "../src/groups.rs"]
mod groups;
#[path = "../src/plain/outstanding/mod.rs"]
mod outstanding;
#[path = "../src/sync.rs"]
mod sync;
