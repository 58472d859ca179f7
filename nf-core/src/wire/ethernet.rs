//! Ethernet II (IEEE 802.3): destination, source, type.

use std::borrow::{Borrow, BorrowMut};

use super::{
    Layers, MacAddr,
    bytes::{array_at, chunk_mut, header_view, set_array, set_u16, u16_at},
};

/// Bytes of the header without tags.
pub const HEADER_LEN: usize = 14;

/// Values of the type field.
pub mod ethertype {
    /// Internet Protocol version 4.
    pub const IPV4: u16 = 0x0800;
    /// Address Resolution Protocol.
    pub const ARP: u16 = 0x0806;
    /// Internet Protocol version 6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad service tag, the outer one of QinQ.
    pub const QINQ: u16 = 0x88a8;
    /// The lowest type; below it the field is an 802.3 length.
    pub const FIRST: u16 = 0x0600;
}

mod field {
    pub const DESTINATION: usize = 0;
    pub const SOURCE: usize = 6;
    pub const ETHERTYPE: usize = 12;
}

header_view! {
    /// A view of an Ethernet header.
    Ethernet, HEADER_LEN
}

impl<B: Borrow<[u8; HEADER_LEN]>> Ethernet<B> {
    /// The destination address.
    #[inline(always)]
    pub fn destination(&self) -> MacAddr {
        MacAddr(array_at::<{ field::DESTINATION }, 6, _>(self.as_bytes()))
    }

    /// The source address.
    #[inline(always)]
    pub fn source(&self) -> MacAddr {
        MacAddr(array_at::<{ field::SOURCE }, 6, _>(self.as_bytes()))
    }

    /// The type field as it stands: a tag's where the frame is tagged, a length below 0x600.
    #[inline(always)]
    pub fn ethertype(&self) -> u16 {
        u16_at::<{ field::ETHERTYPE }, _>(self.as_bytes())
    }
}

impl<B: BorrowMut<[u8; HEADER_LEN]>> Ethernet<B> {
    /// Sets the destination address.
    #[inline(always)]
    pub fn set_destination(&mut self, mac: MacAddr) {
        set_array::<{ field::DESTINATION }, 6, _>(self.bytes_mut(), mac.0);
    }

    /// Sets the source address.
    #[inline(always)]
    pub fn set_source(&mut self, mac: MacAddr) {
        set_array::<{ field::SOURCE }, 6, _>(self.bytes_mut(), mac.0);
    }

    /// Sets the type field.
    #[inline(always)]
    pub fn set_ethertype(&mut self, value: u16) {
        set_u16::<{ field::ETHERTYPE }, _>(self.bytes_mut(), value);
    }

    /// Exchanges source and destination.
    #[inline(always)]
    pub fn swap(&mut self) {
        let (destination, source) = (self.destination(), self.source());
        self.set_destination(source);
        self.set_source(destination);
    }
}

/// Writes an untagged header to the start of `out` and returns its length, `None` without room.
#[inline]
pub fn write(out: &mut [u8], destination: MacAddr, source: MacAddr, kind: u16) -> Option<usize> {
    let mut header = Ethernet(chunk_mut::<HEADER_LEN>(out, 0)?);
    header.set_destination(destination);
    header.set_source(source);
    header.set_ethertype(kind);
    Some(HEADER_LEN)
}

/// Copies the link header of a parsed frame, its tags included, with other addresses: how an answer
/// starts. Returns its length, `None` without room.
#[inline]
pub fn write_answer(
    frame: &[u8],
    layers: &Layers,
    destination: MacAddr,
    source: MacAddr,
    out: &mut [u8],
) -> Option<usize> {
    let length = layers.link_len();
    out.get_mut(..length)?.copy_from_slice(frame.get(..length)?);
    let mut header = Ethernet::new_mut(out)?;
    header.set_destination(destination);
    header.set_source(source);
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 16] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06, 0xaa, 0xbb];

    #[test]
    fn fields() {
        let header = Ethernet::new(&BYTES).unwrap();
        assert_eq!(header.destination(), MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(header.source(), MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!(header.ethertype(), ethertype::ARP);
        assert!(Ethernet::new(&BYTES[..13]).is_none());
    }

    #[test]
    fn writes_what_it_reads() {
        let mut out = [0xee; 16];
        let length = write(
            &mut out,
            MacAddr([2, 0, 0, 0, 0, 1]),
            MacAddr([2, 0, 0, 0, 0, 2]),
            0x0806,
        );
        assert_eq!(length, Some(14));
        assert_eq!(out[..14], BYTES[..14]);
        assert_eq!(out[14..], [0xee; 2]);
        assert_eq!(write(&mut out[..13], MacAddr::ZERO, MacAddr::ZERO, 0), None);

        Ethernet::new_mut(&mut out).unwrap().swap();
        assert_eq!(out[..12], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    }
}
