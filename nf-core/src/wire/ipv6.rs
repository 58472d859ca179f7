//! IPv6 (RFC 8200): the fixed header. Extension headers are walked in `layers`.

use std::{
    borrow::{Borrow, BorrowMut},
    net::Ipv6Addr,
};

use super::bytes::{array_at, header_view, set_array, set_u16, set_u32, u16_at, u32_at};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Values of the next header field that announce an extension header.
pub mod next_header {
    /// Hop-by-hop options, only directly after the fixed header.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Authentication (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// Destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// Mobility (RFC 6275).
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol (RFC 7401).
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533).
    pub const SHIM6: u8 = 140;
}

mod field {
    pub const VERSION_CLASS_LABEL: usize = 0;
    pub const PAYLOAD_LENGTH: usize = 4;
    pub const NEXT_HEADER: usize = 6;
    pub const HOP_LIMIT: usize = 7;
    pub const SOURCE: usize = 8;
    pub const DESTINATION: usize = 24;
}

header_view! {
    /// A view of an IPv6 fixed header. It has no checksum of its own.
    Ipv6, HEADER_LEN
}

impl<B: Borrow<[u8; HEADER_LEN]>> Ipv6<B> {
    /// The version, 6 in a valid header.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.as_bytes()[field::VERSION_CLASS_LABEL] >> 4
    }

    /// DSCP and ECN together.
    #[inline(always)]
    pub fn traffic_class(&self) -> u8 {
        (u16_at::<{ field::VERSION_CLASS_LABEL }, _>(self.as_bytes()) >> 4) as u8
    }

    /// The differentiated services code point, 0 to 63.
    #[inline(always)]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// The congestion notification bits, 0 to 3.
    #[inline(always)]
    pub fn ecn(&self) -> u8 {
        self.traffic_class() & 3
    }

    /// The flow label, 20 bits.
    #[inline(always)]
    pub fn flow_label(&self) -> u32 {
        u32_at::<{ field::VERSION_CLASS_LABEL }, _>(self.as_bytes()) & 0xf_ffff
    }

    /// Bytes after the fixed header: extension headers and data.
    #[inline(always)]
    pub fn payload_len(&self) -> u16 {
        u16_at::<{ field::PAYLOAD_LENGTH }, _>(self.as_bytes())
    }

    /// What follows the fixed header: an extension header or a protocol.
    #[inline(always)]
    pub fn next_header(&self) -> u8 {
        self.as_bytes()[field::NEXT_HEADER]
    }

    /// Hops that remain.
    #[inline(always)]
    pub fn hop_limit(&self) -> u8 {
        self.as_bytes()[field::HOP_LIMIT]
    }

    /// The source address.
    #[inline(always)]
    pub fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from(array_at::<{ field::SOURCE }, 16, _>(self.as_bytes()))
    }

    /// The destination address; with routing header, that of the next stop.
    #[inline(always)]
    pub fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from(array_at::<{ field::DESTINATION }, 16, _>(self.as_bytes()))
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Ipv6<B> {
    /// Sets version 6, DSCP with ECN, and the flow label (its low 20 bits).
    #[inline(always)]
    pub fn set_version_class_label(&mut self, traffic_class: u8, flow_label: u32) {
        let word = 6 << 28 | u32::from(traffic_class) << 20 | flow_label & 0xf_ffff;
        set_u32::<{ field::VERSION_CLASS_LABEL }, _>(self.bytes_mut(), word);
    }

    /// Sets the number of bytes after the fixed header.
    #[inline(always)]
    pub fn set_payload_len(&mut self, value: u16) {
        set_u16::<{ field::PAYLOAD_LENGTH }, _>(self.bytes_mut(), value);
    }

    /// Sets what follows the fixed header.
    #[inline(always)]
    pub fn set_next_header(&mut self, value: u8) {
        self.bytes_mut()[field::NEXT_HEADER] = value;
    }

    /// Sets the hops that remain.
    #[inline(always)]
    pub fn set_hop_limit(&mut self, value: u8) {
        self.bytes_mut()[field::HOP_LIMIT] = value;
    }

    /// Sets the code point (its low six bits) and leaves ECN.
    #[inline]
    pub fn set_dscp(&mut self, dscp: u8) {
        let (class, label) = (dscp << 2 | self.ecn(), self.flow_label());
        self.set_version_class_label(class, label);
    }

    /// Sets the source address.
    #[inline(always)]
    pub fn set_source(&mut self, address: Ipv6Addr) {
        set_array::<{ field::SOURCE }, 16, _>(self.bytes_mut(), address.octets());
    }

    /// Sets the destination address.
    #[inline(always)]
    pub fn set_destination(&mut self, address: Ipv6Addr) {
        set_array::<{ field::DESTINATION }, 16, _>(self.bytes_mut(), address.octets());
    }

    /// Exchanges the addresses, which no checksum notices.
    #[inline(always)]
    pub fn swap_addresses(&mut self) {
        let (source, destination) = (self.source(), self.destination());
        self.set_source(destination);
        self.set_destination(source);
    }
}

