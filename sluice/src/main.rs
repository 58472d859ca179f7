//! wip
mod run;
fn registry() -> nf_core::chain::StageRegistry {
    nf_core::stages::builtin()
}
fn main() -> anyhow::Result<()> {
    run::run(std::path::Path::new(&std::env::args().nth(2).unwrap()))
}
