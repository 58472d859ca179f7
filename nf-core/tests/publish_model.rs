//! The module `publish` once more, compiled with the model checker's primitives, with its models.
//! Empty unless compiled with `--cfg sluice_loom`, as `cargo xtask test` does:
//! `cargo rustc -p nf-core --test publish_model -- --cfg sluice_loom`. A test of its own, so that
//! nothing else has to be compiled again.
#![cfg(sluice_loom)]

#[path = "../src/publish/mod.rs"]
#[allow(dead_code, missing_docs, unused_imports)]
mod publish;
