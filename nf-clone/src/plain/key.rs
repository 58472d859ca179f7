//! What a transaction is known by: a keyed hash, because clients choose its ingredients.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::outstanding::Key;

/// A client: address (IPv4 as IPv4-mapped IPv6) and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    address: [u8; 16],
    port: u16,
}

impl Client {
    /// The client at `address` and `port`.
    #[inline]
    #[must_use]
    pub fn new(address: IpAddr, port: u16) -> Client {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        Client {
            address: address.octets(),
            port,
        }
    }
}

/// The secret of the hashes.
#[derive(Clone, Copy)]
pub(super) struct Seed(pub(super) [u64; 2]);

impl Seed {
    /// A hasher that has client and service in it already.
    #[inline]
    pub(super) fn key(&self, service: u16, client: &Client) -> SipHasher13 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write(&client.address);
        hasher.write_u32(u32::from(service) << 16 | u32::from(client.port));
        hasher
    }

    /// Of a request's bytes: tells a retransmission from another request.
    #[inline]
    pub(super) fn digest(&self, payload: &[u8]) -> u32 {
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(self.0[1], self.0[0]);
        hasher.write(payload);
        hasher.finish() as u32
    }
}

/// The key that the hasher's content makes.
#[inline]
pub(super) fn finish(hasher: &SipHasher13) -> Key {
    let hash = hasher.finish128();
    Key {
        tag: hash.h1,
        check: hash.h2 as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_ingredient_counts_and_the_seed_does() {
        let mut seen = HashSet::new();
        for seed in [[1, 2], [2, 1]] {
            for service in [0, 1] {
                for address in ["10.0.0.1", "10.0.0.2", "fd00::1"] {
                    for port in [1000, 1001] {
                        let client = Client::new(address.parse().unwrap(), port);
                        assert!(seen.insert(finish(&Seed(seed).key(service, &client))));
                    }
                }
            }
        }
        let seed = Seed([1, 2]);
        assert_ne!(seed.digest(b"get a\r\n"), seed.digest(b"get b\r\n"));
        assert_eq!(seed.digest(b"get a\r\n"), seed.digest(b"get a\r\n"));
    }
}
