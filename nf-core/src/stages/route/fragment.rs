//! IPv4 packets cut to fit the next link (RFC 791, section 3.2).

use super::reasons::Reason;
use crate::chain::Cx;
use crate::packet::Packet;
use crate::wire::{Ipv4, ethernet, ipv4};

/// The copied bit and the two options of one byte.
const COPIED: u8 = 0x80;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;

/// The next fragment of a packet, of whose data `at` bytes are done; `None` after the last. Fails
/// when the pool is exhausted. The caller has checked the header, that the MTU is at least 68 and
/// that the packet may be fragmented.
pub(super) fn next(
    cx: &mut Cx<'_>,
    packet: &Packet,
    mtu: u16,
    at: &mut usize,
) -> Result<Option<Packet>, ()> {
    let data = packet.data();
    let header = data.get(ethernet::HEADER_LEN..).and_then(Ipv4::new);
    let Some(header) = header else {
        return Ok(None);
    };
    let link_and_header = ethernet::HEADER_LEN + header.header_len();
    let total = usize::from(header.total_len()).saturating_sub(header.header_len());
    if *at >= total {
        return Ok(None);
    }
    let (flags, offset) = (header.flags(), header.fragment_offset());
    let mut fragment = cx.alloc().ok_or(())?;
    // What one buffer holds, if that is less than the link takes.
    let room = fragment
        .tailroom()
        .min(usize::from(mtu) + ethernet::HEADER_LEN)
        .saturating_sub(link_and_header);
    let rest = total - *at;
    let take = if rest <= room { rest } else { room & !7 };
    let meta = *packet.meta();
    let filled = (take > 0)
        .then(|| fragment.append(link_and_header + take))
        .flatten();
    let (Some(out), Some(head)) = (filled, data.get(..link_and_header)) else {
        cx.drop(fragment, Reason::NoBuffer as usize);
        return Err(());
    };
    let (front, back) = out.split_at_mut(link_and_header.min(head.len()));
    front.copy_from_slice(head);
    packet.copy_out(link_and_header + *at, back);
    if offset + *at > 0 {
        blank_options(front.get_mut(ethernet::HEADER_LEN + ipv4::HEADER_LEN..));
    }
    let last = *at + take == total;
    let more = match last {
        true => flags & ipv4::MORE_FRAGMENTS,
        false => ipv4::MORE_FRAGMENTS,
    };
    let keep = flags & !(ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET);
    let header_at = ethernet::HEADER_LEN;
    let ttl = header.ttl().saturating_sub(1);
    let total_len = (link_and_header - header_at + take) as u16;
    if let Some(mut own) = front.get_mut(header_at..).and_then(Ipv4::new_mut) {
        own.set_total_len(total_len);
        own.set_flags(keep | more | ((offset + *at) / 8) as u16 & ipv4::FRAGMENT_OFFSET);
        own.set_ttl(ttl);
        own.set_checksum(0);
    }
    let sum = crate::wire::checksum::of(front.get(header_at..).unwrap_or_default());
    if let Some(mut own) = front.get_mut(header_at..).and_then(Ipv4::new_mut) {
        own.set_checksum(sum);
    }
    *at += take;
    fragment.reset_meta(meta);
    Ok(Some(fragment))
}

/// Options without the copied bit belong to the first fragment alone. The header keeps its length.
fn blank_options(options: Option<&mut [u8]>) {
    let Some(mut rest) = options else { return };
    while let Some(&kind) = rest.first() {
        let length = match kind {
            END_OF_OPTIONS => return,
            NO_OPERATION => 1,
            _ => rest.get(1).map_or(0, |length| usize::from(*length)),
        };
        if length == 0 || length > rest.len() {
            return;
        }
        let (option, behind) = rest.split_at_mut(length);
        if kind & COPIED == 0 {
            option.fill(NO_OPERATION);
        }
        rest = behind;
    }
}
