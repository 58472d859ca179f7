//! What travels with a packet: half a cache line in the mbuf's private area.

use super::direction::Direction;

/// `Meta::egress` when no stage has chosen a port.
pub const NO_PORT: u16 = u16::MAX;

/// `Meta::egress` of a packet to the appliance itself, on its way to the stage that serves it. If none
/// takes it, it ends as `no_egress`.
pub const LOCAL_PORT: u16 = u16::MAX - 1;

/// Per-packet metadata. Written at ingress, carried through rings, copied with the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct Meta {
    /// When the packet was received, nanoseconds of the chain's clock.
    pub ingress_ns: u64,
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
    /// A packet that its stage can do without. Where a port has no room, the stage is
    /// [told](crate::chain::Cx::take_undelivered) how many of them did not leave.
    pub expendable: bool,
    /// Hash of the flow; 0 when nobody has computed it.
    pub flow_hash: u32,
    /// Id of a traced packet, 0 for all others.
    pub trace: u32,
    /// For the function that handles the packet; zero at ingress.
    pub user: u64,
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
            expendable: false,
            user: 0,
        }
    }

    /// What decides where and when the packet leaves: when it came, by which port, and by which it was
    /// told to leave. Two words, side by side, so that packets are compared in one wide move.
    #[inline(always)]
    pub(crate) fn passage(&self) -> [u64; 2] {
        let exit = u64::from(self.port)
            | u64::from(self.egress) << 16
            | u64::from(self.direction as u8) << 32
            | u64::from(self.position) << 40
            | u64::from(self.turns) << 48
            | u64::from(self.expendable) << 56;
        [self.ingress_ns, exit]
    }
}
