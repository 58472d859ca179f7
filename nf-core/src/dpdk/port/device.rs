//! What can be behind a port.

use std::path::PathBuf;

/// What is behind a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A NIC that is bound to vfio-pci (or another user-space driver), or a bifurcated one.
    Pci {
        /// Address, "0000:01:00.0".
        address: String,
    },
    /// A TAP interface of the kernel, created with the port and gone with it.
    Tap {
        /// Interface name, at most 15 bytes.
        interface: String,
        /// MAC address of the kernel's side, "02:00:00:00:00:01"; DPDK's choice when `None`.
        mac: Option<String>,
    },
    /// Shared memory to another process.
    Memif {
        /// Listens when true, connects when false.
        server: bool,
        /// Socket path, or abstract name.
        socket: String,
        /// Whether the socket is in the abstract namespace.
        abstract_socket: bool,
        /// Interface id on the socket.
        id: u32,
        /// Shared secret, at most 24 bytes.
        secret: Option<String>,
        /// Let the peer read our packet memory (client side only).
        zero_copy: bool,
        /// Bytes of a shared buffer.
        buffer_bytes: u32,
        /// MAC address of the port; random when `None`.
        mac: Option<String>,
    },
    /// A kernel interface through AF_XDP sockets.
    AfXdp {
        /// Interface name.
        interface: String,
        /// First queue of the interface.
        start_queue: u16,
        /// Copy mode even where zero copy is possible.
        force_copy: bool,
    },
    /// A kernel interface through AF_PACKET rings.
    AfPacket {
        /// Interface name.
        interface: String,
        /// Bytes of a frame slot of the shared ring.
        frame_bytes: u32,
        /// Frame slots.
        frames: u32,
        /// Skip the kernel's queueing discipline on transmit.
        qdisc_bypass: bool,
    },
    /// Software rings; transmit is wired to receive.
    Ring {
        /// Slots of each ring, a power of two.
        slots: u32,
    },
    /// Packets from and to capture files.
    Pcap {
        /// File to receive from.
        rx_file: Option<PathBuf>,
        /// File to send to; what is sent is dropped when `None`.
        tx_file: Option<PathBuf>,
        /// Start again at the end of `rx_file`.
        repeat: bool,
    },
    /// Receives empty packets without end, frees what is sent.
    Null {
        /// Bytes of a received packet.
        packet_bytes: u16,
        /// Copy the bytes, as a device would.
        copy: bool,
    },
}

impl Device {
    /// Whether its driver copies what it receives into mbufs, on the receiving core: then the bytes are in
    /// that core's cache already. Else a NIC, the kernel or another core has written them.
    pub(super) fn copies(&self) -> bool {
        match self {
            Device::Pci { .. } | Device::Ring { .. } | Device::AfXdp { .. } => false,
            Device::Tap { .. }
            | Device::Memif { .. }
            | Device::AfPacket { .. }
            | Device::Pcap { .. }
            | Device::Null { .. } => true,
        }
    }
}
