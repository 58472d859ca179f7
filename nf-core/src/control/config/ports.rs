//! `ports`: where packets come from and go to, whatever the device behind it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Identifier, Interface, MacAddress, PciAddress, Secret, Side};

/// One port: a device, and who is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    /// The port's name, in commands, metrics and stages' settings.
    pub name: Identifier,
    /// What this port is for, in your own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who is behind the port.
    pub side: Side,
    /// The port to which packets received here go, unless a stage says otherwise. Left out, it is
    /// the port that names this one as its peer, or else the only port on the other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Identifier>,
    /// What the port is made of.
    pub device: Device,
    /// Pairs of a receive and a transmit queue. Left out, there is one for each packet core. More
    /// are shared out among the packet cores; with fewer, the cores without a queue receive nothing
    /// from the port and hand what they send to packet core 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub queues: Option<u16>,
    /// Descriptors of each receive queue, a power of two: how many packets may wait while the core
    /// is busy.
    #[serde(default = "default_descriptors")]
    #[schemars(
        range(min = 32, max = 32768),
        extend("x-allowed" = "a power of two from 32 to 32768")
    )]
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue, a power of two.
    #[serde(default = "default_descriptors")]
    #[schemars(
        range(min = 32, max = 32768),
        extend("x-allowed" = "a power of two from 32 to 32768")
    )]
    pub tx_descriptors: u16,
    /// The largest packet without its Ethernet header, in bytes.
    #[serde(default = "default_mtu")]
    #[schemars(range(min = 68, max = 65521))]
    pub mtu: u16,
    /// Receive packets for any Ethernet address. A chain without a `route` stage needs it.
    #[serde(default = "default_true")]
    pub promiscuous: bool,
    /// By what the port spreads packets over several queues.
    #[serde(default)]
    pub rss: Rss,
    /// Work that the device may take over, where it can.
    #[serde(default)]
    pub offloads: OffloadsConfig,
}

impl PortConfig {
    /// Pairs of queues on an appliance with `packet_cores` packet cores.
    pub fn queue_pairs(&self, packet_cores: usize) -> u16 {
        self.queues
            .unwrap_or_else(|| u16::try_from(packet_cores).unwrap_or(u16::MAX))
    }
}

pub(super) fn default_descriptors() -> u16 {
    1024
}

pub(super) fn default_mtu() -> u16 {
    1500
}

fn default_true() -> bool {
    true
}

/// By what a port spreads packets over several queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rss {
    /// By addresses, protocol and ports: all packets of a flow come to the same core.
    #[default]
    FiveTuple,
    /// By the destination address only: all packets for a server come to the same core. Where the
    /// device can.
    Destination,
    /// Not at all: everything comes to the first queue.
    Off,
}

/// Work that the device may take over, where it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OffloadsConfig {
    /// Let the device check and fill in IPv4, UDP and TCP checksums.
    pub checksum: bool,
    /// Let the device take the VLAN tag out of received frames. The stages then do not see it.
    pub vlan_strip: bool,
}

/// What a port is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Device {
    /// A network card, bound to vfio-pci (or, for NVIDIA's, to its own driver).
    Pci(PciDevice),
    /// A TAP interface that Sluice makes: the kernel's network stack is on the other end. DPDK 22.11
    /// takes an `mtu` of at most 1500 for it.
    Tap(TapDevice),
    /// Shared memory to another process that speaks memif: Sluice, pktgen, VPP, testpmd.
    Memif(MemifDevice),
    /// An interface of the kernel through an AF_XDP socket. The fast way to a veth or a card that
    /// the kernel keeps. On a veth, the kernel at its other end must finish checksums itself:
    /// `ethtool -K INTERFACE tx off` there. Such a port has packet buffers of its own, which come out
    /// of `eal.memory_mb`: 6144 for each queue and one for each descriptor. Stages cannot hold more of
    /// its packets than that; more descriptors make it more.
    AfXdp(AfXdpDevice),
    /// An interface of the kernel through a packet socket. Works with every interface. On a veth,
    /// the kernel at its other end must finish checksums itself: `ethtool -K INTERFACE tx off`
    /// there. DPDK's driver numbers the kernel's fan-out group of a port by process and interface:
    /// once in a while two processes in one network namespace collide, and the second one's port
    /// does not open; starting it again helps.
    AfPacket(AfPacketDevice),
    /// A ring in memory: what is sent comes back as received. For tests.
    Ring(RingDevice),
    /// Packets from a capture file, to a capture file, or both.
    Pcap(PcapDevice),
    /// An endless source of packets that throws away what it is given. For measurements.
    Null(NullDevice),
}

