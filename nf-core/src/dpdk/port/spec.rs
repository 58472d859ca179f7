//! How a port is to be opened.

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
