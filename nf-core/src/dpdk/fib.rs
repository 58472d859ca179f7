//! Longest prefix match: DPDK's FIBs, DIR24-8 for IPv4 (`rte_fib`) and a trie for IPv6
//! (`rte_fib6`).
//!
//! DPDK 22.11 does not say that a lookup may run beside a change, so a change needs `&mut`: who
//! publishes a table to cores keeps two, and changes the one that no core sees.

use std::ffi::CString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::eal::Eal;
use super::error::DpdkError;

fn unique_name(kind: &str) -> CString {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("{kind}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    CString::new(name).unwrap_or_default()
}

/// What a lookup gives where no prefix matches.
pub const NO_HOP: u16 = 0;

/// The greatest next hop that every FIB can hold: one bit of two bytes is DPDK's.
pub const MAX_HOP: u16 = 0x7fff;

macro_rules! fib {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $create:ident, $free:ident, $call:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            fib: NonNull<dpdk_sys::$raw>,
            eal: &'static Eal,
        }

        // SAFETY: lookups only read; changes need `&mut`.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}

        impl $name {
            /// A table without prefixes for up to `prefixes` of them, which takes some ten to a
            /// hundred MiB of EAL's memory.
            pub fn create(eal: &'static Eal, prefixes: u32) -> Result<$name, DpdkError> {
                let name = unique_name($call);
                // SAFETY: a valid C string, which DPDK copies.
                let raw = eal.control(|| unsafe {
                    dpdk_sys::$create(name.as_ptr(), prefixes, u64::from(NO_HOP))
                });
                let fib = NonNull::new(raw)
                    .ok_or_else(|| DpdkError::from_rte_errno(concat!("rte_", $call, "_create")))?;
                Ok($name { fib, eal })
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                let free = || {
                    // SAFETY: the one owner is going.
                    unsafe { dpdk_sys::$free(self.fib.as_ptr()) }
                };
                self.eal.control(free);
            }
        }
    };
}

fib! {
    /// IPv4 prefixes and their next hops.
    Fib4, rte_fib, sluice_fib_create, rte_fib_free, "fib"
}

fib! {
    /// IPv6 prefixes and their next hops.
    Fib6, rte_fib6, sluice_fib6_create, rte_fib6_free, "fib6"
}

impl Fib4 {
    /// Sets the next hop, 1 to [`MAX_HOP`], of a prefix.
    pub fn set(&mut self, address: Ipv4Addr, length: u8, hop: u16) -> Result<(), DpdkError> {
        // SAFETY: the table lives, and nobody looks into it while we hold `&mut`.
        let code = unsafe {
            dpdk_sys::rte_fib_add(
                self.fib.as_ptr(),
                address.to_bits(),
                length,
                u64::from(hop & MAX_HOP),
            )
        };
        DpdkError::check("rte_fib_add", code).map(drop)
    }

    /// Takes a prefix out.
    pub fn remove(&mut self, address: Ipv4Addr, length: u8) -> Result<(), DpdkError> {
        // SAFETY: as above.
        let code =
            unsafe { dpdk_sys::rte_fib_delete(self.fib.as_ptr(), address.to_bits(), length) };
        DpdkError::check("rte_fib_delete", code).map(drop)
    }

    /// The next hop of each address (in host order), [`NO_HOP`] where no prefix matches; as many as
    /// both slices have.
    #[inline]
    pub fn lookup(&self, addresses: &[u32], hops: &mut [u64]) {
        let count = addresses.len().min(hops.len());
        // SAFETY: both have `count` elements; the addresses are only read.
        unsafe {
            dpdk_sys::rte_fib_lookup_bulk(
                self.fib.as_ptr(),
                addresses.as_ptr().cast_mut(),
                hops.as_mut_ptr(),
                count as i32,
            );
        }
    }
}