/// The group that neighbor solicitations for `address` go to (RFC 4291, section 2.7.1).
#[inline]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let octets = address.octets();
    let [.., a, b, c] = octets;
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | a as u16,
        (b as u16) << 8 | c as u16,
    )
}

/// What a plain header (no extension) says; for building packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// The source address.
    pub source: Ipv6Addr,
    /// The destination address.
    pub destination: Ipv6Addr,
    /// The protocol of the data.
    pub next_header: u8,
    /// Bytes of the data.
    pub payload_len: u16,
    /// Hops that remain.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The flow label, 20 bits.
    pub flow_label: u32,
}

impl Repr {
    /// Writes the header to the start of `out` and returns its length, `None` without room.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut header = Ipv6::new_mut(out)?;
        header.set_version_class_label(self.traffic_class, self.flow_label);
        header.set_payload_len(self.payload_len);
        header.set_next_header(self.next_header);
        header.set_hop_limit(self.hop_limit);
        header.set_source(self.source);
        header.set_destination(self.destination);
        Some(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 40] = [
        0x6b, 0x9a, 0xbc, 0xde, 0x00, 0x10, 0x3a, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 1, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56,
    ];

    #[test]
    fn fields() {
        let header = Ipv6::new(&BYTES).unwrap();
        assert_eq!((header.version(), header.traffic_class()), (6, 0xb9));
        assert_eq!(
            (header.dscp(), header.ecn(), header.flow_label()),
            (46, 1, 0xa_bcde)
        );
        assert_eq!(
            (
                header.payload_len(),
                header.next_header(),
                header.hop_limit()
            ),
            (16, 58, 64)
        );
        assert_eq!(header.source(), "2001:db8::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(
            header.destination(),
            "2001:db8::12:3456".parse::<Ipv6Addr>().unwrap()
        );
        assert_eq!(
            solicited_node(header.destination()),
            "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap()
        );
        assert!(Ipv6::new(&BYTES[..39]).is_none());
    }

    #[test]
    fn emits_and_edits() {
        let header = Ipv6::new(&BYTES).unwrap();
        let repr = Repr {
            source: header.source(),
            destination: header.destination(),
            next_header: 58,
            payload_len: 16,
            hop_limit: 64,
            traffic_class: 0xb9,
            flow_label: 0xa_bcde,
        };
        let mut out = [0; 40];
        assert_eq!(repr.emit(&mut out), Some(40));
        assert_eq!(out, BYTES);
        assert_eq!(repr.emit(&mut out[..39]), None);

        let mut header = Ipv6::new_mut(&mut out).unwrap();
        header.set_dscp(0);
        header.swap_addresses();
        assert_eq!((header.version(), header.dscp(), header.ecn()), (6, 0, 1));
        assert_eq!(
            (header.flow_label(), header.source()),
            (0xa_bcde, repr.destination)
        );
        assert_eq!(header.destination(), repr.source);
    }
}
