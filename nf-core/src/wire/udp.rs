//! UDP (RFC 768).

use std::borrow::{Borrow, BorrowMut};

use super::{
    bytes::{header_view, set_u16, u16_at},
    checksum::Delta,
    common::ports,
};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

mod field {
    pub const LENGTH: usize = 4;
    pub const CHECKSUM: usize = 6;
}

header_view! {
    /// A view of a UDP header.
    Udp, HEADER_LEN
}

ports!(Udp, HEADER_LEN);

impl<B: Borrow<[u8; HEADER_LEN]>> Udp<B> {
    /// Bytes of header and data.
    #[inline(always)]
    pub fn length(&self) -> u16 {
        u16_at::<{ field::LENGTH }, _>(self.as_bytes())
    }

    /// The checksum as it stands; zero means none.
    #[inline(always)]
    pub fn checksum(&self) -> u16 {
        u16_at::<{ field::CHECKSUM }, _>(self.as_bytes())
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Udp<B> {
    /// Sets the length of header and data.
    #[inline(always)]
    pub fn set_length(&mut self, length: u16) {
        set_u16::<{ field::LENGTH }, _>(self.bytes_mut(), length);
    }

    /// Sets the checksum.
    #[inline(always)]
    pub fn set_checksum(&mut self, checksum: u16) {
        set_u16::<{ field::CHECKSUM }, _>(self.bytes_mut(), checksum);
    }

    /// Applies a change of covered words to the checksum, if there is one.
    #[inline(always)]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply_udp(self.checksum());
        self.set_checksum(checksum);
    }
}

/// Writes a header without checksum to the start of `out` and returns its length. `None` without
/// room, or if header and data together are longer than 65535 bytes.
/// [`fill_transport_checksum`](super::fill_transport_checksum) adds the checksum.
#[inline]
pub fn write(
    out: &mut [u8],
    source_port: u16,
    destination_port: u16,
    payload_len: u16,
) -> Option<usize> {
    let length = payload_len.checked_add(HEADER_LEN as u16)?;
    let mut header = Udp::new_mut(out)?;
    header.set_source_port(source_port);
    header.set_destination_port(destination_port);
    header.set_length(length);
    header.set_checksum(0);
    Some(HEADER_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_rewrites() {
        let mut bytes = [0xbf, 0x00, 0x00, 0x35, 0x00, 0x0c, 0x12, 0x4d];
        let mut header = Udp::new_mut(&mut bytes).unwrap();
        assert_eq!(
            (header.source_port(), header.destination_port()),
            (48_896, 53)
        );
        assert_eq!((header.length(), header.checksum()), (12, 0x124d));
        header.rewrite_source_port(48_897);
        assert_eq!((header.source_port(), header.checksum()), (48_897, 0x124c));
        header.rewrite_destination_port(54);
        assert_eq!((header.destination_port(), header.checksum()), (54, 0x124b));
        // A computed zero would mean "none".
        header.set_checksum(1);
        header.rewrite_destination_port(55);
        assert_eq!(header.checksum(), 0xffff);
        header.set_checksum(0);
        header.rewrite_destination_port(56);
        assert_eq!(header.checksum(), 0);
        assert!(Udp::new(&bytes[..7]).is_none());
    }

    #[test]
    fn writes() {
        let mut out = [0xff; 9];
        assert_eq!(write(&mut out, 1, 2, 3), Some(8));
        assert_eq!(out, [0, 1, 0, 2, 0, 11, 0, 0, 0xff]);
        assert_eq!(write(&mut out[..7], 1, 2, 3), None);
        assert_eq!(write(&mut out, 1, 2, 65_528), None);
    }
}
