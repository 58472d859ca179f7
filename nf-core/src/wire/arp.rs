//! ARP for IPv4 over Ethernet (RFC 826).

use std::{
    borrow::{Borrow, BorrowMut},
    net::Ipv4Addr,
};

use super::{
    MacAddr,
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
    #[inline(always)]
    fn bytes(&self) -> &[u8; PACKET_LEN] {
        self.0.borrow()
    }

    /// Whether the packet speaks of IPv4 over Ethernet; the other fields mean nothing if not.
    #[inline(always)]
    pub fn is_ethernet_ipv4(&self) -> bool {
        array_at::<{ field::KIND }, 6, _>(self.bytes()) == ETHERNET_IPV4
    }

    /// [`REQUEST`], [`REPLY`] or another operation.
    #[inline(always)]
    pub fn operation(&self) -> u16 {
        u16_at::<{ field::OPERATION }, _>(self.bytes())
    }

    /// The sender's hardware address.
    #[inline(always)]
    pub fn sender_mac(&self) -> MacAddr {
        MacAddr(array_at::<{ field::SENDER_MAC }, 6, _>(self.bytes()))
    }

    /// The sender's IP address; unspecified in a probe (RFC 5227).
    #[inline(always)]
    pub fn sender_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(array_at::<{ field::SENDER_IP }, 4, _>(self.bytes()))
    }

    /// The target's hardware address; nothing in a request.
    #[inline(always)]
    pub fn target_mac(&self) -> MacAddr {
        MacAddr(array_at::<{ field::TARGET_MAC }, 6, _>(self.bytes()))
    }

    /// The IP address asked for, or the receiver's.
    #[inline(always)]
    pub fn target_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(array_at::<{ field::TARGET_IP }, 4, _>(self.bytes()))
    }
}

impl<B: BorrowMut<[u8; PACKET_LEN]>> Arp<B> {
    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8; PACKET_LEN] {
        self.0.borrow_mut()
    }

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
