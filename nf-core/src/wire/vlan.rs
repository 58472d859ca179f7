//! VLAN tags (IEEE 802.1Q and 802.1ad): their fields, pushing and popping one.

use super::{
    bytes::{chunk, chunk_mut},
    ethernet::ethertype,
};

/// Bytes that a tag adds to a frame.
pub const TAG_LEN: usize = 4;

/// Where the outermost tag stands in a frame: after both addresses.
const TAG_AT: usize = 12;

/// A tag's 16 bits of control information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tci(pub u16);

impl Tci {
    /// The control information of VLAN `id` (its low 12 bits) with `priority` (low 3 bits).
    #[inline]
    pub const fn new(id: u16, priority: u8) -> Self {
        Self(((priority as u16 & 7) << 13) | (id & 0xfff))
    }

    /// The VLAN, 0 to 4095; 0 means that the tag carries only a priority.
    #[inline]
    pub const fn id(self) -> u16 {
        self.0 & 0xfff
    }

    /// The priority code point, 0 to 7.
    #[inline]
    pub const fn priority(self) -> u8 {
        (self.0 >> 13) as u8
    }

    /// The drop eligible indicator.
    #[inline]
    pub const fn drop_eligible(self) -> bool {
        self.0 & 0x1000 != 0
    }
}

/// Whether a type field announces a tag.
#[inline(always)]
pub const fn is_tag(kind: u16) -> bool {
    kind == ethertype::VLAN || kind == ethertype::QINQ
}

/// Puts a tag of type `kind` in front of whatever follows the addresses. `frame` starts with four
/// spare bytes, taken from the headroom, before the frame's own. `false` if there is no frame.
#[inline]
pub fn push(frame: &mut [u8], kind: u16, tci: Tci) -> bool {
    if frame.len() < TAG_LEN + TAG_AT + 2 {
        return false;
    }
    frame.copy_within(TAG_LEN..TAG_LEN + TAG_AT, 0);
    let Some(tag) = chunk_mut::<TAG_LEN>(frame, TAG_AT) else {
        return false;
    };
    let ([k0, k1], [t0, t1]) = (kind.to_be_bytes(), tci.0.to_be_bytes());
    *tag = [k0, k1, t0, t1];
    true
}

/// Takes the outermost tag out. The frame then starts four bytes later: the caller trims them.
/// `None`, and nothing changed, if the frame has no tag.
#[inline]
pub fn pop(frame: &mut [u8]) -> Option<(u16, Tci)> {
    // The type field after the tag must be there too, or no frame would remain.
    let [k0, k1, t0, t1, _, _] = *chunk::<6>(frame, TAG_AT)?;
    let kind = u16::from_be_bytes([k0, k1]);
    if !is_tag(kind) {
        return None;
    }
    frame.copy_within(..TAG_AT, TAG_LEN);
    Some((kind, Tci(u16::from_be_bytes([t0, t1]))))
}

/// Changes the outermost tag's control information. `false` if the frame has no tag.
#[inline]
pub fn set_tci(frame: &mut [u8], tci: Tci) -> bool {
    let Some(tag) = chunk_mut::<TAG_LEN>(frame, TAG_AT) else {
        return false;
    };
    if !is_tag(u16::from_be_bytes([tag[0], tag[1]])) {
        return false;
    }
    [tag[2], tag[3]] = tci.0.to_be_bytes();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_information() {
        let tci = Tci(0xb123);
        assert_eq!(
            (tci.id(), tci.priority(), tci.drop_eligible()),
            (0x123, 5, true)
        );
        assert_eq!(Tci::new(0x123, 5), Tci(0xa123));
        assert_eq!(Tci::new(0xffff, 0xff), Tci(0xefff));
    }

    #[test]
    fn push_and_pop_are_inverse() {
        let plain = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0x45];
        let mut frame = [0; 19];
        frame[4..].copy_from_slice(&plain);
        assert!(push(&mut frame, ethertype::QINQ, Tci::new(7, 1)));
        assert_eq!(
            frame,
            [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xa8, 0x20, 7, 0x08, 0x00, 0x45
            ]
        );
        assert!(set_tci(&mut frame, Tci::new(9, 0)));
        assert_eq!(pop(&mut frame), Some((ethertype::QINQ, Tci::new(9, 0))));
        assert_eq!(frame[4..], plain);
        assert_eq!(pop(&mut frame[4..]), None);
        assert!(!set_tci(&mut frame[4..], Tci(1)));
    }

    #[test]
    fn short_frames_are_left_alone() {
        for length in 0..18 {
            let mut frame = [0x81; 18];
            frame[13] = 0;
            let before = frame;
            assert_eq!(pop(&mut frame[..length]), None);
            assert!(!push(&mut frame[..length], ethertype::VLAN, Tci(1)));
            assert_eq!(frame, before);
        }
    }
}
