//! From a port's section to the DPDK port it asks for.

use super::{Device, MacAddress, MemifRole, PortConfig, Rss};
use crate::dpdk;

/// Headers around the largest layer-3 packet: Ethernet and two VLAN tags.
const LINK_BYTES: u32 = 22;

/// Room for the kernel's or the peer's own header before a frame in shared memory.
const SLOT_HEADER_BYTES: u32 = 128;

/// Buffers that the rings of an AF_XDP queue hold: those that wait for packets, those that were sent.
const AF_XDP_RINGS: u32 = 2 * 2048 + 2048;

/// Packets in the own pool of an AF_XDP port with that many queues, and descriptors of each: what the
/// driver's rings hold, and as many again on their way or held by stages as there are descriptors.
pub(crate) fn own_pool_packets(queues: u16, descriptors: u32) -> u32 {
    u32::from(queues) * (AF_XDP_RINGS + descriptors)
}

impl PortConfig {
    /// The DPDK port for this section, with that many queue pairs, for layer-3 packets of up to
    /// `mtu` bytes.
    pub fn port_spec(&self, queues: u16, mtu: u16) -> dpdk::PortSpec {
        dpdk::PortSpec {
            queues,
            rx_descriptors: self.rx_descriptors,
            tx_descriptors: self.tx_descriptors,
            mtu,
            promiscuous: self.promiscuous,
            rss: match self.rss {
                Rss::FiveTuple => dpdk::Rss::FiveTuple,
                Rss::Destination => dpdk::Rss::Destination,
                Rss::Off => dpdk::Rss::Off,
            },
            checksum_offload: self.offloads.checksum,
            vlan_strip: self.offloads.vlan_strip,
            ..dpdk::PortSpec::new(&self.name, device(&self.device, mtu))
        }
    }
}

/// Bytes of a slot of an AF_PACKET ring: the kernel's header (at most 80 bytes) and the frame. A
/// quarter of a page's multiple, so that few slots fill whole pages.
pub(super) fn af_packet_slot(mtu: u16) -> u32 {
    (u32::from(mtu) + LINK_BYTES + 80)
        .next_multiple_of(1024)
        .max(2048)
}

/// What one packet buffer must hold for such a slot, in bytes: all of it but the kernel's first
/// header, by the driver's own rule.
pub(super) fn af_packet_room(mtu: u16) -> u32 {
    af_packet_slot(mtu) - 32
}

fn device(device: &Device, mtu: u16) -> dpdk::Device {
    let mac = |mac: &Option<MacAddress>| mac.as_ref().map(ToString::to_string);
    // A power of two, so that slots do not lie across more cache lines than they must.
    let slot = (u32::from(mtu) + LINK_BYTES + SLOT_HEADER_BYTES)
        .next_power_of_two()
        .max(2048);
    match device {
        Device::Pci(pci) => dpdk::Device::Pci {
            address: pci.address.as_str().to_owned(),
        },
        Device::Tap(tap) => dpdk::Device::Tap {
            interface: tap.interface.to_string(),
            mac: mac(&tap.mac),
        },
        Device::Memif(memif) => dpdk::Device::Memif {
            server: memif.role == MemifRole::Server,
            socket: memif.socket.to_string_lossy().into_owned(),
            abstract_socket: memif.abstract_socket,
            id: memif.id,
            secret: memif
                .secret
                .as_ref()
                .map(|secret| secret.reveal().to_owned()),
            zero_copy: memif.zero_copy,
            buffer_bytes: slot,
            mac: mac(&memif.mac),
        },
        Device::AfXdp(xdp) => dpdk::Device::AfXdp {
            interface: xdp.interface.to_string(),
            start_queue: xdp.start_queue,
            force_copy: xdp.force_copy,
        },
        Device::AfPacket(packet) => dpdk::Device::AfPacket {
            interface: packet.interface.to_string(),
            frame_bytes: af_packet_slot(mtu),
            frames: 512,
            qdisc_bypass: packet.qdisc_bypass,
        },
        Device::Ring(ring) => dpdk::Device::Ring {
            slots: ring.slots.clamp(64, 65536).next_power_of_two(),
        },
        Device::Pcap(pcap) => dpdk::Device::Pcap {
            rx_file: pcap.rx_file.clone(),
            tx_file: pcap.tx_file.clone(),
            repeat: pcap.repeat,
        },
        Device::Null(null) => dpdk::Device::Null {
            packet_bytes: u16::try_from(null.packet_bytes).unwrap_or(u16::MAX),
            copy: null.copy,
        },
    }
}
