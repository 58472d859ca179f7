//! What the scheduler measures: weighted means and deviations, rates, and the use of cores.

mod book;
mod ewma;
mod tally;
mod window;

pub use self::book::{Book, BookReader, Booked};
pub use self::ewma::{Estimate, Ewma};
pub use self::tally::{Spread, Tally};
pub use self::window::Utilisation;

/// Weight of one sample in an actor's estimates.
pub const ACTOR_WEIGHT: f64 = 1.0 / 64.0;

/// Weight of one sample in a group's estimates.
pub const GROUP_WEIGHT: f64 = 1.0 / 256.0;
