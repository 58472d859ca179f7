//! Ports of the appliance's own addresses that stages serve.
//!
//! A stage that routes ends what is sent to the appliance itself, or answers it. What another stage has
//! claimed goes on in the chain instead, with [`LOCAL_PORT`](crate::packet::LOCAL_PORT) as its way out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which UDP ports are claimed. One set for a chain; any core looks, the control side changes.
#[derive(Clone)]
pub struct Claims(Arc<[AtomicU64; 1024]>);

impl Default for Claims {
    fn default() -> Claims {
        Claims(Arc::new([const { AtomicU64::new(0) }; 1024]))
    }
}

impl Claims {
    /// Claims a UDP port, or gives it up.
    pub fn set_udp(&self, port: u16, claimed: bool) {
        let bit = 1 << (port % 64);
        let word = &self.0[usize::from(port / 64)];
        match claimed {
            true => word.fetch_or(bit, Ordering::Relaxed),
            false => word.fetch_and(!bit, Ordering::Relaxed),
        };
    }

    /// Whether a UDP port is claimed.
    #[inline]
    pub fn has_udp(&self, port: u16) -> bool {
        self.0[usize::from(port / 64)].load(Ordering::Relaxed) >> (port % 64) & 1 != 0
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let udp = (0..=u16::MAX).filter(|&port| self.has_udp(port));
        f.debug_set().entries(udp).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_shared() {
        let claims = Claims::default();
        let other = claims.clone();
        for port in [0, 63, 64, 9043, 65535] {
            assert!(!other.has_udp(port));
            claims.set_udp(port, true);
            assert!(other.has_udp(port));
        }
        claims.set_udp(9043, false);
        assert_eq!(format!("{other:?}"), "{0, 63, 64, 65535}");
    }
}
