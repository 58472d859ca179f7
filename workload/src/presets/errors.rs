//! How calls fail.

use crate::random::Random;

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Well.
    Ok = 0,
    /// Cancelled, mostly by a caller that had sent it twice.
    Cancelled = 1,
    /// What it asked for is not there.
    NotFound = 2,
    /// No resources, no permission, ...
    Other = 3,
}

impl Outcome {
    /// The outcome with this number; others than the known count as [`Outcome::Other`].
    pub fn from_byte(byte: u8) -> Outcome {
        match byte {
            0 => Outcome::Ok,
            1 => Outcome::Cancelled,
            2 => Outcome::NotFound,
            _ => Outcome::Other,
        }
    }
}

/// How often calls fail, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// Of all calls, the share that fails.
    pub share: f64,
    /// Of these, the share that is cancelled.
    pub cancelled: f64,
    /// Of these, the share that finds nothing.
    pub not_found: f64,
}

impl Errors {
    /// No call fails.
    pub const NONE: Errors = Errors {
        share: 0.0,
        cancelled: 0.0,
        not_found: 0.0,
    };

    /// As in the fleet.
    pub const FLEET: Errors = Errors {
        share: 0.019,
        cancelled: 0.45,
        not_found: 0.20,
    };

    /// How one call ends.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> Outcome {
        if self.share <= 0.0 || !random.chance(self.share) {
            return Outcome::Ok;
        }
        let kind = random.unit();
        if kind <= self.cancelled {
            Outcome::Cancelled
        } else if kind <= self.cancelled + self.not_found {
            Outcome::NotFound
        } else {
            Outcome::Other
        }
    }
}