impl Device {
    /// The word for the kind of device in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pci(_) => "pci",
            Self::Tap(_) => "tap",
            Self::Memif(_) => "memif",
            Self::AfXdp(_) => "af_xdp",
            Self::AfPacket(_) => "af_packet",
            Self::Ring(_) => "ring",
            Self::Pcap(_) => "pcap",
            Self::Null(_) => "null",
        }
    }
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PciDevice {
    /// The card's address, as `lspci -D` prints it: `"0000:01:00.0"`.
    pub address: PciAddress,
    /// Arguments for its driver, as DPDK's page of the driver describes them:
    /// `"dv_flow_en=1,rxq_cqe_comp_en=0"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_args: Option<String>,
}

/// A TAP interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TapDevice {
    /// The name of the interface that appears in the kernel.
    pub interface: Interface,
    /// The Ethernet address of Sluice's end. Left out, a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
}

/// Shared memory to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemifDevice {
    /// Who listens on the socket. One end is the server, the other the client.
    pub role: MemifRole,
    /// The Unix socket over which the two ends find each other.
    #[schemars(with = "String", length(min = 1))]
    pub socket: PathBuf,
    /// Take `socket` as a name without a file (Linux's abstract namespace). It is gone when the
    /// processes are, and does not cross network namespaces.
    #[serde(default, rename = "abstract")]
    pub abstract_socket: bool,
    /// The number of the connection; several can share one socket of a server.
    #[serde(default)]
    pub id: u32,
    /// A word that both ends must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Let the other end write straight into our packet buffers: saves a copy. Only the client
    /// can offer it, and only with huge pages.
    #[serde(default)]
    pub zero_copy: bool,
    /// The Ethernet address of the port. Left out, a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
}

/// Which end of a memif connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemifRole {
    /// Makes the socket and waits.
    Server,
    /// Connects, and tries again until the server is there.
    Client,
}

/// An interface of the kernel through an AF_XDP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AfXdpDevice {
    /// The interface. It must exist.
    pub interface: Interface,
    /// The interface's first queue to take; as many follow as the port has.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1023))]
    pub start_queue: u16,
    /// Copy packets even where the driver could do without. For drivers whose zero-copy fails.
    #[serde(default)]
    pub force_copy: bool,
}

/// An interface of the kernel through a packet socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AfPacketDevice {
    /// The interface. It must exist.
    pub interface: Interface,
    /// Send past the kernel's queueing discipline: faster, but shaping and `tc` do not see it.
    #[serde(default)]
    pub qdisc_bypass: bool,
}

/// A ring in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RingDevice {
    /// Slots of each ring, rounded up to a power of two.
    #[schemars(range(min = 64, max = 65536))]
    pub slots: u32,
    /// Packets put into the ring at start, which then go round for ever: small UDP frames. For
    /// measurements.
    #[schemars(range(min = 0, max = 32768))]
    pub seed_packets: u32,
}

impl Default for RingDevice {
    fn default() -> Self {
        Self {
            slots: 1024,
            seed_packets: 0,
        }
    }
}

/// Packets from or to a capture file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PcapDevice {
    /// The pcap file whose packets are received. Left out, nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1))]
    pub rx_file: Option<PathBuf>,
    /// The pcap file that is written with what is sent. Left out, it is thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1))]
    pub tx_file: Option<PathBuf>,
    /// Start `rx_file` again at its end, for ever. Without a `tx_file` there may then be several queues, of which
    /// each receives the whole file.
    #[serde(default, rename = "loop")]
    pub repeat: bool,
}

/// An endless source of packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NullDevice {
    /// The size of the packets received, in bytes.
    #[schemars(range(min = 14, max = 65535))]
    pub packet_bytes: u32,
    /// Copy the data in and out as a real device would. Off, only the buffers are handed over.
    pub copy: bool,
}

impl Default for NullDevice {
    fn default() -> Self {
        Self {
            packet_bytes: 64,
            copy: false,
        }
    }
}
