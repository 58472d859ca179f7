//! Developer and newcomer commands.
fn main() {}
