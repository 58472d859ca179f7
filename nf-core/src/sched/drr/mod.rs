//! Deficit round robin, after Shreedhar and Varghese (SIGCOMM 1995), for messages whose cost is
//! time: what an actor may use of its turn, and how much a turn is worth.

mod account;
mod quantum;

pub use self::account::Account;
pub use self::quantum::{QUANTUM_SIZES, QuantumTable, QuantumTableError};
