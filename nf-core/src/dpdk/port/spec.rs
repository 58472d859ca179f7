//! How a port is to be opened, and what it then offers.

use std::fmt;

use super::Device;

/// What receive-side scaling hashes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rss {
    /// Addresses and ports of both ends.
    #[default]
    FiveTuple,
    /// Destination address and port only, where the NIC can.
    Destination,
    /// No spreading.
    Off,
}

/// The checksums that a port fills in where packets leave them to it: those that it was asked for and
/// that its device offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TxChecksums {
    /// Of IPv4 headers.
    pub ipv4: bool,
    /// Of UDP datagrams.
    pub udp: bool,
    /// Of TCP segments.
    pub tcp: bool,
}

impl TxChecksums {
    /// All that DPDK knows of.
    pub const ALL: TxChecksums = TxChecksums {
        ipv4: true,
        udp: true,
        tcp: true,
    };

    /// By the offloads that a port was configured with, `RTE_ETH_TX_OFFLOAD_*`.
    pub(super) fn of(offloads: u64) -> TxChecksums {
        let has = |offload| offloads & offload != 0;
        TxChecksums {
            ipv4: has(dpdk_sys::SLUICE_TX_OFFLOAD_IPV4_CKSUM),
            udp: has(dpdk_sys::SLUICE_TX_OFFLOAD_UDP_CKSUM),
            tcp: has(dpdk_sys::SLUICE_TX_OFFLOAD_TCP_CKSUM),
        }
    }

    /// Whether [`Packet::leave_udp_checksum`](crate::packet::Packet::leave_udp_checksum) may be used.
    pub fn serve_udp(self) -> bool {
        self.ipv4 && self.udp
    }
}

impl fmt::Display for TxChecksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = [("IPv4", self.ipv4), ("UDP", self.udp), ("TCP", self.tcp)];
        let offered: Vec<&str> = each
            .iter()
            .filter(|(_, offered)| *offered)
            .map(|(name, _)| *name)
            .collect();
        match offered.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&offered.join(", ")),
        }
    }
}

/// How to open a port.
#[derive(Debug, Clone)]
pub struct PortSpec {
    /// Our name for it.
    pub name: String,
    /// What is behind it.
    pub device: Device,
    /// Receive and transmit queues each.
    pub queues: u16,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    /// Largest layer-3 packet, bytes.
    pub mtu: u16,
    /// Receive what is addressed to others.
    pub promiscuous: bool,
    /// What receive-side scaling hashes over, with more than one queue.
    pub rss: Rss,
    /// Ask for receive and transmit checksum offloads, where offered.
    pub checksum_offload: bool,
    /// Ask for VLAN stripping, where offered.
    pub vlan_strip: bool,
}

impl PortSpec {
    /// A port of one queue with usual settings.
    pub fn new(name: &str, device: Device) -> PortSpec {
        PortSpec {
            name: name.to_owned(),
            device,
            queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            promiscuous: true,
            rss: Rss::FiveTuple,
            checksum_offload: false,
            vlan_strip: false,
        }
    }
}
