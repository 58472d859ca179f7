//! IPv4 (RFC 791): the header, its options, and edits that keep its checksum right.

use std::{
    borrow::{Borrow, BorrowMut},
    net::Ipv4Addr,
};

use super::{
    bytes::{array_at, header_view, set_array, set_u16, u16_at, u32_at},
    checksum::{self, Delta},
};

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 20;
/// The flag word's "don't fragment" bit.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// The flag word's "more fragments" bit.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The flag word's fragment offset, in units of eight bytes.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Values of the protocol field, and of IPv6's next header.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// Authentication header, which IPv4 and IPv6 share (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

mod field {
    pub const VERSION_IHL: usize = 0;
    pub const TRAFFIC_CLASS: usize = 1;
    pub const TOTAL_LENGTH: usize = 2;
    pub const IDENTIFICATION: usize = 4;
    pub const FLAGS: usize = 6;
    pub const TTL: usize = 8;
    pub const PROTOCOL: usize = 9;
    pub const CHECKSUM: usize = 10;
    pub const SOURCE: usize = 12;
    pub const DESTINATION: usize = 16;
}

header_view! {
    /// A view of an IPv4 header without its options. Setters named `set_` leave the checksum as it
    /// is; those named `rewrite_` keep it right, and right only if it was right before.
    Ipv4, HEADER_LEN
}

