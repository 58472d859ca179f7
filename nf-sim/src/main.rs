//! The simulated rack; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nf_sim::cli::main()
}
