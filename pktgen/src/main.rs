//! The packet generator; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    pktgen::commands::main()
}
