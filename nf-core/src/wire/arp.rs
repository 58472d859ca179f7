//! ARP for IPv4 over Ethernet (RFC 826).

use std::{
    borrow::{Borrow, BorrowMut},
    net::Ipv4Addr,
};

use super::{
    Layers, MacAddr,
    bytes::{array_at, header_view, set_array, set_u16, u16_at},
    ethernet::{self, ethertype},
};

/// Bytes of the packet.
pub const PACKET_LEN: usize = 28;

/// The operation of a request.
pub const REQUEST: u16 = 1;
/// The operation of a reply.
pub const REPLY: u16 = 2;

/// Hardware type, protocol type and both lengths of IPv4 over Ethernet.
const ETHERNET_IPV4: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

mod field {
    pub const KIND: usize = 0;
    pub const OPERATION: usize = 6;
    pub const SENDER_MAC: usize = 8;
    pub const SENDER_IP: usize = 14;
    pub const TARGET_MAC: usize = 18;
    pub const TARGET_IP: usize = 24;
}

header_view! {
    /// A view of an ARP packet.
    Arp, PACKET_LEN
}

impl<B: Borrow<[u8; PACKET_LEN]>> Arp<B> {
    /// Whether the packet speaks of IPv4 over Ethernet; the other fields mean nothing if not.
    #[inline(always)]
    pub fn is_ethernet_ipv4(&self) -> bool {
        array_at::<{ field::KIND }, 6, _>(self.as_bytes()) == ETHERNET_IPV4
    }

    /// [`REQUEST`], [`REPLY`] or another operation.
    #[inline(always)]
    pub fn operation(&self) -> u16 {
        u16_at::<{ field::OPERATION }, _>(self.as_bytes())
    }

    /// The sender's hardware address.
    #[inline(always)]
    pub fn sender_mac(&self) -> MacAddr {
        MacAddr(array_at::<{ field::SENDER_MAC }, 6, _>(self.as_bytes()))
    }

    /// The sender's IP address; unspecified in a probe (RFC 5227).
    #[inline(always)]
    pub fn sender_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(array_at::<{ field::SENDER_IP }, 4, _>(self.as_bytes()))
    }

    /// The target's hardware address; nothing in a request.
    #[inline(always)]
    pub fn target_mac(&self) -> MacAddr {
        MacAddr(array_at::<{ field::TARGET_MAC }, 6, _>(self.as_bytes()))
    }

    /// The IP address asked for, or the receiver's.
    #[inline(always)]
    pub fn target_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from(array_at::<{ field::TARGET_IP }, 4, _>(self.as_bytes()))
    }
}

impl<B: BorrowMut<[u8; PACKET_LEN]>> Arp<B> {
    /// Sets the four fields that say IPv4 over Ethernet.
    #[inline(always)]
    pub fn set_ethernet_ipv4(&mut self) {
        set_array::<{ field::KIND }, 6, _>(self.bytes_mut(), ETHERNET_IPV4);
    }

    /// Sets the operation.
    #[inline(always)]
    pub fn set_operation(&mut self, operation: u16) {
        set_u16::<{ field::OPERATION }, _>(self.bytes_mut(), operation);
    }

    /// Sets the sender's addresses.
    #[inline(always)]
    pub fn set_sender(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        set_array::<{ field::SENDER_MAC }, 6, _>(self.bytes_mut(), mac.0);
        set_array::<{ field::SENDER_IP }, 4, _>(self.bytes_mut(), ip.octets());
    }

    /// Sets the target's addresses.
    #[inline(always)]
    pub fn set_target(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        set_array::<{ field::TARGET_MAC }, 6, _>(self.bytes_mut(), mac.0);
        set_array::<{ field::TARGET_IP }, 4, _>(self.bytes_mut(), ip.octets());
    }
}

/// The request for the hardware address of `target`, as a whole untagged frame at the start of
/// `out`. It goes `to` everybody, or to the one station whose known address is to be confirmed
/// (RFC 1122, section 2.3.2.1). A probe before `sender_ip` is in use has it unspecified (RFC 5227).
/// Returns its length, `None` without room.
#[inline]
pub fn write_request(
    out: &mut [u8],
    to: MacAddr,
    sender_mac: MacAddr,
    sender_ip: Ipv4Addr,
    target: Ipv4Addr,
) -> Option<usize> {
    let at = ethernet::write(out, to, sender_mac, ethertype::ARP)?;
    let mut packet = Arp::new_mut(out.get_mut(at..)?)?;
    packet.set_ethernet_ipv4();
    packet.set_operation(REQUEST);
    packet.set_sender(sender_mac, sender_ip);
    packet.set_target(MacAddr::ZERO, target);
    Some(at + PACKET_LEN)
}

