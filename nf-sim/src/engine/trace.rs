//! A hash of everything that happened: two runs with the same hash were the same run.

/// A running 64-bit hash (folded 128-bit products, as wyhash makes them). For comparing runs of one
/// program, not against malice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(u64);

const FIRST: u64 = 0xa076_1d64_78bd_642f;
const SECOND: u64 = 0xe703_7ed1_a0b4_28db;

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

impl Default for TraceHash {
    fn default() -> TraceHash {
        TraceHash(FIRST)
    }
}

impl TraceHash {
    /// Adds two words.
    #[inline]
    pub fn add(&mut self, a: u64, b: u64) {
        self.0 = fold(self.0 ^ a ^ SECOND, b ^ FIRST) ^ self.0.rotate_left(31);
    }

    /// Adds bytes and their number.
    #[inline]
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let mut pieces = bytes.chunks_exact(16);
        for piece in &mut pieces {
            let (a, b) = piece.split_at(8);
            self.add(word(a), word(b));
        }
        let rest = pieces.remainder();
        let (a, b) = rest.split_at(rest.len().min(8));
        self.add(word(a), word(b) ^ (bytes.len() as u64) << 56);
    }

    /// The hash so far.
    pub fn value(self) -> u64 {
        fold(self.0 ^ SECOND, FIRST)
    }
}

/// Up to eight bytes as a number.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(whole) => u64::from_le_bytes(whole),
        Err(_) => {
            let mut whole = [0; 8];
            for (to, from) in whole.iter_mut().zip(bytes) {
                *to = *from;
            }
            u64::from_le_bytes(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&[u8]]) -> u64 {
        let mut hash = TraceHash::default();
        for part in parts {
            hash.add_bytes(part);
        }
        hash.value()
    }

    #[test]
    fn every_bit_and_the_order_count() {
        let bytes: Vec<u8> = (0..100).collect();
        let whole = of(&[&bytes]);
        assert_eq!(whole, of(&[&bytes]));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert_ne!(whole, of(&[&other]), "bit {bit} of byte {at}");
            }
        }
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
        assert_ne!(of(&[]), of(&[b""]));
    }
}