impl<B: Borrow<[u8; HEADER_LEN]>> Ipv4<B> {
    /// The version, 4 in a valid header.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.as_bytes()[field::VERSION_IHL] >> 4
    }

    /// Bytes of the header with its options, 20 to 60 in a valid header.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.as_bytes()[field::VERSION_IHL] & 0xf) * 4
    }

    /// The whole traffic class byte: DSCP and ECN.
    #[inline(always)]
    pub fn traffic_class(&self) -> u8 {
        self.as_bytes()[field::TRAFFIC_CLASS]
    }

    /// The differentiated services code point, 0 to 63 (RFC 2474).
    #[inline(always)]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// The congestion notification bits, 0 to 3 (RFC 3168).
    #[inline(always)]
    pub fn ecn(&self) -> u8 {
        self.traffic_class() & 3
    }

    /// Bytes of header and data.
    #[inline(always)]
    pub fn total_len(&self) -> u16 {
        u16_at::<{ field::TOTAL_LENGTH }, _>(self.as_bytes())
    }

    /// The identification that fragments share.
    #[inline(always)]
    pub fn identification(&self) -> u16 {
        u16_at::<{ field::IDENTIFICATION }, _>(self.as_bytes())
    }

    /// The word of flags and fragment offset.
    #[inline(always)]
    pub fn flags(&self) -> u16 {
        u16_at::<{ field::FLAGS }, _>(self.as_bytes())
    }

    /// Whether routers must not fragment the packet.
    #[inline(always)]
    pub fn dont_fragment(&self) -> bool {
        self.flags() & DONT_FRAGMENT != 0
    }

    /// Whether further fragments follow this one.
    #[inline(always)]
    pub fn more_fragments(&self) -> bool {
        self.flags() & MORE_FRAGMENTS != 0
    }

    /// Where this fragment's data belongs, in bytes.
    #[inline(always)]
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.flags() & FRAGMENT_OFFSET) * 8
    }

    /// Time to live, in hops.
    #[inline(always)]
    pub fn ttl(&self) -> u8 {
        self.as_bytes()[field::TTL]
    }

    /// The protocol of the data.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.as_bytes()[field::PROTOCOL]
    }

    /// The header checksum as it stands.
    #[inline(always)]
    pub fn checksum(&self) -> u16 {
        u16_at::<{ field::CHECKSUM }, _>(self.as_bytes())
    }

    /// The source address.
    #[inline(always)]
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32_at::<{ field::SOURCE }, _>(self.as_bytes()))
    }

    /// The destination address.
    #[inline(always)]
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32_at::<{ field::DESTINATION }, _>(self.as_bytes()))
    }

    /// Both addresses, source first, as they are on the wire.
    #[inline(always)]
    pub(super) fn addresses(&self) -> [u8; 8] {
        array_at::<{ field::SOURCE }, 8, _>(self.as_bytes())
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Ipv4<B> {
    /// Sets version 4 and the header's length in bytes, a multiple of four from 20 to 60.
    #[inline(always)]
    pub fn set_version_and_header_len(&mut self, bytes: usize) {
        self.bytes_mut()[field::VERSION_IHL] = 0x40 | ((bytes / 4) as u8 & 0xf);
    }

    /// Sets DSCP and ECN together.
    #[inline(always)]
    pub fn set_traffic_class(&mut self, value: u8) {
        self.bytes_mut()[field::TRAFFIC_CLASS] = value;
    }

    /// Sets the length of header and data.
    #[inline(always)]
    pub fn set_total_len(&mut self, value: u16) {
        set_u16::<{ field::TOTAL_LENGTH }, _>(self.bytes_mut(), value);
    }

    /// Sets the identification.
    #[inline(always)]
    pub fn set_identification(&mut self, value: u16) {
        set_u16::<{ field::IDENTIFICATION }, _>(self.bytes_mut(), value);
    }

    /// Sets the word of flags and fragment offset.
    #[inline(always)]
    pub fn set_flags(&mut self, value: u16) {
        set_u16::<{ field::FLAGS }, _>(self.bytes_mut(), value);
    }

    /// Sets the time to live.
    #[inline(always)]
    pub fn set_ttl(&mut self, value: u8) {
        self.bytes_mut()[field::TTL] = value;
    }

    /// Sets the protocol.
    #[inline(always)]
    pub fn set_protocol(&mut self, value: u8) {
        self.bytes_mut()[field::PROTOCOL] = value;
    }

    /// Sets the header checksum.
    #[inline(always)]
    pub fn set_checksum(&mut self, value: u16) {
        set_u16::<{ field::CHECKSUM }, _>(self.bytes_mut(), value);
    }

    /// Sets the source address.
    #[inline(always)]
    pub fn set_source(&mut self, address: Ipv4Addr) {
        set_array::<{ field::SOURCE }, 4, _>(self.bytes_mut(), address.octets());
    }

    /// Sets the destination address.
    #[inline(always)]
    pub fn set_destination(&mut self, address: Ipv4Addr) {
        set_array::<{ field::DESTINATION }, 4, _>(self.bytes_mut(), address.octets());
    }

    /// Computes the checksum of a header without options and stores it.
    #[inline]
    pub fn fill_checksum(&mut self) {
        let checksum = checksum::of_ipv4_header(self.as_bytes());
        self.set_checksum(checksum);
    }

    /// Applies a change of the header's words to its checksum.
    #[inline(always)]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply(self.checksum());
        self.set_checksum(checksum);
    }

    /// Sets the time to live and keeps the checksum right.
    #[inline]
    pub fn rewrite_ttl(&mut self, ttl: u8) {
        let delta = Delta::new().word(u16::from(self.ttl()) << 8, u16::from(ttl) << 8);
        self.set_ttl(ttl);
        self.update_checksum(delta);
    }

    /// Sets DSCP and ECN together and keeps the checksum right.
    #[inline]
    pub fn rewrite_traffic_class(&mut self, value: u8) {
        let delta = Delta::new().word(u16::from(self.traffic_class()), u16::from(value));
        self.set_traffic_class(value);
        self.update_checksum(delta);
    }

    /// Sets the code point (its low six bits), leaves ECN, and keeps the checksum right.
    #[inline]
    pub fn rewrite_dscp(&mut self, dscp: u8) {
        self.rewrite_traffic_class(dscp << 2 | self.ecn());
    }

    /// Exchanges the addresses, which no checksum notices.
    #[inline(always)]
    pub fn swap_addresses(&mut self) {
        let both = u64::from_ne_bytes(self.addresses()).rotate_left(32);
        set_array::<{ field::SOURCE }, 8, _>(self.bytes_mut(), both.to_ne_bytes());
    }
}