/// The announcement that `ip` is at `mac` (RFC 5227, section 2.3): a request for the own address.
/// Returns its length, `None` without room.
#[inline]
pub fn write_announcement(out: &mut [u8], mac: MacAddr, ip: Ipv4Addr) -> Option<usize> {
    write_request(out, MacAddr::BROADCAST, mac, ip, ip)
}

/// The reply that says that what the request `frame` asks for is at `mac`, as a whole frame with
/// the request's tags. The caller knows that the address asked for is its own. Returns its length;
/// `None` without room, or if `frame` is no request of IPv4 over Ethernet by a single station.
#[inline]
pub fn write_reply(frame: &[u8], layers: &Layers, mac: MacAddr, out: &mut [u8]) -> Option<usize> {
    let request = layers.arp(frame)?;
    let asker = request.sender_mac();
    if !request.is_ethernet_ipv4() || request.operation() != REQUEST || !asker.is_unicast() {
        return None;
    }
    let at = ethernet::write_answer(frame, layers, asker, mac, out)?;
    let mut packet = Arp::new_mut(out.get_mut(at..)?)?;
    packet.set_ethernet_ipv4();
    packet.set_operation(REPLY);
    packet.set_sender(mac, request.target_ip());
    packet.set_target(asker, request.sender_ip());
    Some(at + PACKET_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    /// The broadcast request of THERE for IP.
    #[rustfmt::skip]
    const FRAME: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x08, 0x06,
        0x00, 0x01, 0x08, 0x00, 6, 4, 0, 1,
        2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
    ];

    #[test]
    fn fields() {
        let layers = Layers::parse(&FRAME).unwrap();
        let packet = layers.arp(&FRAME).unwrap();
        assert!(packet.is_ethernet_ipv4());
        assert_eq!((packet.operation(), packet.sender_mac()), (REQUEST, THERE));
        assert_eq!((packet.sender_ip(), packet.target_ip()), (OTHER, IP));
        assert_eq!(packet.target_mac(), MacAddr::ZERO);
        for length in 0..42 {
            assert!(Layers::parse(&FRAME[..length]).is_err());
        }
    }

    #[test]
    fn requests() {
        let mut out = [0xee; 60];
        assert_eq!(
            write_request(&mut out, MacAddr::BROADCAST, THERE, OTHER, IP),
            Some(42)
        );
        assert_eq!(out[..42], FRAME);
        assert_eq!(write_request(&mut out, HERE, THERE, OTHER, IP), Some(42));
        assert_eq!(out[..6], HERE.0);
        assert_eq!(write_announcement(&mut out, THERE, OTHER), Some(42));
        let packet = Arp::new(&out[14..]).unwrap();
        assert_eq!((packet.sender_ip(), packet.target_ip()), (OTHER, OTHER));
        for length in 0..42 {
            assert_eq!(write_announcement(&mut out[..length], THERE, OTHER), None);
        }
    }

    #[test]
    fn replies() {
        let tagged = [&FRAME[..12], &[0x81, 0, 0, 7], &FRAME[12..]].concat();
        let layers = Layers::parse(&tagged).unwrap();
        let mut out = [0xee; 60];
        assert_eq!(write_reply(&tagged, &layers, HERE, &mut out), Some(46));
        #[rustfmt::skip]
        assert_eq!(out[..46], [
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 0x08, 0x06,
            0x00, 0x01, 0x08, 0x00, 6, 4, 0, 2,
            2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2,
        ]);
        for length in 0..46 {
            assert_eq!(
                write_reply(&tagged, &layers, HERE, &mut out[..length]),
                None
            );
        }
    }

    #[test]
    fn only_requests_of_stations_are_answered() {
        // Hardware type, protocol type, lengths, operation, group sender.
        for at in [15, 16, 18, 19, 21, 22] {
            let mut frame = FRAME;
            frame[at] |= 0x81;
            frame[at] ^= 0x02;
            let layers = Layers::parse(&frame).unwrap();
            assert_eq!(
                write_reply(&frame, &layers, HERE, &mut [0; 60]),
                None,
                "byte {at}"
            );
        }
    }
}
