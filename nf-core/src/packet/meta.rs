//! What travels with a packet: one cache line in the mbuf's private area.

use super::direction::Direction;

/// `Meta::egress` when no stage has chosen a port.
pub const NO_PORT: u16 = u16::MAX;

/// Per-packet metadata. Written at ingress, carried through rings, copied with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Meta {
    /// When the packet was received, nanoseconds of the chain's clock.
    pub ingress_ns: u64,
    /// Hash of the flow; 0 when nobody has computed it.
    pub flow_hash: u32,
    /// Id of a traced packet, 0 for all others.
    pub trace: u32,
    /// Index of the port that received the packet.
    pub port: u16,
    /// Index of the port that the packet leaves by; [`NO_PORT`] for the chain's default.
    pub egress: u16,
    /// Which way the packet goes.
    pub direction: Direction,
    /// Position in the chain of the stage that handles it (or emitted it).
    pub position: u8,
    /// How often stages turned the packet around.
    pub turns: u8,
    /// Flags of the framework.
    pub(crate) flags: u8,
    /// Start of the layer-3 header; 0 when nobody has parsed the packet.
    pub l3: u16,
    /// Start of the layer-4 header; 0 when there is none.
    pub l4: u16,
    /// For the function that handles the packet; zero at ingress.
    pub user: [u8; 24],
    _reserved: [u8; 4],
}

impl Meta {
    /// Metadata of a packet that was received now.
    #[inline(always)]
    pub fn received(ingress_ns: u64, port: u16, direction: Direction) -> Meta {
        Meta {
            ingress_ns,
            flow_hash: 0,
            trace: 0,
            port,
            egress: NO_PORT,
            direction,
            position: 0,
            turns: 0,
            flags: 0,
            l3: 0,
            l4: 0,
            user: [0; 24],
            _reserved: [0; 4],
        }
    }
}