/// What a plain header (no options, not a fragment) says; for building packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// The source address.
    pub source: Ipv4Addr,
    /// The destination address.
    pub destination: Ipv4Addr,
    /// The protocol of the data.
    pub protocol: u8,
    /// Bytes of the data, without this header.
    pub payload_len: u16,
    /// Time to live.
    pub ttl: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The identification, needed only where the packet may be fragmented.
    pub identification: u16,
    /// Whether routers must not fragment it.
    pub dont_fragment: bool,
}

impl Repr {
    /// Writes the header with its checksum to the start of `out` and returns its length. `None`
    /// without room, or if header and data together are longer than 65535 bytes.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let total = self.payload_len.checked_add(HEADER_LEN as u16)?;
        let mut header = Ipv4::new_mut(out)?;
        header.set_version_and_header_len(HEADER_LEN);
        header.set_traffic_class(self.traffic_class);
        header.set_total_len(total);
        header.set_identification(self.identification);
        header.set_flags(if self.dont_fragment { DONT_FRAGMENT } else { 0 });
        header.set_ttl(self.ttl);
        header.set_protocol(self.protocol);
        header.set_source(self.source);
        header.set_destination(self.destination);
        header.fill_checksum();
        Some(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 20] = [
        0x45, 0x2d, 0x00, 0x73, 0x12, 0x34, 0x60, 0x02, 0x40, 0x11, 0x85, 0xfe, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];

    #[test]
    fn fields() {
        let header = Ipv4::new(&BYTES).unwrap();
        assert_eq!(
            (header.version(), header.header_len(), header.total_len()),
            (4, 20, 115)
        );
        assert_eq!((header.dscp(), header.ecn()), (11, 1));
        assert_eq!(header.identification(), 0x1234);
        assert!(header.dont_fragment() && header.more_fragments());
        assert_eq!(header.fragment_offset(), 16);
        assert_eq!((header.ttl(), header.protocol()), (64, protocol::UDP));
        assert_eq!(header.source(), Ipv4Addr::new(192, 168, 0, 1));
        assert_eq!(header.destination(), Ipv4Addr::new(192, 168, 0, 199));
        assert_eq!(header.checksum(), checksum::of_ipv4_header(&BYTES));
        assert!(Ipv4::new(&BYTES[..19]).is_none());
    }

    #[test]
    fn rewrites_keep_the_checksum() {
        let mut bytes = BYTES;
        let mut header = Ipv4::new_mut(&mut bytes).unwrap();
        header.rewrite_ttl(1);
        header.rewrite_dscp(46);
        assert_eq!((header.ttl(), header.dscp(), header.ecn()), (1, 46, 1));
        header.swap_addresses();
        assert_eq!(header.source(), Ipv4Addr::new(192, 168, 0, 199));
        assert_eq!(header.destination(), Ipv4Addr::new(192, 168, 0, 1));
        assert_eq!(checksum::of(&bytes), 0);
    }

    #[test]
    fn emits() {
        let repr = Repr {
            source: Ipv4Addr::new(10, 0, 0, 1),
            destination: Ipv4Addr::new(10, 0, 0, 2),
            protocol: protocol::TCP,
            payload_len: 80,
            ttl: 63,
            traffic_class: 0xc0,
            identification: 7,
            dont_fragment: true,
        };
        let mut out = [0xff; 24];
        assert_eq!(repr.emit(&mut out), Some(20));
        assert_eq!(
            out,
            [
                0x45, 0xc0, 0, 100, 0, 7, 0x40, 0, 63, 6, 0x26, 0xcb, 10, 0, 0, 1, 10, 0, 0, 2,
                0xff, 0xff, 0xff, 0xff
            ]
        );
        assert_eq!(checksum::of(&out[..20]), 0);
        assert_eq!(repr.emit(&mut out[..19]), None);
        assert_eq!(
            Repr {
                payload_len: 65_516,
                ..repr
            }
            .emit(&mut out),
            None
        );
    }
}
