//! How much a turn is worth.

use serde::{Deserialize, Serialize};

/// Message sizes, bytes, that the quantum is measured for.
pub const QUANTUM_SIZES: [u32; 6] = [64, 128, 256, 512, 1024, 1500];

/// No turn is worth less, nanoseconds.
const LEAST_NS: f64 = 500.0;

/// The quantum by message size: how long a packet of that size may be delayed, at most, while packets
/// are still forwarded at full rate. Measured by calibration; in between, interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 6]", into = "[f64; 6]")]
pub struct QuantumTable([f64; 6]);

/// A quantum that is not a positive number.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the quantum for {size} bytes is {found} ns; allowed is a positive number")]
pub struct QuantumTableError {
    /// Message size, bytes.
    pub size: u32,
    /// What stands there.
    pub found: f64,
}

impl TryFrom<[f64; 6]> for QuantumTable {
    type Error = QuantumTableError;

    fn try_from(quanta: [f64; 6]) -> Result<Self, QuantumTableError> {
        for (size, found) in QUANTUM_SIZES.into_iter().zip(quanta) {
            if !(found.is_finite() && found > 0.0) {
                return Err(QuantumTableError { size, found });
            }
        }
        Ok(Self(quanta.map(|quantum| quantum.max(LEAST_NS))))
    }
}

impl From<QuantumTable> for [f64; 6] {
    fn from(table: QuantumTable) -> Self {
        table.0
    }
}

impl Default for QuantumTable {
    /// Two microseconds for every size, until something has been measured.
    fn default() -> Self {
        Self([2_000.0; 6])
    }
}

impl QuantumTable {
    /// The same for every size, nanoseconds.
    pub fn uniform(quantum_ns: f64) -> QuantumTable {
        Self([quantum_ns.max(LEAST_NS); 6])
    }

    /// The quantum of an actor whose messages have that many bytes on average, nanoseconds.
    #[inline]
    pub fn quantum(&self, bytes: f64) -> f64 {
        let above = QUANTUM_SIZES
            .iter()
            .position(|size| bytes <= f64::from(*size));
        match above {
            Some(0) => self.0[0],
            Some(at) => {
                let [low, high] = [at - 1, at].map(|at| f64::from(QUANTUM_SIZES[at]));
                let share = (bytes - low) / (high - low);
                self.0[at - 1] + share * (self.0[at] - self.0[at - 1])
            }
            None => self.0[QUANTUM_SIZES.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_between_are_interpolated() {
        let table =
            QuantumTable::try_from([1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0]).unwrap();
        assert_eq!(table.quantum(0.0), 1000.0);
        assert_eq!(table.quantum(64.0), 1000.0);
        assert_eq!(table.quantum(96.0), 1500.0);
        assert_eq!(table.quantum(1024.0), 5000.0);
        assert_eq!(table.quantum(9000.0), 6000.0);
    }

    #[test]
    fn no_quantum_is_too_small_and_nonsense_is_refused() {
        let table = QuantumTable::try_from([1.0; 6]).unwrap();
        assert_eq!(table.quantum(64.0), 500.0);
        for found in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut quanta = [1000.0; 6];
            quanta[2] = found;
            assert_eq!(QuantumTable::try_from(quanta).unwrap_err().size, 256);
        }
        let json = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<QuantumTable>(&json).unwrap(), table);
        assert!(serde_json::from_str::<QuantumTable>("[1,2,3,4,5,0]").is_err());
    }
}
