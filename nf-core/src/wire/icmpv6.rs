//! ICMP for IPv6 (RFC 4443).

use std::borrow::{Borrow, BorrowMut};

use super::{
    bytes::{header_view, set_u16, set_u32, u16_at, u32_at},
    checksum::Delta,
};

/// Bytes of the header that every message has: type, code, checksum and four that depend on it.
pub const HEADER_LEN: usize = 8;

/// Message types.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Router advertisement (RFC 4861).
    pub const ROUTER_ADVERT: u8 = 134;
    /// Neighbor solicitation (RFC 4861).
    pub const NEIGHBOR_SOLICIT: u8 = 135;
    /// Neighbor advertisement (RFC 4861).
    pub const NEIGHBOR_ADVERT: u8 = 136;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
}

mod field {
    pub const KIND: usize = 0;
    pub const CODE: usize = 1;
    pub const CHECKSUM: usize = 2;
    pub const REST: usize = 4;
    pub const IDENTIFIER: usize = 4;
    pub const SEQUENCE: usize = 6;
}

header_view! {
    /// A view of an ICMPv6 header.
    Icmpv6, HEADER_LEN
}

impl<B: Borrow<[u8; HEADER_LEN]>> Icmpv6<B> {
    #[inline(always)]
    fn bytes(&self) -> &[u8; HEADER_LEN] {
        self.0.borrow()
    }

    /// The message type, as in [`kind`].
    #[inline(always)]
    pub fn kind(&self) -> u8 {
        self.bytes()[field::KIND]
    }

    /// The code, whose meaning depends on the type.
    #[inline(always)]
    pub fn code(&self) -> u8 {
        self.bytes()[field::CODE]
    }

    /// The checksum as it stands.
    #[inline(always)]
    pub fn checksum(&self) -> u16 {
        u16_at::<{ field::CHECKSUM }, _>(self.bytes())
    }

    /// The four bytes whose meaning depends on the type, as a big-endian number.
    #[inline(always)]
    pub fn rest(&self) -> u32 {
        u32_at::<{ field::REST }, _>(self.bytes())
    }

    /// An echo's identifier.
    #[inline(always)]
    pub fn identifier(&self) -> u16 {
        u16_at::<{ field::IDENTIFIER }, _>(self.bytes())
    }

    /// An echo's sequence number.
    #[inline(always)]
    pub fn sequence(&self) -> u16 {
        u16_at::<{ field::SEQUENCE }, _>(self.bytes())
    }

    /// Whether no error may be sent about this message: errors have types below 128, and redirects
    /// count as errors (RFC 4443, section 2.4 (e)).
    #[inline]
    pub fn is_error(&self) -> bool {
        self.kind() < 128 || self.kind() == kind::REDIRECT
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Icmpv6<B> {
    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8; HEADER_LEN] {
        self.0.borrow_mut()
    }

    /// Sets type and code.
    #[inline(always)]
    pub fn set_kind(&mut self, kind: u8, code: u8) {
        self.bytes_mut()[field::KIND] = kind;
        self.bytes_mut()[field::CODE] = code;
    }

    /// Sets the checksum.
    #[inline(always)]
    pub fn set_checksum(&mut self, checksum: u16) {
        set_u16::<{ field::CHECKSUM }, _>(self.bytes_mut(), checksum);
    }

    /// Sets the four bytes whose meaning depends on the type.
    #[inline(always)]
    pub fn set_rest(&mut self, value: u32) {
        set_u32::<{ field::REST }, _>(self.bytes_mut(), value);
    }

    /// Sets an echo's identifier and sequence number.
    #[inline(always)]
    pub fn set_echo(&mut self, identifier: u16, sequence: u16) {
        set_u16::<{ field::IDENTIFIER }, _>(self.bytes_mut(), identifier);
        set_u16::<{ field::SEQUENCE }, _>(self.bytes_mut(), sequence);
    }

    /// Applies a change of covered words to the checksum.
    #[inline(always)]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply(self.checksum());
        self.set_checksum(checksum);
    }
}
