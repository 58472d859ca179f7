//! TCP (RFC 9293): the header without the protocol's state.

use std::borrow::{Borrow, BorrowMut};

use super::{
    bytes::{header_view, set_u16, set_u32, u16_at, u32_at},
    checksum::Delta,
    common::ports,
};

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 20;

/// Bits of the flags.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

mod field {
    pub const SEQUENCE: usize = 4;
    pub const ACKNOWLEDGEMENT: usize = 8;
    pub const DATA_OFFSET: usize = 12;
    pub const FLAGS: usize = 13;
    pub const WINDOW: usize = 14;
    pub const CHECKSUM: usize = 16;
    pub const URGENT: usize = 18;
}

header_view! {
    /// A view of a TCP header without its options.
    Tcp, HEADER_LEN
}

ports!(Tcp, HEADER_LEN);

impl<B: Borrow<[u8; HEADER_LEN]>> Tcp<B> {
    /// The sequence number.
    #[inline(always)]
    pub fn sequence(&self) -> u32 {
        u32_at::<{ field::SEQUENCE }, _>(self.as_bytes())
    }

    /// The acknowledgement number.
    #[inline(always)]
    pub fn acknowledgement(&self) -> u32 {
        u32_at::<{ field::ACKNOWLEDGEMENT }, _>(self.as_bytes())
    }

    /// Bytes of the header with its options, 20 to 60 in a valid header.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.as_bytes()[field::DATA_OFFSET] >> 4) * 4
    }

    /// The eight flags, as in [`flags`].
    #[inline(always)]
    pub fn flags(&self) -> u8 {
        self.as_bytes()[field::FLAGS]
    }

    /// The receive window, not scaled.
    #[inline(always)]
    pub fn window(&self) -> u16 {
        u16_at::<{ field::WINDOW }, _>(self.as_bytes())
    }

    /// The checksum as it stands.
    #[inline(always)]
    pub fn checksum(&self) -> u16 {
        u16_at::<{ field::CHECKSUM }, _>(self.as_bytes())
    }

    /// The urgent pointer.
    #[inline(always)]
    pub fn urgent(&self) -> u16 {
        u16_at::<{ field::URGENT }, _>(self.as_bytes())
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Tcp<B> {
    /// Sets the sequence number.
    #[inline(always)]
    pub fn set_sequence(&mut self, value: u32) {
        set_u32::<{ field::SEQUENCE }, _>(self.bytes_mut(), value);
    }

    /// Sets the acknowledgement number.
    #[inline(always)]
    pub fn set_acknowledgement(&mut self, value: u32) {
        set_u32::<{ field::ACKNOWLEDGEMENT }, _>(self.bytes_mut(), value);
    }

    /// Sets the header's length in bytes, a multiple of four from 20 to 60; the reserved bits
    /// beside it become zero.
    #[inline(always)]
    pub fn set_header_len(&mut self, bytes: usize) {
        self.bytes_mut()[field::DATA_OFFSET] = ((bytes / 4) as u8) << 4;
    }

    /// Sets the eight flags.
    #[inline(always)]
    pub fn set_flags(&mut self, value: u8) {
        self.bytes_mut()[field::FLAGS] = value;
    }

    /// Sets the receive window.
    #[inline(always)]
    pub fn set_window(&mut self, value: u16) {
        set_u16::<{ field::WINDOW }, _>(self.bytes_mut(), value);
    }

    /// Sets the checksum.
    #[inline(always)]
    pub fn set_checksum(&mut self, value: u16) {
        set_u16::<{ field::CHECKSUM }, _>(self.bytes_mut(), value);
    }

    /// Sets the urgent pointer.
    #[inline(always)]
    pub fn set_urgent(&mut self, value: u16) {
        set_u16::<{ field::URGENT }, _>(self.bytes_mut(), value);
    }

    /// Applies a change of covered words to the checksum.
    #[inline(always)]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply(self.checksum());
        self.set_checksum(checksum);
    }
}

/// What a header without options says; for building packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repr {
    /// The source port.
    pub source_port: u16,
    /// The destination port.
    pub destination_port: u16,
    /// The sequence number.
    pub sequence: u32,
    /// The acknowledgement number.
    pub acknowledgement: u32,
    /// The flags, as in [`flags`].
    pub flags: u8,
    /// The receive window.
    pub window: u16,
}

impl Repr {
    /// Writes the header with a zero checksum to the start of `out` and returns its length, `None`
    /// without room. [`fill_transport_checksum`](super::fill_transport_checksum) adds the checksum.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut header = Tcp::new_mut(out)?;
        header.set_source_port(self.source_port);
        header.set_destination_port(self.destination_port);
        header.set_sequence(self.sequence);
        header.set_acknowledgement(self.acknowledgement);
        header.set_header_len(HEADER_LEN);
        header.set_flags(self.flags);
        header.set_window(self.window);
        header.set_checksum(0);
        header.set_urgent(0);
        Some(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 20] = [
        0xc0, 0x01, 0x00, 0x50, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x50, 0x12, 0xfa,
        0xf0, 0, 0, 0, 0,
    ];

    #[test]
    fn fields_and_emit() {
        let header = Tcp::new(&BYTES).unwrap();
        let repr = Repr {
            source_port: header.source_port(),
            destination_port: header.destination_port(),
            sequence: header.sequence(),
            acknowledgement: header.acknowledgement(),
            flags: header.flags(),
            window: header.window(),
        };
        assert_eq!((repr.source_port, repr.destination_port), (0xc001, 80));
        assert_eq!(
            (repr.sequence, repr.acknowledgement),
            (0x0102_0304, 0x0506_0708)
        );
        assert_eq!((repr.flags, repr.window), (flags::SYN | flags::ACK, 64_240));
        assert_eq!(
            (header.header_len(), header.checksum(), header.urgent()),
            (20, 0, 0)
        );
        let mut out = [0xff; 20];
        assert_eq!(repr.emit(&mut out), Some(20));
        assert_eq!(out, BYTES);
        assert_eq!(repr.emit(&mut out[..19]), None);
        assert!(Tcp::new(&BYTES[..19]).is_none());
    }

    #[test]
    fn rewrites_keep_the_checksum() {
        let mut bytes = BYTES;
        let mut header = Tcp::new_mut(&mut bytes).unwrap();
        header.set_checksum(super::super::checksum::of(&BYTES));
        header.rewrite_source_port(1);
        header.rewrite_destination_port(65_535);
        assert_eq!(
            (header.source_port(), header.destination_port()),
            (1, 65_535)
        );
        assert_eq!(super::super::checksum::of(&bytes), 0);
    }
}
