//! The nodes of a rack: hosts, appliances, and the segments that join them.

mod appliance;
mod core;
mod host;
mod neighbours;
mod segment;
mod stack;

pub use appliance::{Appliance, ApplianceCounters, BuildFailed};
pub use host::{Host, HostCounters};
pub use segment::{Segment, SegmentCounters};
pub use stack::StackCounters;

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its number.
    pub node: u32,
    /// How often it has started before.
    pub life: u32,
}

/// A node.
#[derive(Debug)]
pub enum Node {
    /// A machine that runs a program.
    Host(Box<Host>),
    /// An appliance.
    Appliance(Box<Appliance>),
    /// A learning switch.
    Segment(Box<Segment>),
}

/// The MAC address of a host that was given none: of the locally administered ones.
pub fn host_mac(index: usize) -> nf_core::wire::MacAddr {
    let [.., a, b, c] = (index as u32 + 1).to_be_bytes();
    nf_core::wire::MacAddr([0x02, 0, 0x01, a, b, c])
}

/// The MAC address of an appliance's port that was given none.
pub fn port_mac(appliance: usize, port: usize) -> nf_core::wire::MacAddr {
    let [.., a, b] = (appliance as u32 + 1).to_be_bytes();
    nf_core::wire::MacAddr([0x02, 0, 0x02, a, b, port as u8])
}