impl Fib6 {
    /// Sets the next hop, 1 to [`MAX_HOP`], of a prefix.
    pub fn set(&mut self, address: Ipv6Addr, length: u8, hop: u16) -> Result<(), DpdkError> {
        let hop = u64::from(hop & MAX_HOP);
        // SAFETY: the table lives, and nobody looks into it while we hold `&mut`.
        let code = unsafe {
            dpdk_sys::sluice_fib6_add(self.fib.as_ptr(), address.octets().as_ptr(), length, hop)
        };
        DpdkError::check("rte_fib6_add", code).map(drop)
    }

    /// Takes a prefix out.
    pub fn remove(&mut self, address: Ipv6Addr, length: u8) -> Result<(), DpdkError> {
        // SAFETY: as above.
        let code = unsafe {
            dpdk_sys::sluice_fib6_delete(self.fib.as_ptr(), address.octets().as_ptr(), length)
        };
        DpdkError::check("rte_fib6_delete", code).map(drop)
    }

    /// The next hop of each address (in network order), [`NO_HOP`] where no prefix matches; as many
    /// as both slices have.
    #[inline]
    pub fn lookup(&self, addresses: &[[u8; 16]], hops: &mut [u64]) {
        let count = addresses.len().min(hops.len());
        // SAFETY: both have `count` elements; the addresses are only read.
        unsafe {
            dpdk_sys::sluice_fib6_lookup_bulk(
                self.fib.as_ptr(),
                addresses.as_ptr().cast(),
                hops.as_mut_ptr(),
                count as i32,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eal;

    #[test]
    fn the_longest_prefix_counts() {
        let mut fib = Fib4::create(eal(), 1000).expect("a table");
        let address = |text: &str| text.parse::<Ipv4Addr>().expect("an address");
        fib.set(address("0.0.0.0"), 0, 1).expect("set");
        fib.set(address("10.0.0.0"), 8, 2).expect("set");
        fib.set(address("10.1.1.128"), 25, 3).expect("set");
        fib.set(address("10.1.1.129"), 32, MAX_HOP).expect("set");
        let look = |fib: &Fib4, text: &str| {
            let mut hop = [9];
            fib.lookup(&[address(text).to_bits()], &mut hop);
            hop[0]
        };
        for (text, hop) in [
            ("9.9.9.9", 1),
            ("10.1.1.127", 2),
            ("10.1.1.128", 3),
            ("10.1.1.129", 0x7fff),
        ] {
            assert_eq!(look(&fib, text), hop, "{text}");
        }
        fib.remove(address("10.1.1.129"), 32).expect("removed");
        fib.remove(address("0.0.0.0"), 0).expect("removed");
        assert!(fib.remove(address("0.0.0.0"), 0).is_err());
        assert_eq!(
            (look(&fib, "10.1.1.129"), look(&fib, "9.9.9.9")),
            (3, NO_HOP.into())
        );
        fib.set(address("10.0.0.0"), 8, 7).expect("changed");
        assert_eq!(look(&fib, "10.0.0.1"), 7);
    }

    #[test]
    fn the_longest_ipv6_prefix_counts() {
        let mut fib = Fib6::create(eal(), 1000).expect("a table");
        let address = |text: &str| text.parse::<Ipv6Addr>().expect("an address");
        fib.set(address("::"), 0, 1).expect("set");
        fib.set(address("2001:db8::"), 32, 2).expect("set");
        fib.set(address("2001:db8:0:1::"), 64, 3).expect("set");
        fib.set(address("2001:db8:0:1::7"), 128, 4).expect("set");
        let mut hops = [9; 4];
        let of = |text| address(text).octets();
        let addresses = [
            of("fd00::1"),
            of("2001:db8::1"),
            of("2001:db8:0:1::1"),
            of("2001:db8:0:1::7"),
        ];
        fib.lookup(&addresses, &mut hops);
        assert_eq!(hops, [1, 2, 3, 4]);
        fib.remove(address("2001:db8:0:1::7"), 128)
            .expect("removed");
        fib.remove(address("::"), 0).expect("removed");
        fib.lookup(&addresses, &mut hops);
        assert_eq!(hops, [0, 2, 3, 3]);
    }
}
