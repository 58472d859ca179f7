//! What stands between the link header and the transport header of few packets: VLAN tags and
//! extension headers. Kept out of the way of the others, and free of their state, so that the
//! parser's stays in registers.

use super::{Fragment, MAX_EXTENSIONS};
use crate::wire::{Malformed, bytes::chunk, ethernet, ipv6::next_header, vlan};

/// The tags of a frame and what follows them.
pub(super) struct Tags {
    pub outer: u16,
    pub inner: u16,
    /// The type after the tags.
    pub ethertype: u16,
    /// Bytes of the link header with them.
    pub link_len: usize,
}

/// Reads up to two tags. A third stays as the type, and what follows it as data. `None` if the
/// frame ends within them.
#[cold]
pub(super) fn read_tags(head: &[u8]) -> Option<Tags> {
    let mut link_len = ethernet::HEADER_LEN + vlan::TAG_LEN;
    let [t0, t1, k0, k1] = *chunk(head, ethernet::HEADER_LEN)?;
    let (outer, mut inner) = (u16::from_be_bytes([t0, t1]), 0);
    let mut ethertype = u16::from_be_bytes([k0, k1]);
    if vlan::is_tag(ethertype) {
        let [t0, t1, k0, k1] = *chunk(head, link_len)?;
        inner = u16::from_be_bytes([t0, t1]);
        ethertype = u16::from_be_bytes([k0, k1]);
        link_len += vlan::TAG_LEN;
    }
    Some(Tags {
        outer,
        inner,
        ethertype,
        link_len,
    })
}

/// Where a chain of extension headers ends, or where it could not be followed further.
pub(super) struct Chain {
    /// The kind of what follows.
    pub protocol: u8,
    /// Where that starts.
    pub at: usize,
    pub fragment: Fragment,
    /// A routing header names further stops.
    pub source_routed: bool,
}

/// Whether `protocol` is an extension header. IPv4 has the authentication header alone.
#[inline(always)]
pub(super) const fn is_extension(version: u8, protocol: u8) -> bool {
    match protocol {
        next_header::AUTHENTICATION => true,
        next_header::HOP_BY_HOP
        | next_header::ROUTING
        | next_header::FRAGMENT
        | next_header::DESTINATION_OPTIONS
        | next_header::MOBILITY
        | next_header::HIP
        | next_header::SHIM6 => version == 6,
        _ => false,
    }
}

impl Chain {
    /// Follows the headers of a packet that ends at `end`. A later fragment ends the chain.
    #[cold]
    pub(super) fn follow(&mut self, head: &[u8], version: u8, end: usize) -> Result<(), Malformed> {
        let mut followed = 0;
        while is_extension(version, self.protocol) && self.fragment != Fragment::Later {
            if self.protocol == next_header::HOP_BY_HOP && followed > 0 {
                return Err(Malformed::MisplacedHopByHop);
            }
            if followed == MAX_EXTENSIONS {
                return Err(Malformed::TooManyExtensions);
            }
            followed += 1;
            self.follow_one(head, end)?;
        }
        Ok(())
    }

    fn follow_one(&mut self, head: &[u8], end: usize) -> Result<(), Malformed> {
        let available = end.saturating_sub(self.at);
        let least = match self.protocol {
            next_header::AUTHENTICATION => 12,
            _ => 8,
        };
        if available < least {
            return Err(Malformed::BadExtension);
        }
        let [next, units, a, b] = *chunk(head, self.at).ok_or(Malformed::Truncated)?;
        let length = match self.protocol {
            next_header::FRAGMENT => 8,
            // Its length is in words of four bytes, less two (RFC 4302, section 2.2).
            next_header::AUTHENTICATION => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        if length < least || length > available {
            return Err(Malformed::BadExtension);
        }
        if self.at + length > head.len() {
            return Err(Malformed::Truncated);
        }
        match self.protocol {
            // The fourth byte counts the segments left (RFC 8200, section 4.4).
            next_header::ROUTING => self.source_routed |= b != 0,
            next_header::FRAGMENT => match (u16::from_be_bytes([a, b]) & !7, b & 1) {
                (0, 0) => {}
                (0, _) => self.fragment = Fragment::First,
                _ => self.fragment = Fragment::Later,
            },
            _ => {}
        }
        self.protocol = next;
        self.at += length;
        Ok(())
    }
}
