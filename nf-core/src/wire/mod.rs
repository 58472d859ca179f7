//! Headers over byte slices: what a packet says, and edits that keep its checksums right. Nothing
//! here knows where the bytes live.
//!
//! A frame is parsed once, into [`Layers`]: offsets, kinds and lengths, all checked. From then on
//! `layers.ipv4(frame)`, `layers.udp_mut(frame)` and the like lend typed views of single headers,
//! one file each, whose getters and setters cannot fail. [`rewrite`] edits addresses, ports and hop
//! counts and mends every checksum incrementally.
//!
//! ```
//! use nf_core::wire::{Layers, rewrite};
//!
//! fn turn_around(frame: &mut [u8]) -> Result<u16, nf_core::wire::Malformed> {
//!     let layers = Layers::parse(frame)?;
//!     rewrite::swap_five_tuple(frame, &layers);
//!     Ok(layers.udp(frame).map_or(0, |udp| udp.destination_port()))
//! }
//! # assert!(turn_around(&mut [0; 10]).is_err());
//! ```

pub mod arp;
mod bytes;
pub mod checksum;
mod common;
pub mod ethernet;
mod flow;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
mod layers;
mod mac;
mod malformed;
pub mod neighbor;
mod prefix;
pub mod rewrite;
pub mod tcp;
mod transport;
pub mod udp;
pub mod vlan;

pub use self::{
    arp::Arp,
    ethernet::{Ethernet, ethertype},
    flow::{FiveTuple, flow_hash, symmetric_flow_hash},
    icmp::Icmp,
    icmpv6::Icmpv6,
    ipv4::{Ipv4, protocol},
    ipv6::Ipv6,
    layers::{Fragment, Layers, MAX_EXTENSIONS, Transport},
    mac::{MacAddr, MacAddrError},
    malformed::Malformed,
    prefix::{InterfaceAddr, Prefix, PrefixError},
    rewrite::{swap_five_tuple, turn_around},
    tcp::Tcp,
    transport::{
        Verdict, check_transport_checksum, check_transport_checksum_of, fill_ipv4_checksum,
        fill_transport_checksum, ipv4_checksum_ok, transport_checksum_of,
    },
    udp::Udp,
    vlan::Tci,
};
