//! What travels with a packet that is a message between actors: the other half of the mbuf's private area.

/// What a packet is as a message. Written by who sends it; 32 bytes behind the [`Meta`](super::Meta).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Label {
    /// When it was sent, nanoseconds of the chain's clock.
    pub sent_ns: u64,
    /// What it is about, for its receiver: a flow, a key.
    pub key: u64,
    /// Who sent it, as [`ActorId::to_bits`](crate::sched::ActorId::to_bits); its own receiver for a packet
    /// from the network.
    pub from: u32,
    /// Whom it is for, likewise.
    pub to: u32,
    /// What kind of message it is, between sender and receiver; [`NETWORK`](Label::NETWORK) for a packet that
    /// was dispatched.
    pub kind: u32,
    /// The packet core by which it leaves the box, if it is sent out again.
    pub home: u16,
    /// Not used.
    pub spare: u16,
}

impl Label {
    /// [`kind`](Label::kind) of a packet from the network.
    pub const NETWORK: u32 = 0;
}
